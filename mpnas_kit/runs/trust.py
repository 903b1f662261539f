"""Is the supernet worth trusting? What it says of a path against the path retrained.

A search rewards a path for its quality on shared weights. That is worth as much as it orders paths
as training them alone, from scratch, would: Kendall's tau over random paths says how much (1: the
same order, 0: no relation).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path as FilePath

import pandas as pd
import safetensors.torch
import torch

from mpnas_kit.analysis.trust import LEAST_PATHS, Trust
from mpnas_kit.domains.batches import DomainStream
from mpnas_kit.engine.runtime import reproducible
from mpnas_kit.engine.stage_folder import RunFolder
from mpnas_kit.engine.step import accuracy
from mpnas_kit.errors import MpnasError
from mpnas_kit.network.net import Flow, MultiPathNet
from mpnas_kit.prioritization.abdp import Uniform
from mpnas_kit.runs.run import Pipeline
from mpnas_kit.search.data import divide
from mpnas_kit.settings import require
from mpnas_kit.space.space import Path
from mpnas_kit.training.stage import train


def supernet_trust(
    run: Pipeline,
    domain: str,
    *,
    paths: int = 20,
    steps: int | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> Trust:
    """Measure `paths` random paths of `domain`: on the supernet of the run's search, and retrained.

    Each is trained alone in RUN/trust/DOMAIN/STEPS_PATH with the run's training settings, but
    uniform weights (there is one domain); steps: instead of theirs. What was trained is only read.
    Raises `MpnasError` for a domain the run has not, or a run without a finished search.
    """
    require(paths >= LEAST_PATHS, f"trust needs at least {LEAST_PATHS} paths, not {paths}.")
    suite, space = run.suite.select([domain]), run.space
    config = replace(run.train_config(), priority=Uniform(), evaluate_every=0, private_from=None)
    if steps is not None:
        config = replace(config, steps=steps)
    generator = torch.Generator().manual_seed(config.seed)
    drawn = [space.sample(generator) for _ in range(paths)]
    qualities = supernet_quality(run, domain, drawn)
    rows = []
    for number, (path, quality) in enumerate(zip(drawn, qualities, strict=True)):
        folder = run.folder / "trust" / domain / f"{config.steps}_{number:02d}"
        trained = train(suite, space, {domain: path}, config, folder=folder)
        retrained = float(trained.accuracy("val")[domain])
        rows.append(
            {
                "path": number,
                "arch": path.arch,
                "multiply_adds": space.cost(path).multiply_adds,
                "supernet": quality,
                "retrained": retrained,
            }
        )
        tell(f"{domain}, path {number + 1} of {paths}: {quality:.1%} and {retrained:.1%}")
    return Trust(domain, pd.DataFrame(rows))


def supernet_quality(
    run: Pipeline, domain: str, paths: Sequence[Path], batch: int = 128
) -> list[float]:
    """Accuracy of paths on the supernet of a finished search, over the domain's whole reward part.

    Batch statistics, as in the search; the last batch, if smaller, is left out where there are
    others.
    """
    origin = run.origin
    config = origin.found().config
    part = divide(run.suite, config.reward_share, config.seed)[domain]
    net = _supernet(origin)
    count = len(part.reward.split)
    stream = DomainStream(part.reward, min(batch, count), config.seed)
    batches = [stream.next().take() for _ in range(max(1, count // batch))]
    with reproducible(config.threads, run.space.resolution), torch.no_grad():
        return [
            sum(accuracy(net([Flow(domain, x, path)])[0], y) for x, y in batches) / len(batches)
            for path in paths
        ]


def _supernet(run: Pipeline) -> MultiPathNet:
    config = run.found().config
    net = MultiPathNet.supernet(
        run.space, run.suite.classes, config.norm, config.seed, config.private_from, config.collapse
    )
    file = RunFolder.read(run.folder / "search").folder / "supernet.safetensors"
    net.load_state_dict(_weights(file))
    return net


def _weights(file: FilePath) -> dict[str, torch.Tensor]:
    try:
        return safetensors.torch.load_file(file)
    except Exception:
        raise MpnasError(
            f"{file} is missing or cut short: delete results.json beside it to finish that search "
            "again."
        ) from None
