"""Chains that the kernels cannot compute are refused in one sentence."""

from typing import Any

import pytest
from torch import nn

from mpnas_kit.errors import MpnasError
from mpnas_kit.kernels.chain import Chain, Gate, Unit, Weights


def weights(out: int = 4, into: int = 4, kernel: int = 1, bias: bool = False) -> Weights:
    return Weights(nn.Conv2d(into, out, kernel, bias=bias), out, into, kernel)


def unit(depthwise: bool = False, **more: Any) -> Unit:
    parts = {"weights": weights(), "norm": nn.BatchNorm2d(4), **more}
    return Unit(**parts, depthwise=depthwise)


def gate(width: int = 4, inside: int = 2, bias: bool = True, kernel: int = 1) -> Gate:
    return Gate(weights(inside, width, 1, bias), weights(width, inside, kernel, bias))


def test_chains_of_all_forms_are_accepted() -> None:
    first = unit(weights=weights(kernel=5), stride=2, activation="relu6", gate=gate())
    Chain([first, unit(depthwise=True, weights=weights(into=4, kernel=3), stride=2), unit()])
    Chain([unit()], residual=True)


@pytest.mark.parametrize(
    ("units", "residual", "message"),
    [
        ([], False, "0 units: expected 1 to 3"),
        ([unit()] * 4, False, "4 units: expected 1 to 3"),
        ([unit(activation="gelu")], False, "unit 1 of a chain has activation 'gelu'"),
        ([unit(stride=0)], False, "stride 0"),
        ([unit(weights=weights(kernel=2))], False, "and an odd kernel"),
        ([unit(), unit(weights=weights(kernel=3))], False, "unit 2 .* expected kernel 1"),
        ([unit(), unit(stride=2)], False, "expected kernel 1 and stride 1"),
        ([unit(True, weights=weights(out=8))], False, "as many input as output channels"),
        ([unit(weights=weights(bias=True))], False, "without bias"),
        ([unit(gate=gate())], False, "expected no gate"),
        ([unit(gate=gate(width=6)), unit()], False, "for 4 channels"),
        ([unit(gate=gate(kernel=3)), unit()], False, "1x1"),
        ([unit(gate=gate(bias=False)), unit()], False, "expected a bias"),
        ([unit(), unit(weights=weights(into=6))], False, "takes 6 channels, .* returns 4"),
        ([unit(weights=weights(out=6))], True, "equal widths"),
        ([unit(stride=2)], True, "strides of 1"),
    ],
)
def test_what_the_kernels_cannot_compute_is_named(
    units: list[Unit], residual: bool, message: str
) -> None:
    with pytest.raises(MpnasError, match=message):
        Chain(units, residual)
