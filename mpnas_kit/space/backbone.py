"""Spaces around a known network, so that a search can begin with its weights (ours).

The original network is one path of such a space. Other candidates of a layer are smaller or larger
in kernel or hidden width, so their weights are slices of the same weights. A domain may share them,
or have a private copy.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

from typing_extensions import override

from mpnas_kit.errors import MpnasError, short
from mpnas_kit.space.block import Block
from mpnas_kit.space.blocks import Activation, Conv, InvertedBottleneck, PooledConv
from mpnas_kit.space.elastic import round8
from mpnas_kit.space.layers import ZERO, Decision, Layer, Path, Use
from mpnas_kit.space.layerwise import choice_index
from mpnas_kit.space.private import OwnCopy, OwnDepthwise
from mpnas_kit.space.space import Resolution, SearchSpace
from mpnas_kit.space.spaces import large_blocks
from mpnas_kit.values import require_type

Weights = Literal["shared", "depthwise", "own"]
WEIGHTS: tuple[Weights, ...] = ("shared", "depthwise", "own")  # whose weights a layer uses


@dataclass(frozen=True)
class Row:
    """A layer of a known network, and what the space offers in its place.

    name, stride, width: as in `Layer`.
    block: block of the network. An inverted bottleneck is searched, other blocks are not.
    kernels: kernels to choose from, with that of the network.
    hidden: numbers of hidden channels to choose from, ascending, with that of the network. If the
    block has an expansion, these are expansions.
    """

    name: str
    stride: int
    width: int
    block: Block
    kernels: tuple[int, ...] = ()
    hidden: tuple[int, ...] = ()

    def variants(self) -> list[tuple[str, str, InvertedBottleneck]]:
        """Return the blocks to choose from: words for kernel and hidden width, and the block."""
        block = self.block
        if not isinstance(block, InvertedBottleneck):
            return []
        found = []
        for kernel, hidden in product(self.kernels, self.hidden):
            if block.hidden is None:
                word, made = f"e{hidden}", replace(block, kernel=kernel, expansion=hidden)
            else:
                word, made = f"h{hidden}", replace(block, kernel=kernel, hidden=hidden)
            found.append((f"k{kernel}", word, made))
        return found


class BackboneSpace(SearchSpace):
    """A search space around a known network (ours).

    These are the decisions of a layer, if it offers more than one choice:

    - kernel and hidden width of its block;
    - whose weights it uses: `shared` with the other domains, `depthwise` (private depthwise
      convolution, batch norms and squeeze-and-excite, but shared 1x1 convolutions), or `own` (a
      private copy of the block);
    - whether it is skipped. Only a layer that keeps the shape of its map can be.

    The arch string has one word per searched layer, such as `k3e6`, `k3e6~` (depthwise), `k3e6*`
    (own) or `zero`.

    name: name of the space.
    rows: layers of the network, from input to output.
    resolution: height and width of the images, pixels.
    source: text form that creates the space again; None: it exists only in this process.

    Attributes: `original` is the path of the network itself.

    >>> around = mk.lite0(64)
    >>> around.original.arch.split()[:4]
    ['k3e1', 'k3e6', 'k3e6', 'k5e6']
    """

    original: Path

    def __init__(
        self, name: str, rows: Sequence[Row], resolution: int, source: str | None = None
    ) -> None:
        self._rows = tuple(rows)
        width, layers = 3, []
        decisions: list[Decision] = []
        self._choices: list[list[dict[str, str]]] = []  # of every candidate of a layer
        for index, row in enumerate(rows):
            optional = row.stride == 1 and row.width == width
            layer, choices = _layer(row, optional)
            layers.append(layer)
            self._choices.append(choices)
            decisions += _decisions(index, row, optional)
            width = row.width
        super().__init__(name, layers, resolution, decisions, source)
        self._index = {d.name: i for i, d in enumerate(self.decisions)}
        of_layers = [
            [place for place, d in enumerate(self.decisions) if d.layer == i]
            for i in range(len(layers))
        ]
        self._picks = [  # of every layer: places of its decisions, and the pick for their choices
            (places, _picks([self.decisions[p] for p in places], choices))
            for places, choices in zip(of_layers, self._choices, strict=True)
        ]
        words = [
            row.block.name
            for layer, row in zip(self.layers, rows, strict=True)
            if len(layer.candidates) > 1
        ]
        self.original = self.parse(" ".join(words))

    @override
    def candidate_indices(self, choices: Sequence[int]) -> tuple[int, ...]:
        return tuple(
            picks[tuple(choices[place] for place in places)] for places, picks in self._picks
        )

    @override
    def widths(self, choices: Sequence[int]) -> tuple[int, ...]:
        return tuple(layer.widths[0] for layer in self.layers)

    @override
    def active(self, choices: Sequence[int]) -> tuple[bool, ...]:
        pairs = list(zip(self.decisions, choices, strict=True))
        skipped = {d.layer for d, c in pairs if d.choices[c] == ZERO}
        return tuple(d.layer not in skipped or ZERO in d.choices for d in self.decisions)

    @override
    def arch(self, choices: Sequence[int]) -> str:
        picks = self.candidate_indices(choices)
        return " ".join(self.layers[i].choices[picks[i]] for i in self.searched)

    @override
    def parse(self, arch: str) -> Path:
        require_type(arch, str, "an arch string")
        words = arch.split()
        if len(words) != len(self.searched):
            raise MpnasError(
                f"arch string {short(arch)} has {len(words)} words: space {self.name!r} needs "
                f"{len(self.searched)}, one per searched layer."
            )
        chosen = [0] * len(self.decisions)
        for i, word in zip(self.searched, words, strict=True):
            layer = self.layers[i]
            pick = choice_index(Decision(layer.name, i, layer.choices), word)
            for part, choice in self._choices[i][pick].items():
                place = self._index.get(f"{layer.name}/{part}")
                if place is not None:
                    chosen[place] = self.decisions[place].choices.index(choice)
        return self.path(chosen)

    @override
    def extremes(self, price: Callable[[Use], float]) -> tuple[Path, Path]:
        found = []
        for best in (min, max):
            words = []
            for i in self.searched:
                layer, before = self.layers[i], self.layers[i - 1].widths[0] if i else 3
                uses = (
                    self.use(i, pick, before, layer.widths[0])
                    for pick in range(len(layer.candidates))
                )
                costs = [0.0 if use is None else price(use) for use in uses]
                words.append(layer.choices[costs.index(best(costs))])
            found.append(self.parse(" ".join(words)))
        return found[0], found[1]

    @override
    def uniform_paths(self) -> tuple[Path, ...]:
        """Return the original path, and the paths with one kernel and hidden width, all shared.

        If a layer does not have that kernel or as many hidden widths, it has its last ones.
        """
        kernels = max((row.kernels for row in self._rows), key=len)
        levels = max(len(row.hidden) for row in self._rows)
        paths = [self.original]
        for kernel, level in product(range(len(kernels)), range(levels)):
            words = []
            for i in self.searched:
                row = self._rows[i]
                at = min(kernel, len(row.kernels) - 1), min(level, len(row.hidden) - 1)
                words.append(row.variants()[at[0] * len(row.hidden) + at[1]][2].name)
            paths.append(self.parse(" ".join(words)))
        return tuple(dict.fromkeys(paths))


def _picks(
    decisions: Sequence[Decision], candidates: Sequence[dict[str, str]]
) -> dict[tuple[int, ...], int]:
    """Return the index of the candidate for all choices in the decisions of a layer.

    candidates: for every candidate the choices that it stands for.
    """
    found = {}
    names = [d.name.rpartition("/")[2] for d in decisions]
    for choices in product(*(range(len(d.choices)) for d in decisions)):
        pairs = zip(names, decisions, choices, strict=True)
        words = {name: d.choices[choice] for name, d, choice in pairs}
        found[choices] = candidates.index({"on": ZERO} if words.get("on") == ZERO else words)
    return found


def _layer(row: Row, optional: bool) -> tuple[Layer, list[dict[str, str]]]:
    """Return the layer of a row, and the choices that each candidate stands for."""
    variants = row.variants()
    if not variants:
        return Layer(row.name, row.stride, (row.width,), (row.block,)), [{}]
    candidates: list[Block | None] = []
    choices = []
    offered = {d.name.rpartition("/")[2] for d in _decisions(0, row, optional)}
    for (kernel, hidden, block), weights in product(variants, WEIGHTS):
        made: dict[Weights, Block] = {
            "shared": block,
            "depthwise": OwnDepthwise(block),
            "own": OwnCopy(block),
        }
        candidates.append(made[weights])
        words = {"on": "on", "kernel": kernel, "hidden": hidden, "weights": weights}
        choices.append({part: word for part, word in words.items() if part in offered})
    if optional:
        candidates.append(None)
        choices.append({"on": ZERO})
    return Layer(row.name, row.stride, (row.width,), tuple(candidates)), choices


def _decisions(index: int, row: Row, optional: bool) -> Iterator[Decision]:
    """Yield the decisions of a layer that have more than one choice."""
    variants = row.variants()
    if not variants:
        return
    choices = {
        "on": ("on", ZERO) if optional else ("on",),
        "kernel": tuple(dict.fromkeys(kernel for kernel, _, _ in variants)),
        "hidden": tuple(dict.fromkeys(hidden for _, hidden, _ in variants)),
        "weights": WEIGHTS,
    }
    for part, words in choices.items():
        if len(words) > 1:
            yield Decision(f"{row.name}/{part}", index, words)


def lite0(resolution: Resolution = 224) -> BackboneSpace:
    """Return the space around EfficientNet-Lite0, with 16 searched layers (ours).

    EfficientNet-Lite0 is EfficientNet-B0 (Tan and Le 2019, arXiv 1905.11946) without
    squeeze-and-excite, with ReLU6 and the padding of TensorFlow. A layer offers kernels 3 and 5 and
    expansions 3 and 6; see `BackboneSpace` for the rest. With 224 pixels and 1000 classes the
    original path has 4,652,008 parameters, classifier and batch norm included.

    resolution: height and width of the images, 1 to 4096 pixels.

    >>> around = mk.lite0()
    >>> around.cost(around.original).parameters
    3328992
    """
    table = (  # stage, kernel, expansion, width, stride, layers
        (1, 3, 1, 16, 1, 1),
        (2, 3, 6, 24, 2, 2),
        (3, 5, 6, 40, 2, 2),
        (4, 3, 6, 80, 2, 3),
        (5, 5, 6, 112, 1, 3),
        (6, 5, 6, 192, 2, 4),
        (7, 3, 6, 320, 1, 1),
    )
    act: Activation = "relu6"
    rows = [Row("stem", 2, 32, Conv(3, act, padding="same"))]
    for stage, kernel, expansion, width, stride, depth in table:
        block = InvertedBottleneck(kernel, expansion, activation=act, padding="same")
        hidden = (3, 6) if expansion > 1 else (1,)
        rows += [
            Row(f"{stage}.{i + 1}", stride if i == 0 else 1, width, block, (3, 5), hidden)
            for i in range(depth)
        ]
    rows.append(Row("head", 1, 1280, Conv(1, act)))
    return BackboneSpace("lite0", rows, resolution, "lite0")


def mobilenet_v3_large_like(resolution: Resolution = 224) -> BackboneSpace:
    """Return the space around MobileNetV3-Large: 15 searched layers (ours).

    A layer offers kernels 3 and 5, and half and all of the hidden channels; see `BackboneSpace` for
    the rest. The network: Howard et al. 2019, arXiv 1905.02244, table 1.

    resolution: height and width of the images, 1 to 4096 pixels.

    >>> around, large = mk.mobilenet_v3_large_like(), mk.mobilenet_v3_large()
    >>> around.cost(around.original) == large.cost(large.parse(""))
    True
    """
    rows = [Row("stem", 2, 16, Conv(3))]
    for name, stride, width, block in large_blocks():
        hidden = block.hidden or 0
        half = round8(hidden / 2)
        widths = (half, hidden) if hidden > rows[-1].width else (hidden,)
        rows.append(Row(name, stride, width, block, (3, 5), widths))
    rows.append(Row("head", 1, 960, Conv(1)))
    rows.append(Row("hidden", 1, 1280, PooledConv()))
    name = "mobilenet_v3_large_like"
    return BackboneSpace(name, rows, resolution, name)
