"""What a block is: a candidate of a layer.

A block is a description. Its method `build` returns a module, a plain `nn.Module` on (B, C, H, W).

If widths are searched, a module has weights for the largest width and computes with a slice of
them. It takes the input width from its input, and the output width is its second argument.

A block of your own is a frozen dataclass with a `name` and a `build`; see `docs/extend.md`.
"""

from collections.abc import Callable
from typing import Annotated, Any, NamedTuple, Protocol, runtime_checkable

from torch import Tensor, nn

from mpnas_kit.errors import MpnasError, RaisedBy, short
from mpnas_kit.parts import lacks_attributes
from mpnas_kit.values import Range

NormFactory = Callable[[int], nn.Module]
"""Function: number of channels C -> new batch normalisation of (B, C, H, W)."""

Width = Annotated[int, Range(1, 100_000)]  # of a feature map, in channels


class Cost(NamedTuple):
    """Cost of a block, a path or a union.

    multiply_adds: multiply-adds of one image, those of convolutions and linear layers only.
    parameters: number of parameters without those of batch norm.
    norm_parameters: number of parameters of batch norm.

    >>> mk.Cost(200, 10) + mk.Cost(50, 5, 2)
    Cost(multiply_adds=250, parameters=15, norm_parameters=2)
    """

    multiply_adds: int = 0
    parameters: int = 0
    norm_parameters: int = 0

    def __add__(self, other: tuple[int, ...]) -> "Cost":  # type: ignore[override]
        return Cost(*(a + b for a, b in zip(self, other, strict=True)))


@runtime_checkable
class Block(Protocol):
    """A candidate of a layer: a description that builds a module.

    A frozen dataclass with these two members is a block. Its costs are counted from its module,
    unless it is `Costed`.

    name: unique within a layer, without blanks, such as `k5e3` or `k3e6se`.
    """

    @property
    def name(self) -> str:
        """Name of the block in arch strings."""
        ...

    def build(
        self, in_channels: int, out_channels: int, stride: int, norm: NormFactory
    ) -> nn.Module:
        """Return a new module: (B, in, H, W) -> (B, out, ceil(H / stride), ceil(W / stride)).

        in_channels: width of the input, at least 1.
        out_channels: width of the output, at least 1.
        stride: at least 1.
        norm: returns every batch normalisation of the module. With it the network decides which
        domains share statistics.
        """
        ...


class Costed(Protocol):
    """A block that computes its cost. Counting a module takes milliseconds, computing microseconds.

    A subclass that overrides `build` but not `cost` is counted from its module.
    """

    def cost(self, in_channels: int, out_channels: int, stride: int, size: int) -> Cost:
        """Return the cost of the module that `build` returns, with the batch norm of one domain.

        in_channels, out_channels, stride: as for `build`.
        size: height and width of the input map, pixels.
        """
        ...


@runtime_checkable
class Collapsible(Protocol):
    """A block that can share weights with other candidates of its layer in a supernet.

    TuNAS calls this operation collapsing (Bender et al. 2020, arXiv 2008.06120).
    """

    def hull(self, other: Block) -> Block | None:
        """Return the smallest block that can lend weights to this block and to `other`.

        A weight that only one block has may stay with that one. Return None if the two blocks share
        no weights. Otherwise the module of each of the three blocks must
        be a `Borrower`.
        """
        ...


@runtime_checkable
class Borrower(Protocol):
    """A module that can use the weights of a larger module of its kind instead of its own."""

    def borrow(self, lender: nn.Module) -> None:
        """Use the weights of `lender` from now on, and delete the own weights."""
        ...


@runtime_checkable
class PointwiseBorrower(Protocol):
    """A module that can use the 1x1 convolutions of another one instead of its own."""

    def borrow_pointwise(self, lender: nn.Module) -> None:
        """Use those of `lender` from now on, and delete the own ones."""
        ...


def lend(lender: nn.Module | None, borrower: nn.Module | None) -> None:
    """Let `borrower` use the weights of `lender`. Do nothing if `borrower` is None.

    Raises `MpnasError` if there is no `lender`, or `borrower` cannot borrow.
    """
    if borrower is not None:
        name = type(borrower).__name__
        if lender is None:
            raise MpnasError(
                f"the hull of a module {name} has no part that could lend it weights: expected a "
                "`hull` with all weights of its blocks, or a `hull` that returns None."
            )
        if not isinstance(borrower, Borrower):
            raise MpnasError(
                f"a module {name} has no method `borrow`, but its block has a hull: expected that "
                "method, or a `hull` that returns None."
            )
        borrower.borrow(lender)


def lacks_block(value: Any) -> str | None:
    """Return in words what `value` lacks to be a block, or None."""
    return lacks_attributes(value, "name", "build(in_channels, out_channels, stride, norm)")


def build_block(
    block: Block, in_channels: int, out_channels: int, stride: int, norm: NormFactory
) -> nn.Module:
    """Return a new module of a block (see `Block.build`).

    Raises `MpnasError` if the block returns something else. An error of the block's own code gets a
    note that names the block.
    """
    with RaisedBy(lambda: f"build of block {block.name!r}"):
        module = block.build(in_channels, out_channels, stride, norm)
    if not isinstance(module, nn.Module):
        raise MpnasError(
            f"build of block {block.name!r} returns {short(module)}: expected a new torch module."
        )
    return module


def require_map(block: Block, output: Any, images: int, channels: int) -> None:
    """Raise `MpnasError` unless `output` is a feature map of a block: (images, channels, H, W)."""
    is_map = isinstance(output, Tensor) and output.ndim == 4 and output.is_floating_point()
    if not is_map or tuple(output.shape[:2]) != (images, channels):
        found = (
            f"{output.dtype} of shape {tuple(output.shape)}"
            if isinstance(output, Tensor)
            else short(output)
        )
        raise MpnasError(
            f"the module of block {block.name!r} returns {found}: expected a feature map of shape "
            f"({images}, {channels}, height, width)."
        )


def require_hashable(block: Block, what: str) -> None:
    """Raise `MpnasError` unless a block can be hashed. what: what is counted of it."""
    try:
        hash(block)
    except TypeError:
        raise MpnasError(
            f"block {block.name!r} cannot be hashed, so its {what} cannot be counted: "
            "expected a frozen dataclass with numbers and texts."
        ) from None
