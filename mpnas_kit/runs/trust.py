"""Measure whether the supernet ranks paths as training them alone would.

A search rewards a path for its quality on shared weights. This is useful only if paths have the
same order when each is trained alone from scratch. Kendall's tau-b over random paths measures it: 1
is the same order, 0 is no relation.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pandas as pd
import torch

from mpnas_kit.analysis.trust import LEAST_PATHS, Trust
from mpnas_kit.domains.batches import DomainStream
from mpnas_kit.engine.runtime import reproducible
from mpnas_kit.engine.stage_folder import StageFolder
from mpnas_kit.errors import Unavailable
from mpnas_kit.kernels.library import usable
from mpnas_kit.network.net import Flow, MultiPathNet
from mpnas_kit.prioritization.abdp import Uniform
from mpnas_kit.runs.run import Run
from mpnas_kit.search.data import divide
from mpnas_kit.settings import require
from mpnas_kit.space.layers import Path
from mpnas_kit.training.stage import train


def supernet_trust(
    run: Run,
    domain: str,
    *,
    paths: int = 20,
    steps: int | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> Trust:
    """Measure random paths of a domain on the supernet of a run's search, and retrained.

    Every path is trained alone in RUN/trust/DOMAIN/STEPS_PATH with the training settings and the
    start of the run. A path that is already trained there is only read. The seed of the run's
    training determines which paths are drawn.

    run: a run with a finished search.
    domain: name of a domain of the run.
    paths: number of random paths, at least 3.
    steps: training steps of each path; None: as many as the run's training.
    tell: called with one line of text per path.

    Raises `MpnasError` if there are fewer than 3 paths, if the run has no such domain, or if its
    search is not finished.

    >>> run = mk.Run("runs/mine")  # doctest: +SKIP
    >>> tau, p_value = mk.supernet_trust(run, "digits", paths=20).tau()  # doctest: +SKIP
    """
    require(paths >= LEAST_PATHS, f"trust needs at least {LEAST_PATHS} paths, not {paths}.")
    suite, space = run.suite.select([domain]), run.space
    config = replace(
        run.train_config(),
        prioritization=Uniform(),
        evaluate_every=0,
        private_until=0,
        private_from=None,
    )
    if steps is not None:
        config = replace(config, steps=steps)
    generator = torch.Generator().manual_seed(config.seed)
    sampled = [space.sample(generator) for _ in range(paths)]
    qualities = supernet_quality(run, domain, sampled)
    rows = []
    for number, (path, quality) in enumerate(zip(sampled, qualities, strict=True)):
        folder = run.folder / "trust" / domain / f"{config.steps}_{number:02d}"
        trained = train(suite, space, {domain: path}, config, start=run.start, folder=folder)
        retrained = float(trained.accuracy("val")[domain])
        rows.append(
            {
                "path": number,
                "arch": path.arch,
                "multiply_adds": space.of(domain).cost(path).multiply_adds,
                "supernet": quality,
                "retrained": retrained,
            }
        )
        tell(
            f"{domain}, path {number + 1} of {paths}: {quality:.1%} on the supernet, "
            f"{retrained:.1%} retrained"
        )
    return Trust(domain, pd.DataFrame(rows))


def supernet_quality(run: Run, domain: str, paths: Sequence[Path], batch: int = 128) -> list[float]:
    """Return the accuracy of paths on the supernet of a finished search, 0 to 1 each.

    The images are the reward part of the domain. Batch norm uses batch statistics, as in the
    search. A last batch of fewer images is not used, unless it is the only one.

    run: a run with a finished search.
    domain: name of a domain of the run.
    paths: paths through the space of the run.
    batch: images per batch.
    """
    origin = run.origin
    if origin.description.frozen:
        raise Unavailable(
            f"the supernet of {origin.folder} has frozen nodes, so its accuracies say nothing of "
            "training a path from scratch: expected a run that trains all of its domains."
        )
    config = origin.search_result().config
    standard = None if origin.start is None else origin.start.standard
    part = divide(run.suite, config.reward_share, config.seed, standard)[domain]
    net, task = supernet_of(origin), part.task
    count = len(part.reward.split)
    stream = DomainStream(part.reward, min(batch, count), config.seed)
    batches = [stream.next().take() for _ in range(max(1, count // batch))]
    native = net.kernels is not None
    with reproducible(config.threads, run.space.resolution, native), torch.no_grad():
        return [
            sum(task.quality(net([Flow(domain, x, path)])[0], y) for x, y in batches) / len(batches)
            for path in paths
        ]


def supernet_of(run: Run) -> MultiPathNet:
    """Return the supernet of a finished search, with its weights."""
    config = run.search_result().config
    net = MultiPathNet.supernet(
        run.space, run.suite.tasks, config.norm, config.seed, config.private, config.collapse
    )
    StageFolder.read(run.folder / "search").load_weights("supernet.safetensors", net)
    net.kernels = usable(config.kernels)
    return net
