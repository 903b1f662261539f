"""A node with images of several domains, computed by torch and by the native kernels."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mpnas_kit.kernels.chain import ACTIVATIONS, Chain, Gate, Unit
from mpnas_kit.kernels.function import Job, Norms, Recipe, run_chains
from mpnas_kit.kernels.library import find_library, missing_reason
from mpnas_kit.kernels.threads import use_kernel_threads
from mpnas_kit.network.norms import DomainNorm, Segments
from mpnas_kit.space.elastic import ElasticConv, Padding, conv, depthwise

LIBRARY = find_library()
needs_native = pytest.mark.skipif(
    LIBRARY is None, reason=f"needs the native kernels: {missing_reason()}"
)
FUNCTIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda z: z,
    "relu": F.relu,
    "relu6": F.relu6,
    "hardswish": F.hardswish,
}
assert tuple(FUNCTIONS) == ACTIVATIONS


@dataclass(frozen=True)
class Link:
    """A unit of `OwnChain`. squeeze: width inside its gate; 0: it has none."""

    depthwise: bool = False
    kernel: int = 1
    stride: int = 1
    out: int = 8
    activation: str = "identity"
    squeeze: int = 0
    padding: Padding = "symmetric"


class OwnChain(nn.Module):
    """Any chain of units that the kernels can compute."""

    def __init__(
        self, links: Sequence[Link], channels: int, residual: bool, norm: Callable[[int], nn.Module]
    ) -> None:
        super().__init__()
        self.links, self.residual = links, residual
        self.convolutions, self.norms = nn.ModuleList(), nn.ModuleList()
        self.gates = nn.ModuleList()
        for link in links:
            out = channels if link.depthwise else link.out
            self.convolutions.append(
                depthwise(channels, link.kernel, link.stride, link.padding)
                if link.depthwise
                else conv(channels, out, link.kernel, link.stride, padding=link.padding)
            )
            channels = out
            self.norms.append(norm(out))
            gate = [conv(out, link.squeeze, bias=True), conv(link.squeeze, out, bias=True)]
            self.gates.append(nn.ModuleList(gate if link.squeeze else []))

    def forward(self, x: Tensor, out_channels: int | None = None) -> Tensor:
        y = x
        parts = zip(self.links, self.convolutions, self.norms, self.gates, strict=True)
        for link, convolution, norm, gate in parts:
            y = FUNCTIONS[link.activation](norm(convolution(y)))
            if link.squeeze:
                inside = F.relu(gate[0](y.mean((2, 3), keepdim=True)))
                y = y * F.hardsigmoid(gate[1](inside))
        return x + y if self.residual else y

    def chain(self, in_channels: int, out_channels: int) -> Chain:
        units, channels = [], in_channels
        parts = zip(self.links, self.convolutions, self.norms, self.gates, strict=True)
        for link, convolution, norm, gate in parts:
            out = channels if link.depthwise else link.out
            found = (
                Gate(gate[0].part(out, link.squeeze), gate[1].part(link.squeeze, out))
                if link.squeeze
                else None
            )
            units.append(
                Unit(
                    convolution.part(channels, out),
                    norm,
                    link.stride,
                    convolution.same,
                    link.depthwise,
                    link.activation,
                    found,
                )
            )
            channels = out
        return Chain(units, self.residual)


@dataclass
class Values:
    """What a node computes: outputs by domain, and gradients by name."""

    outputs: dict[str, Tensor]
    gradients: dict[str, Tensor] = field(default_factory=dict)
    nearest_kink: float = float("inf")

    def all(self) -> dict[str, Tensor]:
        return {**{f"y of {d}": y for d, y in self.outputs.items()}, **self.gradients}


class Node:
    """A module of a block, and images of several domains.

    build: norm -> module. widths: of input and output. counts: images of every domain.
    size: height and width of the input. norm: as a network has it. fixed: whether statistics are
    fixed. wants: which of the inputs need a gradient.
    """

    def __init__(
        self,
        build: Callable[[Callable[[int], nn.Module]], nn.Module],
        widths: tuple[int, int],
        counts: Mapping[str, int],
        size: tuple[int, int] = (5, 5),
        norm: str = "per_domain",
        fixed: bool = False,
        wants: Sequence[bool] = (True,),
        seed: int = 0,
    ) -> None:
        self.widths, self.counts, self.fixed = widths, dict(counts), fixed
        self.generator = torch.Generator().manual_seed(seed)
        self.norm, self.seed = norm, seed
        factory = partial(
            DomainNorm, domains=list(counts), norm=norm, segments=Segments(), tracked=fixed
        )
        self.module = build(factory).train(not fixed)
        for name, tensor in self.module.state_dict(keep_vars=True).items():
            spread = self.random(*tensor.shape) * 0.5
            positive = "var_" in name or ("weight.of" in name or "weight.shared" in name)
            with torch.no_grad():
                tensor.copy_(spread.abs() + 0.5 if positive else spread)
            if tensor.ndim == 4:
                tensor.data = tensor.data.contiguous(memory_format=torch.channels_last)
        self.maps = {d: self.random(n, widths[0], *size) for d, n in counts.items()}
        self.wants = dict(zip(counts, (wants * len(counts))[: len(counts)], strict=True))

    def random(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.generator)

    def eager(
        self, dtype: torch.dtype = torch.float32, change: float = 0.0, seed: int = 0
    ) -> Values:
        """By the operations of torch.

        change: largest relative change, at random, of all images, weights, statistics, and
        gradients of outputs.
        """
        module = copy.deepcopy(self.module)
        maps = self.clones()
        noise = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for t in (*module.state_dict().values(), *maps.values()):
                t *= 1 + change * (2 * torch.rand(t.shape, generator=noise) - 1)
        module.to(dtype)
        (segments,) = {m._segments for m in module.modules() if isinstance(m, DomainNorm)}
        nearest = [float("inf")]

        def watch(_module: nn.Module, _inputs: Any, y: Tensor) -> None:
            near = [(y.detach() - kink).abs().min().item() for kink in (-3.0, 0.0, 3.0, 6.0)]
            nearest[0] = min(nearest[0], *near)

        for part in module.modules():
            if isinstance(part, ElasticConv | DomainNorm):
                part.register_forward_hook(watch)
        maps = {d: x.to(dtype).requires_grad_(self.wants[d]) for d, x in maps.items()}
        groups = [list(maps)] if self.norm == "mixed" else [[d] for d in maps]
        outputs: dict[str, Tensor] = {}
        with torch.set_grad_enabled(not self.fixed):
            for group in groups:
                segments.current = [(d, len(maps[d])) for d in group]
                x = torch.cat([maps[d] for d in group])
                x = x.contiguous(memory_format=torch.channels_last)
                y = module(x, self.widths[1])
                parts = y.split([len(maps[d]) for d in group])
                outputs.update(zip(group, parts, strict=True))
        values = self.values(module, maps, outputs, change)
        values.nearest_kink = nearest[0]
        return values

    def native(self, threads: int = 1, order: Sequence[str] | None = None) -> Values:
        """By the native kernels. order: domains of the call, in order; None: all."""
        assert LIBRARY is not None
        module = copy.deepcopy(self.module)
        maps = {d: x.requires_grad_(self.wants[d]) for d, x in self.clones().items()}
        maps = {d: maps[d] for d in order or maps}
        recipe = Recipe(module.chain(*self.widths))
        units = recipe.chain.units
        widths = [unit.weights.out_channels for unit in units]
        groups = [list(maps)] if self.norm == "mixed" else [[d] for d in maps]
        with torch.set_grad_enabled(not self.fixed):
            jobs = [
                Job(
                    recipe,
                    torch.cat([maps[d] for d in group]) if len(group) > 1 else maps[group[0]],
                    (norms := Norms([u.norm.native(group[0]) for u in units], widths)),
                    norms.words() or [],
                )
                for group in groups
            ]
            with use_kernel_threads(threads):
                ys = run_chains(LIBRARY, jobs)
        outputs: dict[str, Tensor] = {}
        for y, group in zip(ys, groups, strict=True):
            outputs.update(zip(group, y.split([len(maps[d]) for d in group]), strict=True))
        return self.values(module, maps, outputs)

    def clones(self) -> dict[str, Tensor]:
        return {d: x.clone(memory_format=torch.channels_last) for d, x in self.maps.items()}

    def values(
        self,
        module: nn.Module,
        maps: Mapping[str, Tensor],
        outputs: Mapping[str, Tensor],
        change: float = 0.0,
    ) -> Values:
        """Outputs, and the gradients of a sum of them with random weights.

        change: relative change of these weights.
        """
        found = Values({d: y.detach() for d, y in outputs.items()})
        if self.fixed:
            return found
        loss = torch.zeros((), dtype=torch.float64)
        for number, y in enumerate(outputs[d] for d in self.counts if d in outputs):
            generator = torch.Generator().manual_seed(self.seed + number)
            weight = torch.randn(y.shape, generator=generator)
            weight *= 1 + change * (2 * torch.rand(y.shape, generator=self.generator) - 1)
            loss = loss + (y * weight.to(y.dtype)).sum()
        loss.backward()
        named = {f"x of {d}": x.grad for d, x in maps.items()}
        named |= {name: p.grad for name, p in module.named_parameters()}
        found.gradients = {name: g for name, g in named.items() if g is not None}
        return found


def require_as_close(node: Node) -> None:
    """Fail unless native values are as close to those of float64 as those of eager are.

    The bound is eight times the largest error of eager, for these inputs and for four others that
    differ from them by the rounding of a float. A single error of eager may be small by luck, above
    all if a gradient is 0 in theory.
    """
    exact, native = node.eager(torch.float64), node.native()
    eager = [node.eager(), *(node.eager(change=2**-24, seed=seed) for seed in range(4))]
    assert native.all().keys() == exact.all().keys()
    for name, value in exact.all().items():
        *errors, error = (
            (v.all()[name].double() - value).abs().max().item() for v in (*eager, native)
        )
        assert error <= 8 * max(*errors, 2**-24 * value.abs().max().item()), (name, error, errors)
