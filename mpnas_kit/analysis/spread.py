"""Whether a search can find anything: accuracy over paths of equal cost, and over seeds (ours).

A search can only be as good as its space lets it. `sigma` is the standard deviation of accuracy
over paths of equal cost, without the noise of training. It bounds what a search can gain, and that
noise bounds how well any predictor can agree with the accuracies of single trainings.
"""

import math
import pathlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pandas as pd
from scipy.integrate import quad
from scipy.stats import norm

from mpnas_kit.errors import MpnasError, reason
from mpnas_kit.space.blocks import InvertedBottleneck
from mpnas_kit.space.layers import Path
from mpnas_kit.space.space import SearchSpace
from mpnas_kit.space.spaces import pocket_strided
from mpnas_kit.values import Range, checked

_STUDY = pathlib.Path(__file__).parent / "pocket_path_spread.csv"
COLUMNS = ("path", "seed", "domain", "arch", "multiply_adds", "accuracy")
CANDIDATES = 256  # paths of which the best one is taken, in the column `gain`


@checked("expected_maximum")
def expected_maximum(count: Annotated[int, Range(1, 1_000_000)]) -> float:
    """Return the expected maximum of `count` standard normal numbers.

    >>> round(mk.analysis.expected_maximum(2), 3), round(mk.analysis.expected_maximum(256), 2)
    (0.564, 2.83)
    """
    density = lambda x: x * count * norm.pdf(x) * norm.cdf(x) ** (count - 1)  # noqa: E731
    return float(quad(density, -10, 10, limit=200)[0])


@dataclass(frozen=True)
class PathSpread:
    """How much the accuracy of a domain varies over paths of equal cost, and over seeds (ours).

    rows: one row per path, seed and domain. Columns path (number of a path of the domain), seed,
    domain, arch (arch string), multiply_adds, accuracy (0 to 1). Every domain needs two paths, and
    a path with two seeds.
    space: the search space of the paths.

    Raises `MpnasError` if a column is missing, or a domain has too few paths or seeds.

    >>> rows = pd.DataFrame({"path": [0, 0, 1], "seed": [0, 1, 0], "domain": "a", "arch": "-"})
    >>> rows = rows.assign(multiply_adds=1, accuracy=[0.5, 0.6, 0.9])
    >>> mk.analysis.PathSpread(rows, space).table()["sigma"].round(2).tolist()
    [0.27]
    """

    rows: pd.DataFrame
    space: SearchSpace

    def __post_init__(self) -> None:
        missing = [c for c in COLUMNS if c not in self.rows]
        if missing:
            raise MpnasError(
                f"the rows of a path spread have no column {missing[0]!r}: expected the columns "
                f"{', '.join(COLUMNS)}."
            )
        for domain, own in self.rows.groupby("domain", sort=False):
            seeds = own.groupby("path")["seed"].nunique()
            if len(seeds) < 2 or seeds.max() < 2:
                raise MpnasError(
                    f"domain {domain!r} of a path spread has {len(seeds)} paths, with at most "
                    f"{seeds.max()} seeds: expected two paths, and a path with two seeds."
                )

    def _repr_html_(self) -> str:
        return str(self.table().to_html())

    def table(self) -> pd.DataFrame:
        """Return the two spreads and what follows from them: one row per domain.

        Columns, accuracies 0 to 1:

            domain: name.
            mean, least, most: mean, lowest and highest accuracy over paths, each at its first seed.
            over_paths: standard deviation of these accuracies. It contains the noise of training.
            over_seeds: square root of the variance over seeds, mean over paths with several seeds.
            sigma: deviation over paths without that noise, sqrt(over_paths ** 2 - over_seeds ** 2);
            0 if that is negative.
            tau: ceiling of Kendall's tau between any predictor and the accuracies of one training
            each, for normal accuracies: 2 / pi asin(sigma / over_paths).
            gain: ceiling of the gain over the mean path by the best of 256 paths, sigma times
            `expected_maximum(256)`. A predictor of correlation r gains r times this.

        """
        result = []
        for domain, own in self.rows.groupby("domain", sort=False):
            first = own.sort_values("seed").groupby("path")["accuracy"].first()
            over_seeds = float(own.groupby("path")["accuracy"].var().mean() ** 0.5)
            over_paths = float(first.std())
            sigma = math.sqrt(max(0.0, over_paths**2 - over_seeds**2))
            known = sigma / math.hypot(sigma, over_seeds) if sigma else 0.0
            result.append(
                {
                    "domain": domain,
                    "mean": first.mean(),
                    "least": first.min(),
                    "most": first.max(),
                    "over_paths": over_paths,
                    "over_seeds": over_seeds,
                    "sigma": sigma,
                    "tau": 2 / math.pi * math.asin(known),
                    "gain": sigma * expected_maximum(CANDIDATES),
                }
            )
        return pd.DataFrame(result)

    def explained_by(self) -> pd.DataFrame:
        """Return Spearman's rank correlation of accuracy with features of the path, -1 to 1.

        One row per domain; the accuracy of a path is its mean over seeds. Columns:

            domain: name.
            multiply_adds, parameters: cost of the path.
            layers: number of inverted bottlenecks that are not skipped.
            large_kernels: share of them with a kernel above 3 x 3.
            early_share: share of the multiply-adds in the first half of the layers.
            halvings: how often the maps are halved before a multiply-add, in the mean.

        """
        paths = self.rows.drop_duplicates(["domain", "path"])
        features = pd.DataFrame(
            {n: [f(self.space.parse(a)) for a in paths["arch"]] for n, f in self._features()},
            index=pd.MultiIndex.from_frame(paths[["domain", "path"]]),
        )
        result = {}
        for domain, own in self.rows.groupby("domain", sort=False):
            mean = own.groupby("path")["accuracy"].mean()
            result[domain] = features.loc[domain].corrwith(mean, method="spearman")
        return pd.DataFrame(result).T.rename_axis("domain").reset_index()

    def _features(self) -> list[tuple[str, Callable[[Path], float]]]:
        space = self.space

        def blocks(path: Path) -> list[InvertedBottleneck]:
            uses = (u for u in space.uses(path) if u is not None)
            return [u.block for u in uses if isinstance(u.block, InvertedBottleneck)]

        def early(path: Path) -> float:
            costs = [u.cost.multiply_adds if u else 0 for u in space.uses(path)]
            return float(np.sum(costs[: len(costs) // 2]) / np.sum(costs))

        def position(path: Path) -> float:
            uses = [u for u in space.uses(path) if u is not None]
            where = [math.log2(space.resolution / u.size) for u in uses]
            return float(np.average(where, weights=[u.cost.multiply_adds for u in uses]))

        return [
            ("multiply_adds", lambda p: space.cost(p).multiply_adds),
            ("parameters", lambda p: space.cost(p).parameters),
            ("layers", lambda p: len(blocks(p))),
            ("large_kernels", lambda p: float(np.mean([b.kernel > 3 for b in blocks(p)]))),
            ("early_share", early),
            ("halvings", position),
        ]


def read_path_spread(file: str | pathlib.Path | None = None) -> PathSpread:
    """Return the path spread of a finished study of the space `pocket_strided`.

    file: `accuracies.csv`, as `benchmarks/path_spread.py` writes it; None: the study that comes
    with the kit.

    Raises `MpnasError` if the file cannot be read or has no such column.

    >>> mk.analysis.read_path_spread().table().columns.tolist()
    ['domain', 'mean', 'least', 'most', 'over_paths', 'over_seeds', 'sigma', 'tau', 'gain']
    """
    source = _STUDY if file is None else pathlib.Path(file)
    try:
        rows = pd.read_csv(source)
    except (OSError, ValueError) as error:
        raise MpnasError(f"{source} cannot be read: {reason(error)}.") from None
    return PathSpread(rows, pocket_strided())
