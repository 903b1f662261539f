"""Batch normalisation of all segments in one call, as other devices than the CPU do it."""

import itertools
import math
from typing import Any

import pytest
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from mpnas_kit.errors import MpnasError
from mpnas_kit.network import norms
from mpnas_kit.network.net import Flow, MultiPathNet
from mpnas_kit.network.norms import DomainNorm, Norm, Segments
from mpnas_kit.network.segment_norm import Grouping, batch_normalise

CPU = torch.device("cpu")
SIZES = [(2, 2, 2), (3, 1, 4), (1, 1), (1, 5, 1)]
OURS, LOOP = (), ("cpu",)  # devices that loop


def layer(sizes: tuple[int, ...], norm: Norm = "per_domain", tracked: bool = True) -> DomainNorm:
    """A norm of up to 5 channels with random scales and shifts, and segments of these sizes."""
    segments = Segments()
    segments.current = [(f"d{i}", size) for i, size in enumerate(sizes)]
    made = DomainNorm(5, [d for d, _ in segments.current], norm, segments, tracked)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn(5, generator=generator))
    return made


def images(sizes: tuple[int, ...], channels: int = 5, offset: float = 3.0) -> Tensor:
    """Images of which every segment has other statistics, channels last."""
    generator = torch.Generator().manual_seed(0)
    parts = [
        (1 + i) * torch.randn(size, channels, 4, 3, generator=generator) + offset * i
        for i, size in enumerate(sizes)
    ]
    return torch.cat(parts).contiguous(memory_format=torch.channels_last)


def outcome(module: DomainNorm, x: Tensor) -> dict[str, Tensor | None]:
    """Output and all gradients for a fixed gradient of the output."""
    x = x.clone().requires_grad_()
    module.zero_grad(set_to_none=True)
    y = module(x)
    weights = torch.linspace(-1, 2, y.numel(), dtype=y.dtype).reshape(y.shape)
    y.backward(weights)
    gradients = {n: p.grad for n, p in module.named_parameters()}
    return {"y": y.detach(), "x": x.grad, **gradients}


def both_ways(
    monkeypatch: pytest.MonkeyPatch, module: DomainNorm, x: Tensor
) -> list[dict[str, Tensor | None]]:
    """The outcome of one call for all segments, and that of a loop over them."""
    outcomes = []
    for looped in (OURS, LOOP):
        monkeypatch.setattr(norms, "LOOPED", looped)
        outcomes.append(outcome(module, x))
    return outcomes


def require_same(one: dict[str, Any], other: dict[str, Any], tolerance: float = 1e-5) -> None:
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        if tensor is None or other[name] is None:
            assert tensor is other[name], name
        else:
            torch.testing.assert_close(
                tensor,
                other[name],
                atol=tolerance,
                rtol=tolerance,
                msg=lambda m, n=name: f"{n} {m}",
            )


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("channels", [5, 3])
@pytest.mark.parametrize("norm", ["per_domain", "naive", "mixed"])
def test_one_call_gives_what_a_loop_over_the_segments_gives(
    monkeypatch: pytest.MonkeyPatch, sizes: tuple[int, ...], channels: int, norm: Norm
) -> None:
    outcomes = both_ways(monkeypatch, layer(sizes, norm), images(sizes, channels))
    require_same(*outcomes, tolerance=1e-4)


@pytest.mark.parametrize("sizes", SIZES)
def test_gradients_are_those_of_float64_differences(sizes: tuple[int, ...]) -> None:
    grouping = Grouping(sizes, CPU)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(sum(sizes), 2, 2, 2, generator=generator, dtype=torch.float64)
    rows = [torch.randn(len(sizes), 2, generator=generator, dtype=torch.float64) for _ in "wb"]
    inputs = [t.requires_grad_() for t in (x, *rows)]
    assert torch.autograd.gradcheck(
        lambda *given: batch_normalise(*given, grouping, 1e-5)[0],
        inputs,
        check_undefined_grad=False,
    )


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(1, 6), min_size=2, max_size=5),
    st.integers(1, 5),
    st.sampled_from([0.0, 10.0, 1000.0]),
)
def test_float32_is_as_near_to_float64_as_the_loop_is(
    sizes: list[int], channels: int, offset: float
) -> None:
    """With a mean far above the deviation too: no large squares may be subtracted.

    The mean itself is rounded to float32. A difference of squares would lose a thousand times more.
    """
    module, x = layer(tuple(sizes)), images(tuple(sizes), channels, offset)
    with pytest.MonkeyPatch.context() as patch:
        ours, loop = both_ways(patch, module, x)
        exact = both_ways(patch, module.double(), x.double())[1]
    for name in ("y", "x"):
        errors = [float((o[name].double() - exact[name]).abs().max()) for o in (ours, loop)]  # type: ignore[union-attr, operator]
        assert errors[0] <= 2 * errors[1] + 1e-5 + float(x.abs().max()) * 2**-22, name


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("sizes", [(2, 2, 2), (3, 1, 4)])
def test_a_value_that_is_not_finite_stays_in_its_segment(
    monkeypatch: pytest.MonkeyPatch, bad: float, sizes: tuple[int, ...]
) -> None:
    x = images(sizes)
    x[0, 1, 0, 0] = bad
    ours, loop = both_ways(monkeypatch, layer(sizes), x)
    for name, tensor in ours.items():
        assert tensor is not None
        assert torch.equal(tensor.isfinite(), loop[name].isfinite()), name  # type: ignore[union-attr]
    assert not ours["y"][: sizes[0], 1].isfinite().any()  # type: ignore[index]
    assert ours["y"][sizes[0] :].isfinite().all()  # type: ignore[index]


@pytest.mark.parametrize("norm", ["per_domain", "naive", "mixed"])
@pytest.mark.parametrize("sizes", SIZES)
def test_statistics_for_evaluation_are_those_of_the_loop(
    monkeypatch: pytest.MonkeyPatch, norm: Norm, sizes: tuple[int, ...]
) -> None:
    found = []
    for looped in (OURS, LOOP):
        monkeypatch.setattr(norms, "LOOPED", looped)
        module = layer(sizes, norm)
        with module.measure():
            module(images(sizes))
            module(2 * images(sizes, 3))  # of the first channels only
        evaluated = outcome(module.eval(), images(sizes))
        found.append({**dict(module.named_buffers()), **evaluated})
    require_same(*found)


def test_borrowed_scales_and_shifts_get_the_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for looped in (OURS, LOOP):
        monkeypatch.setattr(norms, "LOOPED", looped)
        lender, borrower = layer((2, 3)), layer((2, 3))
        borrower.borrow(lender)
        y = borrower(images((2, 3), channels=3))
        y.square().sum().backward()
        found.append({n: p.grad for n, p in lender.named_parameters()})
    require_same(*found, tolerance=1e-4)


def test_domains_that_do_not_come_get_no_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(norms, "LOOPED", OURS)
    module = layer((2, 2, 2))
    module._segments.current = [("d0", 2), ("d2", 2), ("d0", 2)]
    module(images((2, 2, 2))).square().sum().backward()
    assert {n for n, p in module.named_parameters() if p.grad is None} == {
        "weight.of_d1",
        "bias.of_d1",
    }


def test_bfloat16_maps_have_statistics_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mean far above the deviation would be lost if it was rounded to bfloat16."""
    module, x = layer((4, 4), tracked=False), (images((4, 4)) + 200).bfloat16()
    exact = outcome(module.double(), x.double())
    monkeypatch.setattr(norms, "LOOPED", OURS)
    rounded = outcome(module.float(), x)
    assert rounded["y"].dtype == rounded["x"].dtype == torch.bfloat16  # type: ignore[union-attr]
    torch.testing.assert_close(rounded["y"].double(), exact["y"], atol=0.03, rtol=0.01)  # type: ignore[union-attr]


def test_maps_stay_channels_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(norms, "LOOPED", OURS)
    for sizes in ((2, 2), (1, 3)):
        found = outcome(layer(sizes), images(sizes))
        for name in "yx":
            assert found[name].is_contiguous(memory_format=torch.channels_last)  # type: ignore[union-attr]


def test_one_value_per_channel_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(norms, "LOOPED", OURS)
    with pytest.raises(MpnasError, match="domain 'd1' has one value per channel"):
        layer((2, 1))(torch.zeros(3, 5, 1, 1))


class Calls(TorchDispatchMode):
    """Names of the operations that run inside."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(func._schema.name.removeprefix("aten::"))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("uneven", [0, 1])
def test_the_number_of_calls_does_not_depend_on_the_number_of_segments(
    monkeypatch: pytest.MonkeyPatch, uneven: int
) -> None:
    monkeypatch.setattr(norms, "LOOPED", OURS)
    counts = []
    for segments in (3, 30):
        sizes = (*[2] * (segments - 1), 2 + uneven)
        module, x = layer(sizes), images(sizes).requires_grad_()
        module(x)  # the grouping of new sizes takes calls of its own
        with Calls() as calls:
            module(x).sum().backward()
        views = ("detach", "select", "unbind")  # per parameter, without a kernel
        counts.append(sum(name not in views for name in calls.names))
    assert counts[0] == counts[1]


def test_a_whole_network_takes_the_same_step_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two flows of one domain, another domain with fewer images, widths and weights shared."""
    space = tiny.space()
    paths = list(itertools.islice(tiny.all_paths(space), 3))
    found = []
    for looped in (OURS, LOOP):
        monkeypatch.setattr(norms, "LOOPED", looped)
        net = MultiPathNet.supernet(
            space, tiny.tasks({"a": 3, "b": 4}), "per_domain", seed=0, collapse=True
        )
        first, second = tiny.images(6), tiny.images(4, seed=1)
        flows = [Flow("a", first, p) for p in paths] + [Flow("b", second, paths[0])]
        logits = net(flows)
        torch.stack([x.square().sum() for x in logits]).sum().backward()
        gradients = {n: p.grad for n, p in net.named_parameters()}
        found.append({**{str(i): x.detach() for i, x in enumerate(logits)}, **gradients})
    require_same(*found, tolerance=1e-4)
