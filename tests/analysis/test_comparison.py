"""The results table against figures worked out by hand."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import tiny

from mpnas_kit.analysis.answer import Answer
from mpnas_kit.analysis.comparison import (
    NO_PRIORITIZATION,
    Comparison,
    Outcome,
    compare,
)
from mpnas_kit.analysis.sharing import account
from mpnas_kit.errors import MpnasError, Unavailable
from mpnas_kit.training.result import TrainResult
from mpnas_kit.training.stage import train

SIZES = {"mpnas": 400, "bundle": 1000, "single_path": 100, "random_paths": 410}
TEST = {  # by approach: two seeds of (a, b)
    "mpnas": [(0.8, 0.6), (0.9, 0.7)],
    "bundle": [(0.7, 0.8), (0.6, 0.8)],
    "single_path": [(0.5, 0.5), (0.5, 0.5)],
    "random_paths": [(0.8, 0.7), (0.8, 0.8)],
}


@pytest.fixture
def comparison() -> Comparison:
    cells, domains = [], []
    for approach, seeds in TEST.items():
        prioritization = NO_PRIORITIZATION if approach == "bundle" else "abdp"
        for seed, accuracies in enumerate(seeds):
            key = {
                "approach": approach,
                "prioritization": prioritization,
                "norm": "per_domain",
                "seed": seed,
            }
            size = SIZES[approach]
            cells.append(
                {
                    **key,
                    "parameters": size,
                    "parameters_all": size + 50,
                    "per_image": 10.0 * size,
                    "union": 20.0 * size,
                    "n_images": 20.0 * size,
                    "bytes": 4 * size,
                    "models": 2 if approach == "bundle" else 1,
                    "val": float(np.mean(accuracies)) + 0.1,
                    "test_macro": float(np.mean(accuracies)) - 0.1,
                    "test": float(np.mean(accuracies)),
                }
            )
            for split, more in (("val", 0.1), ("test", 0.0)):
                domains += [
                    {**key, "domain": d, "split": split, "images": 100, "accuracy": a + more}
                    for d, a in zip("ab", accuracies, strict=True)
                ]
    return Comparison(pd.DataFrame(cells), pd.DataFrame(domains))


def row(table: pd.DataFrame, approach: str) -> pd.Series:
    (found,) = table[table["approach"] == approach].to_dict("records")
    return pd.Series(found)


def test_the_table_has_means_and_spread_over_seeds_and_ratios_to_the_single_path(
    comparison: Comparison,
) -> None:
    mpnas = row(comparison.table(), "mpnas")
    assert (mpnas["seeds"], mpnas["parameter_ratio"], mpnas["parameters"]) == (2, 4.0, 400)
    assert mpnas["test"] == pytest.approx(0.75) and mpnas["val"] == pytest.approx(0.85)
    assert mpnas["test_spread"] == pytest.approx(0.1 / 2**0.5)  # of 0.7 and 0.8
    assert list(comparison.table()["approach"]) == list(TEST)
    assert comparison.table(base="nothing")["parameter_ratio"].isna().all()
    one = comparison.where(seed=[0]).table()
    assert one["test_spread"].isna().all() and set(one["seeds"]) == {1}


def test_accuracy_by_domain_is_the_mean_over_seeds(comparison: Comparison) -> None:
    wide = comparison.by_domain()
    assert list(wide.columns) == ["approach", "prioritization", "norm", "a", "b"]
    assert list(wide["approach"]) == list(TEST)
    mpnas = row(wide, "mpnas")
    assert (mpnas["a"], mpnas["b"]) == pytest.approx((0.85, 0.65))
    assert row(comparison.by_domain("val"), "bundle")["b"] == pytest.approx(0.9)


def test_differences_are_taken_seed_by_seed(comparison: Comparison) -> None:
    """random - mpnas: seed 0 (0, .1), seed 1 (-.1, .1). The bundle is paired with abdp."""
    paired = comparison.paired("mpnas")
    random = row(paired, "random_paths")
    assert random["difference"] == pytest.approx(0.025)
    assert random["spread"] == pytest.approx(0.05 / 2**0.5)
    assert (random["better"], random["seeds"]) == (1, 2)
    bundle = row(paired, "bundle")
    assert bundle["prioritization"] == "abdp"
    assert bundle["difference"] == pytest.approx((0.05 - 0.1) / 2)
    assert set(paired["approach"]) == set(TEST) - {"mpnas"}


def test_only_cells_of_one_prioritization_and_norm_are_paired(comparison: Comparison) -> None:
    domains = comparison.domains.copy()
    domains.loc[domains["approach"] == "random_paths", "norm"] = "naive"
    domains.loc[domains["approach"] == "single_path", "prioritization"] = "uniform"
    paired = Comparison(comparison.cells, domains).paired("mpnas")
    assert set(paired["approach"]) == {"bundle"}


def test_the_pareto_front_has_the_rows_that_no_cheaper_row_reaches(comparison: Comparison) -> None:
    assert list(comparison.pareto("parameters")["approach"]) == [
        "single_path",
        "mpnas",
        "random_paths",
    ]
    worse = comparison.cells.assign(
        test=comparison.cells["test"].where(comparison.cells["approach"] != "random_paths", 0.1)
    )
    front = Comparison(worse, comparison.domains).pareto("bytes")
    assert list(front["approach"]) == ["single_path", "mpnas"]


# From runs ----------------------------------------------------------------------------------------


def trained(seed: int = 0, domains: str = "abc") -> TrainResult:
    space = tiny.space()
    paths = tiny.paths(space, ["k3e1 k3e1", "k3e2 k5e3", "k3e2 k3e3"], domains)
    return train(
        tiny.suite(3).select(list(domains)), space, paths, tiny.train_config(seed=seed, steps=2)
    )


def test_a_cell_is_counted_and_measured_from_its_network() -> None:
    result = trained()
    comparison = compare([Outcome("mpnas", "abdp", result, 1234)])
    (cell,) = comparison.cells.to_dict("records")
    sizes = account(result.net, result.paths)
    readings = sizes.multiply_adds.set_index("reading")["multiply_adds"]
    assert cell["parameters"] == sizes.parameters(batch_norm=False, heads=False)
    assert cell["parameters_all"] == sizes.parameters() and cell["bytes"] == 1234
    assert [cell[c] for c in ("per_image", "union", "n_images")] == list(readings)
    assert cell["test"] == pytest.approx(result.accuracy("test").mean())
    assert len(comparison.domains) == 3 * 2 and cell["models"] == 1
    images = result.evaluation.set_index(["domain", "split"])["images"]
    for row in comparison.domains.itertuples():
        assert row.images == images[row.domain, row.split]


def test_without_its_blocks_a_run_is_compared_by_accuracy(monkeypatch: pytest.MonkeyPatch) -> None:
    def unavailable(result: TrainResult) -> None:
        raise Unavailable("the block is not there.")

    result = trained()
    monkeypatch.setattr(TrainResult, "structure", property(unavailable))
    comparison = compare([Outcome("mpnas", "abdp", result, 1234)])
    (cell,) = comparison.cells.to_dict("records")
    unknown = {name for name, value in cell.items() if value != value}
    assert unknown == {"parameters", "parameters_all", "per_image", "union", "n_images"}
    assert cell["test"] == pytest.approx(result.accuracy("test").mean())
    assert len(comparison.pareto("bytes")) == 1
    assert Answer.of(comparison).sentence.startswith("One model serves three domains: mean test")
    with pytest.raises(Unavailable, match="no run has the cost union: .*not imported"):
        comparison.pareto("union")


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: compare([]), "no finished run"),
        (
            lambda: compare([Outcome("mpnas", "abdp", trained(), 1)] * 2),
            "the cell mpnas, abdp, per_domain, 0 .* given twice",
        ),
        (
            lambda: compare(
                [Outcome("mpnas", "abdp", trained(domains=d), 1) for d in ("abc", "ab")]
            ),
            "different domains cannot be compared: a, b against a, b, c",
        ),
    ],
)
def test_what_cannot_be_compared_is_named(ask: Callable[[], object], message: str) -> None:
    with pytest.raises(MpnasError, match=message):
        ask()


def test_unknown_names_are_refused(comparison: Comparison) -> None:
    for ask, message in (
        (lambda: comparison.paired("mpnsa"), "unknown approach of this comparison 'mpnsa'"),
        (lambda: comparison.pareto("size"), "unknown cost"),
        (lambda: comparison.where(aproach=["mpnas"]), "unknown column"),
        (lambda: comparison.by_domain("dev"), "unknown split 'dev'"),
    ):
        with pytest.raises(MpnasError, match=message):
            ask()
