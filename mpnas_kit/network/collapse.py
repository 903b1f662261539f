"""Which candidates of a layer can have one set of weights in a supernet.

TuNAS (Bender et al. 2020) calls it operation collapsing: a small kernel is the centre of a large
one, a narrow block has the first channels of a wide one. A weight is then trained whenever a
candidate that has it is sampled, and the inner ones are in all candidates. Momentum and weight
decay act on all weights of the family in every step in which one of it is sampled.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from mpnas_kit.space.blocks import Block
from mpnas_kit.space.space import Node, Use


@dataclass(frozen=True)
class Family:
    """Nodes of one layer and owner that take their weights from one block, their hull."""

    hull: Block
    nodes: tuple[Node, ...]

    def joined(self, node: Node, block: Block) -> "Family | None":
        """With one more node; None where the weights do not go together."""
        first = self.nodes[0]
        hull = self.hull.hull(block)
        if hull is None or (first.layer, first.owner) != (node.layer, node.owner):
            return None
        return Family(hull, (*self.nodes, node))


def families(uses: Mapping[Node, Use]) -> list[Family]:
    """The families of two nodes and more; the other nodes have weights of their own."""
    found: list[Family] = []
    for node, use in uses.items():
        for place, family in enumerate(found):
            larger = family.joined(node, use.block)
            if larger is not None:
                found[place] = larger
                break
        else:
            found.append(Family(use.block, (node,)))
    return [family for family in found if len(family.nodes) > 1]
