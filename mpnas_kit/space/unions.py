"""The union of several domains' paths: who uses each part of it, and what each domain adds.

A part is a node without its 1x1 convolutions, or these alone: private copies of a node may have
them in common with the shared node. Batch norms and classifiers do not count.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import NamedTuple

from mpnas_kit.space.blocks import InvertedBottleneck
from mpnas_kit.space.layers import OWN, Node, Path, Use
from mpnas_kit.space.space import SearchSpace


class Part(NamedTuple):
    """A part of a node, which domains may share or not.

    node: the node, with its owner if it is private.
    pointwise: whether the part is the 1x1 convolutions of the node, or the rest.
    """

    node: Node
    pointwise: bool


def parts_of(use: Use, domain: str) -> Iterator[Part]:
    """Yield the parts of a node, as a domain uses it."""
    node = use.node
    if node.owner == OWN:
        node = Node(node.layer, node.block, domain)
    if type(use.block) is InvertedBottleneck:
        yield Part(use.pointwise or node, pointwise=True)
    yield Part(node, pointwise=False)


def size(part: Part, use: Use) -> int:
    """Return the parameters of a part at the widths of a use."""
    pointwise, rest = _sizes(use)
    return pointwise if part.pointwise else rest


@cache
def _sizes(use: Use) -> tuple[int, int]:
    """Return the parameters of the 1x1 convolutions, if these are a part, and of the rest."""
    block, whole = use.block, use.cost.parameters
    if type(block) is not InvertedBottleneck:
        return 0, whole
    pointwise = block.pointwise_parameters(use.in_channels, use.out_channels)
    return pointwise, whole - pointwise


class UnionParts:
    """The parts of the union of paths, and who uses them. Domains may take other paths one by one.

    A part counts at the largest widths that any path uses. Frozen parts count nothing, since the
    network has them anyway.

    space: the search space.
    paths: path of every domain, by name.

    >>> union = UnionParts(space, paths)
    >>> union.parameters == space.union_cost(paths.values()).parameters
    True
    """

    def __init__(self, space: SearchSpace, paths: Mapping[str, Path]) -> None:
        self.space, self.paths = space, dict(paths)
        self._known: dict[tuple[str, Path], dict[Part, Use]] = {}
        self._users: dict[Part, dict[str, Use]] = {}  # by part: how every domain uses it
        for domain, path in paths.items():
            for part, use in self._parts(domain, path).items():
                self._users.setdefault(part, {})[domain] = use

    def _parts(self, domain: str, path: Path) -> dict[Part, Use]:
        """Return the parts of a path that are not frozen, and how it uses them."""
        key = domain, path
        if key not in self._known:
            self._known[key] = {
                part: use
                for use in self.space.uses(path)
                if use is not None and not use.frozen
                for part in parts_of(use, domain)
                if not (part.pointwise and use.frozen_pointwise)
            }
        return self._known[key]

    @property
    def parameters(self) -> int:
        """Parameters of the union, without frozen ones."""
        return sum(_largest(part, users.values()) for part, users in self._users.items())

    def added(self) -> dict[str, int]:
        """Return the parameters that each domain adds: the union, less the union without it."""
        added = dict.fromkeys(self.paths, 0)
        for part, users in self._users.items():
            if len(users) == 1:
                ((domain, use),) = users.items()
                added[domain] += size(part, use)
            elif len({(use.in_channels, use.out_channels) for use in users.values()}) > 1:
                whole = _largest(part, users.values())
                for domain in users:
                    others = [use for other, use in users.items() if other != domain]
                    added[domain] += whole - _largest(part, others)
        return added

    def saved(self, moved: Mapping[str, Path]) -> int:
        """Return by how many parameters the union shrinks if domains take other paths.

        moved: new path of every domain that takes another one, by domain.
        """
        changed: dict[Part, dict[str, Use]] = {}
        for domain, path in moved.items():
            old, new = self._parts(domain, self.paths[domain]), self._parts(domain, path)
            for part in {**old, **new}:
                if old.get(part) == new.get(part):
                    continue
                users = changed.setdefault(part, dict(self._users.get(part, {})))
                if part in new:
                    users[domain] = new[part]
                else:
                    del users[domain]
        return sum(
            _largest(part, self._users.get(part, {}).values()) - _largest(part, users.values())
            for part, users in changed.items()
        )

    def take(self, moved: Mapping[str, Path]) -> None:
        """Let domains take other paths.

        moved: new path of every domain that takes another one, by domain.
        """
        for domain, path in moved.items():
            for part in self._parts(domain, self.paths[domain]):
                del self._users[part][domain]
            for part, use in self._parts(domain, path).items():
                self._users.setdefault(part, {})[domain] = use
        self.paths.update(moved)


def _largest(part: Part, uses: Iterable[Use]) -> int:
    """Return the parameters of a part at widths that are large enough for all uses; 0 for none."""
    widest: Use | None = None
    for use in uses:
        widest = use if widest is None else widest.covering(use)
    return 0 if widest is None else size(part, widest)
