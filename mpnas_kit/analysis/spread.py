"""Is there something to find? Accuracy over paths against accuracy over seeds (ours)."""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from mpnas_kit.errors import MpnasError
from mpnas_kit.space.blocks import InvertedBottleneck
from mpnas_kit.space.space import Path, SearchSpace

COLUMNS = ("path", "seed", "domain", "arch", "multiply_adds", "accuracy")


@dataclass(frozen=True)
class PathSpread:
    """How much the accuracy of a domain varies over paths, and how much over seeds of one path.

    rows: a row a path, seed and domain: path (a number), seed, domain, arch (arch string),
    multiply_adds, accuracy (0 to 1). Paths with one seed and paths with several are both welcome.
    """

    rows: pd.DataFrame
    space: SearchSpace

    def __post_init__(self) -> None:
        missing = [c for c in COLUMNS if c not in self.rows]
        if missing:
            raise MpnasError(f"the rows of a path spread lack the column {missing[0]!r}.")
        if not (self.rows.groupby(["path", "domain"])["seed"].nunique() > 1).any():
            raise MpnasError("a path spread needs a path with at least two seeds.")

    def table(self) -> pd.DataFrame:
        """A row a domain: least, most and deviation over paths, deviation over seeds, their ratio.

        over_paths: standard deviation of the accuracy over paths at their first seed. over_seeds:
        root of the mean variance over the seeds of a path, of all paths with several.
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
        """Spearman's rank correlation of accuracy with features of the path, a row a domain.

        multiply_adds; parameters; layers (not skipped); large_kernels (share of the layers present
        with 5 x 5 or 7 x 7 kernels); early_share (of the multiply-adds, in the first half of the
        layers).
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
