"""Maps of the choice probabilities of a search, one per domain.

`js/src/views/policy.js` draws them.
"""

from collections.abc import Sequence
from typing import Any

import anywidget
import numpy as np
import traitlets
from numpy.typing import NDArray

from mpnas_kit.space.space import SearchSpace
from mpnas_kit.widgets.lines import colors
from mpnas_kit.widgets.view import STYLE, script


class Policy(anywidget.AnyWidget):
    """Probability of every choice, one map per domain.

    space: search space of the search.
    domains: names of the domains, in order.
    of: names of all domains of the run, which set the colours. None: `domains`.

    domain: name of the domain that stands out; empty: none.
    node: [index of the layer, name of the block] that is marked; []: none.
    """

    _esm = script("policy.js")
    _css = STYLE
    content = traitlets.Dict().tag(sync=True)
    domain = traitlets.Unicode("").tag(sync=True)
    node: Any = traitlets.List().tag(sync=True)

    def __init__(
        self, space: SearchSpace, domains: Sequence[str], of: Sequence[str] | None = None
    ) -> None:
        super().__init__()
        self.decisions, self.domains = space.decisions, list(domains)
        self._choosable = [
            set(d.choices) <= set(space.layers[d.layer].choices) for d in space.decisions
        ]
        self._decisions = [
            {"name": d.name, "layer": d.layer, "choices": list(d.choices), "choosable": choosable}
            for d, choosable in zip(self.decisions, self._choosable, strict=True)
        ]
        self._colors = colors(self.domains, of)

    def show(self, policy: NDArray[np.float32], when: str) -> None:
        """Show probabilities, float32 (domains, decisions, choices). when: their step, in words."""
        parts = [
            row[: len(decision.choices)]
            for own in policy
            for row, decision in zip(own, self.decisions, strict=True)
        ]
        flat = np.concatenate(parts) if parts else np.zeros(0)
        self.content = {
            "domains": self.domains,
            "colors": self._colors,
            "decisions": self._decisions,
            "values": np.ascontiguousarray(flat, dtype="<f4").tobytes(),
            "when": when,
        }

    def place(self, node: Sequence[Any]) -> tuple[int, int] | None:
        """Return the indices of the decision and of the choice that stand for a node.

        node: (index of the layer, name of the block), or (). None: no decision stands for it.
        """
        for k, (decision, choosable) in enumerate(
            zip(self.decisions, self._choosable, strict=True)
        ):
            at_node = choosable and [decision.layer] == list(node[:1])
            if at_node and node[1] in decision.choices:
                return k, decision.choices.index(node[1])
        return None
