"""What the native kernels compute in one piece: a chain of convolutions, and how a module says so.

A module that is a chain has a method `chain`. It returns the same computation as `forward`, as
data: the convolutions in order, each with its batch norm, activation and gate. Modules without that
method, or whose `chain` returns None, run as they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from torch import nn

ChainActivation = Literal["identity", "relu", "relu6", "hardswish"]
ACTIVATIONS: tuple[ChainActivation, ...] = ("identity", "relu", "relu6", "hardswish")
MOST_UNITS = 3  # as in `source/chain.h`


@dataclass(frozen=True)
class Weights:
    """The part of a convolution's weights that a chain uses, and its bias.

    owner: module with the parameter `weight`, float32 (out, in / groups, k, k), and perhaps `bias`,
    float32 (out,). The first channels are used. It may get other parameters later.
    out_channels, in_channels: width of the output and of the input.
    kernel: height and width of the kernel, odd: the centre of that of `weight`.
    """

    owner: nn.Module
    out_channels: int
    in_channels: int
    kernel: int

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters: `weight`, and `bias` if there is one."""
        return ("weight",) if getattr(self.owner, "bias", None) is None else ("weight", "bias")


@dataclass(frozen=True)
class Gate:
    """Squeeze-and-excite in the form of MobileNetV3: ReLU inside, hard sigmoid at the end.

    reduce: 1x1 convolution to the squeeze width, with bias.
    expand: 1x1 convolution back, with bias.
    """

    reduce: Weights
    expand: Weights


@dataclass(frozen=True)
class Unit:
    """A convolution, its batch norm, its activation, and its gate.

    weights: weights of the convolution, without bias. The padding is kernel // 2.
    norm: the batch norm.
    stride: at least 1.
    depthwise: whether the convolution is depthwise. Else it is dense.
    activation: the activation.
    gate: squeeze-and-excite after the activation; None: there is none.
    """

    weights: Weights
    norm: nn.Module
    stride: int = 1
    depthwise: bool = False
    activation: ChainActivation = "identity"
    gate: Gate | None = None


@dataclass(frozen=True)
class Chain:
    """Units, one after another, and whether the input is added to the output.

    units: at least one. Only the first may have a dense kernel larger than 1x1, or a dense stride.
    The last has no gate.
    residual: whether the input is added to the output of the last unit.

    Raises `ValueError` if the kernels cannot compute it.
    """

    units: Sequence[Unit]
    residual: bool = False

    def __post_init__(self) -> None:
        inner = [u for u in self.units[1:] if not u.depthwise]
        if (
            not 1 <= len(self.units) <= MOST_UNITS
            or any(u.weights.kernel > 1 or u.stride > 1 for u in inner)
            or self.units[-1].gate is not None
        ):
            raise ValueError("no chain of the native kernels")


@runtime_checkable
class Chained(Protocol):
    """A module that the native kernels can compute."""

    def chain(self, in_channels: int, out_channels: int) -> Chain | None:
        """Return what `forward` computes for these widths, or None if it is no chain."""
        ...
