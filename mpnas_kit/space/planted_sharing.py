"""The space of the planted domains that should share or not (ours).

Every layer has three candidates that differ in nothing but their names. So domains meet in a layer
or have a node alone there, at the same cost. A node has one hidden channel: it can compare pixels
along rows or along columns, but not both (see `domains.planted_sharing`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from torch import Tensor, nn

from mpnas_kit.domains.planted_sharing import BITS, OPPONENT, PARTNERS
from mpnas_kit.errors import MpnasError
from mpnas_kit.settings import check
from mpnas_kit.space.blocks import NormFactory
from mpnas_kit.space.planted import REACH, OnQuarter, space_of_quarters
from mpnas_kit.space.space import LayerwiseSpace, Path
from mpnas_kit.values import Range

Twin = Literal["first", "second", "third"]
TWINS: tuple[Twin, ...] = ("first", "second", "third")


def planted_sharing_space() -> LayerwiseSpace:
    """Return the space for the suite `planted_sharing_suite`: images of 16x16 pixels (ours).

    It has two searched layers, one per upper quarter of the image. Each has three equal blocks,
    `first`, `second` and `third`. So any two domains may share a node, and each may have one alone.

    >>> mk.planted_sharing_space()
    LayerwiseSpace('planted_sharing', 3 layers, choices [3, 3])
    """
    candidates = [[TwinBlock(twin, quarter) for twin in TWINS] for quarter in range(BITS)]
    return space_of_quarters("planted_sharing", candidates)


def planted_meetings(paths: Mapping[str, Path]) -> tuple[bool, ...]:
    """Return for every searched layer whether the paths meet as planted (ours).

    That is: `rows0` and `rows1` have one node, and `columns` another one. In random paths, this
    happens in a layer with probability 2/9.

    paths: path of every domain of `planted_sharing_suite`, through `planted_sharing_space`.

    Raises `MpnasError` if the path of a domain is missing.

    >>> space = mk.planted_sharing_space()
    >>> rows, columns = space.parse("first second"), space.parse("third second")
    >>> mk.planted_meetings({"rows0": rows, "rows1": rows, "columns": columns})
    (True, False)
    """
    missing = [name for name in (*PARTNERS, OPPONENT) if name not in paths]
    if missing:
        raise MpnasError(
            f"planted_meetings needs a path of domain {missing[0]!r}: expected the paths of "
            f"{', '.join(PARTNERS)} and {OPPONENT}."
        )
    one, other, third = (paths[name].choices for name in (*PARTNERS, OPPONENT))
    return tuple(a == b != c for a, b, c in zip(one, other, third, strict=True))


@dataclass(frozen=True)
class TwinBlock:
    """A residual block with one hidden channel and a 7x7 kernel, within one quarter.

    twin: `first`, `second` or `third`: its name, and nothing else.
    quarter: number of the quarter, 0 or 1: upper left or upper right.

    Raises `MpnasError` for a value of a wrong type or out of its range.
    """

    twin: Twin
    quarter: Annotated[int, Range(0, BITS - 1)]

    def __post_init__(self) -> None:
        check(self)

    @property
    def name(self) -> str:
        """Name: `first`, `second` or `third`."""
        return self.twin

    def build(
        self, in_channels: int, out_channels: int, stride: int, norm: NormFactory
    ) -> nn.Module:
        """Return a new module: (B, C, 16, 16) -> the same shape. Only `in_channels` is used."""
        return _Twin(self.quarter, in_channels, 1, (REACH, REACH), norm)


class _Twin(OnQuarter):
    """Takes absolute values: with ReLU, the only hidden channel could be 0 everywhere for ever."""

    def activated(self, x: Tensor) -> Tensor:
        return x.abs()
