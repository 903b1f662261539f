"""The searched architecture as a graph: what could be chosen, and what the domains chose."""

from collections import defaultdict
from collections.abc import Mapping

import networkx as nx

from mpnas_kit.analysis.sharing import usage
from mpnas_kit.errors import MpnasError
from mpnas_kit.space.space import ZERO, Node, Path, SearchSpace


def architecture_graph(space: SearchSpace, paths: Mapping[str, Path]) -> nx.DiGraph:
    """The space and the domains' paths through it as a directed graph, layer by layer.

    Vertices are `Node(layer, block)`, one for every candidate of every layer; a layer that may be
    skipped also has `Node(layer, "zero")`, through which the paths go that skip it. Attributes:
    layer (index), layer_name, block, searched (whether the layer has anything to choose), users
    (domains, in the order of `paths`), kind: `shared` (two domains or more), `private` (one),
    `unused`, or `skip` for `zero`.

    Edges run from every vertex of a layer to every vertex of the next: all of them are possible.
    Attributes: domains (those that take it, in the order of `paths`), possible (True).

    Raises `MpnasError` where there are no paths.
    """
    if not paths:
        raise MpnasError("architecture_graph got no paths: it needs one a domain, at least one.")
    graph = nx.DiGraph(space=space.name, domains=tuple(paths))
    chosen = {d: _vertices(space, p) for d, p in paths.items()}
    users = usage(space, paths, all_layers=True)
    for i, layer in enumerate(space.layers):
        for block in layer.choices:
            node = Node(i, block)
            on_it = tuple(d for d in paths if chosen[d][i] == node)
            graph.add_node(
                node,
                layer=i,
                layer_name=layer.name,
                block=block,
                searched=i in space.searched,
                users=on_it,
                kind="skip" if block == ZERO else _kind(len(users[node])),
            )
    taken: dict[tuple[Node, Node], list[str]] = defaultdict(list)
    for domain, vertices in chosen.items():
        for edge in zip(vertices, vertices[1:], strict=False):
            taken[edge].append(domain)
    for i, layer in enumerate(space.layers[1:], start=1):
        for before in space.layers[i - 1].choices:
            for after in layer.choices:
                edge = Node(i - 1, before), Node(i, after)
                graph.add_edge(*edge, possible=True, domains=tuple(taken[edge]))
    return graph


def _vertices(space: SearchSpace, path: Path) -> list[Node]:
    """The vertex of every layer that a path goes through."""
    picks = space.picks(path.choices)
    return [Node(i, x.choices[k]) for i, (x, k) in enumerate(zip(space.layers, picks, strict=True))]


def _kind(users: int) -> str:
    return "unused" if users == 0 else "private" if users == 1 else "shared"
