"""How difficult every domain was in a training, and what other weights would have followed."""

import math
from itertools import groupby
from operator import itemgetter

import pandas as pd

from mpnas_kit.errors import MpnasError
from mpnas_kit.prioritization.abdp import ABDP
from mpnas_kit.prioritization.methods import Prioritization
from mpnas_kit.prioritization.weigher import Seen
from mpnas_kit.training.stage import TrainResult


def difficulties(trained: TrainResult) -> pd.DataFrame:
    """Weight and difficulty of every domain: a row a step and domain it was drawn in.

    Columns: step, domain, weight (of its loss in that step), difficulty: the moving average of
    loss / ln(classes), bias-corrected, 1 at chance and 0 when solved. The decay is that of the
    run's ABDP; under any other prioritization, which has no difficulty of its own, ABDP's default.
    Raises `MpnasError` for a training without steps, or logged without loss and weight.
    """
    for column in ("step", "domain", "loss", "weight"):
        if column not in trained.history:
            raise MpnasError(
                f"the history of this training has no column {column!r}: expected the one that "
                "`train` gives back."
            )
    priority = trained.config.priority
    decay = priority.decay if isinstance(priority, ABDP) else ABDP().decay
    table = trained.history[["step", "domain", "weight"]].copy()
    chance = trained.history["domain"].map(lambda d: math.log(trained.net.classes[d]))
    shares = (trained.history["loss"] / chance).groupby(trained.history["domain"], sort=False)
    # pandas' adjusted mean is the bias-corrected one: sum decay^i l / sum decay^i
    table["difficulty"] = shares.transform(lambda own: own.ewm(alpha=1 - decay, adjust=True).mean())
    return table


def replayed(trained: TrainResult, priority: Prioritization) -> pd.DataFrame:
    """The weights that `priority` would have given on the recorded losses, as `difficulties`.

    What would have been learned under other weights is another matter: losses stay as recorded, so
    a prioritization that looks at the losses after a step is told those of the next one.
    """
    steps = trained.config.steps
    weigher = priority.weigher(trained.net.classes, trained.config.seed)
    history = trained.history[["step", "domain", "loss", "accuracy"]].sort_values("step")
    rows: list[tuple[int, str, float]] = []
    before: dict[str, Seen] = {}
    for step, group in groupby(history.itertuples(index=False, name=None), itemgetter(0)):
        seen = {domain: Seen(nll, right) for _, domain, nll, right in group}
        if weigher.looks_back and before:
            weigher.look_back({d: seen.get(d, s).nll for d, s in before.items()})
        weights, before = weigher.weigh(seen, (step - 1) / steps), seen
        rows += [(step, domain, weight) for domain, weight in weights.items()]
    return pd.DataFrame(rows, columns=["step", "domain", "weight"])
