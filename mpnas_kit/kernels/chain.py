"""What the native kernels compute in one piece: a chain of convolutions, and how a module says so.

A module that is a chain has a method `chain`. It returns the same computation as `forward`, as
data: the convolutions in order, each with its batch norm, activation and gate. Modules without that
method, or whose `chain` returns None, run as they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from torch import Tensor, nn

from mpnas_kit.errors import MpnasError

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

    def fits(self, parameters: Sequence[Tensor], depthwise: bool) -> bool:
        """Return whether parameters of these `names` are large enough. depthwise: of a `Unit`."""
        weight, *biases = parameters
        if weight.ndim != 4 or any(len(bias) < self.out_channels for bias in biases):
            return False
        out, into, rows, columns = weight.shape
        return (
            out >= self.out_channels
            and into >= (1 if depthwise else self.in_channels)
            and rows == columns >= self.kernel
            and rows % 2 == 1
        )


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

    weights: weights of the convolution, without bias.
    norm: the batch norm.
    stride: of the convolution, at least 1.
    same: whether the padding is that of TensorFlow's SAME. Else it is kernel // 2.
    depthwise: whether the convolution is depthwise. Else it is dense.
    activation: the activation.
    gate: squeeze-and-excite after the activation; None: there is none.
    """

    weights: Weights
    norm: nn.Module
    stride: int = 1
    same: bool = False
    depthwise: bool = False
    activation: ChainActivation = "identity"
    gate: Gate | None = None

    def mistake(self, is_first: bool, is_last: bool) -> str | None:
        """Return in words what is wrong with the unit at this place of a chain, or None."""
        weights, gate = self.weights, self.gate
        if self.activation not in ACTIVATIONS:
            return f"has activation {self.activation!r}: expected one of {ACTIVATIONS}"
        if self.stride < 1 or weights.kernel < 1 or weights.kernel % 2 == 0:
            return (
                f"has stride {self.stride} and kernel {weights.kernel}: expected a stride of at "
                "least 1 and an odd kernel"
            )
        if not self.depthwise and not is_first and (weights.kernel > 1 or self.stride > 1):
            return "is dense and not the first: expected kernel 1 and stride 1"
        if self.depthwise and weights.in_channels != weights.out_channels:
            return "is depthwise: expected as many input as output channels"
        if "bias" in weights.names:
            return "has a bias: expected a convolution without bias"
        if gate is None:
            return None
        if is_last:
            return "is the last: expected no gate"
        inside, outside = gate.reduce.out_channels, weights.out_channels
        widths = gate.reduce.in_channels, gate.expand.in_channels, gate.expand.out_channels
        if widths != (outside, inside, outside) or gate.reduce.kernel * gate.expand.kernel != 1:
            return (
                f"has a gate for other channels: expected 1x1 convolutions for {outside} channels"
            )
        if not all("bias" in part.names for part in (gate.reduce, gate.expand)):
            return "has a gate without bias: expected a bias in both convolutions"
        return None


@dataclass(frozen=True)
class Chain:
    """Units, one after another, and whether the input is added to the output.

    units: 1 to 3. Only the first may have a dense kernel larger than 1x1, or a dense stride. The
    last has no gate. Each takes the channels that the one before returns.
    residual: whether the input is added to the output of the last unit.

    Raises `MpnasError` if the kernels cannot compute it.
    """

    units: Sequence[Unit]
    residual: bool = False

    def __post_init__(self) -> None:
        units = self.units
        if not 1 <= len(units) <= MOST_UNITS:
            raise MpnasError(f"a chain has {len(units)} units: expected 1 to {MOST_UNITS}.")
        for number, unit in enumerate(units, start=1):
            wrong = unit.mistake(number == 1, number == len(units))
            if wrong is None and number > 1:
                given, taken = units[number - 2].weights.out_channels, unit.weights.in_channels
                if given != taken:
                    wrong = f"takes {taken} channels, but the unit before returns {given}"
            if wrong is not None:
                raise MpnasError(f"unit {number} of a chain {wrong}.")
        widths = units[0].weights.in_channels, units[-1].weights.out_channels
        if self.residual and (widths[0] != widths[1] or any(u.stride > 1 for u in units)):
            raise MpnasError(
                f"a chain with a residual has widths {widths[0]} and {widths[1]}, and strides "
                f"{[u.stride for u in units]}: expected equal widths, and strides of 1."
            )


@runtime_checkable
class Chained(Protocol):
    """A module that the native kernels can compute."""

    def chain(self, in_channels: int, out_channels: int) -> Chain | None:
        """Return what `forward` computes for these widths, or None if it is no chain."""
        ...


def require_widths(chain: Chain | None, in_channels: int, out_channels: int) -> None:
    """Raise `MpnasError` if a chain has other widths than these."""
    if chain is None:
        return
    widths = chain.units[0].weights.in_channels, chain.units[-1].weights.out_channels
    if widths != (in_channels, out_channels):
        raise MpnasError(
            f"a chain takes {widths[0]} channels and returns {widths[1]}: expected {in_channels} "
            f"and {out_channels}."
        )
