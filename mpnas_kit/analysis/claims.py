"""Claims about approaches as data: two sides, a measure and a threshold."""

import re
from dataclasses import dataclass
from typing import Literal

from mpnas_kit.analysis.answer import approach_of
from mpnas_kit.analysis.comparison import Split
from mpnas_kit.errors import MpnasError, short
from mpnas_kit.network.norms import Norm
from mpnas_kit.settings import check, require
from mpnas_kit.values import Range, convert_list, convert_text, number, require_type

Measure = Literal[
    "accuracy", "parameters", "parameters_all", "per_image", "union", "n_images", "bytes"
]
HOLDS, FAILS, UNCLEAR = "holds", "does not hold", "not distinguishable"
ARTICLE, OURS = "arXiv 2010.04904", "ours"
_EXPECTED = re.compile(r"\s*(>=|<=|>|<)\s*(\S+)\s*")
_THRESHOLD = Range(-1e9, 1e9)


@dataclass(frozen=True)
class Side:
    """One of the two sides of a claim: the runs that have these values in a comparison.

    approach: name of the approach, such as `bundle` or `bundle(scale=0.5)`. Draws of random paths
    count as one approach: each seed has their mean.
    prioritization: text of the prioritization in the comparison. Runs without any also count.
    norm: batch norm of the runs.

    >>> mk.analysis.Side("single_path(match='size')").prioritization
    'abdp'
    """

    approach: str = "mpnas"
    prioritization: str = "abdp"
    norm: Norm = "per_domain"

    def __post_init__(self) -> None:
        check(self, "side")
        approach_of(self.approach)  # refuses a text that cannot be read


@dataclass(frozen=True)
class Claim:
    """A claim: `first` minus `second` in a measure is above or below a threshold.

    sentence: the claim in words.
    first, second: the two sides.
    expected: relation and threshold, such as `> 0`, `>= 1.9`, `> -0.5` or `<= -78`.
    measure: `accuracy`: top-1, mean over domains; the difference is in percentage points. Any
    other: a size of `Comparison.cells`; the difference is in percent of `second`.
    only: domains that count for the accuracy; empty: all.
    without: domains that do not count for it.
    split: split of the accuracy.
    source: who makes the claim.

    Raises `MpnasError` for a value of a wrong type, an `expected` that cannot be read, or a size
    with a choice of domains.

    >>> half = mk.analysis.Side("bundle(scale=0.5)")
    >>> claim = mk.analysis.Claim("MPNAS beats a bundle of half its cost", second=half)
    >>> claim.relation, claim.threshold
    ('>', 0.0)
    """

    sentence: str
    first: Side = Side()
    second: Side = Side("bundle")
    expected: str = "> 0"
    measure: Measure = "accuracy"
    only: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    split: Split = "test"
    source: str = OURS

    def __post_init__(self) -> None:
        check(self, "claim")
        convert_text(self.sentence, "claim: sentence")
        for name in ("first", "second"):
            require_type(getattr(self, name), Side, f"claim: {name}")
        for name in ("only", "without"):
            names = convert_list(getattr(self, name), f"claim: {name}", "names of domains")
            object.__setattr__(self, name, names)
        found = _EXPECTED.fullmatch(self.expected)
        if found is None or self._threshold(found[2]) is None:
            raise MpnasError(
                f"claim: expected must be a relation and a number, such as '> 0' or '<= -78', not "
                f"{short(self.expected)}."
            )
        require(
            self.measure == "accuracy" or not (self.only or self.without),
            f"claim: {self.measure} is that of a whole network: expected only and without empty, "
            "or measure 'accuracy'.",
        )

    @staticmethod
    def _threshold(text: str) -> float | None:
        try:
            return number(float(text), _THRESHOLD)
        except ValueError:
            return None

    @property
    def relation(self) -> str:
        """Relation of the difference to the threshold: `>`, `>=`, `<` or `<=`."""
        return self._parts[1]

    @property
    def threshold(self) -> float:
        """Threshold in `unit`."""
        return float(self._parts[2])

    @property
    def unit(self) -> str:
        """Unit of the difference: `points` or `%`."""
        return "points" if self.measure == "accuracy" else "%"

    @property
    def _parts(self) -> re.Match[str]:
        found = _EXPECTED.fullmatch(self.expected)
        assert found is not None
        return found

    def verdict(self, low: float, high: float) -> str:
        """Return what an interval of the difference says about the claim.

        low, high: ends of the interval, in `unit`.

        It `holds` if the whole interval satisfies the claim, and `does not hold` if no part of it
        does. Otherwise, or if the ends are nan, it is `not distinguishable`.

        >>> claim = mk.analysis.Claim("MPNAS is at least as accurate", expected=">= 0")
        >>> [claim.verdict(*ends) for ends in [(0.2, 1.0), (-1.0, -0.2), (-0.2, 1.0)]]
        ['holds', 'does not hold', 'not distinguishable']
        """
        limit = self.threshold
        if self.relation in ("<", "<="):
            low, high, limit = -high, -low, -limit
        inclusive = "=" in self.relation
        if low > limit or (inclusive and low == limit):
            return HOLDS
        if high < limit or (not inclusive and high == limit):
            return FAILS
        return UNCLEAR


_MERGED = "merged(parameters=16000)"
_OWN_FIRST = "mpnas(private_until=2)"
_NO_SCENE = ("scene",)
_TRAINED_UNIFORM = "abdp > uniform"

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "MPNAS is at least 1.9 points more accurate than the bundle",
        expected=">= 1.9",
        source=ARTICLE,
    ),
    Claim(
        "MPNAS has at least 78% fewer parameters than the bundle",
        expected="<= -78",
        measure="parameters",
        source=ARTICLE,
    ),
    Claim(
        "MPNAS has at least 32% fewer multiply-adds than the bundle, each node counted once",
        expected="<= -32",
        measure="union",
        source=ARTICLE,
    ),
    Claim(
        "ABDP makes MPNAS at least 1.8 points more accurate than uniform weights",
        second=Side(prioritization="uniform"),
        expected=">= 1.8",
        source=ARTICLE,
    ),
    Claim("MPNAS is more accurate than multi-head NAS", second=Side("multi_head"), source=ARTICLE),
    Claim("MPNAS is more accurate than a single path", second=Side("single_path"), source=ARTICLE),
    Claim("MPNAS is less than 0.5 points behind the bundle", expected="> -0.5"),
    Claim(
        "MPNAS is less than 0.5 points behind the bundle, without scene",
        expected="> -0.5",
        without=_NO_SCENE,
    ),
    Claim(
        "MPNAS is at least 1 point more accurate than the bundle",
        expected=">= 1",
    ),
    Claim(
        "MPNAS has at least 50% fewer parameters than the bundle",
        expected="<= -50",
        measure="parameters",
    ),
    Claim(
        "MPNAS, merged to 16,000 parameters, is less than 0.5 points behind the bundle",
        Side(_MERGED),
        expected="> -0.5",
    ),
    Claim(
        "MPNAS, merged to 16,000 parameters, has at least 78% fewer parameters than the bundle",
        Side(_MERGED),
        expected="<= -78",
        measure="parameters",
    ),
    Claim("Two private first layers make MPNAS more accurate", Side(_OWN_FIRST), Side()),
    Claim(
        "Two private first layers make MPNAS more accurate, without scene",
        Side(_OWN_FIRST),
        Side(),
        without=_NO_SCENE,
    ),
    Claim(
        "Two private first layers make MPNAS, trained with uniform weights, more accurate, without "
        "scene",
        Side(_OWN_FIRST, _TRAINED_UNIFORM),
        Side(prioritization=_TRAINED_UNIFORM),
        without=_NO_SCENE,
    ),
    Claim(
        "MPNAS with two private first layers is less than 0.5 points behind the bundle",
        Side(_OWN_FIRST),
        expected="> -0.5",
    ),
    Claim(
        "MPNAS with two private first layers is less than 0.5 points behind the bundle, without "
        "scene",
        Side(_OWN_FIRST),
        expected="> -0.5",
        without=_NO_SCENE,
    ),
    Claim(
        "MPNAS with two private first layers has at least 78% fewer parameters than the bundle",
        Side(_OWN_FIRST),
        expected="<= -78",
        measure="parameters",
    ),
    Claim(
        "MPNAS is less than 0.5 points behind private models on its own paths",
        second=Side("private_paths"),
        expected="> -0.5",
    ),
    Claim(
        "MPNAS is less than 0.5 points behind private models on its own paths, without scene",
        second=Side("private_paths"),
        expected="> -0.5",
        without=_NO_SCENE,
    ),
    Claim(
        "MPNAS, trained with uniform weights, is less than 0.5 points behind private models on its "
        "own paths",
        Side(prioritization=_TRAINED_UNIFORM),
        Side("private_paths"),
        expected="> -0.5",
    ),
    Claim(
        "MPNAS, trained with uniform weights, is less than 0.5 points behind private models on its "
        "own paths, without scene",
        Side(prioritization=_TRAINED_UNIFORM),
        Side("private_paths"),
        expected="> -0.5",
        without=_NO_SCENE,
    ),
    Claim(
        "Private models on MPNAS paths are more accurate than the bundle, which searches alone",
        Side("private_paths"),
    ),
    Claim(
        "Private models on MPNAS paths are more accurate than on random paths of their costs",
        Side("private_paths"),
        Side("random_paths(shared=False)"),
    ),
    Claim(
        "Private models on MPNAS paths are more accurate than on random paths, without scene",
        Side("private_paths"),
        Side("random_paths(shared=False)"),
        without=_NO_SCENE,
    ),
    Claim(
        "MPNAS is more accurate than a bundle with half of the cost target",
        second=Side("bundle(scale=0.5)"),
    ),
    Claim(
        "MPNAS is more accurate than a bundle with half of the cost target, without scene",
        second=Side("bundle(scale=0.5)"),
        without=_NO_SCENE,
    ),
    Claim(
        "MPNAS is at least 1 point more accurate than random paths of its costs",
        second=Side("random_paths"),
        expected=">= 1",
    ),
    Claim(
        "MPNAS is more accurate than random paths of its costs",
        second=Side("random_paths"),
    ),
    Claim(
        "MPNAS is more accurate than random paths of its costs, without scene",
        second=Side("random_paths"),
        without=_NO_SCENE,
    ),
    Claim(
        "MPNAS is more accurate than random paths of its costs and its size",
        second=Side("random_paths(match='size')"),
    ),
    Claim(
        "MPNAS is more accurate than random paths of its costs and its size, without scene",
        second=Side("random_paths(match='size')"),
        without=_NO_SCENE,
    ),
    Claim(
        "MPNAS is more accurate than the best of 256 random paths by its own evidence",
        second=Side("random_search"),
    ),
    Claim(
        "MPNAS is more accurate than the best of 256 random paths, without scene",
        second=Side("random_search"),
        without=_NO_SCENE,
    ),
    Claim(
        "MPNAS is more accurate than multi-head NAS, both trained with uniform weights",
        Side(prioritization=_TRAINED_UNIFORM),
        Side("multi_head", _TRAINED_UNIFORM),
    ),
    Claim(
        "MPNAS is more accurate than random paths of its costs and its size, both trained with "
        "uniform weights",
        Side(prioritization=_TRAINED_UNIFORM),
        Side("random_paths(match='size')", _TRAINED_UNIFORM),
    ),
    Claim(
        "MPNAS is more accurate than the best of 256 random paths, both trained with uniform "
        "weights",
        Side(prioritization=_TRAINED_UNIFORM),
        Side("random_search", _TRAINED_UNIFORM),
    ),
    Claim(
        "MPNAS is more accurate than its best landmarks",
        second=Side("best_landmarks"),
    ),
    Claim(
        "MPNAS is more accurate than its best landmarks, without scene",
        second=Side("best_landmarks"),
        without=_NO_SCENE,
    ),
    Claim(
        "MPNAS has at least 78% fewer parameters than the bundle, all counted",
        expected="<= -78",
        measure="parameters_all",
    ),
    Claim(
        "MPNAS is more accurate than a single path of its size",
        second=Side("single_path(match='size')"),
    ),
    Claim(
        "MPNAS is more accurate than a shared trunk of nearly its size",
        second=Side("shared_trunk"),
    ),
    Claim(
        "ABDP in the search makes MPNAS more accurate",
        second=Side(prioritization="uniform > abdp"),
    ),
    Claim(
        "ABDP in the training makes MPNAS more accurate",
        second=Side(prioritization=_TRAINED_UNIFORM),
    ),
    Claim(
        "ABDP in the training makes MPNAS more accurate, without scene",
        second=Side(prioritization=_TRAINED_UNIFORM),
        without=_NO_SCENE,
    ),
    Claim(
        "A batch norm per domain makes MPNAS more accurate than a mixed one",
        second=Side(norm="mixed"),
    ),
    Claim(
        "A batch norm per domain makes MPNAS more accurate than a naive one",
        second=Side(norm="naive"),
    ),
)
"""Claims of the MPNAS article (Wang et al., WACV 2021, arXiv 2010.04904) and of the kit."""


def sourced(claim: str, source: str) -> str:
    """Return the sentence of a claim with its source, unless the source is the kit."""
    return claim if source == OURS else f"{claim} ({source})"
