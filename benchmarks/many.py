"""A finished run of 50 domains and 20 searched layers, for the speed of the explorers.

    python benchmarks/many.py FOLDER      # makes the run

The images are noise, and the stages have few steps: nothing is learned. The run names this file
for its domains and its space, so it needs `trust=True`.
"""

import mpnas_kit as mk  # (before torch: it sets how threads wait)

# isort: split
import sys
from pathlib import Path

import torch

CLASSES, SIZE = 10, 8
IMAGES = {"train": 64, "val": 200, "test": 200}  # by split


def suite(domains: int = 50) -> mk.DomainSuite:
    """Return domains of noise. domains: their number."""
    generator = torch.Generator().manual_seed(0)
    classes = tuple(f"class {i}" for i in range(CLASSES))

    def split(images: int) -> mk.TensorSplit:
        pixels = torch.randint(0, 256, (images, 3, SIZE, SIZE), generator=generator)
        return mk.TensorSplit(pixels.to(torch.uint8), torch.arange(images) % CLASSES)

    splits = [{name: split(n) for name, n in IMAGES.items()} for _ in range(domains)]
    made = [mk.Domain(f"domain{i + 1}", classes, **own) for i, own in enumerate(splits)]
    return mk.DomainSuite(tuple(made), "many")


def space(layers: int = 20) -> mk.LayerwiseSpace:
    """Return a space of narrow layers, each with eight blocks and the choice to skip it."""
    blocks = [
        mk.InvertedBottleneck(kernel, expansion) for kernel in (3, 5) for expansion in (1, 2, 3, 4)
    ]
    made = [mk.Layer("stem", 2, (4,), (mk.Conv(3),))]
    made += [mk.Layer(f"layer{i + 1}", 1, (4,), (*blocks, None)) for i in range(layers)]
    return mk.LayerwiseSpace("many", made, SIZE)


def build(folder: Path, domains: int = 50, layers: int = 20, steps: int = 40) -> Path:
    """Search, train and compare with one approach in a new run folder, and return the folder."""
    here = Path(__file__).resolve()
    data, names = f"{here}:suite(domains={domains})", f"{here}:space(layers={layers})"
    run = mk.Run(folder, data=data, space=names, trust=True)
    short = {"steps": steps, "batch_size": 4, "learning_rate": 0.01, "threads": 1}
    run.search(**short, paths_per_step=1, reward_batch=4, policy_snapshots=steps // 2)
    run.train(**short)
    mk.sweep_of(run, approaches="random_paths", seeds="0", search=short, train=short).run()
    return folder


if __name__ == "__main__":
    build(Path(sys.argv[1]))
