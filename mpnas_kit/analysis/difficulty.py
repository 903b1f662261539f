"""Difficulty of every domain over a training, and the weights another prioritization would give."""

from itertools import groupby
from operator import itemgetter

import numpy as np
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
    if type(prioritization) is ABDP:
        return _replayed_abdp(trained, prioritization)
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


def _replayed_abdp(trained: TrainResult, prioritization: ABDP) -> pd.DataFrame:
    """Return the weights of ABDP, for all steps at once: an explorer asks for them at every move.

    The rows are those of `replayed`, and the weights but for rounding.
    """
    history = trained.history[["step", "domain", "loss"]].sort_values("step", kind="stable")
    index = {domain: i for i, domain in enumerate(trained.tasks)}
    chance = np.array([task.chance_loss for task in trained.tasks.values()])
    steps, rows = np.unique(history["step"].to_numpy(), return_inverse=True)
    columns = history["domain"].map(index).to_numpy(np.int64)
    shares = np.full((len(steps), len(index)), np.nan)
    shares[rows, columns] = history["loss"].to_numpy() / chance[columns]
    # ignore_na: the average of a domain stays as it is in steps that do not draw the domain
    averages = pd.DataFrame(shares).ewm(alpha=1 - prioritization.decay, ignore_na=True).mean()
    progress = (steps - 1) / trained.config.steps
    temperatures = np.array([prioritization.temperature(share) for share in progress])
    scaled = averages.fillna(1.0).to_numpy() / temperatures[:, None]
    boost = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    weights = boost / boost.mean(axis=1, keepdims=True)
    return history[["step", "domain"]].assign(weight=weights[rows, columns]).reset_index(drop=True)
