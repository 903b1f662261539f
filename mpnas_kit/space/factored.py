"""The full MobileNetV3-like space: several decisions per layer, and a searched width per stage."""

from collections.abc import Callable, Iterator, Sequence
from itertools import product

from typing_extensions import override

from mpnas_kit.errors import MpnasError, short
from mpnas_kit.space.block import Block
from mpnas_kit.space.blocks import Activation, Conv, InvertedBottleneck, PooledConv, SeparableConv
from mpnas_kit.space.layers import ZERO, Decision, Layer, Path, Use
from mpnas_kit.space.layerwise import choice_index
from mpnas_kit.space.space import Resolution, SearchSpace
from mpnas_kit.values import require_type

KERNELS = (3, 5, 7)
EXPANSIONS = (1, 2, 3, 4, 5, 6)
WIDTH_MULTIPLIERS = (0.5, 0.625, 0.75, 1.0, 1.25, 1.5, 2.0)
STAGES = ((16, 2), (32, 2), (64, 2), (128, 1), (256, 2))  # base width, stride
LAYERS_PER_STAGE = 4  # the first layer has the stride, the other three are optional
_PARTS = ("kernel", "expansion", "se")  # decisions about a block
FIRST = 2  # index of the first layer of stage 1; stem and separable layer come before it


def mobilenet_v3_like(resolution: Resolution = 224) -> "FactoredSpace":
    """Return the MobileNetV3-like search space of TuNAS (Bender et al. 2020, arXiv 2008.06120).

    It has 20 layers of inverted bottlenecks in 5 stages. These are the decisions:

    - per layer: kernel 3, 5 or 7; expansion 1 to 6; squeeze-and-excite or not; for the last three
      layers of a stage also whether the layer is skipped;
    - per stage: output width, 0.5 to 2 times the base width 16, 32, 64, 128 or 256;
    - kernel of the stem, 3 or 5, and whether a separable layer follows it.

    The stem and all stages except stage 4 have stride 2. Blocks of stages 1 and 2 have ReLU, those
    of stages 3 to 5 hard-swish.

    resolution: height and width of the images, 1 to 4096 pixels.

    >>> large = mk.mobilenet_v3_like(64)
    >>> len(large.searched), len(large.decisions)
    (22, 82)
    """
    return FactoredSpace("mobilenet_v3_like", resolution)


class FactoredSpace(SearchSpace):
    """The search space that `mobilenet_v3_like` returns.

    A node is a layer with a kernel, an expansion, and squeeze-and-excite or not. Its tensors have
    the largest width and are sliced.

    The arch string has one word per searched layer: `conv5`, `sep3`, `k5e3se` or `zero`. The width
    of a stage, such as `x1.25`, comes before its layers.

    name: name and text form of the space.
    resolution: height and width of the images, pixels.
    """

    def __init__(self, name: str, resolution: int) -> None:
        super().__init__(name, tuple(_layers()), resolution, tuple(_decisions()), name)
        self._index = {d.name: i for i, d in enumerate(self.decisions)}

    def _chosen(self, choices: Sequence[int], name: str) -> str | None:
        """Return the choice in the decision called `name`, or None if there is no such decision."""
        index = self._index.get(name)
        return None if index is None else self.decisions[index].choices[choices[index]]

    def _word(self, choices: Sequence[int], layer: Layer) -> str:
        if self._chosen(choices, f"{layer.name}/on") == ZERO:
            return ZERO
        parts = (self._chosen(choices, f"{layer.name}/{p}") for p in _PARTS)
        word = "".join(p for p in parts if p and p != "plain")
        return word or self._chosen(choices, layer.name) or layer.choices[0]

    @override
    def candidate_indices(self, choices: Sequence[int]) -> tuple[int, ...]:
        return tuple(x.choices.index(self._word(choices, x)) for x in self.layers)

    @override
    def widths(self, choices: Sequence[int]) -> tuple[int, ...]:
        decisions = (self._width_decision(i) for i in range(len(self.layers)))
        return tuple(
            layer.widths[0 if decision is None else choices[decision]]
            for layer, decision in zip(self.layers, decisions, strict=True)
        )

    def _width_decision(self, layer: int) -> int | None:
        """Return the index of the decision of a layer's width, or None if it has one width."""
        return self._index.get(f"stage{(layer - FIRST) // LAYERS_PER_STAGE + 1}/width")

    @override
    def decisions_of(self, layer: int) -> tuple[int, ...]:
        own = (i for i, d in enumerate(self.decisions) if d.layer == layer)
        widths = (self._width_decision(i) for i in (layer - 1, layer))
        return tuple(dict.fromkeys([*own, *(i for i in widths if i is not None)]))

    @override
    def active(self, choices: Sequence[int]) -> tuple[bool, ...]:
        skipped = {
            d.layer for d, c in zip(self.decisions, choices, strict=True) if d.choices[c] == ZERO
        }
        return tuple(
            d.layer not in skipped or ZERO in d.choices or d.name.endswith("/width")
            for d in self.decisions
        )

    @override
    def arch(self, choices: Sequence[int]) -> str:
        """Return the arch string: one word per searched layer and one per stage (its width)."""
        words = []
        for i, layer in enumerate(self.layers):
            if len(layer.candidates) == 1:
                continue
            stage, index = divmod(i - FIRST, LAYERS_PER_STAGE)
            if stage >= 0 and index == 0:
                words.append(str(self._chosen(choices, f"stage{stage + 1}/width")))
            words.append(self._word(choices, layer))
        return " ".join(words)

    @override
    def parse(self, arch: str) -> Path:
        require_type(arch, str, "an arch string")
        words = arch.split()
        expected = len(self.searched) + len(STAGES)
        if len(words) != expected:
            raise MpnasError(
                f"arch string {short(arch)} has {len(words)} words: space {self.name!r} needs "
                f"{expected}, one per searched layer and one per stage."
            )
        remaining = iter(words)
        chosen: dict[str, str] = {}
        for i in self.searched:
            layer = self.layers[i]
            stage, index = divmod(i - FIRST, LAYERS_PER_STAGE)
            if stage >= 0 and index == 0:
                chosen[f"stage{stage + 1}/width"] = next(remaining)
            word = next(remaining)
            pick = choice_index(Decision(layer.name, i, layer.choices), word)
            chosen |= _parts(layer, layer.candidates[pick], word)
        return self.path(
            [choice_index(d, chosen[d.name]) if d.name in chosen else 0 for d in self.decisions]
        )

    @override
    def extremes(self, price: Callable[[Use], float]) -> tuple[Path, Path]:
        """Return the path with the smallest choice in every decision, and with the largest.

        These are the cheapest and the most expensive path if the price grows with width, kernel,
        expansion and squeeze-and-excite. `price` itself is not called.
        """
        small = [d.choices.index(ZERO) if ZERO in d.choices else 0 for d in self.decisions]
        large = [
            1 - d.choices.index(ZERO) if ZERO in d.choices else len(d.choices) - 1
            for d in self.decisions
        ]
        return self.path(small), self.path(large)

    @override
    def uniform_paths(self) -> tuple[Path, ...]:
        blocks = product((f"k{k}" for k in KERNELS), (f"e{e}" for e in EXPANSIONS), ("plain", "se"))
        return tuple(self._uniform(dict(zip(_PARTS, block, strict=True))) for block in blocks)

    def _uniform(self, block: dict[str, str]) -> Path:
        choice = {**block, "width": "x1", "on": "on"}
        kinds = [d.name.partition("/")[2] for d in self.decisions]
        return self.path(
            [
                d.choices.index(choice[kind]) if kind else 0
                for d, kind in zip(self.decisions, kinds, strict=True)
            ]
        )

    @override
    def width_pairs(self, layer: int) -> Iterator[tuple[int, int]]:
        stage, index = divmod(layer - FIRST, LAYERS_PER_STAGE)
        if 0 <= stage < len(STAGES) and index > 0:  # the layers of a stage have one width
            yield from ((width, width) for width in self.layers[layer].widths)
        else:
            yield from super().width_pairs(layer)

    @override
    def widest(self, path: Path) -> Path:
        largest = len(WIDTH_MULTIPLIERS) - 1
        pairs = zip(self.decisions, path.choices, strict=True)
        return self.path([largest if d.name.endswith("/width") else c for d, c in pairs])


def _layers() -> Iterator[Layer]:
    yield Layer("stem", 2, (16,), (Conv(3), Conv(5)), counts=False)
    yield Layer("separable", 1, (16,), (SeparableConv(3), None))
    for stage, (base, stride) in enumerate(STAGES, start=1):
        activation: Activation = "hardswish" if stage > len(STAGES) // 2 else "relu"
        widths = tuple(int(base * m) for m in WIDTH_MULTIPLIERS)
        blocks: tuple[Block, ...] = tuple(
            InvertedBottleneck(k, e, se, activation)
            for k in KERNELS
            for e in EXPANSIONS
            for se in (False, True)
        )
        yield Layer(f"{stage}.1", stride, widths, blocks)
        for index in range(1, LAYERS_PER_STAGE):
            yield Layer(f"{stage}.{index + 1}", 1, widths, (*blocks, None))
    yield Layer("head", 1, (512,), (Conv(1),))
    yield Layer("hidden", 1, (1024,), (PooledConv(),))


def _decisions() -> Iterator[Decision]:
    for i, layer in enumerate(_layers()):
        stage, index = divmod(i - FIRST, LAYERS_PER_STAGE)
        if i < FIRST:
            yield Decision(layer.name, i, layer.choices)
        elif stage < len(STAGES):
            if index == 0:
                multipliers = tuple(f"x{m:g}" for m in WIDTH_MULTIPLIERS)
                yield Decision(f"stage{stage + 1}/width", i, multipliers)
            else:
                yield Decision(f"{layer.name}/on", i, ("on", ZERO))
            yield Decision(f"{layer.name}/kernel", i, tuple(f"k{k}" for k in KERNELS))
            yield Decision(f"{layer.name}/expansion", i, tuple(f"e{e}" for e in EXPANSIONS))
            yield Decision(f"{layer.name}/se", i, ("plain", "se"))


def _parts(layer: Layer, block: Block | None, word: str) -> dict[str, str]:
    """Return the choices that the word of a layer stands for, by the name of the decision."""
    if block is None and word == ZERO and len(layer.candidates) > 2:
        return {f"{layer.name}/on": ZERO}
    if not isinstance(block, InvertedBottleneck):
        return {layer.name: word}
    return {
        f"{layer.name}/on": "on",
        f"{layer.name}/kernel": f"k{block.kernel}",
        f"{layer.name}/expansion": f"e{block.expansion}",
        f"{layer.name}/se": "se" if block.se else "plain",
    }
