"""Rows of a comparison with intervals over seeds, and which are as good as the best."""

import numpy as np
import pandas as pd
import pytest

from mpnas_kit.analysis.comparison import Comparison
from mpnas_kit.analysis.standings import of_domain, ranking, t_interval
from mpnas_kit.errors import MpnasError

SEEDS = {"one": (0.60, 0.62, 0.64), "two": (0.61, 0.60, 0.64), "three": (0.40, 0.41, 0.43)}
APART = {"x": 0.2, "y": -0.2}  # from the mean


def comparison(seeds: dict[str, tuple[float, ...]]) -> Comparison:
    """One run per approach and seed, of two domains."""
    key = {"prioritization": "abdp", "norm": "shared"}
    cells, domains = [], []
    for approach, values in seeds.items():
        for seed, value in enumerate(values):
            own = {"approach": approach, **key, "seed": seed}
            sizes = dict.fromkeys(("parameters", "parameters_all", "bytes"), 10.0)
            sizes |= dict.fromkeys(("per_image", "union", "n_images"), 10.0)
            cells.append({**own, **sizes, "val": value, "test": value, "test_macro": value})
            for split in ("val", "test"):
                for domain, more in APART.items():
                    accuracy = value + more
                    domains.append({**own, "domain": domain, "split": split, "accuracy": accuracy})
    return Comparison(pd.DataFrame(cells), pd.DataFrame(domains))


def test_the_interval_of_a_mean_is_that_of_student() -> None:
    low, high = t_interval([1.0, 2.0, 3.0])
    half = 4.302653 / np.sqrt(3)  # quantile of two degrees of freedom; the deviation is 1
    assert (low, high) == pytest.approx((2 - half, 2 + half))
    assert np.isnan(t_interval([1.0])).all() and np.isnan(t_interval([])).all()
    assert t_interval([0.5, 0.5]) == (0.5, 0.5)


def test_the_best_row_and_its_ties_follow_from_differences_seed_by_seed() -> None:
    rows = ranking(comparison(SEEDS)).set_index("approach")
    assert rows["place"].to_dict() == {"one": "best", "two": "tie", "three": ""}
    assert rows.loc["one", "accuracy"] == pytest.approx(0.62)
    assert rows.loc["one", "low"] < 0.62 < rows.loc["one", "high"]
    # Widely spread, but 0.05 behind in every seed: no tie, though the intervals overlap.
    paired = {"first": (0.5, 0.6, 0.7), "second": (0.45, 0.55, 0.65 + 1e-4)}
    assert ranking(comparison(paired))["place"].tolist() == ["best", ""]


def test_one_seed_has_no_interval_and_ties_only_if_equal() -> None:
    rows = ranking(comparison({"one": (0.6,), "two": (0.6,), "three": (0.5,)}))
    assert rows["place"].tolist() == ["best", "tie", ""]
    assert rows["low"].isna().all() and rows["seeds"].tolist() == [1, 1, 1]


def test_the_accuracy_of_one_domain_takes_the_place_of_the_mean() -> None:
    whole = comparison(SEEDS)
    own = of_domain(whole, "x")
    assert own.cells["test"].tolist() == pytest.approx([v + 0.2 for v in whole.cells["test"]])
    same = ["approach", "seed", "parameters"]
    assert own.cells[same].equals(whole.cells[same]) and own.cells["test_macro"].isna().all()
    assert own.by_domain().columns.tolist()[3:] == ["x"]
    assert ranking(own)["accuracy"].tolist() == pytest.approx(
        [v + 0.2 for v in ranking(whole)["accuracy"]]
    )


def test_unknown_splits_and_domains_are_refused() -> None:
    with pytest.raises(MpnasError, match="unknown split 'train'"):
        ranking(comparison(SEEDS), "train")  # type: ignore[arg-type]
    with pytest.raises(MpnasError, match="unknown domain of this comparison .z."):
        of_domain(comparison(SEEDS), "z")
