"""The first page of a report: what a run found, in a sentence, a picture, cards and a table.

A run has domains, but its training may serve fewer of them, on paths that no search has found. So
what the page says about the network comes from the training, not from the description of the run.
"""

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import matplotlib.pyplot as plt

from mpnas_kit.analysis.answer import Answer, Difference
from mpnas_kit.analysis.comparison import Comparison
from mpnas_kit.errors import MpnasError, Unavailable
from mpnas_kit.files import exists
from mpnas_kit.notebook import picture
from mpnas_kit.plots.answer import alt_text, left_out, size_and_accuracy
from mpnas_kit.report.cards import Card, cards_of
from mpnas_kit.runs.run import Run
from mpnas_kit.runs.sweep import answer_of, finished_runs, own_comparison
from mpnas_kit.runs.sweep_cells import CELLS
from mpnas_kit.search.result import SearchResult
from mpnas_kit.space.layers import Path
from mpnas_kit.training.result import TrainResult

_MANY = 0.1  # share of undecided choices above which a search was too short
_REFERENCES = "mpnas, bundle, random_paths"


class Row(NamedTuple):
    """A domain and its results. A result is None if its stage is not finished.

    domain: name.
    classes: number of classes.
    images: number of training images.
    path: arch string of the path that was trained, or else of the one that the search found.
    cost: cost of one image on the path, in `Summary.unit`; None: no search has found this path.
    undecided: number of decisions that the search left undecided; None as for `cost`.
    val, test: top-1 accuracy, 0 to 1.
    against: test accuracy minus that of the bundle's model; None: it is not known.
    macro: mean recall over the classes on test, 0 to 1; None also if it was not recorded.
    """

    domain: str
    classes: int
    images: int
    path: str | None
    cost: float | None
    undecided: int | None
    val: float | None
    test: float | None
    against: Difference | None
    macro: float | None


class Drawing(NamedTuple):
    """The picture of the answer, once for wide and once for narrow pages.

    wide, narrow: `<svg>` elements.
    caption: how to read it.
    """

    wide: str
    narrow: str
    caption: str


@dataclass(frozen=True)
class Summary:
    """The results of a run.

    title: what the run made, in a few words.
    sentence: what it found; empty if no training is finished.
    drawing: size against accuracy; None if there is nothing to compare, or no size is known.
    cards: four figures in large type, fewer if no training is finished.
    rows: one row per domain.
    notes: how to read the answer, and what the search did. Each is a sentence.
    warnings: what a reader must act on. Each is a sentence.
    commands: what adds to the answer: words and a command, in pairs.
    unit: unit of the costs; empty if the run has no finished search.
    """

    title: str
    sentence: str
    drawing: Drawing | None
    cards: list[Card]
    rows: list[Row]
    notes: list[str]
    warnings: list[str]
    commands: list[tuple[str, str]]
    unit: str

    @classmethod
    def of(cls, run: Run) -> "Summary":
        """Return the summary of the finished stages of a run."""
        found = _search_of(run)
        trained = run.train_result() if run.finished("train") else None
        comparison, trouble = _comparison(run) if trained else (None, "")
        answer = answer_of(run, comparison) if comparison is not None else None
        paths = trained.paths if trained else found.paths if found else {}
        searched = {d for d, p in paths.items() if found and _has(found.paths, d, p)}
        frozen = run.description.frozen
        as_found = searched | set(frozen) == set(paths)
        notes, warnings = _about_search(run, found, trained, as_found)
        if trained is not None:
            notes.append(_how(trained, found, as_found, frozen))
            if len(trained.paths) < len(run.domains):
                notes.append(
                    f"{len(trained.paths)} of the {_domains(len(run.domains))} were trained."
                )
        if trouble:
            warnings.append(trouble)
        if answer is not None and comparison is not None:
            notes += [answer.note] * bool(answer.note)
            notes += _left_out(run, len(comparison.cells))
        return cls(
            title=_title(run, trained),
            sentence=answer.sentence if answer else "",
            drawing=_drawing(comparison, answer) if comparison is not None and answer else None,
            cards=cards_of(run, trained, answer, found),
            rows=_rows(run, trained, found, answer, searched),
            notes=notes,
            warnings=warnings,
            commands=_commands(run, answer),
            unit=found.cost_unit if found else "",
        )


def _comparison(run: Run) -> tuple[Comparison | None, str]:
    """Return the comparison of a finished run, and a sentence if its sweep cannot be read."""
    try:
        return own_comparison(run), ""
    except MpnasError as error:
        return None, f"the runs that this one is compared with cannot be read: {error}"


def _left_out(run: Run, compared_runs: int) -> list[str]:
    """Return a sentence about the finished runs of the sweep that are not compared, if any."""
    others = len(finished_runs(run)) - compared_runs
    if others <= 0:
        return []
    return [
        f"{others} finished run{'s' * (others > 1)} of the sweep had another budget or other "
        "domains than this run, so they are not compared with it here."
    ]


def _drawing(comparison: Comparison, answer: Answer) -> Drawing | None:
    """Return the picture of an answer; None if there is no other approach or no size."""
    drawn = []
    try:
        for is_narrow in (False, True):
            with plt.rc_context(picture.PAGE):
                axes = size_and_accuracy(comparison, answer, narrow=is_narrow)
                figure = axes.get_figure(root=True)
                assert figure is not None
                drawn.append(picture.svg(figure, alt_text(answer)))
            plt.close(figure)
    except Unavailable:
        return None
    caption = (
        "Right: larger. Up: more accurate. Bar: 95% interval of its difference to this run. If it "
        "crosses the dashed line, the difference is not clear. Small marks: single runs."
    )
    missing = ", ".join(f"{p.name} ({p.accuracy:.1%})" for p in left_out(answer))
    wide, narrow = drawn
    return Drawing(wide, narrow, f"{caption} Not shown: {missing}." if missing else caption)


def _rows(
    run: Run,
    trained: TrainResult | None,
    found: SearchResult | None,
    answer: Answer | None,
    searched: set[str],
) -> list[Row]:
    """Return one row per domain. searched: domains whose path the search found."""
    val, test = (dict(trained.accuracy(s)) if trained else {} for s in ("val", "test"))
    known = trained is not None and trained.recalls is not None
    macro = dict(trained.macro_accuracy("test")) if trained is not None and known else {}
    paths = trained.paths if trained else found.paths if found else {}
    undecided: dict[str, int] = {}
    if found is not None:
        table = found.decisions()
        undecided = (~table["decided"]).groupby(table["domain"]).sum().to_dict()
    against = answer.by_domain if answer is not None else {}
    return [
        Row(
            domain=d.name,
            classes=len(d.classes),
            images=d.train,
            path=paths[d.name].arch if d.name in paths else None,
            cost=found.costs[d.name] if found and d.name in searched else None,
            undecided=int(undecided.get(d.name, 0)) if d.name in searched else None,
            val=val.get(d.name),
            test=test.get(d.name),
            against=against.get(d.name),
            macro=macro.get(d.name),
        )
        for d in run.description.domains
    ]


def _search_of(run: Run) -> SearchResult | None:
    """Return the finished search of a run, or of the run whose search it takes; None: none."""
    other = run.description.search_from
    if other is None:
        return run.search_result() if run.finished("search") else None
    there = exists(os.path.join(run.folder, other, "run.json"))
    return _search_of(run.other) if there and run.other is not None else None


def _has(paths: Mapping[str, Path], domain: str, path: Path) -> bool:
    return domain in paths and paths[domain].arch == path.arch


def _domains(number: int) -> str:
    return f"{number} domain{'s' if number != 1 else ''}"


def _title(run: Run, trained: TrainResult | None) -> str:
    if trained is None:
        return f"A run of {_domains(len(run.domains))}"
    models = len(trained.paths) if trained.config.private.every else 1
    network = "One network" if models == 1 else f"{models} networks"
    return f"{network} for {_domains(len(trained.paths))}"


def _how(
    trained: TrainResult, found: SearchResult | None, searched: bool, frozen: Sequence[str]
) -> str:
    """Return how the network was made: where its paths are from, and what they share.

    frozen: domains that were there before the others were added.
    """
    if frozen:
        search = "searched" if searched and found is not None else "chosen"
        return (
            f"The trained network of {', '.join(frozen)} stays as it is. Paths of the other "
            f"domains were {search} through its nodes and new ones, and what is new was trained."
        )
    if found is None or not searched:
        paths = "No search has found the paths."
    elif found.config.controllers == "one":
        paths = "One controller searched one path for all domains."
    elif found.config.private.every:
        paths = "The controller of each domain searched a path through a supernet of its own."
    else:
        paths = "The controller of each domain searched a path through one supernet."
    private = trained.config.private
    if private.every:
        return f"{paths} Every path was trained as a model of its own."
    network = f"{paths} The union of the paths was trained as one model."
    if len(trained.paths) == 1:
        return f"{paths} The path was trained as one model."
    names = [layer.name for i, layer in enumerate(trained.space.layers) if i in private]
    except_in = f", except in {', '.join(names)}" if names else ""
    return f"{network} If two paths use the same node, they share its weights{except_in}."


def _about_search(
    run: Run, found: SearchResult | None, trained: TrainResult | None, as_found: bool
) -> tuple[list[str], list[str]]:
    """Return notes and warnings about the search.

    as_found: whether the trained paths are those that the search found.
    """
    other = run.description.search_from
    if found is None:
        if other is not None:
            return [], [f"the search of this run is that of the run {other}, which is not there."]
        if trained is None:
            return ["no stage of this run is finished."], []
        approach = run.description.approach
        return [f"this run has no finished search. Its approach is {approach}."], []
    notes, warnings = [], []
    whose = "" if other is None else f" (It is the search of the run {other}.)"
    table = found.decisions()
    if run.profile.is_result and len(table) and (~table["decided"]).mean() > _MANY:
        more = "Search for more steps, or read its paths with care."
        warnings.append(f"{found.verdict()}{whose} {more}")
    else:
        notes.append(f"{found.verdict()}{whose}")
    if not as_found:
        notes.append("the training has other paths than the search found.")
    return notes, warnings


def _commands(run: Run, answer: Answer | None) -> list[tuple[str, str]]:
    """Return what adds to the answer, and the command that does it."""
    if run.description.frozen or run.folder.parent.name == CELLS:
        return []
    folder = shlex.quote(str(run.folder))
    if not run.finished("train"):
        stage = "search" if run.searches and not run.finished("search") else "train"
        return [(f"The next stage is the {stage}:", f"mpnas {stage} --run {folder}")]
    if answer is None or answer.approach != "mpnas":
        return []
    first = run.train_config().seed
    sweep = f'mpnas sweep --run {folder} --approaches "{_REFERENCES}"'
    if answer.bundle is None or answer.random is None:
        seeds = f' --seeds "{first}"'
        words = "To compare this run with separate models and random paths of the same cost:"
        return [(words, f"{sweep}{seeds}")]
    if min(answer.bundle.difference.pairs, answer.random.difference.pairs) < 2:
        seeds = f' --seeds "{first},{first + 1},{first + 2}"'
        return [("To see how much results change with the seed:", f"{sweep}{seeds}")]
    return []
