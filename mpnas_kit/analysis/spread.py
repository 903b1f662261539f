"""Whether a search can find anything: spread of accuracy over paths and over seeds (ours)."""

import pathlib
from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from mpnas_kit.errors import MpnasError, reason
from mpnas_kit.space.blocks import InvertedBottleneck
from mpnas_kit.space.space import Path, SearchSpace
from mpnas_kit.space.spaces import pocket_space

_STUDY = pathlib.Path(__file__).parent / "pocket_path_spread.csv"
COLUMNS = ("path", "seed", "domain", "arch", "multiply_adds", "accuracy")


@dataclass(frozen=True)
class PathSpread:
    """How much the accuracy of a domain varies over paths, and over seeds of the same path (ours).

    A search can help only if accuracy varies more over paths than over seeds.

    rows: one row per path, seed and domain. Columns path (a number), seed, domain, arch (arch
    string), multiply_adds, accuracy (0 to 1). At least one path needs two seeds.
    space: the search space of the paths.

    Raises `MpnasError` if a column is missing or no path has two seeds.

    >>> rows = pd.DataFrame({"path": [0, 0, 1], "seed": [0, 1, 0], "domain": "a", "arch": "-"})
    >>> rows = rows.assign(multiply_adds=1, accuracy=[0.5, 0.6, 0.9])
    >>> bool(mk.analysis.PathSpread(rows, space).table()["ratio"].iloc[0] > 1)
    True
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
        if not (self.rows.groupby(["path", "domain"])["seed"].nunique() > 1).any():
            raise MpnasError("no path has several seeds: expected a path with at least two seeds.")

    def _repr_html_(self) -> str:
        return str(self.table().to_html())

    def table(self) -> pd.DataFrame:
        """Return the two spreads: one row per domain.

        Columns:

            domain: name.
            least, most: lowest and highest accuracy over paths, each path at its first seed.
            over_paths: standard deviation of these accuracies.
            over_seeds: square root of the variance over seeds, mean over paths with several seeds.
            ratio: over_paths / over_seeds.

        """
        result = []
        for domain, own in self.rows.groupby("domain", sort=False):
            first = own.sort_values("seed").groupby("path")["accuracy"].first()
            over_seeds = float(own.groupby("path")["accuracy"].var().mean() ** 0.5)
            over_paths = float(first.std())
            result.append(
                {
                    "domain": domain,
                    "least": first.min(),
                    "most": first.max(),
                    "over_paths": over_paths,
                    "over_seeds": over_seeds,
                    "ratio": over_paths / over_seeds,
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

        """
        archs = self.rows[["path", "arch"]].drop_duplicates("path").set_index("path")["arch"]
        features = pd.DataFrame(
            {n: {p: f(self.space.parse(a)) for p, a in archs.items()} for n, f in self._features()}
        )
        result = {}
        for domain, own in self.rows.groupby("domain", sort=False):
            mean = own.groupby("path")["accuracy"].mean()
            result[domain] = features.corrwith(mean, method="spearman")
        return pd.DataFrame(result).T.rename_axis("domain").reset_index()

    def _features(self) -> list[tuple[str, Callable[[Path], float]]]:
        space, half = self.space, len(self.space.layers) // 2

        def blocks(path: Path) -> list[InvertedBottleneck]:
            uses = (u for u in space.uses(path) if u is not None)
            return [u.block for u in uses if isinstance(u.block, InvertedBottleneck)]

        def early(path: Path) -> float:
            costs = [u.cost.multiply_adds if u else 0 for u in space.uses(path)]
            return sum(costs[:half]) / sum(costs)

        return [
            ("multiply_adds", lambda p: space.cost(p).multiply_adds),
            ("parameters", lambda p: space.cost(p).parameters),
            ("layers", lambda p: len(blocks(p))),
            ("large_kernels", lambda p: sum(b.kernel > 3 for b in blocks(p)) / len(blocks(p))),
            ("early_share", early),
        ]


def read_path_spread(file: str | pathlib.Path | None = None) -> PathSpread:
    """Return the path spread of a finished study of the pocket space.

    file: `accuracies.csv`, as `benchmarks/path_spread.py` writes it; None: the study that comes
    with the kit.

    Raises `MpnasError` if the file cannot be read or has no such column.

    >>> mk.analysis.read_path_spread().table().columns.tolist()
    ['domain', 'least', 'most', 'over_paths', 'over_seeds', 'ratio']
    """
    source = _STUDY if file is None else pathlib.Path(file)
    try:
        rows = pd.read_csv(source)
    except (OSError, ValueError) as error:
        raise MpnasError(f"{source} cannot be read: {reason(error)}.") from None
    return PathSpread(rows, pocket_space())
