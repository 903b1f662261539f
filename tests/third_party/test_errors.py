"""Errors in a person's own code keep their type and traceback, and a note says what raised them."""

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import tiny
import torch
from torch import Tensor, nn

import mpnas_kit as mk
from mpnas_kit.approaches.approach import plan_of


class Oops(Exception):
    """An error of a person's own."""


def oops(*arguments: Any, **options: Any) -> Any:
    raise Oops("what went wrong")


class Broken:
    """A part of every kind, all of whose methods raise."""

    unit = "ms"
    searches = weighs = True
    begin = price = plan = oops


class Weights(mk.DomainWeights):
    """Weights that raise."""

    def weights(self, batches: Any, progress: float) -> Any:
        oops()


class Begins:
    """A prioritization that begins with `Weights`."""

    def begin(self, tasks: Any, seed: int = 0) -> Weights:
        return Weights()


class Module(nn.Module):
    """A module that raises."""

    def forward(self, x: Tensor) -> Tensor:
        raise Oops("what went wrong")


@dataclass(frozen=True)
class Block:
    """A block that raises when it is built, or whose module raises."""

    builds: bool
    name: str = "mine"

    def build(self, in_channels: int, out_channels: int, stride: int, norm: Any) -> nn.Module:
        return Module() if self.builds else oops()


def run(blocks: Any = None, callbacks: Any = (), **settings: Any) -> Any:
    space = tiny.space()
    if blocks is not None:
        stem, _, *rest = tiny.layers()
        space = mk.LayerwiseSpace("own", [stem, mk.Layer("one", 1, (8,), blocks), *rest], 16)
    return mk.search(tiny.suite(), space, tiny.search_config(**settings), callbacks=callbacks)


def on_step(number: int) -> Callable[[mk.StepEvent], None]:
    def mine(event: mk.StepEvent) -> None:
        if event.step == number:
            oops()

    return mine


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: run(callbacks=[on_step(3)]), "the callback .*mine.* in step 3 of search"),
        (lambda: run(reward=oops), "the reward .*:oops"),
        (lambda: run(prioritization=Broken()), "begin of the prioritization .*Broken"),
        (lambda: run(prioritization=Begins()), r"weights of the prioritization .Weights."),
        (lambda: run(cost=Broken()), r"price\(use\) of the cost model .*Broken"),
        (lambda: run(blocks=(Block(False), mk.Conv(3))), "build of block 'mine'"),
        (lambda: run(blocks=(Block(True), mk.Conv(3))), "the module of block 'mine'"),
        (
            lambda: plan_of(
                Broken(),
                mk.Context(tiny.space(), ("a",), mk.SearchConfig()),  # type: ignore[arg-type]
            ),
            "plan of the approach .*Broken",
        ),
    ],
)
def test_an_error_stays_what_it_is_and_gets_a_note(call: Callable[[], Any], words: str) -> None:
    with pytest.raises(Oops, match="what went wrong") as raised:
        call()
    (note,) = raised.value.__notes__
    assert note.startswith("raised by ") and "\n" not in note
    import re

    assert re.search(words, note), note
    assert "raise Oops" in "".join(traceback.format_exception(raised.value))


def test_a_module_that_raises_in_training_is_named_with_its_layer() -> None:
    stem, _, *rest = tiny.layers()
    space = mk.LayerwiseSpace(
        "own", [stem, mk.Layer("one", 1, (8,), (Block(True), mk.Conv(3))), *rest], 16
    )
    paths = tiny.paths(space, ["mine k3e1", "mine k3e1"])
    with pytest.raises(Oops) as raised:
        mk.train(tiny.suite(), space, paths, tiny.train_config())
    assert raised.value.__notes__ == ["raised by the module of block 'mine' in layer 'one'"]


def test_a_message_of_the_kit_gets_no_note() -> None:
    def refuse(quality: Tensor, cost: Tensor, target: float) -> Tensor:
        raise mk.MpnasError("the table has no such block: expected another one.")

    with pytest.raises(mk.MpnasError, match="the table has no such block") as raised:
        run(reward=refuse)
    assert not getattr(raised.value, "__notes__", [])


def test_parts_that_change_their_arguments_change_nothing_else() -> None:
    def plain(quality: Tensor, cost: Tensor, target: float) -> Tensor:
        return quality + 0

    def rude(quality: Tensor, cost: Tensor, target: float) -> Tensor:
        answer = quality.clone()
        quality.zero_(), cost.zero_()
        return answer

    def rude_callback(event: mk.StepEvent) -> None:
        for row in event.rows.values():
            assert isinstance(row, dict)
            row.clear()
        assert isinstance(event.rows, dict)
        event.rows.clear()

    one, other = run(reward=plain), run(reward=rude, callbacks=[rude_callback, rude_callback])
    assert one.history.equals(other.history) and (one.policy == other.policy).all()


@pytest.mark.parametrize(
    "convert", [Tensor.long, Tensor.float, Tensor.numpy, Tensor.requires_grad_]
)
def test_a_reward_may_be_any_array_of_numbers(convert: Callable[[Tensor], Any]) -> None:
    def mine(quality: Tensor, cost: Tensor, target: float) -> Any:
        return convert((quality * 8).round())

    def plain(quality: Tensor, cost: Tensor, target: float) -> Tensor:
        return (quality * 8).round()

    assert (run(reward=mine).policy == run(reward=plain).policy).all()


def test_weights_may_be_numbers_of_any_library() -> None:
    class Mine(mk.DomainWeights):
        def weights(self, batches: Mapping[str, Any], progress: float) -> Any:
            return {d: torch.tensor(1) for d in batches}

    class Setting:
        def begin(self, tasks: Any, seed: int = 0) -> Mine:
            return Mine()

    assert run(prioritization=Setting()).history.equals(run(prioritization="uniform").history)
