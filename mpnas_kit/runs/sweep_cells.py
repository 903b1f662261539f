"""The cells of a sweep: which approach, prioritization, norm and seed a run has."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from mpnas_kit.approaches.approach import Approach, is_matched, label
from mpnas_kit.errors import MpnasError
from mpnas_kit.network.norms import Norm
from mpnas_kit.parts import to_text
from mpnas_kit.prioritization.abdp import Uniform
from mpnas_kit.prioritization.domain_weights import Prioritization
from mpnas_kit.prioritization.methods import PRIORITIZATION

CELLS = "cells"  # folder of the cells in the run folder
ARROW = " > "  # separates the prioritizations of search and training if they differ


@dataclass(frozen=True)
class Prioritizations:
    """The prioritizations of a cell.

    search: prioritization in the search.
    train: prioritization in the training.

    >>> mk.Prioritizations.parse("uniform > abdp").train
    ABDP(start=1.0, end=0.25, schedule='exponential', decay=0.95)
    """

    search: Prioritization
    train: Prioritization

    @classmethod
    def parse(cls, text: str) -> "Prioritizations":
        """Return the prioritizations that a text describes.

        text: one prioritization for both stages, such as `abdp`; or those of search and training
        separated by `>`, such as `uniform > abdp(end=0.5)`.

        Raises `MpnasError` if the text has more than two parts or names an unknown prioritization.
        """
        parts = [part.strip() for part in text.split(ARROW.strip())]
        if len(parts) > 2:
            raise MpnasError(
                f"prioritization {text!r} cannot be read: expected one for both stages, or two, as "
                f"'uniform{ARROW}abdp'."
            )
        prioritizations = [PRIORITIZATION.parse(p) for p in parts]
        return cls(prioritizations[0], prioritizations[-1])

    @property
    def label(self) -> str:
        """Text form in tables, as `parse` reads it. Omits options that have their default value."""
        search, train = (to_text(p, defaults=False) for p in (self.search, self.train))
        return search if search == train else f"{search}{ARROW}{train}"


@dataclass(frozen=True)
class Cell:
    """One run of a sweep.

    approach: how the domains are served.
    prioritization: prioritizations of search and training.
    norm: batch norm of both stages: `per_domain`, `mixed` or `naive`.
    seed: seed of both stages, at least 0.

    >>> both = mk.Prioritizations(mk.ABDP(), mk.ABDP())
    >>> print(mk.Cell(mk.MPNAS(), both, seed=1))
    mpnas, abdp, per_domain, seed 1
    """

    approach: Approach
    prioritization: Prioritizations
    norm: Norm = "per_domain"
    seed: int = 0

    @property
    def name(self) -> str:
        """Name of the folder of the cell."""
        words = (label(self.approach), self.prioritization.label, self.norm, f"seed{self.seed}")
        return "_".join(re.sub(r"[^A-Za-z0-9.]+", "-", w).strip("-") for w in words)

    @property
    def search_key(self) -> tuple[object, ...]:
        """Settings that the search of the cell depends on. Cells with equal keys share a search."""
        approach = getattr(self.approach, "searched_as", self.approach)
        return approach, self.prioritization.search, self.norm, self.seed

    def __str__(self) -> str:
        return f"{label(self.approach)}, {self.prioritization.label}, {self.norm}, seed {self.seed}"


def cells(
    approaches: Sequence[Approach],
    prioritizations: Sequence[Prioritizations],
    norms: Sequence[Norm] = ("per_domain",),
    seeds: Sequence[int] = (0,),
) -> list[Cell]:
    """Return a cell for every combination, each cell once.

    approaches: approaches, at least one.
    prioritizations: prioritizations of search and training, at least one.
    norms: batch norms: `per_domain`, `mixed`, `naive`.
    seeds: seeds, each at least 0.

    An approach in which domains do not compete has one cell per norm and seed, with uniform
    weights. If it takes the paths of an MPNAS cell, it has one per prioritization of their search.
    All cells of one seed come before those of the next, so that the first seeds give a
    complete table early.

    >>> both = mk.Prioritizations(mk.ABDP(), mk.ABDP())
    >>> [str(cell) for cell in mk.cells([mk.MPNAS(), mk.Bundle()], [both])]
    ['mpnas, abdp, per_domain, seed 0', 'bundle, uniform, per_domain, seed 0']
    """
    combined = [
        Cell(a, _possible(a, p), n, s)
        for s, n, p, a in product(seeds, norms, prioritizations, approaches)
    ]
    return list(dict.fromkeys(combined))


def _possible(approach: Approach, wanted: Prioritizations) -> Prioritizations:
    """Return the prioritizations of a cell: uniform weights where domains do not compete."""
    if approach.weighs:
        return wanted
    return Prioritizations(wanted.search if is_matched(approach) else Uniform(), Uniform())
