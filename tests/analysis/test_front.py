"""Which rows of a comparison are the front, and which are clearly below it."""

from collections.abc import Callable, Mapping, Sequence

import pandas as pd
import pytest

from mpnas_kit.analysis.comparison import Comparison
from mpnas_kit.analysis.front import accuracy_front
from mpnas_kit.errors import MpnasError

ROWS: Mapping[str, tuple[float, Sequence[float]]] = {  # parameters, accuracy by seed
    "mpnas": (2e5, [0.70, 0.72, 0.74]),
    "merged(share=0.5)": (1e5, [0.69, 0.71, 0.73]),
    "bundle": (4e5, [0.69, 0.72, 0.73]),  # 1, 0 and 1 points below mpnas: not clear
    "random_paths": (2e5, [0.60, 0.62, 0.641]),  # 10 points below mpnas, 9 below merged
    "single_path": (5e4, [0.50, 0.52, 0.54]),
}


def comparison(seeds: int = 3) -> Comparison:
    cells, domains = [], []
    for approach, (size, accuracies) in ROWS.items():
        for seed, accuracy in enumerate(accuracies[:seeds]):
            key = {"approach": approach, "prioritization": "abdp", "norm": "per_domain"}
            names = ("parameters", "parameters_all", "per_image", "union", "n_images", "bytes")
            sizes = dict.fromkeys(names, size)
            values = {"val": accuracy, "test": accuracy, "test_macro": accuracy}
            cells.append({**key, "seed": seed, **sizes, **values})
            row = {"seed": seed, "domain": "a", "split": "test", "accuracy": accuracy}
            domains.append({**key, **row})
    return Comparison(pd.DataFrame(cells), pd.DataFrame(domains))


def test_the_front_and_what_is_clearly_below_it() -> None:
    found = accuracy_front(comparison())
    table = found.table.set_index("name")
    assert table["cost"].is_monotonic_increasing
    assert table["place"].to_dict() == {
        "single_path": "front",
        "merged(share=0.5)": "front",
        "mpnas": "front",
        "random_paths": "below",
        "bundle": "unclear",
    }
    assert table["beaten_by"].to_dict() == {**dict.fromkeys(ROWS, ""), "random_paths": "mpnas"}
    assert found.sentence() == (
        "The front of test accuracy and parameters: single_path (52.0% with 50 k), "
        "merged(share=0.5) (71.0% with 100 k), mpnas (72.0% with 200 k); below it, but not "
        "clearly: bundle; clearly below it: random_paths."
    )


def test_the_front_is_that_of_the_pareto_table() -> None:
    compared = comparison()
    front = accuracy_front(compared).table.query("place == 'front'")
    assert front["approach"].tolist() == compared.pareto()["approach"].tolist()


def test_one_seed_makes_nothing_clear() -> None:
    table = accuracy_front(comparison(seeds=1)).table
    assert set(table["place"]) == {"front", "unclear"} and table["low"].isna().all()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: accuracy_front("runs/x"), "comparison must be a Comparison"),
        (lambda: accuracy_front(comparison(), "size"), "unknown cost of a comparison"),
        (lambda: accuracy_front(comparison(), split="train"), "unknown split"),
        (lambda: accuracy_front(comparison().where(approach="x")), "has no runs"),
    ],
)
def test_wrong_inputs(wrong: Callable[[], object], message: str) -> None:
    with pytest.raises(MpnasError, match=message):
        wrong()
