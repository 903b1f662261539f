"""Spaces with fixed widths, whose arch strings have one word per decision."""

from collections.abc import Callable, Sequence

from typing_extensions import override

from mpnas_kit.errors import MpnasError, short, unknown
from mpnas_kit.space.layers import ZERO, Decision, Layer, Path, Use
from mpnas_kit.space.space import SearchSpace
from mpnas_kit.values import require_type


class WordSpace(SearchSpace):
    """A search space with fixed widths, whose arch strings have one word per decision.

    Its decisions all matter. It is the base of `LayerwiseSpace` and `StridedSpace`.
    """

    words = "one per searched layer"  # what the words of an arch string stand for

    @override
    def widths(self, choices: Sequence[int]) -> tuple[int, ...]:
        return tuple(layer.widths[0] for layer in self.layers)

    @override
    def active(self, choices: Sequence[int]) -> tuple[bool, ...]:
        return (True,) * len(choices)

    @override
    def arch(self, choices: Sequence[int]) -> str:
        pairs = zip(self.decisions, choices, strict=True)
        return " ".join(decision.choices[choice] for decision, choice in pairs)

    @override
    def parse(self, arch: str) -> Path:
        require_type(arch, str, "an arch string")
        words = arch.split()
        if len(words) != len(self.decisions):
            raise MpnasError(
                f"arch string {short(arch)} has {len(words)} words: space {self.name!r} needs "
                f"{len(self.decisions)}, {self.words}."
            )
        return self.path(
            [choice_index(d, word) for d, word in zip(self.decisions, words, strict=True)]
        )


class LayerwiseSpace(WordSpace):
    """A search space with fixed widths and one decision per searched layer: its candidate.

    The arch string has one word per searched layer: the name of its block, or `zero`.

    name: name of the space, for tables and errors.
    layers: layers from input to output, each with one width.
    resolution: height and width of the images, pixels.
    source: text form that creates the space again; None: it exists only in this process.

    Raises `MpnasError` if a layer has several widths, or changes the width and has `zero`.

    >>> body = (mk.InvertedBottleneck(3, 2), mk.InvertedBottleneck(5, 2), None)
    >>> layers = [mk.Layer("stem", 2, (8,), (mk.Conv(3),)), mk.Layer("body", 1, (8,), body)]
    >>> mk.LayerwiseSpace("tiny", layers, resolution=32).parse("k5e2").choices
    (1,)
    """

    def __init__(
        self, name: str, layers: Sequence[Layer], resolution: int, source: str | None = None
    ) -> None:
        super().__init__(name, layers, resolution, source=source)
        for layer in self.layers:
            if len(layer.widths) != 1:
                raise MpnasError(
                    f"layer {layer.name!r} of space {name!r} needs one width, not "
                    f"{short(layer.widths)}."
                )

    @override
    def candidate_indices(self, choices: Sequence[int]) -> tuple[int, ...]:
        remaining = iter(choices)
        return tuple(next(remaining) if len(x.candidates) > 1 else 0 for x in self.layers)

    @override
    def uniform_paths(self) -> tuple[Path, ...]:
        """Return the uniform paths, or the only path if no layer is searched."""
        if not self.decisions:
            return (self.path(()),)
        names = [d.choices for d in self.decisions]
        common = [n for n in names[0] if n != ZERO and all(n in own for own in names)]
        return tuple(self.parse(" ".join([name] * len(names))) for name in common)

    @override
    def extremes(self, price: Callable[[Use], float]) -> tuple[Path, Path]:
        def cost(layer: int, pick: int) -> float:
            width = self.layers[layer - 1].widths[0] if layer else 3
            use = self.use(layer, pick, width, self.layers[layer].widths[0])
            return price(use) if use else 0.0

        costs = [[cost(d.layer, c) for c in range(len(d.choices))] for d in self.decisions]
        lowest, highest = ([c.index(best(c)) for c in costs] for best in (min, max))
        return self.path(lowest), self.path(highest)


def choice_index(decision: Decision, word: str) -> int:
    """Return the index of the choice called `word`. Raises `MpnasError` if it is unknown."""
    if word not in decision.choices:
        raise unknown(f"choice in layer {decision.name!r}", word, decision.choices)
    return decision.choices.index(word)
