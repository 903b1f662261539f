"""One network for the supernet, the multi-path model and the single model.

It holds any set of nodes of a space: all of them (the supernet), those of several domains' paths
(their union, the final model) or those of one path. One forward pass takes any number of flows, a
flow being a batch of one domain and the path it takes; a node runs once for all flows that meet in
it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mpnas_kit.errors import unknown
from mpnas_kit.network.norms import DomainNorm, Norm, Segments, member
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


class MultiPathNet(nn.Module):
    """Nodes of a space, shared by the domains whose paths have them, and a classifier a domain.

    Make one with `supernet` or `of_paths`. `norm`: see `network.norms`. Weights are initialised
    from `seed` alone: Kaiming normal, fan-out, for convolutions; classifiers N(0, 0.01).
    """

    def __init__(
        self,
        space: SearchSpace,
        extents: Mapping[Node, "_Extent"],
        classes: Mapping[str, int],
        norm: Norm,
        tracked: bool,
        seed: int,
    ) -> None:
        super().__init__()
        self.space, self.norm, self.classes = space, norm, dict(classes)
        self.users = {node: extent.domains for node, extent in extents.items()}
        self._segments = Segments()
        self._uses: dict[Path, tuple[tuple[Use | None, ...], ...]] = {}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.nodes = nn.ModuleDict()
            for node, (use, domains) in ((n, (e.use, e.domains)) for n, e in extents.items()):
                make = partial(
                    DomainNorm, domains=domains, norm=norm, segments=self._segments, tracked=tracked
                )
                self.nodes[_key(node)] = use.block.build(
                    use.in_channels, use.out_channels, use.stride, make
                )
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
        cls, space: SearchSpace, classes: Mapping[str, int], norm: Norm, seed: int
    ) -> "MultiPathNet":
        """All nodes of `space`, open to every domain of `classes`; batch statistics always."""
        extents = {}
        for i, layer in enumerate(space.layers):
            width = space.layers[i - 1].widths[-1] if i else 3
            for pick in range(len(layer.candidates)):
                use = space.use(i, pick, width, layer.widths[-1])
                if use is not None:
                    extents[use.node] = _Extent(use, tuple(classes))
        return cls(space, extents, classes, norm, tracked=False, seed=seed)

    @classmethod
    def of_paths(
        cls,
        space: SearchSpace,
        paths: Mapping[str, Path],
        classes: Mapping[str, int],
        norm: Norm,
        seed: int,
    ) -> "MultiPathNet":
        """The union of the domains' paths: a node a path lacks is not there."""
        extents: dict[Node, _Extent] = {}
        for domain in classes:
            if domain not in paths:
                raise unknown("domain without a path:", domain, paths)
            for use in (u for u in space.uses(paths[domain]) if u is not None):
                known = extents.get(use.node, _Extent(use, ()))
                widest = use._replace(
                    in_channels=max(use.in_channels, known.use.in_channels),
                    out_channels=max(use.out_channels, known.use.out_channels),
                )
                extents[use.node] = _Extent(widest, (*known.domains, domain))
        ordered = {n: extents[n] for n in sorted(extents)}
        return cls(space, ordered, classes, norm, tracked=True, seed=seed)

    def forward(self, flows: Sequence[Flow]) -> list[Tensor]:
        """The logits (B, classes of the domain) of every flow, in the order of the flows."""
        layers = [self._layers(flow.path) for flow in flows]
        start = [f.images for f in flows]
        maps = [_Slot(_Pack(start, tuple(range(len(flows)))), i) for i in range(len(flows))]
        for layer in range(len(self.space.layers)):
            groups: dict[tuple[Node, int, int], tuple[Use, list[int]]] = {}
            for i, plan in enumerate(layers):
                for use in plan[layer]:
                    if use is not None:
                        key = (use.node, use.in_channels, use.out_channels)
                        groups.setdefault(key, (use, []))[1].append(i)
            made: list[list[_Slot]] = [
                [maps[i]] * plan[layer].count(None) for i, plan in enumerate(layers)
            ]
            for use, members in groups.values():
                self._segments.current = [(flows[i].domain, len(flows[i].images)) for i in members]
                pack = _Pack(self._run(use, _together(maps, members)), tuple(members))
                pack.sizes = [size for _, size in self._segments.current]
                for position, i in enumerate(members):
                    made[i].append(_Slot(pack, position))
            maps = [m[0] if len(m) == 1 else _average(m) for m in made]
        pooled = [slot.map.mean((2, 3)) for slot in maps]
        return [self.head_of(f.domain)(x) for f, x in zip(flows, pooled, strict=True)]

    def module_of(self, node: Node) -> nn.Module:
        """The module that holds a node's weights."""
        return self.nodes[_key(node)]

    def head_of(self, domain: str) -> nn.Module:
        """The classifier of a domain."""
        return self.heads[member(domain)]

    def _run(self, use: Use, x: Tensor) -> Tensor:
        module = self.module_of(use.node)
        elastic = len(self.space.layers[use.node.layer].widths) > 1
        y: Tensor = module(x, use.out_channels) if elastic else module(x)
        return y

    def _layers(self, path: Path | Blend) -> tuple[tuple[Use | None, ...], ...]:
        if isinstance(path, Blend):
            return path.layers
        if path not in self._uses:
            if len(self._uses) > 10_000:
                self._uses.clear()
            self._uses[path] = tuple((use,) for use in self.space.uses(path))
        return self._uses[path]


class _Pack:
    """Maps of several flows, together in one tensor or (at the start) each its own."""

    def __init__(self, maps: Tensor | list[Tensor], members: tuple[int, ...]) -> None:
        self.members, self.sizes = members, [0]
        self._whole = maps if isinstance(maps, Tensor) else None
        self._parts = None if isinstance(maps, Tensor) else maps

    @property
    def whole(self) -> Tensor:
        if self._whole is None:
            assert self._parts is not None
            self._whole = self._parts[0] if len(self._parts) == 1 else torch.cat(self._parts)
        return self._whole

    @property
    def parts(self) -> Sequence[Tensor]:
        if self._parts is None:
            whole = self.whole
            split = [whole] if len(self.sizes) == 1 else torch.split(whole, self.sizes)
            self._parts = list(split)
        return self._parts


class _Slot(NamedTuple):
    """Where the current map of one flow is."""

    pack: _Pack
    position: int

    @property
    def map(self) -> Tensor:
        return self.pack.parts[self.position]


def _together(maps: Sequence[_Slot], members: Sequence[int]) -> Tensor:
    """The maps of `members` in one tensor; nothing is copied where they lie together already."""
    pack = maps[members[0]].pack
    same = all(maps[i].pack is pack for i in members)
    if same and pack.members == tuple(members):
        return pack.whole
    return torch.cat([maps[i].map for i in members]) if len(members) > 1 else maps[members[0]].map


def _average(slots: Sequence[_Slot]) -> _Slot:
    mean = torch.stack([slot.map for slot in slots]).mean(0)
    return _Slot(_Pack([mean], ()), 0)


def _key(node: Node) -> str:
    """The name of a node's module: layer and block; torch allows no dot in it."""
    return f"{node.layer}_{node.block.replace('.', ',')}"


def _initialise(net: nn.Module) -> None:
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01)
            nn.init.zeros_(module.bias)
