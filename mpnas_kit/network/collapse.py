"""Which candidates of a layer can share one set of weights in a supernet.

TuNAS calls this operation collapsing (Bender et al. 2020, arXiv 2008.06120). A small kernel is the
centre of a large kernel. A narrow block has the first channels of a wide block. So a weight is
trained whenever a candidate that has it is sampled. Weights at the centre and in the first channels
are in all candidates. If one candidate of a family is sampled in a step, momentum and weight decay
act on all weights of the family.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from mpnas_kit.space.blocks import Block, Collapsible
from mpnas_kit.space.space import Node, Use


@dataclass(frozen=True)
class Family:
    """Nodes of one layer and owner that share the weights of one block, their hull.

    hull: block that has all weights of the family.
    nodes: the nodes, at least one.
    """

    hull: Block
    nodes: tuple[Node, ...]

    def joined(self, node: Node, block: Block) -> "Family | None":
        """Return the family with one more node, or None if the weights cannot be shared."""
        first = self.nodes[0]
        hull = self.hull.hull(block) if isinstance(self.hull, Collapsible) else None
        if hull is None or (first.layer, first.owner) != (node.layer, node.owner):
            return None
        return Family(hull, (*self.nodes, node))


def families(uses: Mapping[Node, Use]) -> list[Family]:
    """Return the families of at least two nodes. All other nodes have weights of their own.

    uses: for every node its use at the largest widths.
    """
    found: list[Family] = []
    for node, use in uses.items():
        for index, family in enumerate(found):
            larger = family.joined(node, use.block)
            if larger is not None:
                found[index] = larger
                break
        else:
            found.append(Family(use.block, (node,)))
    return [family for family in found if len(family.nodes) > 1]
