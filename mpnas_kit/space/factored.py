"""The full MobileNetV3-like space: several decisions a layer, a searched width a stage."""

from collections.abc import Iterator, Sequence
from itertools import product

from mpnas_kit.errors import MpnasError
from mpnas_kit.space.blocks import (
    Activation,
    Block,
    Conv,
    InvertedBottleneck,
    PooledConv,
    SeparableConv,
)
from mpnas_kit.space.space import ZERO, Decision, Layer, Measure, Path, SearchSpace, choice_index

KERNELS = (3, 5, 7)
EXPANSIONS = (1, 2, 3, 4, 5, 6)
WIDTH_MULTIPLIERS = (0.5, 0.625, 0.75, 1.0, 1.25, 1.5, 2.0)
STAGES = ((16, 2), (32, 2), (64, 2), (128, 1), (256, 2))  # base width, stride
LAYERS_A_STAGE = 4  # one strided, the others optional
_PARTS = ("kernel", "expansion", "se")  # of a block, as decisions are named
FIRST = 2  # the index of the first stage's first layer: behind the stem and the separable layer


def mobilenet_v3_like(resolution: int = 224) -> "FactoredSpace":
    """The MobileNetV3-like space of TuNAS (Bender et al. 2020, arXiv 2008.06120, section 4).

    20 searched bottleneck layers in 5 stages; a layer decides kernel, expansion,
    squeeze-and-excite and, where optional, whether it is there; a stage decides its width.
    Kernel of the stem and presence of a separable layer behind it are decided too.
    """
    return FactoredSpace("mobilenet_v3_like", resolution)


class FactoredSpace(SearchSpace):
    """See `mobilenet_v3_like`. A node is (layer, kernel, expansion, squeeze-and-excite).

    A node's tensors hold its largest width and are sliced. Arch string: a word a searched layer
    (`conv5`, `sep3`, `k5e3se`, `zero`), and before the layers of a stage its width, `x1.25`.
    """

    def __init__(self, name: str, resolution: int) -> None:
        super().__init__(name, tuple(_layers()), resolution, tuple(_decisions()))
        self._index = {d.name: i for i, d in enumerate(self.decisions)}

    def _chosen(self, choices: Sequence[int], name: str) -> str | None:
        """The choice made in the decision called `name`; None where there is no such decision."""
        index = self._index.get(name)
        return None if index is None else self.decisions[index].choices[choices[index]]

    def _word(self, choices: Sequence[int], layer: Layer) -> str:
        if self._chosen(choices, f"{layer.name}/on") == ZERO:
            return ZERO
        parts = (self._chosen(choices, f"{layer.name}/{p}") for p in _PARTS)
        word = "".join(p for p in parts if p and p != "plain")
        return word or self._chosen(choices, layer.name) or layer.choices[0]

    def picks(self, choices: Sequence[int]) -> tuple[int, ...]:
        """For every layer the index of its candidate."""
        return tuple(x.choices.index(self._word(choices, x)) for x in self.layers)

    def widths(self, choices: Sequence[int]) -> tuple[int, ...]:
        """For every layer its output width."""
        result = [self.layers[0].widths[0], self.layers[1].widths[0]]
        for i, layer in enumerate(self.layers[FIRST:]):
            decision = self._index.get(f"stage{i // LAYERS_A_STAGE + 1}/width")
            result.append(layer.widths[0 if decision is None else choices[decision]])
        return tuple(result)

    def active(self, choices: Sequence[int]) -> tuple[bool, ...]:
        """False for the inner decisions of a skipped layer."""
        skipped = {
            d.layer for d, c in zip(self.decisions, choices, strict=True) if d.choices[c] == ZERO
        }
        return tuple(
            d.layer not in skipped or ZERO in d.choices or d.name.endswith("/width")
            for d in self.decisions
        )

    def arch(self, choices: Sequence[int]) -> str:
        """See the class."""
        words = []
        for i, layer in enumerate(self.layers):
            if len(layer.candidates) == 1:
                continue
            stage, index = divmod(i - FIRST, LAYERS_A_STAGE)
            if stage >= 0 and index == 0:
                words.append(str(self._chosen(choices, f"stage{stage + 1}/width")))
            words.append(self._word(choices, layer))
        return " ".join(words)

    def parse(self, arch: str) -> Path:
        """The path written as `arch`."""
        words = arch.split()
        expected = len(self.searched) + len(STAGES)
        if len(words) != expected:
            raise MpnasError(
                f"arch string {arch!r} has {len(words)} words: {self.name!r} needs {expected}."
            )
        remaining = iter(words)
        made: dict[str, str] = {}
        for i in self.searched:
            layer = self.layers[i]
            stage, index = divmod(i - FIRST, LAYERS_A_STAGE)
            if stage >= 0 and index == 0:
                made[f"stage{stage + 1}/width"] = next(remaining)
            word = next(remaining)
            pick = choice_index(Decision(layer.name, i, layer.choices), word)
            made |= _parts(layer, layer.candidates[pick], word)
        return self.path(
            [choice_index(d, made[d.name]) if d.name in made else 0 for d in self.decisions]
        )

    def extremes(self, measure: Measure = "multiply_adds") -> tuple[Path, Path]:
        """Everything smallest and skipped; everything largest and there."""
        small = [d.choices.index(ZERO) if ZERO in d.choices else 0 for d in self.decisions]
        large = [
            1 - d.choices.index(ZERO) if ZERO in d.choices else len(d.choices) - 1
            for d in self.decisions
        ]
        return self.path(small), self.path(large)

    def alike(self) -> tuple[Path, ...]:
        """One path for every kernel, expansion and squeeze-and-excite, at the base widths."""
        blocks = product((f"k{k}" for k in KERNELS), (f"e{e}" for e in EXPANSIONS), ("plain", "se"))
        return tuple(self._alike(dict(zip(_PARTS, block, strict=True))) for block in blocks)

    def _alike(self, block: dict[str, str]) -> Path:
        wanted = {**block, "width": "x1", "on": "on"}
        kinds = [d.name.partition("/")[2] for d in self.decisions]
        return self.path(
            [
                d.choices.index(wanted[kind]) if kind else 0
                for d, kind in zip(self.decisions, kinds, strict=True)
            ]
        )

    def widest(self, path: Path) -> Path:
        """The same path, every stage at its largest width."""
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
        for index in range(1, LAYERS_A_STAGE):
            yield Layer(f"{stage}.{index + 1}", 1, widths, (*blocks, None))
    yield Layer("head", 1, (512,), (Conv(1),))
    yield Layer("hidden", 1, (1024,), (PooledConv(),))


def _decisions() -> Iterator[Decision]:
    for i, layer in enumerate(_layers()):
        stage, index = divmod(i - FIRST, LAYERS_A_STAGE)
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
    """The choices that the word of a layer stands for, by the names of their decisions."""
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
