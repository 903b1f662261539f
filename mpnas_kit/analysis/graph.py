"""The search space as a graph, with the path of every domain through it."""

from collections import Counter, defaultdict
from collections.abc import Mapping

import networkx as nx

from mpnas_kit.analysis.sharing import usage
from mpnas_kit.errors import MpnasError
from mpnas_kit.space.layers import OWN, ZERO, Node, Path
from mpnas_kit.space.space import SearchSpace


def architecture_graph(space: SearchSpace, paths: Mapping[str, Path]) -> nx.DiGraph:
    """Return the search space and the domains' paths as a directed graph.

    space: the search space.
    paths: path of every domain, at least one.

    Vertices are `Node(layer, block)`, one per candidate of every layer. Those of private copies
    have the owner `*`. A layer that may be skipped also has the vertex `Node(layer, "zero")`, and
    the paths that skip the layer pass through it. Attributes of a vertex:

        layer: index of the layer, from 0.
        layer_name, block: names.
        searched: whether the layer has more than one choice.
        users: domains whose paths pass through it, in the order of `paths`.
        kind: `shared` (one node of two or more users), `private` (one user, or each user has a copy
        of its own), `unused` (no user); `skip` for `zero`.

    Edges connect every vertex of a layer with every vertex of the next one. Attributes of an edge:

        domains: domains whose paths take it, in the order of `paths`.
        possible: True for every edge.

    Attributes of the graph: space (name of the space), domains. Raises `MpnasError` if `paths` is
    empty.

    >>> graph = mk.analysis.architecture_graph(space, paths)
    >>> graph.graph["domains"]
    ('planted0', 'planted1')
    """
    if not paths:
        raise MpnasError("architecture_graph got no paths: expected one path per domain.")
    for path in paths.values():
        space.require(path)
    graph = nx.DiGraph(space=space.name, domains=tuple(paths))
    chosen = {d: _vertices(space, p) for d, p in paths.items()}
    users = usage(space, paths, all_layers=True)
    for i, layer in enumerate(space.layers):
        for pick, block in enumerate(layer.choices):
            node = space.candidate_node(i, pick)
            passing = tuple(d for d in paths if chosen[d][i] == node)
            graph.add_node(
                node,
                layer=i,
                layer_name=layer.name,
                block=block,
                searched=i in space.searched,
                users=passing,
                kind="skip" if block == ZERO else _kind(node, len(users[node])),
            )
    taken: dict[tuple[Node, Node], list[str]] = defaultdict(list)
    for domain, vertices in chosen.items():
        for edge in zip(vertices, vertices[1:], strict=False):
            taken[edge].append(domain)
    for i, layer in enumerate(space.layers[1:], start=1):
        for before in range(len(space.layers[i - 1].choices)):
            for after in range(len(layer.choices)):
                edge = space.candidate_node(i - 1, before), space.candidate_node(i, after)
                graph.add_edge(*edge, possible=True, domains=tuple(taken[edge]))
    return graph


def count_kinds(graph: nx.DiGraph) -> Counter[str]:
    """Return the number of nodes of every kind. Each user of a private copy has one of its own."""
    kinds = Counter[str]()
    for _, facts in graph.nodes(data=True):
        kinds[facts["kind"]] += len(facts["users"]) if facts["kind"] == "private" else 1
    return kinds


def _vertices(space: SearchSpace, path: Path) -> list[Node]:
    """Return the vertex in every layer that a path passes through."""
    picks = enumerate(space.candidate_indices(path.choices))
    return [space.candidate_node(layer, pick) for layer, pick in picks]


def _kind(node: Node, users: int) -> str:
    if users == 0:
        return "unused"
    return "private" if users == 1 or node.owner == OWN else "shared"
