"""Batches of a domain, for as long as a loop wants them, and how often each domain is drawn."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mpnas_kit.domains.domain import Domain, Split
from mpnas_kit.settings import require


@dataclass(frozen=True)
class Standard:
    """What makes images of a domain network input: grey to RGB, zero mean, unit deviation.

    `mean`, `deviation`: (1, 3, 1, 1), of the training split, in units of 0 to 1.
    """

    mean: Tensor
    deviation: Tensor

    @classmethod
    def of(cls, domain: Domain) -> "Standard":
        """From the training split of `domain`."""
        pixels = domain.train.images.double() / 255
        mean = pixels.mean((0, 2, 3)).view(1, -1, 1, 1).expand(1, 3, 1, 1)
        deviation = pixels.std((0, 2, 3)).view(1, -1, 1, 1).expand(1, 3, 1, 1)
        return cls(mean.float(), deviation.float().clamp_min(1e-3))

    def __call__(self, images: Tensor) -> Tensor:
        """uint8 (B, 1 or 3, H, W) -> float32 (B, 3, H, W), channels last."""
        rgb = (images.float() / 255).expand(-1, 3, -1, -1)
        mean, deviation = self.mean.to(images.device), self.deviation.to(images.device)
        return ((rgb - mean) / deviation).contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True)
class Augment:
    """Random shift of every image, its edge repeated, and mirroring where the domain allows it.

    `shift`: at most so many pixels, in each direction, uniform.
    """

    shift: int = 2

    def __post_init__(self) -> None:
        require(self.shift >= 0, f"augment: shift must be at least 0 pixels, not {self.shift}.")

    def draw(
        self, count: int, size: tuple[int, int], flip: bool, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Where the rows and columns of `count` images of `size` come from: (count, H), (count, W).

        One draw for the whole batch.
        """
        height, width = size
        moved = torch.randint(-self.shift, self.shift + 1, (2, count, 1), generator=generator)
        rows = (torch.arange(height) + moved[0]).clamp(0, height - 1)
        columns = (torch.arange(width) + moved[1]).clamp(0, width - 1)
        if flip:
            mirrored = torch.rand(count, 1, generator=generator) < 0.5
            columns = torch.where(mirrored, columns.flip(1), columns)
        return rows, columns

    @staticmethod
    def apply(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """uint8 (B, C, H, W) -> the same shape, rows and columns taken from where `draw` says."""
        which = torch.arange(len(images))[:, None, None]
        moved = images.permute(0, 2, 3, 1)[which, rows[:, :, None], columns[:, None]]
        return moved.permute(0, 3, 1, 2)


@dataclass(frozen=True)
class Source:
    """Where a stream takes its images from, and how it may treat them."""

    split: Split
    standard: Standard
    flip: bool = False


class Drawn:
    """A batch that is drawn, and made for whoever takes it: whole or in parts."""

    def __init__(self, source: Source, chosen: Tensor, moves: tuple[Tensor, Tensor] | None) -> None:
        self._source, self._chosen, self._moves = source, chosen, moves

    def __len__(self) -> int:
        return len(self._chosen)

    def take(
        self, part: Tensor | None = None, device: torch.device | None = None
    ) -> tuple[Tensor, Tensor]:
        """Images float32 (B, 3, H, W), channels last, and labels int64 (B,).

        part: the indices within the batch; None: all. device: where they are to be.
        """
        chosen = self._chosen if part is None else self._chosen[part]
        batch = self._source.split[chosen]
        images = batch.images
        if self._moves is not None:
            rows, columns = self._moves
            if part is not None:
                rows, columns = rows[part], columns[part]
            images = Augment.apply(images, rows, columns)
        return self._source.standard(images.to(device)), batch.labels.to(device)


class DomainStream:
    """Endless batches of a split, shuffled anew whenever fewer images than a batch are left.

    A batch has `batch_size` distinct images, or all of the split where that is less. Everything
    random comes from the stream's own generator: no domain disturbs another.
    """

    def __init__(
        self, source: Source, batch_size: int, seed: int, augment: Augment | None = None
    ) -> None:
        self.source, self.augment = source, augment
        self.batch_size = min(batch_size, len(source.split))
        self._generator = torch.Generator().manual_seed(seed)
        self._order = torch.empty(0, dtype=torch.int64)

    def next(self) -> Drawn:
        """The next batch; what is random about it is drawn here, the images are made later."""
        split = self.source.split
        if len(self._order) < self.batch_size:
            self._order = torch.randperm(len(split), generator=self._generator)
        taken, self._order = self._order[: self.batch_size], self._order[self.batch_size :]
        moves = None
        if self.augment is not None:
            height, width = split.images.shape[2:]
            moves = self.augment.draw(
                len(taken), (height, width), self.source.flip, self._generator
            )
        return Drawn(self.source, taken, moves)

    def state_dict(self) -> dict[str, Any]:
        """The generator and what is left of the current shuffle."""
        return {"generator": self._generator.get_state(), "order": self._order.clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken."""
        self._generator.set_state(state["generator"])
        self._order = state["order"]


def streams(
    sources: Mapping[str, Source], batch_size: int, seed: int, augment: Augment | None = None
) -> dict[str, DomainStream]:
    """A stream for every domain, each with a generator of its own."""
    return {
        name: DomainStream(source, batch_size, seed * 1_000_003 + i, augment)
        for i, (name, source) in enumerate(sources.items())
    }


class DrawSchedule:
    """Which domains take part in a step: every domain at even intervals, the largest always.

    A domain of n images takes part in a share (n / largest n) ** `temperature` of the steps: 0
    draws all alike, 1 in proportion to their size, between them tempered. Not random: the share
    is added up step by step and the domain drawn whenever the sum passes the next whole number.
    """

    def __init__(self, sizes: dict[str, int], temperature: float) -> None:
        largest = max(sizes.values())
        self._share = {d: (n / largest) ** temperature for d, n in sizes.items()}

    def drawn(self, step: int) -> tuple[str, ...]:
        """The domains of step `step` (from 0). All of them take part in step 0."""

        def passed(share: float, at: int) -> int:
            return int(at * share + 1e-9) if at >= 0 else -1

        return tuple(
            d for d, s in self._share.items() if s >= 1 or passed(s, step) > passed(s, step - 1)
        )
