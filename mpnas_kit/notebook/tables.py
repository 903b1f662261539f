"""Tables of results for the command line, the notebooks and the report, as tidy DataFrames."""

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
import torch

from mpnas_kit.analysis.claims import sourced
from mpnas_kit.analysis.comparison import Comparison
from mpnas_kit.analysis.evidence import DAGGER, Evidence
from mpnas_kit.analysis.suite_facts import SuiteFacts
from mpnas_kit.analysis.units import amount, signed
from mpnas_kit.domains.domain import SPLITS, Domain, DomainSuite
from mpnas_kit.search.result import SearchResult
from mpnas_kit.training.result import TrainResult


def paths_table(found: SearchResult) -> pd.DataFrame:
    """Return what a search found: one row per domain.

    Columns domain, path (arch string), cost (in `found.cost_unit`), of_target (cost divided by the
    cost target), undecided (number of decisions that the search did not make).

    >>> list(mk.notebook.tables.paths_table(found))
    ['domain', 'path', 'cost', 'of_target', 'undecided']
    """
    undecided = (~found.decisions().set_index("domain")["decided"]).groupby(level=0).sum()
    rows = [
        {
            "domain": domain,
            "path": path.arch,
            "cost": found.costs[domain],
            "of_target": found.costs[domain] / found.cost_targets[domain],
            "undecided": int(undecided.get(domain, 0)),  # no row without a choice
        }
        for domain, path in found.paths.items()
    ]
    return pd.DataFrame(rows)


def target_text(found: SearchResult) -> str:
    """Return the cost targets of a search in words, such as `278 k and 1.1 M`: each one once."""
    return " and ".join(amount(target) for target in sorted(set(found.cost_targets.values())))


def landmark_text(found: SearchResult) -> str:
    """Return what the landmarks of a search are worth, as a sentence; empty: it had none."""
    if found.landmark_tau is None:
        return ""
    taus = pd.Series(found.landmark_tau).dropna().sort_values()
    sets = f"{found.config.landmarks} sets of landmarks"
    if taus.empty:
        return f"On {sets}, all scores are equal, so their order says nothing."
    return (
        f"On {sets}, Kendall's tau of score and prediction is {taus.mean():.2f} in the mean "
        f"({taus.index[0]} {taus.iloc[0]:.2f} to {taus.index[-1]} {taus.iloc[-1]:.2f}); each pair "
        "of sets is ordered by the regression on the others."
    )


def accuracy_table(trained: TrainResult, *, errors: bool = False) -> pd.DataFrame:
    """Return the accuracies (0 to 1): one row per domain.

    Columns domain, val, val_macro, test, test_macro. val, test: top-1 accuracy. Macro: mean recall
    over the classes that have images; both columns are absent if an earlier release, which did not
    record it, trained. `ACCURACY_FORMATS` has their formats.

    errors: whether to add val_error and test_error: one standard error of the images,
    sqrt(a (1 - a) / images) for an accuracy a. It does not include what another seed would change.

    >>> mk.notebook.tables.accuracy_table(trained).columns.tolist()
    ['domain', 'val', 'val_macro', 'test', 'test_macro']
    """
    columns = {}
    images = trained.evaluation.pivot(index="domain", columns="split", values="images")
    for split in ("val", "test"):
        columns[split] = accuracy = trained.accuracy(split)
        if trained.recalls is not None:
            columns[f"{split}_macro"] = trained.macro_accuracy(split)
        if errors:
            own = images[split].reindex(accuracy.index)
            columns[f"{split}_error"] = (accuracy * (1 - accuracy) / own) ** 0.5
    return pd.DataFrame(columns).rename_axis("domain").reset_index()


ACCURACY_FORMATS = dict.fromkeys(("val", "val_macro", "test", "test_macro"), "{:.1%}")
"""Formats of the columns of `accuracy_table`."""


def weakest_classes(trained: TrainResult, split: str = "test", most: int = 3) -> pd.DataFrame:
    """Return the classes with the lowest recall: at most `most` rows per domain.

    Columns domain, label, images (their number), recall (0 to 1). Classes without images are left
    out; `classes_without_images` names them. A domain of which all classes are recognised without
    a mistake has no row. The table is empty if the recalls are not known.

    trained: result of a training.
    split: `val` or `test`.
    most: classes per domain, at least 1.

    >>> weak = mk.notebook.tables.weakest_classes(trained, most=2)
    >>> weak.columns.tolist(), int(weak["domain"].value_counts().max())
    (['domain', 'label', 'images', 'recall'], 2)
    """
    if trained.recalls is None:
        return pd.DataFrame(columns=["domain", "label", "images", "recall"])
    own = trained.recalls[(trained.recalls["split"] == split) & (trained.recalls["recall"] < 1)]
    own = own.sort_values(["recall", "images"], ascending=[True, False], kind="stable")
    weak = own.groupby("domain", sort=False).head(most)
    order = {domain: i for i, domain in enumerate(trained.paths)}
    weak = weak.sort_values("domain", key=lambda d: d.map(order), kind="stable")
    return weak.drop(columns="split").reset_index(drop=True)


def classes_without_images(trained: TrainResult, split: str = "test") -> list[str]:
    """Return a sentence per domain that has classes without an image in a split.

    Such classes do not count in the macro accuracy.

    trained: result of a training.
    split: `val` or `test`.

    >>> mk.notebook.tables.classes_without_images(trained)[0]
    'planted0: 6 of 16 classes have no image in the test split, so nothing is known of them: ...'
    """
    if trained.recalls is None:
        return []
    own = trained.recalls[trained.recalls["split"] == split]
    sentences = []
    for domain, rows in own.groupby("domain", sort=False):
        absent = rows.loc[rows["images"] == 0, "label"].tolist()
        if absent:
            named = ", ".join(absent[:3]) + (f" and {len(absent) - 3:,} more" * (len(absent) > 3))
            have, them = ("has", "it") if len(absent) == 1 else ("have", "them")
            sentences.append(
                f"{domain}: {len(absent):,} of {len(rows):,} classes {have} no image in the "
                f"{split} split, so nothing is known of {them}: {named}."
            )
    return sentences


def comparison_table(comparison: Comparison) -> pd.DataFrame:
    """Return the results table for display: one row per approach, prioritization and norm.

    Columns approach; test and val (mean top-1 accuracy, 0 to 1); macro (mean macro accuracy on
    test, nan if it is not known); spread (standard deviation of test
    over seeds, nan with one seed); params (without batch norm and classifiers); ratio (of params to
    those of the single path); all_params; image, union and all_images (three readings of
    multiply-adds, see `analysis.Accounting`); disk (bytes); prioritization; norm; seeds (how many).
    `written` formats the values.
    """
    names = {
        "approach": "approach",
        "test": "test",
        "test_spread": "spread",
        "test_macro": "macro",
        "val": "val",
        "parameters": "params",
        "parameter_ratio": "ratio",
        "parameters_all": "all_params",
        "per_image": "image",
        "union": "union",
        "n_images": "all_images",
        "bytes": "disk",
        "prioritization": "prioritization",
        "norm": "norm",
        "seeds": "seeds",
    }
    return comparison.table()[list(names)].rename(columns=names)


COMPARISON_FORMATS: dict[str, str | Callable[[Any], str]] = {
    "test": "{:.1%}",
    "spread": lambda s: "–" if pd.isna(s) else f"± {s:.1%}",
    "macro": lambda s: "–" if pd.isna(s) else f"{s:.1%}",
    "val": "{:.1%}",
    "params": amount,
    "ratio": lambda r: "–" if pd.isna(r) else f"{r:.1f}x",
    "all_params": amount,
    "image": amount,
    "union": amount,
    "all_images": amount,
    "disk": lambda b: "–" if pd.isna(b) else f"{amount(b)}B",
}
"""Formats of the columns of `comparison_table`."""


def claims_table(evidence: Evidence) -> pd.DataFrame:
    """Return the measured claims as text: one row per claim.

    Columns claim (with its source, unless it is the kit), verdict, difference (in points, or in
    percent with its sign), interval (95 %, with a dagger if the bootstrap gives another verdict),
    p, and seeds if claims differ in their number.

    evidence: what runs say about claims.

    >>> outcome = mk.analysis.Outcome("mpnas", "abdp", trained, bytes=1000)
    >>> found = mk.analysis.check_claims(mk.analysis.compare([outcome]))
    >>> mk.notebook.tables.claims_table(found).columns.tolist()
    ['claim', 'verdict', 'difference', 'interval', 'p']
    """
    rows = [
        {
            "claim": sourced(row.claim, row.source),
            "verdict": row.verdict,
            "difference": signed(row.difference / 100) + ("%" if row.unit == "%" else ""),
            "interval": evidence.interval(row.low, row.high) + ("" if row.agree else DAGGER),
            "p": "–" if pd.isna(row.p) else f"{row.p:.2g}",
            "seeds": str(row.seeds),
        }
        for row in evidence.measured.itertuples()
    ]
    columns = ["claim", "verdict", "difference", "interval", "p", "seeds"]
    table = pd.DataFrame(rows, columns=columns)
    return table if table["seeds"].nunique() > 1 else table.drop(columns="seeds")


def missing_claims_table(evidence: Evidence) -> pd.DataFrame:
    """Return the claims that are not measured: columns claim (with its source) and lacks."""
    missing = evidence.missing
    claims = [sourced(*pair) for pair in zip(missing["claim"], missing["source"], strict=True)]
    return pd.DataFrame({"claim": claims, "lacks": missing["lacks"]})


def written(table: pd.DataFrame, formats: Mapping[str, str | Callable[[Any], str]]) -> pd.DataFrame:
    """Return the table as text.

    formats: for each column a format such as "{:.1%}", or a function from value to text.
    """
    shown = table.astype(object)
    for column, how in formats.items():
        shown[column] = [how.format(v) if isinstance(how, str) else how(v) for v in table[column]]
    return shown.astype(str)


def facts_table(facts: SuiteFacts) -> pd.DataFrame:
    """Return the domains of a suite as text: one row per domain.

    Columns domain, classes, train, val, test (images), per class (training images of the smallest
    and the largest class), few (classes with fewer than 10 training images, if a domain has any),
    resolution, suggested (resolution, if it is known what the files were).

    >>> mk.notebook.tables.facts_table(mk.describe(suite)).columns.tolist()
    ['domain', 'classes', 'train', 'val', 'test', 'per class', 'few', 'resolution']
    """
    own = facts.domains
    table = own[["domain"]].copy()
    for column in ("classes", "train", "val", "test"):
        table[column] = own[column].map("{:,}".format)
    table["per class"] = [
        f"{low:,}" if low == high else f"{low:,} to {high:,}"
        for low, high in zip(own["smallest"], own["largest"], strict=True)
    ]
    if own["few"].any():
        table["few"] = own["few"].map("{:,}".format)
    table["resolution"] = own["resolution"].astype(str)
    if own["suggested"].notna().any():
        table["suggested"] = ["–" if pd.isna(n) else f"{n:.0f}" for n in own["suggested"]]
    return table


def originals_table(facts: SuiteFacts) -> pd.DataFrame:
    """Return what the files of a suite were, as text: one row per domain, none without files.

    Columns domain, files, width, height, aspect (each as quarter, median and three quarters), mode
    and format (with the number of files, the most frequent first).

    >>> mk.notebook.tables.originals_table(mk.describe(suite)).empty
    True
    """
    if facts.sizes is None or facts.modes is None:
        return pd.DataFrame()
    rows = []
    for name, own in facts.sizes.groupby("domain", sort=False):
        quantiles = own.set_index("quantity")[["quarter", "median", "three_quarters"]]
        modes = facts.modes[facts.modes["domain"] == name]
        row = {"domain": name, "files": f"{modes['images'].sum():,}"}
        for quantity, form in (("width", "{:.0f}"), ("height", "{:.0f}"), ("aspect", "{:.2f}")):
            values = [form.format(value) for value in quantiles.loc[quantity]]
            row[quantity] = "\N{NO-BREAK SPACE}/\N{NO-BREAK SPACE}".join(values)
        for column in ("mode", "format"):
            counts = modes.groupby(column)["images"].sum().sort_values(ascending=False)
            row[column] = ", ".join(f"{key} {count:,}" for key, count in counts.items())
        rows.append(row)
    return pd.DataFrame(rows)


def suite_table(suite: DomainSuite) -> pd.DataFrame:
    """Return what the domains have: one row per domain.

    Columns domain; classes and channels (how many); train, val and test (number of images);
    majority (share of the most frequent class in the test split, 0 to 1: the accuracy of always
    guessing that class); moves (what training may do to an image besides a shift: `none`, `mirror`,
    or `mirror, turn` by 90 degrees).

    >>> list(mk.notebook.tables.suite_table(suite)["domain"])
    ['planted0', 'planted1']
    """
    rows = []
    for domain in suite:
        counts = torch.bincount(domain.test.labels, minlength=len(domain.classes))
        rows.append(
            {
                "domain": domain.name,
                "classes": len(domain.classes),
                "channels": domain.channels,
                **{split: len(domain.split(split)) for split in SPLITS},
                "majority": float(counts.max()) / len(domain.test),
                "moves": _moves(domain),
            }
        )
    return pd.DataFrame(rows)


def _moves(domain: Domain) -> str:
    """Return what training may do to an image of a domain besides a shift."""
    if domain.turn:
        return "mirror, turn"
    return "mirror" if domain.flip else "none"
