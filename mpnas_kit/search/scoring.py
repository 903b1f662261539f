"""The quality of paths on the frozen supernet of a search, on a fixed set of reward images."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from mpnas_kit.domains.batches import Drawn, Source
from mpnas_kit.domains.seeds import derived_seed
from mpnas_kit.engine.compute import Compute
from mpnas_kit.network.net import Flow, MultiPathNet
from mpnas_kit.search.quality import Quality, path_qualities
from mpnas_kit.space.layers import Path

PathQuality = Callable[[str, Sequence[Path]], Tensor]
"""Quality of some paths of a domain, by its name: float64 (paths,). Higher is better."""
_AT_ONCE = 32  # paths in one forward pass


class Scorer:
    """Measures paths on a supernet that no longer learns, always on the same images.

    Batch norms use the statistics of the images. All images of a domain are normalised together,
    unless `compute` divides a batch into micro-batches.

    net: the supernet.
    sources: reward images, by domain. They are not augmented.
    quality: what is measured (see `path_qualities`).
    images: largest number of images per domain, at least 2. They are chosen at random.
    seed: seed of the choice.
    compute: where the supernet runs.
    """

    def __init__(
        self,
        net: MultiPathNet,
        sources: Mapping[str, Source],
        quality: Quality,
        images: int,
        seed: int,
        compute: Compute,
    ) -> None:
        self.net, self.compute, self.measured = net, compute, quality
        self._batches = {}
        for i, (domain, source) in enumerate(sources.items()):
            generator = torch.Generator().manual_seed(derived_seed(seed, i))
            chosen = torch.randperm(len(source.split), generator=generator)[:images]
            self._batches[domain] = Drawn(source, chosen, None)

    def quality(self, domain: str, paths: Sequence[Path]) -> Tensor:
        """Return the quality of paths of a domain, float64 (paths,). Higher is better.

        In several processes, all of them ask for the same paths, and get the same qualities.
        """
        task, parts = self.net.tasks[domain], self.compute.parts({domain: self._batches[domain]})
        found = []
        for start in range(0, len(paths), _AT_ONCE):
            chunk = paths[start : start + _AT_ONCE]
            qualities = []
            for part in parts:
                with torch.no_grad(), self.compute.autocast():
                    outputs = self.net([Flow(domain, part.images, path) for path in chunk])
                qualities.append(path_qualities(self.measured, task, outputs, part.labels))
            found.append(self.compute.means((1, len(chunk)), parts, qualities)[0])
        return torch.cat(found)
