"""One network for the supernet, the multi-path model and the single model.

It holds any set of nodes of a space: all of them (the supernet), those of several domains' paths
(their union, the final model) or those of one path. One forward pass takes any number of flows, a
flow being a batch of one domain and the path it takes; a node runs once for all flows that meet in
it. From a given layer on every domain may have nodes of its own: from the first on, the network is
a bundle of single models.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mpnas_kit.errors import MpnasError, unknown
from mpnas_kit.network.collapse import families
from mpnas_kit.network.maps import Map, alone, apart, average, chunks, together
from mpnas_kit.network.norms import DomainNorm, Norm, Segments, member
from mpnas_kit.space.blocks import Block, ElasticConv, lend
from mpnas_kit.space.space import Node, Path, SearchSpace, Use


@dataclass(frozen=True)
class Blend:
    """A path of which some layers are not decided: all of `layers[i]` run, and are averaged.

    `layers`: for every layer of the space the uses to average; None in it is the skipped layer.
    Used in the warm-up of a search (TuNAS section 3.3, "op warm-up").
    """

    layers: tuple[tuple[Use | None, ...], ...]


class Flow(NamedTuple):
    """A batch on its way: its domain, images (B, 3, H, W), and the path or blend it takes."""

    domain: str
    images: Tensor
    path: Path | Blend


@dataclass
class _Extent:
    """How a node is used in a network: the largest widths, and by which domains."""

    use: Use
    domains: tuple[str, ...]

    def widened(self, use: Use, domains: tuple[str, ...]) -> "_Extent":
        """Also used so, by these domains."""
        widest = self.use._replace(
            in_channels=max(use.in_channels, self.use.in_channels),
            out_channels=max(use.out_channels, self.use.out_channels),
        )
        return _Extent(widest, tuple(dict.fromkeys((*self.domains, *domains))))


class MultiPathNet(nn.Module):
    """Nodes of a space, shared by the domains whose paths have them, and a classifier a domain.

    Made by `supernet` or `of_paths`. norm: see `network.norms`. private_from: the index of the
    first layer whose nodes every domain has for itself; None: all are shared. collapse: nodes of
    a layer that differ in size only have one set of weights (`network.collapse`). Weights are
    initialised from `seed` alone: Kaiming normal, fan-out, for convolutions; classifiers
    N(0, 0.01).

    uses: for every node its use at the largest widths. users: for every node its domains.
    """

    def __init__(
        self,
        space: SearchSpace,
        extents: Mapping[Node, "_Extent"],
        classes: Mapping[str, int],
        norm: Norm,
        tracked: bool,
        seed: int,
        private_from: int | None,
        collapse: bool = False,
    ) -> None:
        super().__init__()
        self.space, self.norm, self.classes = space, norm, dict(classes)
        self.private_from = private_from
        self.uses = {node: extent.use for node, extent in extents.items()}
        self.users = {node: extent.domains for node, extent in extents.items()}
        self._segments = Segments()
        self._plans: dict[Path, tuple[tuple[Use | None, ...], ...]] = {}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.nodes = nn.ModuleDict()
            for node, use in self.uses.items():
                self.nodes[_key(node)] = self._build(use.block, node, tracked)
            self.lenders = nn.ModuleDict()
            for family in families(self.uses) if collapse else ():
                first = family.nodes[0]
                lender = self._build(family.hull, first, tracked)
                for node in family.nodes:
                    lend(lender, self.module_of(node))
                self.lenders[_key(first._replace(block=family.hull.name))] = lender
            features = space.layers[-1].widths[-1]
            self.heads = nn.ModuleDict(
                {member(d): nn.Linear(features, n) for d, n in classes.items()}
            )
            _initialise(self)
        for parameter in self.parameters():
            if parameter.ndim == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)

    @classmethod
    def supernet(
        cls,
        space: SearchSpace,
        classes: Mapping[str, int],
        norm: Norm,
        seed: int,
        private_from: int | None = None,
        collapse: bool = False,
    ) -> "MultiPathNet":
        """All nodes of `space`, open to every domain of `classes`; batch statistics always."""
        extents = {}
        for i, layer in enumerate(space.layers):
            width = space.layers[i - 1].widths[-1] if i else 3
            for pick in range(len(layer.candidates)):
                use = space.use(i, pick, width, layer.widths[-1])
                if use is None:
                    continue
                for domain in classes:
                    node = owned(use.node, domain, private_from)
                    users = (domain,) if node.owner else tuple(classes)
                    extents[node] = _Extent(use, users)
        return cls(space, extents, classes, norm, False, seed, private_from, collapse)

    @classmethod
    def of_paths(
        cls,
        space: SearchSpace,
        paths: Mapping[str, Path],
        classes: Mapping[str, int],
        norm: Norm,
        seed: int,
        private_from: int | None = None,
    ) -> "MultiPathNet":
        """The union of the domains' paths: a node a path lacks is not there."""
        extents: dict[Node, _Extent] = {}
        for domain in classes:
            if domain not in paths:
                raise unknown("domain without a path:", domain, paths)
            for use in (u for u in space.uses(paths[domain]) if u is not None):
                node = owned(use.node, domain, private_from)
                extents[node] = extents.get(node, _Extent(use, ())).widened(use, (domain,))
        ordered = {n: extents[n] for n in sorted(extents)}
        return cls(space, ordered, classes, norm, True, seed, private_from)

    def forward(self, flows: Sequence[Flow]) -> list[Tensor]:
        """The logits (B, classes of the domain) of every flow, in the order of the flows."""
        layers = [self._layers(flow.path) for flow in flows]
        begun = {(f.domain, id(f.images)): alone(f.domain, f.images) for f in flows}
        maps = [begun[f.domain, id(f.images)] for f in flows]
        for layer in range(len(self.space.layers)):
            made = self._layer(maps, [plan[layer] for plan in layers])
            maps = [m[0] if len(m) == 1 else average(m) for m in made]
        pooled = {m: m.tensor.mean((2, 3)) for m in dict.fromkeys(maps)}
        return [self.head_of(m.domain)(pooled[m]) for m in maps]

    def _layer(
        self, maps: Sequence[Map], uses: Sequence[tuple[Use | None, ...]]
    ) -> list[list[Map]]:
        """What every use of every flow in a layer makes of its map; None makes the map itself."""
        groups: dict[tuple[Node, Use], dict[Map, Map]] = {}
        for m, wanted in zip(maps, uses, strict=True):
            for use in wanted:
                if use is not None:
                    groups.setdefault(self._group(use, m), {})[m] = m
        for (node, use), made in groups.items():
            everyone = list(made)
            for some in [everyone] if self.norm == "mixed" else chunks(everyone):
                self._segments.current = [(m.domain, m.count) for m in some]
                whole = self._run(node, use, together(some))
                made.update(zip(some, apart(whole, some), strict=True))
        return [
            [m if use is None else groups[self._group(use, m)][m] for use in wanted]
            for m, wanted in zip(maps, uses, strict=True)
        ]

    def _group(self, use: Use, m: Map) -> tuple[Node, Use]:
        """What is run together: flows that use a node alike."""
        return owned(use.node, m.domain, self.private_from), use

    @contextmanager
    def measure(self) -> Iterator[None]:
        """Inside, batch norms take the statistics they will have in evaluation (`DomainNorm`)."""
        with ExitStack() as stack:
            for module in self.modules():
                if isinstance(module, DomainNorm):
                    stack.enter_context(module.measure())
            yield

    def fingerprint(self) -> str:
        """A short hash over all weights and statistics."""
        digest = sha256()
        for name, tensor in self.state_dict().items():
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    def module_of(self, node: Node) -> nn.Module:
        """The module that holds a node's weights."""
        return self.nodes[_key(node)]

    def head_of(self, domain: str) -> nn.Module:
        """The classifier of a domain."""
        return self.heads[member(domain)]

    def adopt(self, other: "MultiPathNet", domain: str) -> None:
        """Take over the weights of `other`'s nodes, with the batch norms that `domain` has there.

        Every domain of this network gets the batch-norm scales and shifts of `domain`; classifiers
        stay as they are. Raises `MpnasError` for a node that `other` lacks, and where nodes of
        `other` have no weights of their own.
        """
        if other.lenders:
            raise MpnasError(
                "weights cannot be taken over from a collapsed supernet: its nodes share them."
            )
        there = {(n.layer, n.block): other.module_of(n) for n in other.users}
        for node in self.users:
            if (node.layer, node.block) not in there:
                raise MpnasError(
                    f"node {node.block!r} of layer {self.space.layers[node.layer].name!r} is not "
                    "in the network whose weights are to be taken over: expected the same path."
                )
            source = there[node.layer, node.block]
            _copy(source, self.module_of(node), domain)

    def _build(self, block: Block, node: Node, tracked: bool) -> nn.Module:
        """The module of a block in the place of a node."""
        use, domains = self.uses[node], self.users[node]
        norm = partial(
            DomainNorm,
            domains=domains,
            norm=self.norm,
            segments=self._segments,
            tracked=tracked,
        )
        return block.build(use.in_channels, use.out_channels, use.stride, norm)

    def _run(self, node: Node, use: Use, x: Tensor) -> Tensor:
        module = self.module_of(node)
        elastic = len(self.space.layers[node.layer].widths) > 1
        y: Tensor = module(x, use.out_channels) if elastic else module(x)
        return y

    def _layers(self, path: Path | Blend) -> tuple[tuple[Use | None, ...], ...]:
        if isinstance(path, Blend):
            return path.layers
        if path not in self._plans:
            if len(self._plans) > 10_000:
                self._plans.clear()
            self._plans[path] = tuple((use,) for use in self.space.uses(path))
        return self._plans[path]


def owned(node: Node, domain: str, private_from: int | None) -> Node:
    """The node as `domain` has it: its own copy from layer `private_from` on."""
    private = private_from is not None and node.layer >= private_from
    return node._replace(owner=domain) if private else node


@torch.no_grad()
def _copy(source: nn.Module, target: nn.Module, domain: str) -> None:
    """Copy weights between modules of one block, whatever domains their batch norms serve."""
    norms = {n: m for n, m in source.named_modules() if isinstance(m, DomainNorm)}
    inside = tuple(f"{n}." for n in norms)
    weights = {n: p for n, p in source.named_parameters() if not n.startswith(inside)}
    for name, parameter in target.named_parameters():
        if name in weights:
            parameter.copy_(weights[name])
    for name, norm in target.named_modules():
        if isinstance(norm, DomainNorm):
            norm.adopt(norms[name], domain)


def _key(node: Node) -> str:
    """The name of a node's module: layer, block, owner; torch allows no dot in it."""
    owner = f"@{node.owner}" if node.owner else ""
    return f"{node.layer}_{node.block.replace('.', ',')}{owner}"


def _initialise(net: nn.Module) -> None:
    for module in net.modules():
        if isinstance(module, ElasticConv) and module.borrows:
            continue
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01)
            nn.init.zeros_(module.bias)
