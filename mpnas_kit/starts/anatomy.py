"""What the modules of a network are made of: convolutions with their norms, in order."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from torch import Tensor, nn

from mpnas_kit.kernels.chain import Chained, Unit, Weights
from mpnas_kit.network.net import MultiPathNet
from mpnas_kit.network.norms import DomainNorm
from mpnas_kit.space.elastic import ElasticConv
from mpnas_kit.space.layers import Node, Use


class Anatomy(NamedTuple):
    """The convolutions of a module, each with its norm, activation and gate.

    units: at least one. A convolution without norm has `nn.Identity` in its place.
    residual: whether the input is added to the output.
    """

    units: tuple[Unit, ...]
    residual: bool

    @property
    def kinds(self) -> tuple[tuple[bool, bool], ...]:
        """Whether each convolution is depthwise, and whether it has a norm."""
        return tuple((u.depthwise, isinstance(u.norm, DomainNorm)) for u in self.units)


@dataclass(frozen=True, eq=False)
class Part:
    """A module of a network, and how the network uses it.

    name: its name in the network.
    node, use: its node; that of a lender: the first node that borrows from it.
    users: domains that use it, in order.
    lends: whether it is a lender of a collapsed supernet.
    anatomy: what it is made of; None: that is not known.
    """

    name: str
    module: nn.Module
    node: Node
    use: Use
    users: tuple[str, ...]
    lends: bool
    anatomy: Anatomy | None

    def fits(self, other: "Part") -> bool:
        """Return whether weights of this part can go to another one.

        Both must have the same convolutions, of whatever widths and kernels. Modules that are not
        known must be of one block, with the same tensors.
        """
        if self.anatomy is not None and other.anatomy is not None:
            return self.anatomy.kinds == other.anatomy.kinds
        if self.anatomy is not None or other.anatomy is not None or self.lends or other.lends:
            return False
        return self.node.block == other.node.block and _shapes(self) == _shapes(other)

    def distance(self, other: "Part") -> tuple[float, ...]:
        """Return how far a part is from another one that it fits. The least one is the nearest.

        The order: only one is a lender, another block, another owner, other domains, another
        activation, only one has squeeze-and-excite, difference of the kernels, difference of the
        inner widths.
        """
        others = (
            self.lends != other.lends,
            self.node.block != other.node.block,
            self.node.owner != other.node.owner,
            not set(self.users) & set(other.users),
        )
        if self.anatomy is None or other.anatomy is None:
            return others
        pairs = list(zip(self.anatomy.units, other.anatomy.units, strict=True))
        return (
            *others,
            any(a.activation != b.activation for a, b in pairs),
            any((a.gate is None) != (b.gate is None) for a, b in pairs),
            sum(abs(a.weights.kernel - b.weights.kernel) for a, b in pairs),
            sum(abs(a.weights.out_channels - b.weights.out_channels) for a, b in pairs[:-1]),
        )


def _shapes(part: Part) -> dict[str, tuple[int, ...] | None]:
    """Return the shapes of a module's tensors by name. Those of norms depend on domains."""
    found: dict[str, tuple[int, ...] | None] = {
        name: tuple(tensor.shape) for name, tensor in own_tensors(part.module).items()
    }
    return found | {n: None for n, m in part.module.named_modules() if isinstance(m, DomainNorm)}


def own_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Return parameters and buffers of a module by name, without those of its `DomainNorm`s."""
    norms = [name for name, m in module.named_modules() if isinstance(m, DomainNorm)]
    inside = tuple(f"{name}." if name else "" for name in norms)
    tensors: dict[str, Tensor] = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    return {name: t for name, t in tensors.items() if not name.startswith(inside)}


def parts_of(net: MultiPathNet) -> Iterator[Part]:
    """Yield the modules of a network: first its lenders, then its nodes.

    Lenders of modules that are not known are left out. The anatomy of a lender has all channels and
    the whole kernels. What a lender lacks in it is that of a node that borrows from it.
    """
    names = {id(module): f"nodes.{name}" for name, module in net.nodes.items()}
    nodes = []
    for node, use in net.uses.items():
        module = net.module_of(node)
        made_of = anatomy_of(module, use.in_channels, use.out_channels)
        users = net.users[node]
        nodes.append(Part(names[id(module)], module, node, use, users, False, made_of))
    borrowers = {
        id(unit.weights.owner): part
        for part in reversed(nodes)
        for unit in (part.anatomy.units if part.anatomy is not None else ())
    }
    for name, lender in net.lenders.items():
        first = next(filter(None, (borrowers.get(id(m)) for m in lender.modules())), None)
        if first is not None:
            node, use = first.node, first.use
            made_of = anatomy_of(lender, use.in_channels, use.out_channels)
            assert first.anatomy is not None
            if made_of is None or made_of.kinds != first.anatomy.kinds:
                units = tuple(replace(u, weights=_whole(u.weights)) for u in first.anatomy.units)
                made_of = Anatomy(units, residual=False)
            yield Part(f"lenders.{name}", lender, node, use, first.users, True, made_of)
    yield from nodes


def _whole(weights: Weights) -> Weights:
    """Return all weights of which a chain uses a part."""
    rows, columns, kernel, _ = parameter(weights, "weight").shape
    return Weights(weights.owner, rows, columns, kernel)


def anatomy_of(module: nn.Module, in_channels: int, out_channels: int) -> Anatomy | None:
    """Return what a module computes with these widths, or None if it is something else.

    A module that describes itself (`Chained`) is known, and one with a single `ElasticConv`. Either
    must have no other parameters.
    """
    found = None
    if isinstance(module, Chained):
        chain = module.chain(in_channels, out_channels)
        if chain is not None and all(isinstance(u.norm, DomainNorm) for u in chain.units):
            found = Anatomy(tuple(chain.units), chain.residual)
    else:
        own = [m for m in module.modules() if isinstance(m, ElasticConv)]
        if len(own) == 1:
            unit = Unit(own[0].part(in_channels, out_channels), nn.Identity())
            found = Anatomy((unit,), residual=False)
    if found is None:
        return None
    known = {id(p) for unit in found.units for m in _modules(unit) for p in m.parameters()}
    return found if all(id(p) in known for p in module.parameters()) else None


def _modules(unit: Unit) -> list[nn.Module]:
    gate = () if unit.gate is None else (unit.gate.reduce.owner, unit.gate.expand.owner)
    return [unit.weights.owner, unit.norm, *gate]


def parameter(weights: Weights, name: str) -> nn.Parameter:
    """Return the whole `weight` or `bias` of which a chain uses a part."""
    found = weights.owner.get_parameter(name)
    assert isinstance(found, nn.Parameter)
    return found


def used(weights: Weights, depthwise: bool = False) -> Tensor:
    """Return the weights that a chain uses: its channels and the centre of the kernels.

    Shape (out, in, k, k); that of a depthwise convolution (out, 1, k, k).
    """
    whole = parameter(weights, "weight").detach()
    edge = (whole.shape[-1] - weights.kernel) // 2
    inner = slice(edge, edge + weights.kernel)
    columns = 1 if depthwise else weights.in_channels
    return whole[: weights.out_channels, :columns, inner, inner]


def importance(weights: Weights, depthwise: bool = False) -> Tensor:
    """Return how much each input channel of a convolution counts, float64 (in,), on the CPU.

    It is the L1 norm of the weights that read the channel, as in Once-for-All (Cai et al. 2020,
    arXiv 1908.09791).
    """
    sizes = used(weights, depthwise).double().abs()
    return (sizes.sum((1, 2, 3)) if depthwise else sizes.sum((0, 2, 3))).cpu()
