"""Difficulty of every domain over a training, and the weights another prioritization would give."""

from itertools import groupby
from operator import itemgetter

import pandas as pd

from mpnas_kit.errors import MpnasError
from mpnas_kit.prioritization.abdp import ABDP
from mpnas_kit.prioritization.domain_weights import Prioritization, Seen
from mpnas_kit.training.result import TrainResult


def difficulties(trained: TrainResult) -> pd.DataFrame:
    """Return the weight and the difficulty of every domain over the steps of a training (ours).

    difficulty_d = moving average of loss_d / chance_loss_d, bias-corrected. For classification,
    chance_loss_d is ln(classes_d). The difficulty is 1 at chance and 0 when the domain is solved.
    The decay of the average is that of the ABDP of the training. If the training used another
    prioritization, it is ABDP's default.

    trained: result of a training; only its history is used.

    One row per step and domain drawn in it. Columns step (from 1), domain, weight (of the domain's
    loss in that step), difficulty. Raises `MpnasError` if the history has no loss or no weight.

    >>> mk.analysis.difficulties(trained).columns.tolist()
    ['step', 'domain', 'weight', 'difficulty']
    """
    for column in ("step", "domain", "loss", "weight"):
        if column not in trained.history:
            raise MpnasError(
                f"the history of this training has no column {column!r}: expected the history "
                "that `train` returns."
            )
    prioritization = trained.config.prioritization
    decay = prioritization.decay if isinstance(prioritization, ABDP) else ABDP().decay
    table = trained.history[["step", "domain", "weight"]].copy()
    chance = trained.history["domain"].map(lambda d: trained.tasks[d].chance_loss)
    shares = (trained.history["loss"] / chance).groupby(trained.history["domain"], sort=False)
    # pandas' adjusted mean is the bias-corrected one: sum decay^i l / sum decay^i
    table["difficulty"] = shares.transform(lambda own: own.ewm(alpha=1 - decay, adjust=True).mean())
    return table


def replayed(trained: TrainResult, prioritization: Prioritization) -> pd.DataFrame:
    """Return the weights that `prioritization` would give to the recorded losses (ours).

    The losses stay as recorded, although other weights would have changed them. A prioritization
    that needs the losses after a step gets those of the next step instead.

    trained: result of a training; its history, tasks, steps and seed are used.
    prioritization: any prioritization method.

    One row per step and domain drawn in it. Columns step (from 1), domain, weight.

    >>> weights = mk.analysis.replayed(trained, mk.Uniform())
    >>> weights["weight"].unique().tolist()
    [1.0]
    """
    steps = trained.config.steps
    state = prioritization.begin(trained.tasks, trained.config.seed)
    history = trained.history[["step", "domain", "loss", "accuracy"]].sort_values("step")
    rows: list[tuple[int, str, float]] = []
    before: dict[str, Seen] = {}
    for step, group in groupby(history.itertuples(index=False, name=None), itemgetter(0)):
        seen = {domain: Seen(nll, right) for _, domain, nll, right in group}
        if state.needs_losses_after_step and before:
            state.after_step({d: seen.get(d, s).nll for d, s in before.items()})
        weights, before = state.weights(seen, (step - 1) / steps), seen
        rows += [(step, domain, weight) for domain, weight in weights.items()]
    return pd.DataFrame(rows, columns=["step", "domain", "weight"])
