"""The architecture as an interactive graph."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import anywidget
import traitlets
from matplotlib.figure import Figure

from mpnas_kit import plots
from mpnas_kit.search.result import SearchResult
from mpnas_kit.settings import require, to_text
from mpnas_kit.space.space import ZERO, Node, Path, SearchSpace
from mpnas_kit.widgets.view import STYLE, Twin, script


class Selection(NamedTuple):
    """What is chosen in a `PathExplorer`: the pinned nodes, the domains that are shown."""

    nodes: tuple[Node, ...]
    domains: tuple[str, ...]


class PathExplorer(Twin, anywidget.AnyWidget):
    """The domains' paths through a space, to look into.

    Domains are shown or hidden; a node tells its block, its cost and who shares it when the pointer
    or the focus is on it, and is pinned by a click; two domains can be compared, their differences
    marked; a slider goes through the search.

    shown: domains; compare: two of them, or none; at: index of the snapshot; pinned: [layer index,
    block] of nodes. All can be set from Python as well.
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
        """snapshots: the paths of all domains at every one of `steps` (of the search)."""
        self.space, self.snapshots = space, [dict(s) for s in snapshots]
        domains = list(self.snapshots[-1])
        super().__init__(
            graph=_graph(space, self.snapshots, steps),
            shown=domains,
            at=len(self.snapshots) - 1,
        )

    @classmethod
    def of(cls, found: SearchResult) -> "PathExplorer":
        """On a finished search, with its course."""
        count = len(found.policy_steps)
        return cls(found.space, [found.paths_at(i) for i in range(count)], found.policy_steps)

    @property
    def selected(self) -> Selection:
        """The pinned nodes, and the domains that are shown (or compared)."""
        nodes = tuple(Node(int(layer), block) for layer, block in self.pinned)
        return Selection(nodes, tuple(self.compare or self.shown))

    def figure(self) -> Figure:
        """As `plots.path_graph`, or `plots.two_paths` where two are compared."""
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
                f"pinned must be nodes, as [index of a layer, block of it], not {pin!r}.",
            )
        return list(proposal["value"])


def _graph(
    space: SearchSpace, snapshots: Sequence[Mapping[str, Path]], steps: Sequence[int]
) -> dict[str, Any]:
    """What the view draws: layers, their nodes with what they cost, and all paths by block."""
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
    made = []
    for pick, name in enumerate(space.layers[layer].choices):
        use = space.use(layer, pick, before, after)
        cost = None if use is None else use.cost
        made.append(
            {
                "block": name,
                "about": "" if use is None else to_text(use.block, defaults=False),
                "parameters": 0 if cost is None else cost.parameters,
                "multiply_adds": 0 if cost is None else cost.multiply_adds,
            }
        )
    return made


def _blocks(space: SearchSpace, path: Path) -> list[str]:
    picks = space.picks(path.choices)
    return [x.choices[k] for x, k in zip(space.layers, picks, strict=True)]
