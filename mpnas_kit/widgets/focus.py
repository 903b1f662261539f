"""What is chosen in an explorer, and in all explorers of an app at once."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import anywidget
import traitlets

from mpnas_kit import plots
from mpnas_kit.errors import MpnasError, unknown
from mpnas_kit.settings import require
from mpnas_kit.space.layers import Node
from mpnas_kit.space.space import SearchSpace
from mpnas_kit.widgets.view import STYLE, script


class Selected(NamedTuple):
    """What is chosen. None: nothing.

    domain: name of a domain.
    pair: names of two domains.
    node: a node of the search space.
    search_step: step of the search, from 0.
    train_step: step of the training, from 0.
    """

    domain: str | None = None
    pair: tuple[str, str] | None = None
    node: Node | None = None
    search_step: int | None = None
    train_step: int | None = None


class Focus(traitlets.HasTraits):
    """The choice that several explorers share: each writes to it, and each follows it.

    domains: names of all domains.
    space: search space, for nodes; None: no node can be chosen.

    These attributes can be read, set and observed. An invalid value raises `MpnasError`.
    domain: name of a domain; empty: none.
    pair: names of two domains; (): none.
    node: (index of the layer, name of the block); (): none.
    search_step, train_step: a step of the search, and one of the training; None: none.

    >>> focus = mk.widgets.Focus(["digits", "letters"])
    >>> focus.domain = "digits"
    >>> focus.selected.domain
    'digits'
    """

    domain = traitlets.Unicode("")
    pair: Any = traitlets.Tuple()
    node: Any = traitlets.Tuple()
    search_step = traitlets.Int(None, allow_none=True)
    train_step = traitlets.Int(None, allow_none=True)

    def __init__(self, domains: Sequence[str], space: SearchSpace | None = None) -> None:
        super().__init__()
        self.domains, self.space = list(domains), space

    @property
    def selected(self) -> Selected:
        """What is chosen, as a value that does not change."""
        node = None
        if self.node and self.space is not None:
            layer, block = self.node
            node = self.space.candidate_node(layer, self.space.layers[layer].choices.index(block))
        return Selected(
            self.domain or None, self.pair or None, node, self.search_step, self.train_step
        )

    def clear(self) -> None:
        """Choose nothing."""
        with self.hold_trait_notifications():
            self.domain, self.pair, self.node = "", (), ()
            self.search_step = self.train_step = None

    def code(self, name: str, traits: Sequence[str], domains: Sequence[str]) -> list[str]:
        """Return the lines of Python that choose the same in an explorer of its own.

        name: how the code reaches the explorer, such as `monitor`.
        traits: attributes of the choice that the explorer follows.
        domains: domains that the explorer has; others are left out.
        """
        chosen = {trait: getattr(self, trait) for trait in traits}
        if self.domain not in domains:
            chosen.pop("domain", None)
        if not set(self.pair) <= set(domains):
            chosen.pop("pair", None)
        return [f"{name}.focus.{k} = {v!r}" for k, v in chosen.items() if v not in ("", (), None)]

    @traitlets.validate("domain")
    def _known(self, proposal: Any) -> str:
        if proposal["value"] not in ("", *self.domains):
            raise unknown("domain", proposal["value"], self.domains)
        return str(proposal["value"])

    @traitlets.validate("pair")
    def _two(self, proposal: Any) -> tuple[str, ...]:
        pair = tuple(proposal["value"])
        for name in pair:
            if name not in self.domains:
                raise unknown("domain", name, self.domains)
        require(
            len(pair) in (0, 2) and len(set(pair)) == len(pair),
            f"pair must be two different domains, or (), not {pair}.",
        )
        return pair

    @traitlets.validate("node")
    def _there(self, proposal: Any) -> tuple[Any, ...]:
        node = tuple(proposal["value"])
        if not node:
            return ()
        layers = [] if self.space is None else self.space.layers
        layer, block = node if len(node) == 2 else (-1, "")
        require(
            isinstance(layer, int)
            and layer in range(len(layers))
            and block in layers[layer].choices,
            f"node must be (index of a layer, name of a block) of the space, or (), not {node}.",
        )
        return node

    @traitlets.validate("search_step", "train_step")
    def _from_0(self, proposal: Any) -> int | None:
        step: int | None = proposal["value"]
        if step is not None and step < 0:
            raise MpnasError(
                f"{proposal['trait'].name} must be a step, from 0, or None, not {step}."
            )
        return step


class FocusBar(anywidget.AnyWidget):
    """A line that shows the choice of a `Focus`, with a button per domain.

    focus: choice to show and to change.
    """

    _esm = script("focus.js")
    _css = STYLE
    domains = traitlets.List(traitlets.Unicode()).tag(sync=True)
    colors = traitlets.Dict().tag(sync=True)
    domain = traitlets.Unicode("").tag(sync=True)
    pair: Any = traitlets.List().tag(sync=True)
    node: Any = traitlets.List().tag(sync=True)
    search_step = traitlets.Int(None, allow_none=True).tag(sync=True)
    train_step = traitlets.Int(None, allow_none=True).tag(sync=True)

    def __init__(self, focus: Focus) -> None:
        super().__init__(domains=focus.domains, colors=plots.domain_variables(focus.domains))
        self.focus = focus
        names = ["domain", "pair", "node", "search_step", "train_step"]
        focus.observe(lambda change: self._follow(), names)
        self.observe(lambda change: self._choose(), names)
        self._follow()

    def _follow(self) -> None:
        focus = self.focus
        named = [focus.space.layers[focus.node[0]].name] if focus.node and focus.space else []
        with self.hold_trait_notifications():
            self.domain, self.pair = focus.domain, list(focus.pair)
            self.node = [*focus.node, *named]
            self.search_step, self.train_step = focus.search_step, focus.train_step

    def _choose(self) -> None:
        with self.focus.hold_trait_notifications():
            self.focus.domain, self.focus.pair = self.domain, tuple(self.pair)
            self.focus.node = tuple(self.node[:2])
            self.focus.search_step, self.focus.train_step = self.search_step, self.train_step
