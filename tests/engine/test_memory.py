"""The memory budget: groups by hand, the same step in groups, and fewer maps at a time."""

import warnings
import weakref
from typing import Any

import pytest
import tiny
import torch
from torch import Tensor

from mpnas_kit.engine.compute import Compute
from mpnas_kit.engine.memory import MB, MemoryBudget, layer_maps, maps_per_image
from mpnas_kit.engine.step import set_rate
from mpnas_kit.errors import MpnasError
from mpnas_kit.kernels.library import usable
from mpnas_kit.network.net import Flow, MultiPathNet
from mpnas_kit.prioritization.abdp import ABDP, Uniform
from mpnas_kit.prioritization.domain_weights import DomainWeights
from mpnas_kit.prioritization.scalarizers import FAMO
from mpnas_kit.search.stage import search
from mpnas_kit.search.warmup import warm
from mpnas_kit.training.stage import train

CLASSES = {"a": 3, "b": 4, "c": 2}
ARCHS = ["k3e2 k5e3", "k3e2 k3e1", "k5e2se k5e3"]
IMAGES = 64


def batches() -> dict[str, tuple[Tensor, Tensor]]:
    return {
        d: (tiny.images(IMAGES, seed=i), torch.arange(IMAGES) % n)
        for i, (d, n) in enumerate(CLASSES.items())
    }


def flows(count: int = IMAGES) -> list[Flow]:
    paths = tiny.paths(tiny.space(), ARCHS)
    return [Flow(d, torch.empty(count, 3, tiny.SIZE, tiny.SIZE), paths[d]) for d in CLASSES]


def megabytes(flow: Flow) -> tuple[int, ...]:
    maps = maps_per_image(tiny.space(), flow)
    return tuple(round(4 * len(flow.images) * n / MB) for n in (maps.kept, 8 * maps.largest))


def ready(budget: int | None, **more: Any) -> Compute:
    return Compute(memory=MemoryBudget(budget), **more)


# Groups -------------------------------------------------------------------------------------------


def test_groups_hold_as_many_micro_batches_as_fit_by_hand() -> None:
    """A group takes the sum of what its flows keep, and the most that passes in one of them."""
    assert [megabytes(flow) for flow in flows(640)] == [(31, 31), (22, 21), (34, 31)]
    space = tiny.space()
    for budget, expected in (
        (None, [[0, 1, 2]]),
        (119, [[0, 1, 2]]),
        (117, [[0, 1], [2]]),
        (85, [[0, 1], [2]]),
        (83, [[0], [1], [2]]),
    ):
        assert MemoryBudget(budget).divide(space, flows(640)) == (expected, False)
    assert MemoryBudget(60, value=2).divide(space, flows(640)).groups == [[0, 1, 2]]


def test_a_micro_batch_that_never_fits_runs_alone_and_one_warning_names_it() -> None:
    budget, space = MemoryBudget(39), tiny.space()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert budget.divide(space, flows(640)) == ([[0], [1], [2]], True)
    said = [str(w.message) for w in caught]
    assert [text.split("'")[1] for text in said] == ["a", "b", "c"]
    assert "take about 52.3 MB, more than the memory_budget of 39 MB, although" in said[2]
    assert "With 2 times as many micro_batches they would fit." in said[2]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        budget.divide(space, flows(640))


def test_no_work_is_no_group() -> None:
    assert MemoryBudget(1).divide(tiny.space(), []).groups == []


# The step -----------------------------------------------------------------------------------------


def stepped(
    budget: int | None, weights: DomainWeights, steps: int = 3, **more: Any
) -> tuple[dict[str, Tensor], list[Any], int]:
    """Weights after some steps, their metrics, and the number of forward passes of a step."""
    space = tiny.space()
    paths = tiny.paths(space, ARCHS)
    net = MultiPathNet.of_paths(space, paths, tiny.tasks(CLASSES), "per_domain", seed=0)
    passes: list[int] = []
    net.register_forward_pre_hook(lambda *_: passes.append(1))
    optimiser = tiny.sgd(net, 0.9, 1e-3)
    set_rate(optimiser, 0.05)
    rows = [
        tiny.step(net, optimiser, batches(), paths, weights, 0.1, 0.5, ready(budget, **more))
        for _ in range(steps)
    ]
    return {n: p.detach() for n, p in net.named_parameters()}, rows, len(passes) // steps


@pytest.mark.parametrize(
    ("setting", "plain", "divided"), [(ABDP(), 1, 4), (Uniform(), 1, 2), (FAMO(), 2, 6)]
)
@pytest.mark.parametrize("micro_batches", [1, 2])
def test_a_step_in_groups_is_the_step_but_for_rounding(
    setting: Any, plain: int, divided: int, micro_batches: int
) -> None:
    """Also says how many forward passes each takes: two groups, and what the weights need."""
    tasks, found = tiny.tasks(CLASSES), []
    for budget, expected in ((None, plain), (9, divided)):
        weights, rows, passes = stepped(budget, setting.begin(tasks), micro_batches=micro_batches)
        assert passes == expected
        found.append((weights, rows))
    (whole, rows), (parts, other) = found
    for name, weight in whole.items():
        torch.testing.assert_close(parts[name], weight, rtol=1e-4, atol=1e-5)
    for row, same in zip(rows, other, strict=True):
        for domain, figures in row.items():
            assert same[domain] == pytest.approx(figures, rel=1e-4, abs=1e-5)


class Alive:
    """The bytes of the tensors that are saved for the backward pass, now and at most."""

    def __init__(self) -> None:
        self.now = self.most = 0

    def pack(self, tensor: Tensor) -> Any:
        class Box:
            held = tensor

        box, size = Box(), tensor.numel() * tensor.element_size()
        self.now += size
        self.most = max(self.most, self.now)
        weakref.finalize(box, self._drop, size)
        return box

    def _drop(self, size: int) -> None:
        self.now -= size


@pytest.mark.parametrize("setting", [ABDP(), Uniform()], ids=["abdp", "uniform"])
def test_a_budget_holds(setting: Any) -> None:
    """Saved maps are within it, although some count twice here, and are more without it."""
    most = []
    for budget in (None, 7):
        alive = Alive()
        with torch.autograd.graph.saved_tensors_hooks(alive.pack, lambda box: box.held):
            stepped(budget, setting.begin(tiny.tasks(CLASSES)), steps=1)
        most.append(alive.most / MB)
        assert alive.now == 0
    assert most[1] < 7 < most[0]


def test_a_loss_that_is_not_finite_moves_no_weight_in_groups_either() -> None:
    for setting in (ABDP(), Uniform()):
        space = tiny.space()
        paths, bad = tiny.paths(space, ARCHS), batches()
        net = MultiPathNet.of_paths(space, paths, tiny.tasks(CLASSES), "per_domain", seed=0)
        bad["c"][0][0, 0, 0, 0] = float("nan")
        before = {n: p.detach().clone() for n, p in net.named_parameters()}
        weights = setting.begin(tiny.tasks(CLASSES))
        with pytest.raises(MpnasError, match="the loss of domain 'c' is nan"):
            tiny.step(net, tiny.sgd(net, 0.9, 0.0), bad, paths, weights, compute=ready(9))
        assert all(torch.equal(before[n], p) for n, p in net.named_parameters())


# Stages -------------------------------------------------------------------------------------------


def test_a_search_and_a_training_with_a_budget_are_those_without() -> None:
    """Batches of 8 images: 1 MB holds one domain."""
    suite, space = tiny.suite(3), tiny.space()
    small: dict[str, Any] = {"batch_size": 8, "steps": 4}
    searches = [
        search(suite, space, tiny.search_config(memory_budget=budget, warmup_share=0, **small))
        for budget in (None, 1)
    ]
    assert searches[0].paths == searches[1].paths
    assert searches[0].policy == pytest.approx(searches[1].policy, abs=1e-4)
    trainings = [
        train(suite, space, searches[0].paths, tiny.train_config(memory_budget=budget, **small))
        for budget in (None, 1)
    ]
    losses = [t.history["loss"].tolist() for t in trainings]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_mixed_statistics_cannot_be_divided() -> None:
    with pytest.raises(MpnasError, match="norm 'mixed' normalises all images of a step together"):
        tiny.train_config(norm="mixed", memory_budget=100)
    assert tiny.train_config(norm="mixed").memory_budget is None


# Recomputed maps ----------------------------------------------------------------------------------


def test_a_recomputed_flow_holds_the_inputs_of_its_layers_and_one_layer_by_hand() -> None:
    """Layers of two flows are computed again together, so their maps are in memory together."""
    space, (a, _, c) = tiny.space(), flows(640)
    maps = [layer_maps(space, flow) for flow in (a, c)]
    assert [[m.entrance for m in own] for own in maps] == [
        [3 * 16**2, 8 * 8**2, 8 * 8**2, 12 * 4**2]
    ] * 2
    scale = 4 * 640 / MB
    inputs = scale * sum(m.entrance for own in maps for m in own)
    layer = scale * max(x.kept + y.kept for x, y in zip(*maps, strict=True))
    passing = scale * 8 * max(m.largest for own in maps for m in own)
    together = inputs + layer + passing
    assert together == pytest.approx(70.45, abs=0.01)
    third = a._replace(images=torch.empty(740, 3, tiny.SIZE, tiny.SIZE))  # alone too much
    assert MemoryBudget(71).divide(space, [a, c, third]) == ([[0, 1], [2]], True)
    assert MemoryBudget(70).divide(space, [a, c, third]) == ([[0], [1], [2]], True)


@pytest.mark.parametrize("kernels", ["native", "eager"])
@pytest.mark.parametrize("blended", [False, True])
def test_recomputed_gradients_are_equal_to_the_bit(kernels: Any, blended: bool) -> None:
    space, paths = tiny.space(), tiny.paths(tiny.space(), ARCHS)
    generator = torch.Generator().manual_seed(0)
    chosen: list[Any] = list(paths.values())
    if blended:
        chosen = warm(space, chosen, 1.0, 3, generator)
    found = []
    for recompute in (False, True):
        net = MultiPathNet.supernet(space, tiny.tasks(CLASSES), "per_domain", 0, collapse=True)
        net.kernels = usable(kernels)
        batch = [
            Flow(d, x, path) for (d, (x, _)), path in zip(batches().items(), chosen, strict=True)
        ]
        outputs = net(batch, recompute)
        torch.stack([x.square().sum() for x in outputs]).sum().backward()
        found.append([p.grad for p in net.parameters()] + [x.detach() for x in outputs])
    for one, other in zip(*found, strict=True):
        assert (one is None) == (other is None)
        assert one is None or (other is not None and torch.equal(one, other))


def test_recomputed_statistics_count_once() -> None:
    """Measuring needs no gradients. So there is nothing to compute again."""
    space, paths, found = tiny.space(), tiny.paths(tiny.space(), ARCHS), []
    for recompute in (False, True):
        net = MultiPathNet.of_paths(space, paths, tiny.tasks(CLASSES), "per_domain", seed=0)
        with torch.no_grad(), net.measure():
            for _ in range(2):
                net([Flow(d, x, paths[d]) for d, (x, _) in batches().items()], recompute)
        found.append(net.fingerprint())
    assert found[0] == found[1]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_budget_below_one_micro_batch_keeps_fewer_maps(precision: Any) -> None:
    """The step is the same, and the maps that it saves are less than those of one micro-batch."""
    setting, most, found = Uniform(), [], []
    for budget in (None, 6):
        alive = Alive()
        with torch.autograd.graph.saved_tensors_hooks(alive.pack, lambda box: box.held):
            weights, *_ = stepped(
                budget, setting.begin(tiny.tasks(CLASSES)), steps=1, precision=precision
            )
        most.append(alive.most)
        found.append(weights)
    assert most[1] < most[0] / 3
    for name, weight in found[0].items():
        torch.testing.assert_close(found[1][name], weight, rtol=1e-4, atol=1e-4)
