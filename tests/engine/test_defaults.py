"""A stage is the same, bit for bit, whatever torch settings its caller has."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import tiny
import torch

import mpnas_kit as mk
from mpnas_kit.engine.runtime import reproducible
from mpnas_kit.network.net import MultiPathNet


@contextmanager
def float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextmanager
def default_device() -> Iterator[None]:
    torch.set_default_device("meta")
    try:
        yield
    finally:
        torch.set_default_device(None)


def autocast() -> Any:
    return torch.autocast("cpu", torch.bfloat16)


MODES = [float64, torch.inference_mode, torch.no_grad, default_device, autocast]
SUITE, SPACE = tiny.suite(), tiny.space()
PATHS = tiny.paths(SPACE, ["k3e1 k3e1", "k3e1 k5e3"])


def outcome() -> tuple[Any, ...]:
    """Everything that a search, a training and an evaluation measure."""
    found = mk.search(SUITE, SPACE, tiny.search_config())
    trained = mk.train(SUITE, SPACE, PATHS, tiny.train_config(evaluate_every=3))
    return (
        found.policy.tolist(),
        found.history.to_dict("list"),
        trained.history.to_dict("list"),
        trained.net.fingerprint(),
        trained.evaluation.to_dict("list"),
    )


@pytest.fixture(scope="module")
def plain() -> tuple[Any, ...]:
    return outcome()


@pytest.mark.parametrize("mode", MODES, ids=lambda m: m.__name__)
def test_a_stage_is_the_same_in_every_mode_of_torch(mode: Any, plain: tuple[Any, ...]) -> None:
    with mode():
        inside = outcome()
    assert str(inside) == str(plain)  # as text, in which nan equals nan


@pytest.mark.parametrize("mode", [m for m in MODES if m is not default_device])
def test_a_network_that_is_created_in_a_mode_is_like_any_other(mode: Any) -> None:
    def net() -> MultiPathNet:
        return MultiPathNet.of_paths(SPACE, PATHS, SUITE.tasks, "per_domain", seed=0)

    with mode():
        inside = net()
    assert inside.fingerprint() == net().fingerprint()
    assert all(p.requires_grad and not p.is_inference() for p in inside.parameters())


def test_the_settings_of_the_caller_are_restored() -> None:
    def now() -> tuple[Any, ...]:
        return (
            torch.get_default_dtype(),
            torch.get_default_device(),
            torch.is_grad_enabled(),
            torch.is_inference_mode_enabled(),
            torch.is_autocast_enabled("cpu"),
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
            torch.get_num_threads(),
            torch.backends.cudnn.benchmark,
            *(product.fp32_precision for product in products),
        )

    products: list[Any] = [
        torch.backends.cuda.matmul,
        torch.backends.cudnn.conv,  # type: ignore[attr-defined]
        torch.backends.mkldnn.matmul,  # type: ignore[attr-defined]
        torch.backends.mkldnn.conv,  # type: ignore[attr-defined]
    ]
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("medium")
    try:
        with float64(), torch.inference_mode(), autocast():
            before = now()
            with pytest.raises(KeyError), reproducible(2, 16):
                assert torch.get_default_dtype() == torch.float32
                assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
                assert {product.fp32_precision for product in products} == {"ieee"}
                assert not torch.backends.cudnn.benchmark
                raise KeyError
            assert now() == before
    finally:
        torch.use_deterministic_algorithms(False)
        torch.backends.cudnn.benchmark = False
        torch.set_float32_matmul_precision("highest")
