"""Features of a frozen network: computed once per image, not in every step.

If only heads are trained, and batch norms are fixed, the features of an image never change. If
images do not move either, an image has one set of features, or two if it may be mirrored.
"""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from mpnas_kit.domains.batches import Drawn, Moves, Source
from mpnas_kit.domains.task import Task
from mpnas_kit.network.net import Flow, MultiPathNet
from mpnas_kit.space.layers import Path
from mpnas_kit.space.space import SearchSpace

CHUNK = 64  # images whose features are computed together, always the same ones
LIMIT = 2_000_000_000  # bytes of all features


class Features:
    """The features of training images, and the heads on them.

    It takes the place of the network in a step. Features are computed when an image of their chunk
    is first drawn. They do not depend on the step, so a training that is continued gets the same.

    net: network whose nodes are frozen, with fixed statistics.
    sources: training images of every domain, by name.
    paths: path of every domain, by name.
    device: device of the network.
    """

    def __init__(
        self,
        net: MultiPathNet,
        sources: Mapping[str, Source],
        paths: Mapping[str, Path],
        device: torch.device,
    ) -> None:
        self._net, self._sources, self._paths, self._device = net, sources, paths, device
        self._known: dict[str, Tensor] = {}  # (1 or 2, images, channels); 1 is the mirrored image
        self._chunks: set[tuple[str, int, int]] = set()

    @staticmethod
    def size(space: SearchSpace, sources: Mapping[str, Source]) -> int:
        """Return the bytes that the features of all images take."""
        channels = space.layers[-1].widths[-1]
        return sum(4 * channels * (1 + s.flip) * len(s.split) for s in sources.values())

    def of(self, batches: Mapping[str, Drawn]) -> dict[str, Drawn]:
        """Return the same batches, with features in the place of images."""
        return {domain: _Known(batch, self, domain) for domain, batch in batches.items()}

    def take(self, domain: str, chosen: Tensor, mirrored: Tensor) -> Tensor:
        """Return features as maps of one pixel, float32 (B, channels, 1, 1).

        chosen: indices of images, int64 (B,). mirrored: whether each is mirrored, bool (B,).
        """
        for variant in (0, 1):
            chunks = chosen[mirrored == bool(variant)].div(CHUNK, rounding_mode="floor")
            for chunk in chunks.unique().tolist():
                if (domain, variant, chunk) not in self._chunks:
                    self._compute(domain, variant, chunk)
        known = self._known[domain]
        found = known[mirrored.long().to(known.device), chosen.to(known.device)]
        return found[:, :, None, None]

    @torch.no_grad()
    def _compute(self, domain: str, variant: int, chunk: int) -> None:
        """Compute the features of a chunk of images."""
        source = self._sources[domain]
        _, height, width = source.split.shape
        index = torch.arange(CHUNK * chunk, min(CHUNK * (chunk + 1), len(source.split)))
        rows = torch.arange(height, dtype=torch.int32).expand(len(index), -1)
        columns = torch.arange(width, dtype=torch.int32).expand(len(index), -1)
        moves = Moves(rows, columns.flip(1) if variant else columns)
        images, _ = Drawn(source, index, moves).take(device=self._device)
        (found,) = self._net.features([Flow(domain, images, self._paths[domain])])
        if domain not in self._known:
            shape = (1 + source.flip, len(source.split), found.shape[1])
            self._known[domain] = torch.empty(shape, device=self._device)
        self._known[domain][variant, index[0] : index[-1] + 1] = found
        self._chunks.add((domain, variant, chunk))

    def __call__(self, flows: Sequence[Flow], recompute: bool = False) -> list[Tensor]:
        """Return the outputs of the heads. The images of `flows` are features."""
        return [self._net.head_of(f.domain)(f.images.flatten(1)) for f in flows]

    @property
    def space(self) -> SearchSpace:
        """Search space of the network."""
        return self._net.space

    @property
    def tasks(self) -> Mapping[str, Task]:
        """Task of every domain, by name."""
        return self._net.tasks

    def parameters(self) -> Iterator[nn.Parameter]:
        """Return all parameters of the network."""
        return self._net.parameters()


class _Known(Drawn):
    """A batch of which the features are taken."""

    def __init__(self, drawn: Drawn, features: Features, domain: str) -> None:
        super().__init__(drawn.source, drawn.chosen, drawn.moves)
        self._features, self._domain = features, domain

    def take(
        self, part: Tensor | None = None, device: torch.device | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return features float32 (B, channels, 1, 1), and labels int64 (B,)."""
        part = torch.arange(len(self)) if part is None else part
        chosen = self.chosen[part]
        mirrored = torch.zeros(len(part), dtype=torch.bool)
        if self.moves is not None:
            mirrored = self.moves.columns[part, 0] > 0  # where the first column comes from
        features = self._features.take(self._domain, chosen, mirrored)
        return features, self.source.split.labels[chosen].to(device)
