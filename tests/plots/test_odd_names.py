"""Names of blocks, layers and spaces may have any characters: figures show them as they are."""

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import dataclass, replace

import matplotlib.pyplot as plt
import pytest
from matplotlib.axes import Axes
from matplotlib.text import Text

from mpnas_kit import plots
from mpnas_kit.analysis.similarity import jaccard_matrix
from mpnas_kit.notebook import picture
from mpnas_kit.search.result import SearchResult
from mpnas_kit.space.blocks import Conv
from mpnas_kit.space.layers import Layer
from mpnas_kit.space.layerwise import LayerwiseSpace

ODD = (r"$\frac$", '$a_b^{c}$<i>&"--', "_{0}%s#")


@dataclass(frozen=True)
class OddConv(Conv):
    """A convolution with a name of its own."""

    called: str = "odd"

    @property
    def name(self) -> str:
        return self.called


@pytest.fixture
def odd(found: SearchResult) -> SearchResult:
    """The search `found`, in a space with odd names."""
    small, left, right = (OddConv(k, called=n) for k, n in zip((1, 1, 3), ODD, strict=True))
    stem, head = Layer("$st$", 2, (8,), (Conv(3),)), Layer(r"$\x$", 1, (16,), (Conv(1),))
    layers = (
        stem,
        Layer(r"$1\.1$", 1, (8,), (small, right)),
        Layer("$$", 1, (8,), (None, left, right)),
        head,
    )
    space = LayerwiseSpace(r"sp$\ace$", layers, resolution=8)
    paths = {d: space.path(p.choices) for d, p in found.paths.items()}
    return replace(found, space=space, paths=paths, cost_unit=r"$\cost$")


def test_figures_show_odd_names(odd: SearchResult) -> None:
    similarity = jaccard_matrix(odd.space, odd.paths, pairs=5)
    draws: list[Callable[[Axes | None], Axes]] = [
        lambda ax: plots.path_graph(odd.space, odd.paths, ax=ax),
        lambda ax: plots.two_paths(odd.space, odd.paths, "a", "b", ax),
        lambda ax: plots.policy_heatmap(odd, "a", ax),
        lambda ax: plots.policy_over_time(odd, "a", "$$", ax),
        lambda ax: plots.cost_bars(odd, ax),
        lambda ax: plots.jaccard(similarity, ax),
    ]
    shown = set()
    for draw in draws:
        for ax in (None, plt.subplots()[1]):
            drawn = draw(ax)
            figure = drawn.get_figure(root=True)
            assert figure is not None
            ElementTree.fromstring(picture.svg(figure, '<b>"'))
            texts = [t.get_text() for t in drawn.findobj(Text)]
            assert not any("mathdefault" in text for text in texts)
            shown.update(texts)
    assert set(ODD) <= shown and "$$" in shown


def test_legends_have_names_that_begin_with_an_underscore(odd: SearchResult) -> None:
    ax = plots.policy_over_time(odd, "a", "$$")
    legend = ax.get_legend()
    assert legend is not None
    names = [t.get_text().lstrip("\N{ZERO WIDTH SPACE}") for t in legend.get_texts()]
    assert names == ["_{0}%s#", '$a_b^{c}$<i>&"--', "zero  (chosen)"]
