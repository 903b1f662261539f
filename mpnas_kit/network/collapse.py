"""Which candidates of a layer can share one set of weights.

TuNAS calls this operation collapsing (Bender et al. 2020, arXiv 2008.06120). A small kernel is the
centre of a large kernel. A narrow block has the first channels of a wide block, and so has its
squeeze-and-excite. So a weight is trained whenever a candidate that has it is sampled. Weights at
the centre and in the first channels are in all candidates. If one candidate of a family is sampled
in a step, momentum and weight decay act on all weights of the family.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import nn

from mpnas_kit.space.block import Block, Collapsible, lend
from mpnas_kit.space.blocks import InvertedBottleneck
from mpnas_kit.space.layers import Node, Use


@dataclass(frozen=True)
class Family:
    """Nodes of one layer and owner that share the weights of one block, their hull.

    hull: block that has all weights of the family.
    use: how the network uses the hull.
    nodes: the nodes, at least one.
    """

    hull: Block
    use: Use
    nodes: tuple[Node, ...]

    def joined(self, node: Node, use: Use) -> "Family | None":
        """Return the family with one more node of its layer and owner.

        Return None if the weights cannot be shared.
        """
        hull = self.hull.hull(use.block) if isinstance(self.hull, Collapsible) else None
        if hull is None:
            return None
        return Family(hull, self.use.covering(use)._replace(block=hull), (*self.nodes, node))


def families(uses: Mapping[Node, Use]) -> list[Family]:
    """Return the families of at least two nodes. All other nodes have weights of their own.

    uses: for every node its use at the largest widths.
    """
    found: list[Family] = []
    places: defaultdict[tuple[Any, ...], list[int]] = defaultdict(list)  # of a kind of nodes
    for node, use in uses.items():
        block = use.block
        expands = isinstance(block, InvertedBottleneck) and block.expands(use.in_channels)
        own = places[node.layer, node.owner, use.pointwise is None, expands]
        for place in own:
            larger = found[place].joined(node, use)
            if larger is not None:
                found[place] = larger
                break
        else:
            own.append(len(found))
            found.append(Family(block, use, (node,)))
    return [family for family in found if len(family.nodes) > 1]


def borrower(build: Callable[[], nn.Module], lender: nn.Module) -> nn.Module:
    """Return a new module that uses the weights of `lender`.

    It is built on the meta device, where weights take neither time nor memory. If it keeps some of
    its own, it is built again with them.

    build: returns the module each time anew.
    """
    with torch.device("meta"):
        module = build()
    lend(lender, module)
    if any(tensor.is_meta for tensor in chain(module.parameters(), module.buffers())):
        module = build()
        lend(lender, module)
    return module
