"""The modules of a network's nodes, and those that only lend weights to them.

A node borrows weights in two cases: nodes of a layer that differ in size share one set of weights
(see `network.collapse`), and a node with a private depthwise convolution uses the 1x1 convolutions
of a shared node (`Use.pointwise`). A shared node that no path takes may lend as well.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from torch import nn

from mpnas_kit.errors import RaisedBy
from mpnas_kit.network.collapse import Family, borrower, families
from mpnas_kit.space.block import Block, PointwiseBorrower
from mpnas_kit.space.layers import OWN, Node, Use
from mpnas_kit.space.private import Pointwise
from mpnas_kit.space.private_layers import PrivateLayers

Build = Callable[[Block, Use, Sequence[str], bool], nn.Module]
"""Function: block, use, names of domains, whether its batch norms have statistics -> new module."""


def owned(node: Node, domain: str, private: PrivateLayers) -> Node:
    """Return the node that `domain` uses.

    It is a private copy in a private layer, and if the path has a node of its own there.
    """
    return node._replace(owner=domain) if node.layer in private or node.owner == OWN else node


@dataclass
class Modules:
    """The modules of a network.

    nodes: module of every node.
    lenders: modules that lend weights and are no nodes. Their names are those of the hull or block,
    with a tilde if they have 1x1 convolutions only, or lend all but these to private copies.
    """

    nodes: dict[Node, nn.Module] = field(default_factory=dict)
    lenders: dict[Node, nn.Module] = field(default_factory=dict)


def build_modules(
    uses: Mapping[Node, Use],
    users: Mapping[Node, Sequence[str]],
    private: PrivateLayers,
    collapse: bool,
    build: Build,
) -> Modules:
    """Return new modules for all nodes of a network.

    uses: use of every node at its largest widths.
    users: names of the domains of every node.
    private: layers in which each domain has nodes of its own.
    collapse: whether nodes of a layer that differ in size share one set of weights.
    build: builds a module.
    """
    made, lender_of = Modules(), dict[Node, nn.Module]()
    lends: dict[Node, Node] = {}  # for every node that borrows 1x1 convolutions: from which one
    plain: dict[Node, Use] = {}  # all other nodes, and those that only lend
    for node, use in uses.items():
        if use.pointwise is None:
            plain[node] = use
        else:
            lends[node] = owned(use.pointwise, node.owner, private)
    for node, lender in lends.items():
        if lender not in uses:
            use = uses[node]._replace(node=lender, pointwise=None)
            plain[lender] = plain.get(lender, use).covering(use)

    trained = {node: use for node, use in plain.items() if not use.frozen}
    for family in families(trained) if collapse else ():
        domains = _domains(family, users)
        module = (
            build(family.hull, family.use, domains, False)
            if domains
            else _pointwise(family.use, build)
        )
        made.lenders[_lender_key(family, "" if domains else "~")] = module
        lender_of |= dict.fromkeys(family.nodes, module)
    for node, use in plain.items():
        if node in uses:
            made.nodes[node] = _module(node, use, users[node], lender_of.get(node), build)
        elif node not in lender_of:
            made.lenders[node._replace(block=f"{node.block}~")] = _pointwise(use, build)

    groups: defaultdict[int, dict[Node, Use]] = defaultdict(dict)  # of nodes with one lender
    for node, shared in lends.items():
        if shared in lender_of:
            lender_of[node] = lender_of[shared]
        elif shared in made.nodes:
            lender_of[node] = made.nodes[shared]
        else:
            lender_of[node] = made.lenders[shared._replace(block=f"{shared.block}~")]
        groups[id(lender_of[node])][node] = uses[node]
    hull_of: dict[Node, nn.Module] = {}
    for group in groups.values():
        for family in families(group) if collapse else ():
            module = build(family.hull, family.use, _domains(family, users), False)
            _borrow_pointwise(module, lender_of[family.nodes[0]])
            made.lenders[_lender_key(family, "~")] = module
            hull_of |= dict.fromkeys(family.nodes, module)
    for node in lends:
        made.nodes[node] = _module(node, uses[node], users[node], hull_of.get(node), build)
        if node not in hull_of:
            _borrow_pointwise(made.nodes[node], lender_of[node])
    return made


def _module(
    node: Node, use: Use, domains: Sequence[str], lender: nn.Module | None, build: Build
) -> nn.Module:
    make = partial(build, use.block, use, domains, True)
    if lender is None:
        return make()
    with RaisedBy(lambda: f"borrow of block {node.block!r} in layer {node.layer} (from 0)"):
        return borrower(make, lender)


def _domains(family: Family, users: Mapping[Node, Sequence[str]]) -> list[str]:
    """Return the domains of all nodes of a family that are in the network."""
    return list(dict.fromkeys(d for node in family.nodes for d in users.get(node, ())))


def _lender_key(family: Family, suffix: str) -> Node:
    return family.nodes[0]._replace(block=f"{family.hull.name}{suffix}")


def _pointwise(use: Use, build: Build) -> nn.Module:
    """Return a module with the 1x1 convolutions of a block."""
    return build(Pointwise(use.block), use, (), False)  # type: ignore[arg-type]


def _borrow_pointwise(module: nn.Module, lender: nn.Module) -> None:
    assert isinstance(module, PointwiseBorrower)
    module.borrow_pointwise(lender)
