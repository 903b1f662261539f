"""Measure whether storage costs accuracy: `python tools/pocket/check_lossy.py [domain ...]`.

Trains one small network on the tiles as drawn and on the tiles as stored (fewer levels, JPEG), with
three seeds each, and prints the test accuracies. Needs torch in addition to requirements.txt.
"""

import sys

import torch
from build import RECIPES, drawn, stored
from tiles import TEST, TRAIN, Tiles
from torch import Tensor, nn

SEEDS = (0, 1, 2)
STEPS = 500
BATCH = 64


def network(channels: int, classes: int) -> nn.Sequential:
    """Return a network of five convolutions with about 70 thousand parameters."""
    layers: list[nn.Module] = []
    for width, stride in ((12, 1), (32, 2), (48, 2), (56, 1), (56, 2)):
        layers += [
            nn.Conv2d(channels, width, 3, stride, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        ]
        channels = width
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)
    )


def split_of(tiles: Tiles, split: int) -> tuple[Tensor, Tensor]:
    """Return the images and labels of one split.

    Images are float32 (n, C, 32, 32) in [-0.5, 0.5], labels int64 (n,).
    """
    chosen = tiles.splits == split
    images = torch.from_numpy(tiles.images[chosen]).float().div(255).sub(0.5)
    images = images[:, None] if images.ndim == 3 else images.permute(0, 3, 1, 2)
    return images.contiguous(), torch.from_numpy(tiles.labels[chosen])


def accuracy(tiles: Tiles, seed: int) -> float:
    """Return the test accuracy, 0 to 1, after a training with AdamW and a one-cycle rate."""
    torch.manual_seed(seed)
    images, labels = split_of(tiles, TRAIN)
    net = network(images.shape[1], len(tiles.classes))
    optimiser = torch.optim.AdamW(net.parameters(), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.01, total_steps=STEPS)
    for _ in range(STEPS):
        batch = torch.randint(len(labels), (BATCH,))
        loss = nn.functional.cross_entropy(net(images[batch]), labels[batch])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    net.eval()
    images, labels = split_of(tiles, TEST)
    with torch.inference_mode():
        return float((net(images).argmax(1) == labels).float().mean())


def main() -> None:
    """Print a table with one row per domain."""
    torch.set_num_threads(1)
    names = sys.argv[1:] or [
        name for name, recipe in RECIPES.items() if recipe.quality or recipe.levels < 256
    ]
    print("| domain | as drawn | as stored | difference of means | spread of seeds |")
    print("|---|---|---|---|---|")
    for name in names:
        results = torch.tensor(
            [[accuracy(tiles, seed) for seed in SEEDS] for tiles in stored(name, drawn(name))]
        )
        cells = [" ".join(f"{value:.3f}" for value in row) for row in results.tolist()]
        difference = results[1].mean() - results[0].mean()
        spread = (results.amax(1) - results.amin(1)).max()
        cells += [f"{difference:+.3f}", f"{spread:.3f}"]
        print("|", " | ".join([name, *cells]), "|", flush=True)


if __name__ == "__main__":
    main()
