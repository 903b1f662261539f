"""Keep the records of the study in `reports/reference/full`, and write its tables into the docs.

    python tools/study.py records runs/full    # copy what a finished stage found, without weights
    python tools/study.py tables               # write the tables of docs/results.md

Records are a run folder without weights and checkpoints, and without the metrics of trainings. All
that compares runs reads them: `mpnas compare --run reports/reference/full --claims`. A sweep goes
on from a copy of them, and does not train again what they have.
"""

import mpnas_kit as mk

# isort: split
import argparse
import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pandas as pd

from mpnas_kit.analysis.claims import sourced
from mpnas_kit.analysis.comparison import Comparison
from mpnas_kit.analysis.standings import t_interval
from mpnas_kit.approaches.methods import APPROACH
from mpnas_kit.network.norms import Norm
from mpnas_kit.runs.profiles import FULL

ROOT = Path(__file__).parents[1]
RECORDS = ROOT / "reports/reference/full"
PAGE = ROOT / "docs/results.md"
FILES = ("config", "environment", "paths", "results", "timing", "front")  # .json, of a stage
OF_SEARCH = ("metrics.jsonl", "policy.npy")  # of a search, which cannot be read without them
NAMES = {  # rows of the table of approaches
    "mpnas": "MPNAS",
    "mpnas(private_until=2)": "MPNAS with private first layers",
    "mpnas(scale=2.0)": "MPNAS with twice the multiply-adds",
    "merged(parameters=16000)": "MPNAS, merged to at most 16,000 parameters",
    "private_paths": "private models on MPNAS paths",
    "bundle": "bundle: a search and a model per domain",
    "bundle(scale=0.5)": "bundle with half the multiply-adds",
    "best_landmarks": "best landmarks",
    "random_search": "best of 256 random paths",
    "random_paths": "random paths",
    "random_paths(match='size')": "random paths of the size of MPNAS",
    "random_paths(shared=False)": "private models on random paths",
    "multi_head": "multi-head NAS",
    "single_path": "single path",
    "single_path(match='size')": "single path of the size of MPNAS",
    "shared_trunk": "shared trunk of nearly the size of MPNAS",
    "shared_trunk(private_from=4)": "shared trunk, private from layer 4",
    "shared_trunk(private_from=8)": "shared trunk, private from layer 8",
}
OF_DOMAINS = ("mpnas", "private_paths", "bundle", "random_paths", "multi_head")
APART = "scene"  # its accuracy has two peaks, so tables also leave it out


def keep(run: Path, out: Path) -> None:
    """Copy the records of a run and of its cells. Stages that are not finished are left out."""
    for found in sorted(run.rglob("run.json")):
        _copy(found, run, out)
    for results in sorted(run.rglob("results.json")):
        names = [f"{name}.json" for name in FILES]
        if results.parent.name == "search":
            names += OF_SEARCH
        for name in names:
            _copy(results.with_name(name), run, out)


def _copy(file: Path, run: Path, out: Path) -> None:
    if file.exists():
        target = out / file.relative_to(run)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)


def seeds_of(comparison: Comparison) -> pd.DataFrame:
    """Return one row per approach, prioritization, norm and seed: accuracies in percent, and sizes.

    Draws of random paths count as one approach: a row is their mean. Columns approach,
    prioritization, norm, seed, test, others (test without `scene`), val, parameters, parameters_all
    and union, and the test accuracy of every domain.
    """
    key = ["approach", "prioritization", "norm", "seed"]
    test = comparison.domains.query("split == 'test'")
    wide = 100 * test.pivot(index=key, columns="domain", values="accuracy")
    wide["others"] = wide.drop(columns=APART).mean(axis=1)
    sizes = comparison.cells.set_index(key)[
        ["test", "val", "parameters", "parameters_all", "union"]
    ]
    sizes[["test", "val"]] *= 100
    table = wide.join(sizes).reset_index()
    table["approach"] = table["approach"].str.replace(r"\(draw=\d+\)", "", regex=True)
    return table.groupby(key, as_index=False).mean()


def _row(name: str, own: pd.DataFrame, base: pd.DataFrame | None) -> str:
    def spread(column: str) -> str:
        deviation = f" ± {own[column].std():.1f}" if len(own) > 1 else ""
        return f"{own[column].mean():.1f}{deviation}"

    def size(column: str) -> str:
        return f"{own[column].mean() / 1e3:.0f}"

    cells = [name, str(len(own)), *(spread(c) for c in ("test", "others", APART, "val"))]
    if base is None:
        union = f"{own['union'].mean() / 1e6:.2f}"
        cells += [size("parameters"), size("parameters_all"), union]
    else:
        cells += [size("parameters"), *(_apart(own, base, c) for c in ("test", "others"))]
    return f"| {' | '.join(cells)} |"


def _apart(own: pd.DataFrame, base: pd.DataFrame, column: str) -> str:
    """Return the difference of two rows of a table, paired by seed, with its 95 % t interval."""
    pairs = (own.set_index("seed")[column] - base.set_index("seed")[column]).dropna()
    low, high = t_interval(pairs)
    interval = f" ({low:+.1f} to {high:+.1f})" if len(pairs) > 1 else ""
    return "" if (pairs == 0).all() else f"{pairs.mean():+.1f}{interval}"


def _of_approach(table: pd.DataFrame, approach: str, prioritization: str = "abdp") -> pd.DataFrame:
    """Return the rows of an approach with a prioritization, or without any."""
    own = table[(table["approach"] == approach) & (table["norm"] == "per_domain")]
    return own[own["prioritization"].isin([prioritization, "none"])]


def _table(
    first: str,
    rows: Iterable[tuple[str, pd.DataFrame]],
    base: tuple[str, pd.DataFrame] | None = None,
) -> list[str]:
    """Return a table of accuracies and sizes, as lines of Markdown. Rows without runs are left out.

    first: head of the first column.
    rows: name and runs of every row.
    base: name and runs of a row with which each is compared, instead of two sizes; None: none.
    """
    names = ["seeds", "test", f"without {APART}", APART, "val", "parameters (k)"]
    if base is None:
        names += ["all (k)", "union (M)"]
    else:
        names += [f"test minus {base[0]}", f"the same without {APART}"]
    head = [f"| {first} | {' | '.join(names)} |", f"|---|{'---:|' * len(names)}"]
    runs = None if base is None else base[1]
    return [*head, *(_row(name, own, runs) for name, own in rows if len(own))]


def approaches(comparison: Comparison) -> list[str]:
    """Return the table of approaches with ABDP."""
    table = seeds_of(comparison)
    return _table("approach", ((NAMES[a], _of_approach(table, a)) for a in NAMES))


def prioritizations(comparison: Comparison) -> list[str]:
    """Return the table of MPNAS with every prioritization of search and training."""
    table = seeds_of(comparison).query("approach == 'mpnas' and norm == 'per_domain'")
    rows = []
    for text in FULL.prioritizations:
        search, _, training = text.partition(" > ")
        name = f"{search} > {training or search}".replace("abdp", "ABDP")
        rows.append((name, table[table["prioritization"] == text]))
    return _table(
        "search > training", rows, base=("ABDP", table[table["prioritization"] == "abdp"])
    )


def uniform(comparison: Comparison) -> list[str]:
    """Return the table of approaches whose training has uniform weights."""
    table = seeds_of(comparison)

    def of(approach: str) -> pd.DataFrame:
        weighs = APPROACH.parse(approach).weighs
        return _of_approach(table, approach, "abdp > uniform" if weighs else "abdp")

    return _table("approach", ((NAMES[a], of(a)) for a in NAMES), base=("MPNAS", of("mpnas")))


def norms(comparison: Comparison) -> list[str]:
    """Return the table of MPNAS with every batch norm of search and training."""
    table = seeds_of(comparison).query("approach == 'mpnas' and prioritization == 'abdp'")
    rows = [(norm, table[table["norm"] == norm]) for norm in get_args(Norm)]
    return _table("batch norm", rows, base=("`per_domain`", table[table["norm"] == "per_domain"]))


def domains(comparison: Comparison) -> list[str]:
    """Return the test accuracy of every domain, as lines of Markdown."""
    table, names = seeds_of(comparison), list(comparison.by_domain().columns[3:])
    found = {a: _of_approach(table, a).set_index("seed")[names] for a in OF_DOMAINS}
    lines = [f"| approach | {' | '.join(names)} |", f"|---|{'---:|' * len(names)}"]
    for approach, own in found.items():
        lines.append(f"| {NAMES[approach]} | {' | '.join(f'{x:.1f}' for x in own.mean())} |")
    apart = found["mpnas"] - found["private_paths"]
    cells = [f"{m:+.1f} ± {s:.1f}" for m, s in zip(apart.mean(), apart.std(), strict=True)]
    return [*lines, f"| MPNAS minus private models | {' | '.join(cells)} |"]


def claims(comparison: Comparison) -> list[str]:
    """Return what the runs say about every claim that is measured, as lines of Markdown.

    The last column has the same difference of accuracies on validation images.
    """
    head = ("claim", "expected", "seeds", "difference", "interval", "p", "verdict", "validation")
    lines = [f"| {' | '.join(head)} |", "|---|---|---:|---:|---:|---:|---|---:|"]
    test, val = (
        mk.analysis.check_claims(comparison, [replace(c, split=split) for c in mk.analysis.CLAIMS])
        for split in ("test", "val")
    )
    for row, again in zip(test.table.itertuples(), val.table.itertuples(), strict=True):
        if not row.seeds:
            continue
        doubt = "" if row.agree else " †"
        of_val = f"{again.difference:+.1f} ({again.low:+.1f} to {again.high:+.1f})"
        cells = (
            sourced(row.claim, row.source),
            f"{row.expected} {row.unit}",
            str(row.seeds),
            f"{row.difference:+.1f}",
            f"{row.low:+.1f} to {row.high:+.1f}{doubt}",
            f"{row.p:.2f}",
            row.verdict,
            of_val if row.unit == "points" else "",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines


TABLES: dict[str, Callable[[Comparison], list[str]]] = {
    "approaches": approaches,
    "domains": domains,
    "prioritizations": prioritizations,
    "uniform": uniform,
    "norms": norms,
    "claims": claims,
}


def filled(text: str, comparison: Comparison) -> str:
    """Return a page with its tables made anew.

    text: the page. A table stands between `<!-- table: NAME -->` and `<!-- end -->`.
    """

    def one(match: re.Match[str]) -> str:
        lines = TABLES[match["name"]](comparison)
        return "\n".join([match["begin"], "", *lines, "", "<!-- end -->"])

    marks = r"(?P<begin><!-- table: (?P<name>\w+) -->)\n.*?<!-- end -->"
    return re.sub(marks, one, text, flags=re.DOTALL)


def main() -> None:
    """Copy records, or write tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("records").add_argument("run", type=Path)
    commands.add_parser("tables")
    given = parser.parse_args()
    if given.command == "records":
        keep(given.run, RECORDS)
    else:
        comparison = mk.Run.read(RECORDS).compare()
        PAGE.write_text(filled(PAGE.read_text(), comparison))


if __name__ == "__main__":
    main()
