"""How often intervals and tests over seeds are right, on simulated differences.

python benchmarks/intervals.py [--tables 2000]

Prints, for normal and for skewed differences of 3, 5 and 10 seeds, how many of 100 intervals at
95 % cover the true mean, and how many of 100 sign-flip tests of a true mean have p below 0.1.
"""

import argparse

import numpy as np
from scipy.stats import bootstrap

from mpnas_kit.analysis.evidence import bootstrap_interval, sign_flip_p
from mpnas_kit.analysis.standings import t_interval


def plain_percentile(values: np.ndarray) -> tuple[float, float]:
    """Return the percentile interval that is not expanded."""
    found = bootstrap((values,), np.mean, method="percentile", rng=np.random.default_rng(0))
    return found.confidence_interval.low, found.confidence_interval.high


def main() -> None:
    """Simulate, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=int, default=2000)
    tables, generator = parser.parse_args().tables, np.random.default_rng(0)
    draws = {
        "normal": generator.standard_normal,
        "skewed": lambda n: generator.exponential(size=n) - 1,  # mean 0, skewness 2
    }
    intervals = (t_interval, bootstrap_interval, plain_percentile)
    print("differences  seeds      t  expanded  percentile  p < 0.1")
    for name, draw in draws.items():
        for seeds in (3, 5, 10):
            right = np.zeros(4)
            for _ in range(tables):
                values = draw(seeds)
                ends = [interval(values) for interval in intervals]
                right += [*(low <= 0 <= high for low, high in ends), sign_flip_p(values) < 0.1]
            t, expanded, plain, p = 100 * right / tables
            print(f"{name:11}  {seeds:5}  {t:5.1f}  {expanded:8.1f}  {plain:10.1f}  {p:7.1f}")


if __name__ == "__main__":
    main()
