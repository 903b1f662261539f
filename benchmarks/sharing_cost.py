"""Measure what sharing costs every domain, and what removes it.

For MPNAS runs of a study, their paths are trained again as they were, on the same images. Only what
the domains share differs, and how they are weighed:

    ABDP         every node that paths have in common is shared; ABDP in the training
    uniform      the same with uniform weights, as in all lines below
    depthwise    where domains meet, only the 1x1 convolutions are shared: each domain has its own
                 depthwise convolution, squeeze-and-excite and batch norms (`OwnDepthwise`)
    copies       the nodes whose gradients agree least have a private copy for every domain, the
                 others are shared; their number is that of `--copies`
    groups       domains share within their group only, with `--groups` (several times)
    private      nothing is shared
    squeeze      as ABDP, but every block `k3e2` has squeeze-and-excite, as `k3e2se`
    squeeze_private  the same with nothing shared and uniform weights

The first table has the mean validation accuracy of every training in percent, the second one that
of every domain minus that of its private model, in points: what sharing costs. Its last lines are
means, and the parameters of all models without batch norms and classifiers. Test splits are not
read.

    python benchmarks/sharing_cost.py --runs runs/full --out runs/sharing_cost
    python benchmarks/sharing_cost.py --groups "scene,letters icons,digits scripts,emoji"

A domain that `--groups` does not name is alone.

A finished training is never run again.
"""

import mpnas_kit  # noqa: F401  (before torch: it sets how threads wait)

# isort: split
import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from mpnas_kit.prioritization.abdp import ABDP, Uniform
from mpnas_kit.runs.run import Run
from mpnas_kit.runs.transfer import gradient_agreement
from mpnas_kit.space.blocks import InvertedBottleneck
from mpnas_kit.space.layers import Layer
from mpnas_kit.space.layers import Path as SpacePath
from mpnas_kit.space.private import OwnCopy, OwnDepthwise
from mpnas_kit.space.space import SearchSpace
from mpnas_kit.space.spaces import pocket_space, pocket_strided
from mpnas_kit.space.strided import StridedSpace
from mpnas_kit.training.config import TrainConfig
from mpnas_kit.training.stage import train

SETTINGS = ("private", "ABDP", "uniform", "depthwise", "copies", "squeeze", "squeeze_private")


def private_space() -> StridedSpace:
    """Return `pocket_strided` with both private states of every searched block."""
    plain, layers = pocket_strided(), []
    changing = {name for own in plain.halved for name in own}
    for layer in pocket_space().layers:
        strided = layer.name in changing
        candidates = [c for c in layer.candidates if not (strided and c is None)]
        for block in layer.candidates:
            if isinstance(block, InvertedBottleneck):
                candidates += [OwnDepthwise(block), OwnCopy(block)]
        stride = 1 if strided else layer.stride
        layers.append(Layer(layer.name, stride, layer.widths, tuple(candidates)))
    return StridedSpace("pocket_strided_private", layers, plain.halved, plain.resolution)


def met(space: SearchSpace, paths: Mapping[str, SpacePath]) -> dict[tuple[int, str], list[str]]:
    """Return the domains of every node that several domains use, by layer and block."""
    users: dict[tuple[int, str], list[str]] = {}
    for domain, path in paths.items():
        for layer in space.searched:
            use = space.uses(path)[layer]
            if use is not None:
                users.setdefault((layer, use.node.block), []).append(domain)
    return {node: domains for node, domains in users.items() if len(domains) > 1}


def changed(
    space: StridedSpace,
    paths: Mapping[str, SpacePath],
    nodes: Mapping[tuple[int, str], list[str]],
    mark: str,
) -> dict[str, SpacePath]:
    """Return the paths in `space`, with a mark behind the word of some nodes.

    space: the space with private states. paths: paths in `pocket_strided`.
    nodes: domains of every node that changes, by layer and block.
    """
    result = {}
    for domain, path in paths.items():
        strides, *words = path.arch.split()
        for (layer, _), domains in nodes.items():
            if domain in domains:
                words[space.searched.index(layer)] += mark
        result[domain] = space.parse(" ".join([strides, *words]))
    return result


def least_agreeing(run: Run, count: int) -> set[tuple[int, str]]:
    """Return the nodes of a run with the least mean cosine of gradients, by layer and block."""
    names = [layer.name for layer in run.space.layers]
    rows = gradient_agreement(run).rows
    means = rows.groupby(["layer", "block"])["cosine"].mean().sort_values().head(count)
    return {(names.index(layer), block) for layer, block in means.index}


def in_groups(run: Run, out: Path, groups: str) -> dict[str, float]:
    """Return the parameters of separate networks, one per group, and validation accuracies."""
    config = replace(run.train_config(), prioritization=Uniform())
    named = [group.split(",") for group in groups.split()]
    alone = [[d] for d in run.domains if not any(d in group for group in named)]
    size, accuracies = 0.0, dict[str, float]()
    for group in [*named, *alone]:
        paths = {d: run.paths()[d] for d in group}
        folder = out / f"seed{config.seed}_{'_'.join(group)}"
        result = train(run.suite.select(group), run.space, paths, config, folder=folder)
        size += run.space.union_cost(paths.values()).parameters
        accuracies |= (100 * result.accuracy("val")).to_dict()
    return {"parameters": size, **{d: accuracies[d] for d in run.domains}}


def trained(
    run: Run, out: Path, settings: Sequence[str], copies: int, groups: Sequence[str]
) -> pd.DataFrame:
    """Return the validation accuracies of a run's paths, one row per setting."""
    found, space = run.paths(), private_space()
    together, rows = met(run.space, found), []
    for setting in settings:
        config: TrainConfig = replace(
            run.train_config(),
            prioritization=ABDP() if setting in ("ABDP", "squeeze") else Uniform(),
            private_from=0 if "private" in setting else None,
        )
        paths, own = dict(found), run.space
        if "squeeze" in setting:
            archs = {d: re.sub(r"k3e2(?!se)", "k3e2se", path.arch) for d, path in found.items()}
            paths = {d: own.parse(arch) for d, arch in archs.items()}
        elif setting in ("depthwise", "copies"):
            nodes, mark = together, "~"
            if setting == "copies":
                least = least_agreeing(run, copies)
                nodes, mark = {n: d for n, d in together.items() if n in least}, "*"
            paths, own = changed(space, found, nodes, mark), space
        result = train(run.suite, own, paths, config, folder=out / f"seed{config.seed}_{setting}")
        size = own.union_cost(paths.values(), private=config.private).parameters
        row = {"setting": setting, "seed": config.seed, "parameters": size}
        rows.append({**row, **(100 * result.accuracy("val")).to_dict()})
    for text in groups:
        about = {"setting": text, "seed": run.train_config().seed}
        rows.append({**about, **in_groups(run, out, text)})
    return pd.DataFrame(rows)


def main() -> None:
    """Train what is not trained yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, nargs="+", default=[Path("runs/full")])
    parser.add_argument("--out", type=Path, default=Path("runs/sharing_cost"))
    parser.add_argument("--settings", nargs="+", default=list(SETTINGS), choices=SETTINGS)
    parser.add_argument("--copies", type=int, default=4)
    parser.add_argument("--groups", action="append", default=[], metavar="NAMES")
    given = parser.parse_args()
    settings = list(dict.fromkeys(["private", *given.settings]))  # differences are from it
    table = pd.concat(
        trained(Run.read(folder), given.out, settings, given.copies, given.groups)
        for folder in given.runs
    )
    domains = [c for c in table if c not in ("setting", "seed", "parameters")]
    every = table[["setting", "seed", "parameters"]].assign(
        mean=table[domains].mean(axis=1),
        others=table[domains].drop(columns="scene").mean(axis=1),
    )
    print(f"Validation accuracy; others: without scene\n{every.round(1).to_string(index=False)}\n")
    private = table[table["setting"] == "private"].set_index("seed")[domains]
    table[domains] -= private.loc[table["seed"]].to_numpy()
    table["mean"] = table[domains].mean(axis=1)
    table["without scene"] = table[domains].drop(columns="scene").mean(axis=1)
    means = table.groupby("setting", sort=False).mean().drop(columns="seed")
    print(means[[*domains, "mean", "without scene", "parameters"]].round(1).T.to_string())
    if table["seed"].nunique() > 1:
        spread = table.groupby("setting", sort=False)[["mean", "without scene"]].std()
        print("\nStandard deviation over seeds\n", spread.round(1).T.to_string(), sep="")


if __name__ == "__main__":
    main()
