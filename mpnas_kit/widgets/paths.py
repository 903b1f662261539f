"""Explorer of the domains' paths: the architecture as an interactive graph, and what-if."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import traitlets
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mpnas_kit import plots
from mpnas_kit.analysis import moves
from mpnas_kit.analysis.choices import layer_policies
from mpnas_kit.analysis.moves import PathSizes, path_sizes
from mpnas_kit.analysis.sharing import usage
from mpnas_kit.errors import MpnasError, unknown
from mpnas_kit.parts import Missing
from mpnas_kit.search.result import SearchResult
from mpnas_kit.settings import require
from mpnas_kit.space.costs import CostModel, MultiplyAdds
from mpnas_kit.space.grown import GrownSpace
from mpnas_kit.space.layers import Node, Path, Use
from mpnas_kit.space.private_layers import SHARED, PrivateLayers
from mpnas_kit.space.space import SearchSpace
from mpnas_kit.values import require_type
from mpnas_kit.widgets.focus import Focus
from mpnas_kit.widgets.path_view import PathGraph, candidates, graph_of, packed, sizes
from mpnas_kit.widgets.view import Explorer


class Selection(NamedTuple):
    """The selection in a `PathExplorer`.

    nodes: pinned nodes.
    domains: the two domains that are compared, or else the domains that are shown.
    """

    nodes: tuple[Node, ...]
    domains: tuple[str, ...]


class PathExplorer(Explorer):
    """An interactive graph of the domains' paths through a search space.

    - Domains can be shown, hidden and chosen, and two can be compared.
    - A card says what a node is, what it costs, who uses it, and how likely it is. A pinned node
      keeps its card. All paths through the pinned nodes are highlighted.
    - A slider moves through the search. Choices that the search has not decided are hollow and
      dashed: nobody shares such a node yet.
    - A domain can be moved to another node of a layer: drag its line, or choose the domain, then
      press Shift+Enter (or Shift+click) on the node, or take the list in the card. The sizes of the
      edited paths and their differences to the found paths are shown at once.

    space: search space of the paths.
    snapshots: paths of all domains, one mapping per step of `steps`. The last one is what the
    search found.
    steps: steps of the search at which the snapshots were taken.
    policy: choice probabilities at every snapshot, as in `SearchResult`. None: the explorer does
    not know them, and takes every choice as decided.
    cost: cost model of the search. None: multiply-adds.
    targets: cost target of every domain; None: there are none.
    private: layers in which each domain has nodes of its own.
    focus: choice that the explorer shares with others. None: it has its own.
    bar: whether the explorer has a bar above it.

    Raises `MpnasError` if there is no snapshot, or not one per step.

    These attributes can be read and set. An invalid value raises `MpnasError`.
    shown: names of the domains that are shown.
    compare: names of the two domains that are compared; empty: none.
    at: index of the snapshot, from 0.
    pinned: pinned nodes, each as [layer index, name of the block].
    domain: name of the chosen domain; empty: none.
    paths: path of every domain, by domain, with all moves.

    Train the edited paths with `mk.train(suite, found.space, explorer.paths, config)`, or in a run
    folder of their own, which takes the search of the first one:
    `run.sibling("runs/edited", search_from=run.folder).train(paths=explorer.paths)`.

    >>> explorer = mk.widgets.PathExplorer.of(found)
    >>> explorer.shown = ["planted1"]
    >>> explorer.selected
    Selection(nodes=(), domains=('planted1',))
    >>> explorer.move("planted1", found.space.searched[0], "row")
    >>> explorer.paths["planted1"].arch.split()[0]
    'row'
    """

    alt = "the domains' paths through the layers of the space"

    shown = traitlets.List(traitlets.Unicode())
    compare = traitlets.List(traitlets.Unicode())
    at = traitlets.Int(0)
    pinned: Any = traitlets.List()
    domain = traitlets.Unicode("")
    paths: Any = traitlets.Any()

    def __init__(
        self,
        space: SearchSpace,
        snapshots: Sequence[Mapping[str, Path]],
        steps: Sequence[int] = (0,),
        *,
        policy: NDArray[np.float32] | None = None,
        cost: CostModel | None = None,
        targets: Mapping[str, float] | None = None,
        private: PrivateLayers = SHARED,
        focus: Focus | None = None,
        bar: bool = True,
    ) -> None:
        require(
            len(snapshots) == len(steps) > 0,
            "PathExplorer needs one snapshot per step, at least one, not "
            f"{len(snapshots)} snapshots of {len(steps)} steps.",
        )
        super().__init__("Paths")
        self.space, self.snapshots = space, [dict(s) for s in snapshots]
        self.steps = tuple(steps)
        domains = list(self.snapshots[-1])
        self.focus = Focus(domains, space) if focus is None else focus
        self._cost: CostModel = MultiplyAdds() if cost is None else cost
        self._private = private
        self._prices: dict[Use, float] = {}
        self._past: list[dict[str, Path]] = []
        self._follows = False
        self._policies = None if policy is None else layer_policies(space, policy)
        self.view = PathGraph(
            graph=graph_of(
                space,
                self.snapshots,
                steps,
                self._policies,
                self._cost,
                targets,
                private,
            ),
            probabilities=b"" if self._policies is None else packed(self._policies),
        )
        self.shown, self.at = domains, len(self.snapshots) - 1
        self.paths = self.found
        for name in ("shown", "compare", "at", "pinned", "domain"):
            traitlets.link((self, name), (self.view, name))
        self._found_sizes = sizes(self.measure(self.found), domains)
        self._show_edited()
        self._connect()
        self.children = (self.bar, self.view) if bar else (self.view,)

    @classmethod
    def of(
        cls, found: SearchResult, *, focus: Focus | None = None, bar: bool = True
    ) -> "PathExplorer":
        """Return an explorer of a finished search, with the paths of all its policy snapshots.

        found: result of a search.
        focus: choice that the explorer shares with others. None: it has its own.
        bar: whether the explorer has a bar above it.
        """
        require_type(found, SearchResult, "found")
        known = not isinstance(found.config.cost, Missing)
        return cls(
            found.space,
            [found.paths_at(i) for i in range(len(found.policy_steps))],
            found.policy_steps,
            policy=found.policy,
            cost=found.config.cost if known else None,
            targets=found.cost_targets if known else None,
            private=found.config.private,
            focus=focus,
            bar=bar,
        )

    @property
    def found(self) -> dict[str, Path]:
        """Path of every domain, by domain, without moves: the last snapshot."""
        return self.snapshots[-1]

    @property
    def graph(self) -> dict[str, Any]:
        """The data that the view draws, apart from the selection."""
        return dict(self.view.graph)

    @property
    def selected(self) -> Selection:
        """The pinned nodes, and the domains that are compared or shown."""
        layers = self.space.layers
        nodes = tuple(
            self.space.candidate_node(int(layer), layers[layer].choices.index(block))
            for layer, block in self.pinned
        )
        return Selection(nodes, tuple(self.compare or self.shown))

    # Moves ----------------------------------------------------------------------------------------

    def move(self, domain: str, layer: int, block: str) -> None:
        """Move a domain to another node of a layer. The slider goes to the last step.

        domain: name of a domain.
        layer: index of the layer, from 0.
        block: name of the candidate; `zero` skips the layer.

        Raises `MpnasError` if there is no such domain, layer or candidate, or if the space has no
        such path (see `analysis.move`).
        """
        self._require_free(domain)
        path = moves.move(self.space, self.paths[domain], layer, block)
        self.paths = {**self.paths, domain: path}

    def undo(self) -> None:
        """Take back the last move or reset, if there is one."""
        if self._past:
            *past, self.paths = self._past
            self._past = past
            self._show_edited()

    def reset(self, domain: str = "") -> None:
        """Give a domain its found path again. domain: its name; empty: all domains."""
        if domain:
            self._require_free(domain)
        self.paths = {
            d: self.found[d] if domain in ("", d) else path for d, path in self.paths.items()
        }

    def moved(self) -> list[tuple[str, int]]:
        """Return the domains and layers (index) in which the paths are not those found."""
        return [
            (domain, layer)
            for domain, path in self.paths.items()
            for layer, (now, before) in enumerate(
                zip(self._candidates(path), self._candidates(self.found[domain]), strict=True)
            )
            if now != before
        ]

    def measure(self, paths: Mapping[str, Path] | None = None) -> PathSizes:
        """Return the sizes of paths (see `analysis.path_sizes`), with the costs of the search.

        paths: path of every domain. None: `paths` of the explorer.
        """
        return path_sizes(
            self.space,
            self.paths if paths is None else paths,
            self._cost,
            private=self._private,
            prices=self._prices,
        )

    def _candidates(self, path: Path) -> list[int]:
        return candidates(self.space, path)

    def _require_free(self, domain: str) -> None:
        """Raise `MpnasError` if there is no such domain, or its path cannot change."""
        if isinstance(self.space, GrownSpace) and domain in self.space.frozen_paths:
            raise MpnasError(
                f"domain {domain!r} is frozen on the path {self.space.frozen_paths[domain]}: its "
                "path cannot change. Move a domain that is added."
            )
        if domain not in self.found:
            raise unknown("domain", domain, self.found)

    def _hear(self, message: dict[str, Any]) -> None:
        """Do what the view asks for. A move that is not possible is refused in words."""
        kind, domain = message.get("do"), str(message.get("domain", ""))
        try:
            if kind == "move":
                self.move(domain, message.get("layer", -1), message.get("block", ""))
            elif kind == "reset":
                self.reset(domain)
            elif kind == "undo":
                self.undo()
        except MpnasError as error:
            self.view.refused = str(error)
        else:
            self.view.refused = ""

    @traitlets.observe("paths")
    def _remember(self, change: Any) -> None:
        if hasattr(self, "_found_sizes"):
            self._past = [*self._past, change["old"]]
            self._show_edited()
            self.at = len(self.snapshots) - 1

    def _show_edited(self) -> None:
        domains, moved = list(self.found), self.moved()
        now = sizes(self.measure(), domains) if moved else self._found_sizes
        self.view.edited = {
            "paths": [self._candidates(self.paths[d]) for d in domains] if moved else None,
            "now": now,
            "found": self._found_sizes,
            "undo": bool(self._past),
        }

    # Focus ----------------------------------------------------------------------------------------

    def _connect(self) -> None:
        """Follow the focus, write to it what is chosen, and hear the view."""
        for name in ("domain", "compare", "pinned", "at"):
            self._when(self, partial(self._write_focus, name), name)
        self._when(self.focus, self._follow, "domain", "pair", "node", "search_step")
        self.view.on_msg(lambda _, message, buffers: self._try(lambda: self._hear(message)))
        self._follow()

    def _write_focus(self, name: str) -> None:
        if self._follows:
            return
        if name == "domain":
            self.focus.domain = self.domain
        elif name == "compare":
            self.focus.pair = tuple(self.compare)
        elif name == "pinned":
            self.focus.node = tuple(self.pinned[-1]) if self.pinned else ()
        elif len(self.steps) > 1:
            self.focus.search_step = self.steps[self.at]

    def _follow(self) -> None:
        """Show what the focus chooses. What this explorer does not have counts as not chosen."""
        focus, self._follows = self.focus, True
        try:
            self.domain = focus.domain if focus.domain in self.found else ""
            self.compare = list(focus.pair) if set(focus.pair) <= set(self.found) else []
            last = list(self.pinned[-1]) if self.pinned else []
            if list(focus.node) != last:
                self.pinned = [list(focus.node)] if self._has(focus.node) else []
            if focus.search_step is not None and len(self.steps) > 1:
                self.at = max(0, bisect_right(self.steps, focus.search_step) - 1)
        finally:
            self._follows = False

    def _has(self, pin: Any) -> bool:
        """Return whether there is such a node."""
        layers = self.space.layers
        layer, block = pin if isinstance(pin, list | tuple) and len(pin) == 2 else (-1, "")
        return layer in range(len(layers)) and block in layers[layer].choices

    # What is shown --------------------------------------------------------------------------------

    def _visible(self) -> dict[str, Path]:
        """Return the paths that the graph has now: at the last step with all moves."""
        last = self.at == len(self.snapshots) - 1
        return self.paths if last else self.snapshots[self.at]

    def data(self) -> pd.DataFrame:
        """Return the paths that are shown, one row per domain and layer.

        Columns: step (of the search), domain, layer (name), block, parameters and multiply_adds (of
        the node, at the widths of the path), users (number of shown domains with this node),
        moved (whether the domain was moved there), and, if the policy is known, probability (of
        the choice, 0 to 1) and decided.
        """
        paths = {d: path for d, path in self._visible().items() if d in self.selected.domains}
        users = usage(self.space, paths, all_layers=True)
        moved = set(self.moved()) if self.at == len(self.snapshots) - 1 else set()
        policies, rows = self._policies, []
        for domain, path in paths.items():
            place = list(self.found).index(domain)
            chosen = zip(self._candidates(path), self.space.of(domain).uses(path), strict=True)
            for layer, (pick, use) in enumerate(chosen):
                node = self.space.candidate_node(layer, pick)
                row = {
                    "step": self.steps[self.at],
                    "domain": domain,
                    "layer": self.space.layers[layer].name,
                    "block": self.space.layers[layer].choices[pick],
                    "parameters": 0 if use is None else use.cost.parameters,
                    "multiply_adds": 0 if use is None else use.cost.multiply_adds,
                    "users": len(users.get(node, ())),
                    "moved": (domain, layer) in moved,
                }
                if policies is not None:
                    row["probability"] = policies.probabilities[layer][self.at, place, pick]
                    row["decided"] = not policies.undecided[self.at, place, layer]
                rows.append(row)
        return pd.DataFrame(rows)

    def figure(self) -> Figure:
        """Return the figure of `plots.path_graph`, or of `plots.two_paths` if two are compared."""
        paths = self._visible()
        if self.compare:
            first, second = self.compare
            drawn = plots.two_paths(self.space, paths, first, second)
        else:
            drawn = plots.path_graph(self.space, paths, domains=self.shown or None)
        figure = drawn.get_figure(root=True)
        assert figure is not None
        return figure

    def _calls(self) -> list[str]:
        call = "(space, [paths])" if self._policies is None else ".of(found)"
        lines = [f"explorer = mk.widgets.PathExplorer{call}"]
        for domain, layer in self.moved():
            pick = self._candidates(self.paths[domain])[layer]
            block = self.space.layers[layer].choices[pick]
            lines.append(f"explorer.move({domain!r}, {layer}, {block!r})")
        usual = {"shown": list(self.found), "at": len(self.snapshots) - 1}
        for name in ("shown", "compare", "at", "pinned", "domain"):
            value = getattr(self, name)
            if value != usual.get(name, type(value)()):
                lines.append(f"explorer.{name} = {value!r}")
        return [*lines, "explorer"]

    def rehearse(self) -> None:
        """Compare, choose, pin, slide and move as a person would, and go back to the start."""
        before = {name: getattr(self, name) for name in ("compare", "at", "pinned", "domain")}
        paths, past = self.paths, self._past
        self.at = 0
        for first, second in list(pairwise(self.found))[:2]:
            self.compare = [first, second]
        self.domain = next(iter(self.found))
        for layer in self.space.searched[:1]:
            block = self.space.layers[layer].choices[-1]
            self.pinned = [[layer, block]]
            self.move(self.domain, layer, block)
        self.paths, self._past = paths, past
        self._show_edited()
        for name, value in before.items():
            setattr(self, name, value)

    # Checks ---------------------------------------------------------------------------------------

    @traitlets.validate("shown", "compare")
    def _known(self, proposal: Any) -> list[str]:
        chosen = plots.style.chosen_domains(proposal["value"], list(self.found))
        if proposal["trait"].name == "compare":
            require(
                len(chosen) in (0, 2),
                f"compare must be two domains, or none, not {len(chosen)}.",
            )
        return chosen

    @traitlets.validate("domain")
    def _known_domain(self, proposal: Any) -> str:
        if proposal["value"] not in ("", *self.found):
            raise unknown("domain", proposal["value"], self.found)
        return str(proposal["value"])

    @traitlets.validate("paths")
    def _whole(self, proposal: Any) -> dict[str, Path]:
        given = proposal["value"]
        require_type(given, Mapping, "paths")
        for domain, path in given.items():
            self._require_free(domain)
            self.space.require(path)
        lacking = [domain for domain in self.found if domain not in given]
        require(
            not lacking,
            f"paths must be the path of every domain: {', '.join(lacking)} is missing.",
        )
        return {domain: given[domain] for domain in self.found}

    @traitlets.validate("at")
    def _within(self, proposal: Any) -> int:
        at, count = int(proposal["value"]), len(self.snapshots)
        require(0 <= at < count, f"at must be the index of a snapshot, 0 to {count - 1}, not {at}.")
        return at

    @traitlets.validate("pinned")
    def _there(self, proposal: Any) -> list[Any]:
        for pin in proposal["value"]:
            require(
                self._has(pin),
                f"pinned must be nodes, each as [layer index, name of a block], not {pin!r}.",
            )
        return list(proposal["value"])
