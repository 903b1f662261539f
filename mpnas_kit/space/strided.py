"""A search space in which a path also chooses where its maps are halved (ours)."""

import math
import re
from collections.abc import Callable, Sequence
from functools import cached_property
from hashlib import sha256
from itertools import product

from typing_extensions import override

from mpnas_kit.errors import MpnasError, short
from mpnas_kit.space.layers import Decision, Layer, Path, Use
from mpnas_kit.space.layerwise import WordSpace
from mpnas_kit.space.private import Strided
from mpnas_kit.values import convert_list, require_type

STRIDES = "strides"  # name of the decision that chooses where maps are halved


class StridedSpace(WordSpace):
    """A search space with fixed widths, in which a path chooses where its maps are halved (ours).

    The first decision, `strides`, chooses the layers with stride 2, the same number of them in
    every choice. The others choose the block of every searched layer, as in `LayerwiseSpace`. A
    block with stride 1 and the same block with stride 2 are two nodes, `k3e2` and `k3e2/2`.

    The arch string begins with the choice of strides, such as `2.1+3.1`: the names of the layers
    with stride 2. Then it has one word per searched layer: the name of its block, or `zero`.

    name: name of the space, for tables and errors.
    layers: layers from input to output, each with one width. Those that `halved` names have stride
    1 here, and no `zero`.
    halved: for every choice of strides the names of the layers with stride 2; at least two choices.
    resolution: height and width of the images, pixels.
    source: text form that creates the space again; None: it exists only in this process.

    Raises `MpnasError` if a layer has several widths, if `halved` names a layer that is missing or
    that cannot have either stride, or if its choices are not distinct or differ in their length.

    >>> body = (mk.InvertedBottleneck(3, 2), mk.InvertedBottleneck(5, 2))
    >>> layers = [mk.Layer(n, 1, (8,), body) for n in ("a", "b")]
    >>> tiny = mk.StridedSpace("tiny", layers, [["a"], ["b"]], resolution=32)
    >>> [str(use.node.block) for use in tiny.uses(tiny.parse("b k3e2 k5e2"))]
    ['k3e2', 'k5e2/2']
    """

    words = "one for the strides and one per searched layer"

    def __init__(
        self,
        name: str,
        layers: Sequence[Layer],
        halved: Sequence[Sequence[str]],
        resolution: int,
        source: str | None = None,
    ) -> None:
        where = f"space {short(name)}"
        given = convert_list(layers, f"{where}: layers", "layers")
        self.halved = tuple(
            convert_list(own, f"{where}: a choice of strides", "names of layers")
            for own in convert_list(halved, f"{where}: halved", "lists of names of layers")
        )
        changing = self._checked(where, given)
        self._blocks = tuple(layer.choices for layer in given)  # without strides
        made = [
            Layer(
                layer.name,
                1,
                layer.widths,
                tuple(Strided(b, stride) for stride in (1, 2) for b in layer.candidates if b),
                layer.counts and len(layer.candidates) > 1,
            )
            if layer.name in changing
            else layer
            for layer in given
        ]
        first = next(i for i, layer in enumerate(made) if layer.name in changing)
        decisions = [Decision(STRIDES, first, tuple("+".join(own) for own in self.halved))]
        decisions += [
            Decision(layer.name, i, layer.choices)
            for i, layer in enumerate(given)
            if len(layer.candidates) > 1
        ]
        super().__init__(name, made, resolution, decisions, source)
        self._place = {d.layer: i for i, d in enumerate(self.decisions) if i > 0}

    def _checked(self, where: str, layers: Sequence[Layer]) -> frozenset[str]:
        """Return the names of the layers whose stride is searched."""
        by_name = {}
        for layer in layers:
            require_type(layer, Layer, f"{where}: a layer")
            by_name[layer.name] = layer
            if len(layer.widths) != 1:
                raise MpnasError(
                    f"layer {layer.name!r} of {where} needs one width, not {short(layer.widths)}."
                )
        for name in (name for own in self.halved for name in own):
            if name not in by_name:
                raise MpnasError(
                    f"{where}: halved names {short(name)}, which is no layer: expected names of "
                    f"its layers, {', '.join(by_name)}."
                )
            if not re.fullmatch(r"[^\s+]+", name):
                raise MpnasError(
                    f"{where}: a layer whose stride is searched cannot be called {name!r}: "
                    "expected a name without blanks and plus signs."
                )
            if by_name[name].stride != 1 or None in by_name[name].candidates:
                raise MpnasError(
                    f"{where}: the stride of layer {name!r} cannot be searched: expected a layer "
                    "with stride 1 that cannot be skipped."
                )
        sets = {frozenset(own) for own in self.halved}
        lengths = {len(own) for own in (*self.halved, *sets)}
        if len(sets) < 2 or len(sets) < len(self.halved) or len(lengths) > 1 or 0 in lengths:
            raise MpnasError(
                f"{where}: halved needs at least two choices of strides that differ and name "
                f"equally many layers, each once, not {short(self.halved)}."
            )
        return frozenset.union(*sets)

    def _stride(self, layer: int, choices: Sequence[int]) -> int:
        """Return the stride of a layer."""
        spec = self.layers[layer]
        return 2 if spec.name in self.halved[choices[0]] else spec.stride

    @override
    def candidate_indices(self, choices: Sequence[int]) -> tuple[int, ...]:
        picks = []
        for i, layer in enumerate(self.layers):
            pick = choices[self._place[i]] if i in self._place else 0
            strided = len(layer.candidates) > len(self._blocks[i])
            shift = len(self._blocks[i]) if strided and self._stride(i, choices) == 2 else 0
            picks.append(pick + shift)
        return tuple(picks)

    @override
    def deciding(self, layer: int) -> tuple[int, ...]:
        own = super().deciding(layer)
        changes = len(self.layers[layer].candidates) > len(self._blocks[layer])
        return tuple(dict.fromkeys((0, *own))) if changes else tuple(p for p in own if p > 0)

    @override
    def decisions_of(self, layer: int) -> tuple[int, ...]:
        return tuple(dict.fromkeys((0, *super().decisions_of(layer))))

    @override
    def sizes(self, choices: Sequence[int]) -> tuple[int, ...]:
        return self._sizes_by_strides[choices[0]]

    @override
    def all_sizes(self, layer: int) -> tuple[int, ...]:
        return tuple(sorted({sizes[layer] for sizes in self._sizes_by_strides}))

    @cached_property
    def _sizes_by_strides(self) -> tuple[tuple[int, ...], ...]:
        """Height and width of every layer's input map, pixels, for every choice of strides."""
        found = []
        for choice in range(len(self.halved)):
            sizes = [self.resolution]
            for i in range(len(self.layers)):
                sizes.append(-(-sizes[-1] // self._stride(i, (choice,))))
            found.append(tuple(sizes))
        return tuple(found)

    @override
    def _forget_sizes(self) -> None:
        super()._forget_sizes()
        self.__dict__.pop("_sizes_by_strides", None)

    @override
    def uniform_paths(self) -> tuple[Path, ...]:
        names = [d.choices for d in self.decisions[1:]]
        common = [n for n in names[0] if all(n in own for own in names)] if names else []
        words = [[name] * len(names) for name in common] if names else [[]]
        return tuple(
            self.parse(" ".join([strides, *own]))
            for strides, own in product(self.decisions[0].choices, words)
        )

    @override
    def extremes(self, price: Callable[[Use], float]) -> tuple[Path, Path]:
        return self._extreme(price, -1), self._extreme(price, 1)

    def _extreme(self, price: Callable[[Use], float], sign: int) -> Path:
        """Return the path with the largest cost times `sign`."""
        paths: list[tuple[float, Path]] = []
        for strides in range(len(self.halved)):
            choices, whole = [strides, *(0 for _ in self.decisions[1:])], 0.0
            sizes = self.sizes(choices)
            for i, layer in enumerate(self.layers):
                before = self.layers[i - 1].widths[0] if i else 3
                first = self.candidate_indices(choices)[i]
                picks = self.alternatives(i, first) if i in self._place else (first,)
                uses = [self.use(i, p, before, layer.widths[0], sizes[i]) for p in picks]
                costs = [0.0 if use is None else price(use) for use in uses]
                best = max(costs, key=lambda cost: sign * cost)
                whole += best
                if i in self._place:
                    choices[self._place[i]] = costs.index(best)
            paths.append((sign * whole, self.path(choices)))
        return max(paths, key=lambda pair: pair[0])[1]

    @override
    def fingerprint(self) -> str:
        whole = super().fingerprint(), self.halved
        return sha256(repr(whole).encode()).hexdigest()[:16]

    @property
    @override
    def total_stride(self) -> int:
        return math.prod(self._stride(i, (0,)) for i in range(len(self.layers)))
