"""The native kernels compute what torch computes: outputs and gradients of every kind of block."""

from collections.abc import Callable
from typing import Any, get_args

import pytest
import torch
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from native_nodes import FUNCTIONS, Link, Node, OwnChain, needs_native, require_as_close
from torch import Tensor, nn

from mpnas_kit.space.blocks import Conv, InvertedBottleneck, SeparableConv
from mpnas_kit.space.elastic import Padding

pytestmark = needs_native
quickly = settings(
    deadline=None,
    derandomize=True,
    max_examples=30,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
Build = Callable[[Callable[[int], nn.Module]], nn.Module]
KERNELS, STRIDES = st.sampled_from([1, 3, 5, 7, 9]), st.sampled_from([1, 1, 2, 3])
WIDTHS = st.integers(1, 40)
ACTIVATIONS = st.sampled_from(["relu", "relu6", "hardswish", "identity"])
SIZES = st.tuples(st.integers(1, 13), st.integers(1, 17))
COUNTS = st.lists(st.integers(1, 9), min_size=1, max_size=3).map(
    lambda counts: dict(zip("abc", counts, strict=False))
)
NORMS = st.sampled_from(["per_domain", "per_domain", "mixed", "naive"])
PADDINGS = st.sampled_from(get_args(Padding))
BOTTLENECKS = st.builds(
    InvertedBottleneck,
    kernel=KERNELS,
    expansion=st.integers(1, 3),
    se=st.booleans(),
    activation=ACTIVATIONS,
    hidden=st.none() | WIDTHS,
    padding=PADDINGS,
)
BLOCKS = st.one_of(
    BOTTLENECKS,
    BOTTLENECKS,
    st.builds(SeparableConv, kernel=KERNELS, activation=ACTIVATIONS),
    st.builds(Conv, kernel=st.sampled_from([1, 3, 5]), activation=ACTIVATIONS, padding=PADDINGS),
)


@st.composite
def plain(draw: Any) -> tuple[Build, tuple[int, int]]:
    """A block with weights of its own."""
    block, stride, into = draw(BLOCKS), draw(STRIDES), draw(WIDTHS)
    out = draw(st.just(into) | WIDTHS)
    return lambda norm: block.build(into, out, stride, norm), (into, out)


@st.composite
def borrowed(draw: Any) -> tuple[Build, tuple[int, int]]:
    """A block that uses the weights of a larger one."""
    kernel, expansion = draw(KERNELS), draw(st.integers(2, 3))
    small = InvertedBottleneck(kernel, expansion, draw(st.booleans()))
    large = InvertedBottleneck(kernel + draw(st.sampled_from([0, 2])), expansion + 1)
    stride, into, out = draw(STRIDES), draw(st.integers(1, 12)), draw(WIDTHS)

    def build(norm: Callable[[int], nn.Module]) -> nn.Module:
        module = small.build(into, out, stride, norm)
        module.lender = large.build(into, out, stride, norm)
        module.borrow(module.lender)
        return module

    return build, (into, out)


@st.composite
def elastic(draw: Any) -> tuple[Build, tuple[int, int]]:
    """A block at less than its full widths."""
    block = draw(BLOCKS.filter(lambda b: getattr(b, "hidden", None) is None))
    stride, into, out = draw(STRIDES), draw(WIDTHS), draw(WIDTHS)
    wide = into + draw(st.integers(0, 9)), out + draw(st.integers(0, 9))
    return lambda norm: block.build(*wide, stride, norm), (into, out)


@st.composite
def own(draw: Any) -> tuple[Build, tuple[int, int]]:
    """Any chain."""
    count, into = draw(st.integers(1, 3)), draw(WIDTHS)
    links, channels = [], into
    for index in range(count):
        is_depthwise = draw(st.booleans())
        free = is_depthwise or index == 0
        link = Link(
            is_depthwise,
            draw(KERNELS) if free else 1,
            draw(STRIDES) if free else 1,
            channels if is_depthwise else draw(st.just(into) | WIDTHS),
            draw(st.sampled_from(list(FUNCTIONS))),
            draw(st.just(0) | st.integers(1, 20)) if index + 1 < count else 0,
            draw(PADDINGS),
        )
        links.append(link)
        channels = link.out
    same = channels == into and all(link.stride == 1 for link in links)
    residual = same and draw(st.booleans())
    return lambda norm: OwnChain(links, into, residual, norm), (into, channels)


def node_of(kind: tuple[Build, tuple[int, int]], **more: Any) -> Node:
    build, widths = kind
    return Node(build, widths, **more)


def is_clear(node: Node) -> bool:
    """Whether torch normalises these images, and no value is at a kink of its activation.

    At a kink, rounding decides the gradient.
    """
    try:
        return node.eager(torch.float64).nearest_kink > 1e-5
    except ValueError:  # torch refuses a batch norm of one pixel
        return False


@pytest.mark.parametrize("kind", [plain(), borrowed(), elastic(), own()], ids=str)
def test_values_and_gradients_are_as_close_to_float64_as_those_of_eager(kind: Any) -> None:
    @quickly
    @given(
        kind,
        COUNTS,
        SIZES,
        NORMS,
        st.lists(st.booleans(), min_size=1, max_size=3),
        st.integers(0, 99),
    )
    def check(kind: Any, counts: Any, size: Any, norm: str, wants: list[bool], seed: int) -> None:
        node = node_of(kind, counts=counts, size=size, norm=norm, wants=wants, seed=seed)
        assume(is_clear(node))
        require_as_close(node)

    check()


@quickly
@given(plain() | own(), COUNTS, SIZES, NORMS)
def test_fixed_statistics(kind: Any, counts: Any, size: Any, norm: str) -> None:
    require_as_close(node_of(kind, counts=counts, size=size, norm=norm, fixed=True))


def dense(norm: Callable[[int], nn.Module]) -> nn.Module:
    return OwnChain([Link(out=1)], 1, False, norm)


def test_an_example_by_hand() -> None:
    """Weight 2 makes 1 and 3 to 2 and 6, whose mean is 4 and whose variance is 4."""
    node = Node(dense, (1, 1), {"a": 1}, (1, 2))
    node.maps["a"] = torch.tensor([1.0, 3.0]).reshape(1, 1, 1, 2)
    convolution, norm = node.module.convolutions[0], node.module.norms[0]
    with torch.no_grad():
        convolution.weight.fill_(2)
        norm.weight["of_a"].fill_(3)
        norm.bias["of_a"].fill_(1)
    found = node.native()
    far = 3 * 2 / (4 + 1e-5) ** 0.5
    torch.testing.assert_close(found.outputs["a"].flatten(), torch.tensor([1 - far, 1 + far]))
    torch.testing.assert_close(
        found.gradients["x of a"], torch.zeros(1, 1, 1, 2), atol=1e-5, rtol=0
    )


def test_a_single_pixel_has_variance_0_and_becomes_the_shift() -> None:
    """The operations of torch refuse it."""
    node = Node(dense, (1, 1), {"a": 1}, (1, 1))
    found = node.native()
    shift = node.module.norms[0].bias["of_a"].item()
    assert found.outputs["a"].item() == pytest.approx(shift, abs=1e-4)
    assert found.gradients["x of a"].item() == 0
    with pytest.raises(ValueError, match="more than 1 value"):
        node.eager()


# NaN and infinity ---------------------------------------------------------------------------------


def bottleneck(norm: Callable[[int], nn.Module]) -> nn.Module:
    return InvertedBottleneck(3, 2, True, "hardswish").build(6, 6, 1, norm)


def poisoned(where: str, value: float, fixed: bool) -> tuple[Node, Node]:
    """A node with one bad value, for domain `a` alone if possible, and the same node without it."""
    pair = [Node(bottleneck, (6, 6), {"a": 2, "b": 3}, (4, 5), fixed=fixed) for _ in range(2)]
    node, module = pair[0], pair[0].module
    places: dict[str, Tensor] = {
        "image": node.maps["a"],
        "expand": module.expand.weight,
        "depthwise": module.depthwise.weight,
        "project": module.project.weight,
        "gate": module.se.expand.weight,
        "gamma": module.expand_norm.weight["of_a"],
        "beta": module.depthwise_norm.bias["of_a"],
        "last gamma": module.project_norm.weight["of_a"],
    }
    if fixed:
        places["mean"] = module.expand_norm.get_buffer("mean_of_a")
        places["variance"] = module.project_norm.get_buffer("var_of_a")
    with torch.no_grad():
        places[where].flatten()[1] = value
        places[where].view(-1)[1] = value
    return node, pair[1]


PLACES = ["image", "expand", "depthwise", "project", "gate", "gamma", "beta", "last gamma"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize(
    ("where", "fixed"),
    [(w, f) for f in (False, True) for w in (*PLACES, *(["mean", "variance"] if f else []))],
)
def test_nan_and_infinity_go_where_they_go_in_eager(where: str, fixed: bool, value: float) -> None:
    node, clean = poisoned(where, value, fixed)
    eager, native = node.eager(), node.native()
    for domain, expected in eager.outputs.items():
        found = native.outputs[domain]
        assert torch.equal(found.isnan(), expected.isnan())
        assert torch.equal(found[found.isinf()], expected[expected.isinf()])
    for name, expected in eager.gradients.items():
        assert torch.equal(native.gradients[name].isnan(), expected.isnan()), name
    if where in ("image", "gamma", "beta", "last gamma", "mean", "variance"):
        of_b = {k: v for k, v in clean.native().all().items() if k.endswith("of b")}
        of_b |= {k: v for k, v in clean.native().gradients.items() if k.endswith("of_b")}
        assert_same_bits(of_b, {name: native.all()[name] for name in of_b})


# Bits ---------------------------------------------------------------------------------------------


def busy(**more: Any) -> Node:
    """A node with more blocks of images than stripes for some domains, and one block for others."""

    def build(norm: Callable[[int], nn.Module]) -> nn.Module:
        return InvertedBottleneck(5, 2, True).build(9, 9, 1, norm)

    counts = {"a": 1, "b": 11, "c": 3, "d": 2}
    return Node(build, (9, 9), counts, (23, 29), **more)


def assert_same_bits(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


@pytest.mark.parametrize("norm", ["per_domain", "mixed"])
@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_the_number_of_threads_changes_no_bit(threads: int, norm: str) -> None:
    node = busy(norm=norm)
    assert_same_bits(node.native().all(), node.native(threads).all())


@pytest.mark.parametrize("fixed", [False, True])
def test_other_domains_in_the_call_change_no_bit_of_the_outputs_of_a_domain(fixed: bool) -> None:
    node = busy(fixed=fixed)
    together = node.native(2).outputs
    assert_same_bits(together, node.native(2, order="dcba").outputs)
    for domain, y in together.items():
        assert torch.equal(node.native(2, order=domain).outputs[domain], y)
