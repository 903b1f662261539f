"""Explorer of the domains' paths: the architecture as an interactive graph."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import anywidget
import traitlets
from matplotlib.figure import Figure

from mpnas_kit import plots
from mpnas_kit.search.result import SearchResult
from mpnas_kit.settings import require
from mpnas_kit.space.space import OWN, ZERO, Node, Path, SearchSpace, Use
from mpnas_kit.space.texts import block_text
from mpnas_kit.widgets.view import STYLE, Twin, script


class Selection(NamedTuple):
    """The selection in a `PathExplorer`.

    nodes: pinned nodes.
    domains: the two domains that are compared, or else the domains that are shown.
    """

    nodes: tuple[Node, ...]
    domains: tuple[str, ...]


class PathExplorer(Twin, anywidget.AnyWidget):
    """An interactive graph of the domains' paths through a search space.

    Domains can be shown or hidden. If the pointer or the focus is on a node, its block, its cost
    and its domains are shown; a click pins the node. Two domains can be compared: their differences
    are marked. A slider moves through the search.

    space: search space of the paths.
    snapshots: paths of all domains, one mapping per step of `steps`.
    steps: steps of the search at which the snapshots were taken.

    These attributes can be read and set. An invalid value raises `MpnasError`.
    shown: names of the domains that are shown.
    compare: names of the two domains that are compared; empty: none.
    at: index of the snapshot, from 0.
    pinned: pinned nodes, each as [layer index, name of the block].

    >>> explorer = mk.widgets.PathExplorer.of(found)
    >>> explorer.shown = ["planted1"]
    >>> explorer.selected
    Selection(nodes=(), domains=('planted1',))
    """

    _esm = script("paths.js")
    _css = STYLE
    alt = "the domains' paths through the layers of the space"

    graph = traitlets.Dict().tag(sync=True)
    shown = traitlets.List(traitlets.Unicode()).tag(sync=True)
    compare = traitlets.List(traitlets.Unicode()).tag(sync=True)
    at = traitlets.Int(0).tag(sync=True)
    pinned: Any = traitlets.List().tag(sync=True)

    def __init__(
        self,
        space: SearchSpace,
        snapshots: Sequence[Mapping[str, Path]],
        steps: Sequence[int] = (0,),
    ) -> None:
        self.space, self.snapshots = space, [dict(s) for s in snapshots]
        domains = list(self.snapshots[-1])
        super().__init__(
            graph=_graph(space, self.snapshots, steps),
            shown=domains,
            at=len(self.snapshots) - 1,
        )

    @classmethod
    def of(cls, found: SearchResult) -> "PathExplorer":
        """Return an explorer of a finished search, with the paths of all its policy snapshots."""
        count = len(found.policy_steps)
        return cls(found.space, [found.paths_at(i) for i in range(count)], found.policy_steps)

    @property
    def selected(self) -> Selection:
        """The pinned nodes, and the domains that are compared or shown."""
        layers = self.space.layers
        nodes = tuple(
            self.space.candidate_node(int(layer), layers[layer].choices.index(block))
            for layer, block in self.pinned
        )
        return Selection(nodes, tuple(self.compare or self.shown))

    def figure(self) -> Figure:
        """Return the figure of `plots.path_graph`, or of `plots.two_paths` if two are compared."""
        paths = self.snapshots[self.at]
        if self.compare:
            first, second = self.compare
            drawn = plots.two_paths(self.space, paths, first, second)
        else:
            drawn = plots.path_graph(self.space, paths, domains=self.shown or None)
        figure = drawn.get_figure(root=True)
        assert figure is not None
        return figure

    @traitlets.validate("shown", "compare")
    def _known(self, proposal: Any) -> list[str]:
        chosen = plots.style.chosen_domains(proposal["value"], list(self.snapshots[-1]))
        if proposal["trait"].name == "compare":
            require(
                len(chosen) in (0, 2),
                f"compare must be two domains, or none, not {len(chosen)}.",
            )
        return chosen

    @traitlets.validate("at")
    def _within(self, proposal: Any) -> int:
        at, count = int(proposal["value"]), len(self.snapshots)
        require(0 <= at < count, f"at must be the index of a snapshot, 0 to {count - 1}, not {at}.")
        return at

    @traitlets.validate("pinned")
    def _there(self, proposal: Any) -> list[Any]:
        layers = self.space.layers
        for pin in proposal["value"]:
            layer, block = pin if isinstance(pin, list | tuple) and len(pin) == 2 else (-1, "")
            require(
                layer in range(len(layers)) and block in layers[layer].choices,
                f"pinned must be nodes, each as [layer index, name of a block], not {pin!r}.",
            )
        return list(proposal["value"])


def _graph(
    space: SearchSpace, snapshots: Sequence[Mapping[str, Path]], steps: Sequence[int]
) -> dict[str, Any]:
    """Return the data of the view: layers, their nodes with costs, and all paths by block."""
    names = dict.fromkeys(b for i in space.searched for b in space.layers[i].choices)
    domains = list(snapshots[-1])
    return {
        "layers": [layer.name for layer in space.layers],
        "rows": sorted(names, key=lambda n: n == ZERO),
        "domains": domains,
        "colors": plots.domain_colors(domains),
        "nodes": [_nodes(space, i) for i in range(len(space.layers))],
        "steps": list(steps),
        "paths": [[_blocks(space, paths[d]) for d in domains] for paths in snapshots],
    }


def _nodes(space: SearchSpace, layer: int) -> list[dict[str, Any]]:
    before = space.layers[layer - 1].widths[-1] if layer else 3
    after = space.layers[layer].widths[-1]
    nodes = []
    for choice, name in enumerate(space.layers[layer].choices):
        use = space.use(layer, choice, before, after)
        cost = None if use is None else use.cost
        nodes.append(
            {
                "block": name,
                "about": "" if use is None else _about(use),
                "copied": space.is_private(layer, choice),
                "parameters": 0 if cost is None else cost.parameters,
                "multiply_adds": 0 if cost is None else cost.multiply_adds,
            }
        )
    return nodes


def _about(use: Use) -> str:
    """Return a node in words, without its costs."""
    words = block_text(use.block)
    if use.pointwise is not None:
        return f"{words}, a private copy but for the 1x1 convolutions of {use.pointwise.block}"
    return f"{words}, a private copy" if use.node.owner == OWN else words


def _blocks(space: SearchSpace, path: Path) -> list[str]:
    chosen = space.candidate_indices(path.choices)
    return [layer.choices[k] for layer, k in zip(space.layers, chosen, strict=True)]
