"""The view of the path explorer, and the data that it draws."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import anywidget
import numpy as np
import traitlets

from mpnas_kit import plots
from mpnas_kit.analysis.choices import LayerPolicies
from mpnas_kit.analysis.moves import PathSizes
from mpnas_kit.space.block import Block
from mpnas_kit.space.costs import CostModel, MultiplyAdds, Parameters
from mpnas_kit.space.layers import OWN, ZERO, Path, Use
from mpnas_kit.space.private_layers import PrivateLayers
from mpnas_kit.space.space import SearchSpace
from mpnas_kit.space.texts import block_text
from mpnas_kit.widgets.view import STYLE, script

PARTS = 200  # a probability is sent as a whole number of 1/200


class PathGraph(anywidget.AnyWidget):
    """The graph, its controls, the card of a node, and the sizes of edited paths.

    graph: see `graph_of`. probabilities: see `packed`; empty: they are not known.
    shown, compare, at, pinned, domain: see `PathExplorer`.
    edited: paths (index of the candidate, by domain and layer; None: no domain is moved), sizes
    `now` and of the paths that were `found`, and whether the last change can be taken back (undo).
    refused: why the last move is not possible; empty: it is.

    Moves arrive as messages: {do: "move", domain, layer, block}, {do: "reset", domain}, and
    {do: "undo"}.
    """

    _esm = script("paths.js")
    _css = STYLE
    graph = traitlets.Dict().tag(sync=True)
    probabilities = traitlets.Bytes(b"").tag(sync=True)
    shown = traitlets.List(traitlets.Unicode()).tag(sync=True)
    compare = traitlets.List(traitlets.Unicode()).tag(sync=True)
    at = traitlets.Int(0).tag(sync=True)
    pinned: Any = traitlets.List().tag(sync=True)
    domain = traitlets.Unicode("").tag(sync=True)
    edited = traitlets.Dict().tag(sync=True)
    refused = traitlets.Unicode("").tag(sync=True)


def graph_of(
    space: SearchSpace,
    snapshots: Sequence[Mapping[str, Path]],
    steps: Sequence[int],
    policies: LayerPolicies | None,
    cost: CostModel,
    targets: Mapping[str, float] | None,
    private: PrivateLayers,
) -> dict[str, Any]:
    """Return the data of the graph that do not change. See `PathExplorer` for the arguments.

    Keys: layers (names), rows (names of blocks), domains, colors, nodes (by layer and candidate),
    steps, paths (index of the candidate, by snapshot, domain and layer), undecided (indices of
    layers, by snapshot and domain), unit and targets (of the cost; None: no targets).
    """
    names = dict.fromkeys(b for i in space.searched for b in space.layers[i].choices)
    domains = list(snapshots[-1])
    return {
        "layers": [layer.name for layer in space.layers],
        "rows": sorted(names, key=lambda n: n == ZERO),
        "domains": domains,
        "colors": plots.domain_variables(domains),
        "nodes": [_nodes(space, i, cost, private) for i in range(len(space.layers))],
        "steps": list(steps),
        "paths": [[candidates(space, paths[d]) for d in domains] for paths in snapshots],
        "undecided": [] if policies is None else _undecided(policies),
        "unit": cost.unit,
        "targets": None if targets is None else [float(targets[d]) for d in domains],
    }


def candidates(space: SearchSpace, path: Path) -> list[int]:
    """Return the index of the candidate in every layer."""
    return list(space.candidate_indices(path.choices))


def packed(policies: LayerPolicies) -> bytes:
    """Return probabilities as one byte each, by snapshot, domain, layer and candidate."""
    joined = np.concatenate(policies.probabilities, axis=-1)
    return np.rint(PARTS * joined).astype(np.uint8).tobytes()


def sizes(measured: PathSizes, domains: Sequence[str]) -> dict[str, Any]:
    """Return sizes of paths as the view shows them: lists have one value per domain."""
    return {
        "parameters": measured.parameters,
        "multiply_adds": measured.multiply_adds,
        "similarity": measured.similarity,
        "domains": [measured.domains[d] for d in domains],
        "costs": [measured.costs[d] for d in domains],
    }


def _undecided(policies: LayerPolicies) -> list[list[list[int]]]:
    return [[np.flatnonzero(row).tolist() for row in domains] for domains in policies.undecided]


def _nodes(
    space: SearchSpace, layer: int, cost: CostModel, private: PrivateLayers
) -> list[dict[str, Any]]:
    before = space.layers[layer - 1].widths if layer else (3,)
    after = space.layers[layer].widths
    owned = layer in private
    nodes = []
    for choice, name in enumerate(space.layers[layer].choices):
        use = space.use(layer, choice, before[-1], after[-1])
        about = "" if use is None else _about(use)
        if about and (len(before) > 1 or len(after) > 1):
            about += ", at its largest width"
        counted = None if use is None else use.cost
        nodes.append(
            {
                "block": name,
                "about": about,
                "copied": owned or space.is_private(layer, choice),
                "parameters": 0 if counted is None else counted.parameters,
                "multiply_adds": 0 if counted is None else counted.multiply_adds,
                "cost": None if use is None else _price(cost, use),
            }
        )
    return nodes


def _price(cost: CostModel, use: Use) -> float | None:
    """Return the cost of a node if it has one of its own that the card does not show anyway."""
    if hasattr(cost, "costs") or isinstance(cost, MultiplyAdds | Parameters):
        return None
    return float(cost.price(use))


def _in_words(block: Block) -> str:
    """Return a block and its settings in words: numbers, and what differs from the default."""
    if not dataclasses.is_dataclass(block):
        return block.name
    settings = []
    for setting in dataclasses.fields(block):
        value, name = getattr(block, setting.name), setting.name.replace("_", " ")
        if isinstance(value, bool) or not isinstance(value, int):
            if value != setting.default:
                settings.append(name if value is True else f"{name} {value}")
        else:
            settings.append(f"{name} {value}")
    words = block_text(block).partition("(")[0].rpartition(":")[2].replace("_", " ")
    return f"{words}, {', '.join(settings)}" if settings else words


def _about(use: Use) -> str:
    """Return a node in words, without its costs."""
    words = _in_words(use.block)
    if use.pointwise is not None:
        return f"{words}, a private copy but for the 1x1 convolutions of {use.pointwise.block}"
    if use.frozen:
        return f"{words}, frozen"
    return f"{words}, a private copy" if use.node.owner == OWN else words
