"""Measure what domains gain from each other, and whether their gradients and paths say the same.

    RUN/transfer/DOMAIN/STEPS_PATH_SEED          training of a domain alone
    RUN/transfer/DOMAIN+DOMAIN/STEPS_PATH_SEED   joint training of two domains

PATH stands for a hash of the arch string.

All trainings take one path, so only the company of a domain differs. A finished training is only
read, and a stopped one continues.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import combinations, permutations
from typing import Annotated, Literal

import pandas as pd
import torch

from mpnas_kit import files
from mpnas_kit.analysis.gradients import GradientAgreement, agreement_of
from mpnas_kit.analysis.similarity import matched_matrix, similarities
from mpnas_kit.analysis.transfer import Transfer
from mpnas_kit.approaches.approach import Context
from mpnas_kit.approaches.fixed import given_or_uniform_path
from mpnas_kit.domains.batches import DomainStream, Source, standards
from mpnas_kit.domains.seeds import derived_seed
from mpnas_kit.engine.config import StageConfig
from mpnas_kit.engine.loop import Callback
from mpnas_kit.engine.runtime import reproducible
from mpnas_kit.errors import MpnasError, Unavailable
from mpnas_kit.prioritization.abdp import Uniform
from mpnas_kit.runs.description import RUN
from mpnas_kit.runs.run import Run
from mpnas_kit.runs.sweep_cells import CELLS
from mpnas_kit.runs.trust import supernet_of
from mpnas_kit.search.data import divide
from mpnas_kit.settings import require, to_dict
from mpnas_kit.space.layers import Path
from mpnas_kit.training.config import TrainConfig
from mpnas_kit.training.stage import train
from mpnas_kit.values import SEED, Range, checked, convert_list, convert_plain

TRANSFER = "transfer"  # folder of the trainings in the run folder
LEAST_SEEDS = 2  # without a second one, noise is not known


@checked("measured_transfer")
def measured_transfer(
    run: Run,
    *,
    path: str | None = None,
    seeds: Sequence[int] = (0, 1),
    steps: Annotated[int | None, Range(1, 10_000_000)] = None,
    callbacks: Sequence[Callback] = (),
    tell: Callable[[str], None] = lambda line: None,
) -> Transfer:
    """Measure for every two domains of a run what each gains from the other (ours).

    Every two domains are trained together, and every domain alone, all on one path, with the
    training settings and the start of the run. Losses have equal weights and are added, as in a
    union. So shared weights get larger steps in a joint training than alone, and all gains may be
    shifted by the same cause; their order says more than their sign. A seed has the same initial
    weights in all of its trainings, but other batches. Trainings: `seeds * (n + n (n - 1) / 2)` for
    n domains, 110 for ten domains and two seeds.

    run: a run of at least two domains. It need not be searched.
    path: arch string of the path. None: the uniform path whose cost is nearest to the cost target.
    seeds: seeds of the trainings, at least two.
    steps: training steps. None: a third of those of the run's training.
    callbacks: called after every step of every training.
    tell: called with one line of text per training.

    Raises `MpnasError` if there are fewer than two domains or seeds, if the path is not one of the
    space, or if there is none to take.

    >>> transfer = mk.measured_transfer(mk.Run("runs/mine"), seeds=(0, 1))  # doctest: +SKIP
    >>> transfer.matrix().loc["digits", "letters"]  # doctest: +SKIP
    """
    _refuse_grown(run)
    chosen = _seeds(seeds)
    require(
        len(run.domains) > 1,
        f"transfer needs at least two domains, and {run.folder} has one: {run.domains[0]}.",
    )
    shared = _path(run, path)
    usual = run.train_config()
    config = replace(
        usual,
        steps=max(1, usual.steps // 3) if steps is None else steps,
        prioritization=Uniform(),
        draw_temperature=0.0,
        evaluate_every=0,
        private_until=0,
        private_from=None,
        frozen=False,
        frozen_norms="measured",
    )
    singles: list[tuple[str, ...]] = [(domain,) for domain in run.domains]
    groups = [*singles, *combinations(run.domains, 2)]
    total, number = len(groups) * len(chosen), 0
    accuracies: dict[tuple[int, frozenset[str]], pd.Series] = {}
    for seed in chosen:
        for group in groups:
            found = _trained(run, group, shared, replace(config, seed=seed), callbacks)
            accuracies[seed, frozenset(group)] = found
            number += 1
            words = ", ".join(f"{domain} {found[domain]:.1%}" for domain in group)
            tell(f"{number} of {total}: seed {seed}, {words}")
    rows = [
        {
            "domain": domain,
            "partner": partner,
            "seed": seed,
            "alone": float(accuracies[seed, frozenset([domain])][domain]),
            "joint": float(accuracies[seed, frozenset([domain, partner])][domain]),
        }
        for seed in chosen
        for domain, partner in permutations(run.domains, 2)
    ]
    return Transfer(pd.DataFrame(rows), shared.arch, config.steps)


def _trained(
    run: Run,
    domains: tuple[str, ...],
    path: Path,
    config: TrainConfig,
    callbacks: Sequence[Callback],
) -> pd.Series:
    """Return the validation accuracy of every domain, trained together on one path."""
    mark = sha256(path.arch.encode()).hexdigest()[:8]
    name = f"{config.steps}_{mark}_{config.seed}"
    folder = run.begin() / TRANSFER / "+".join(domains) / name
    trained = train(
        run.suite.select(domains),
        run.space,
        dict.fromkeys(domains, path),
        config,
        start=run.start,
        folder=folder,
        callbacks=callbacks,
    )
    return trained.accuracy("val")


def _path(run: Run, arch: str | None) -> Path:
    if arch is None and not run.space.uniform_paths():
        raise MpnasError(
            f"space {run.space.name!r} has no uniform path, since no block is in all its layers: "
            "expected the arch string of a path."
        )
    return given_or_uniform_path(Context(run.space, run.domains, run.search_config()), arch)


def _seeds(seeds: Sequence[int]) -> tuple[int, ...]:
    given = convert_list(seeds, "measured_transfer: seeds", "whole numbers")
    chosen = [convert_plain(s, Annotated[int, SEED], "measured_transfer: a seed") for s in given]
    require(
        len(set(chosen)) == len(chosen) >= LEAST_SEEDS,
        f"measured_transfer: seeds must be at least {LEAST_SEEDS} different ones, since their "
        f"spread is the noise, not {', '.join(map(str, chosen)) or 'none'}.",
    )
    return tuple(chosen)


def _refuse_grown(run: Run) -> None:
    if run.description.frozen:
        raise Unavailable(
            f"{run.folder} adds domains to a trained network, and has images of the added domains "
            "only: expected a run that trains all of its domains."
        )


@checked("gradient_agreement")
def gradient_agreement(
    run: Run,
    *,
    stage: Literal["train", "search"] = "train",
    batches: Annotated[int, Range(2, 100_000)] = 16,
    seed: Annotated[int, SEED] = 0,
) -> GradientAgreement:
    """Compare the gradients of every two domains of a run, at every node that both use (ours).

    The images are training images without augmentation: two halves per batch, each of the batch
    size of the stage, or of half of the images if there are fewer. Batch norm uses batch
    statistics.

    run: a run whose stage is finished.
    stage: `train`: the trained union, on the domains' own paths. `search`: the supernet, where all
    domains take the same random path, another one per batch. So every pair has a value at every
    node, which does not depend on the paths that were found.
    batches: number of batches, 2 to 100,000.
    seed: seed of batches and random paths.

    Raises `MpnasError` if the stage is not finished, or a domain has fewer than 4 training images.

    >>> agreement = mk.gradient_agreement(mk.Run("runs/mine"))  # doctest: +SKIP
    >>> agreement.matrix().loc["digits", "letters"]  # doctest: +SKIP
    """
    _refuse_grown(run)
    config: StageConfig
    if stage == "train":
        trained = run.train_result()
        net, config = trained.net, trained.config
        inputs = standards(run.suite, trained.standard)
        sources = {d.name: Source(d.train, inputs[d.name]) for d in run.suite}
        paths = [trained.paths] * batches
    else:
        origin = run.origin
        net, searched = supernet_of(origin), origin.search_result().config
        config = searched
        standard = None if origin.start is None else origin.start.standard
        parts = divide(run.suite, searched.reward_share, searched.seed, standard)
        sources = {name: replace(part.weights, flip=False) for name, part in parts.items()}
        generator = torch.Generator().manual_seed(seed)
        drawn = [run.space.sample(generator) for _ in range(batches)]
        paths = [dict.fromkeys(sources, path) for path in drawn]
    streams = {}
    for place, (name, source) in enumerate(sources.items()):
        images = min(config.batch_size, len(source.split) // 2)
        require(
            images > 1,
            f"domain {name!r} has {len(source.split)} training images: expected at least 4, two "
            "for each of two gradients.",
        )
        streams[name] = DomainStream(source, 2 * images, derived_seed(seed, place))
    with reproducible(config.threads, run.space.resolution, net.kernels is not None):
        return agreement_of(net, streams, paths, config.label_smoothing)


@dataclass(frozen=True, eq=False)
class SearchedSimilarity:
    """Mean similarity of the paths of several searches. Returned by `searched_similarity`.

    matrix: Jaccard similarity of every two domains' paths, mean over searches.
    chance: that of random paths of the same costs, mean over searches (see `matched_matrix`).
    seeds: seeds of the searches.
    """

    matrix: pd.DataFrame
    chance: pd.DataFrame
    seeds: tuple[int, ...]


def searched_similarity(run: Run) -> SearchedSimilarity:
    """Return the mean similarity of the paths of a run and of its cells that differ in seed only.

    Cells count if they searched by themselves with the approach and the settings of the run, and
    another seed.

    run: a run whose paths are known.

    Raises `MpnasError` if the search of the run is not finished.

    >>> similarity = mk.searched_similarity(mk.Run("runs/mine"))  # doctest: +SKIP
    """
    own = to_dict(run.origin.search_config())
    found = {int(own["seed"]): run.paths()}
    for name in files.names_in(run.folder / CELLS):
        folder = run.folder / CELLS / name
        if not files.exists(folder / RUN):
            continue
        cell = Run.read(folder, trust=run.trust)
        same = cell.approach == run.approach
        if not same or not cell.finished("search") or not run.searches:
            continue
        settings = to_dict(cell.search_config())
        seed = int(settings["seed"])
        if seed not in found and {**settings, "seed": None} == {**own, "seed": None}:
            found[seed] = cell.paths()
    return SearchedSimilarity(
        _mean([similarities(run.space, paths) for paths in found.values()]),
        _mean([matched_matrix(run.space, paths) for paths in found.values()]),
        tuple(found),
    )


def _mean(matrices: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the mean of matrices with the same domains, in the order of the first one."""
    first, *others = matrices
    return sum((other.loc[first.index, first.columns] for other in others), first) / len(matrices)
