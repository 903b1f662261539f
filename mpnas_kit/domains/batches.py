"""Endless batches of a domain, their augmentation, and which domains each step draws."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, NamedTuple

import torch
from torch import Tensor

from mpnas_kit.domains.domain import Domain
from mpnas_kit.domains.seeds import derived_seed
from mpnas_kit.domains.split import Split, read
from mpnas_kit.settings import check, require
from mpnas_kit.values import Range


@dataclass(frozen=True)
class Standard:
    """Conversion of images to network input: RGB, mean 0 and standard deviation 1 per channel.

    Grey images are repeated in three channels. A pixel value of 255 counts as 1.

    mean: means of the training split, float32 (1, 3, 1, 1), 0 to 1.
    deviation: standard deviations of the training split, float32 (1, 3, 1, 1), at least 0.001.
    """

    mean: Tensor
    deviation: Tensor

    @classmethod
    def of(cls, domain: Domain) -> "Standard":
        """Return the conversion with the statistics of the training split of `domain`."""
        counts = domain.pixel_counts.double()  # (C, 256)
        values = torch.arange(256, dtype=torch.float64) / 255
        total = counts.sum(1, keepdim=True)
        mean = (counts * values).sum(1, keepdim=True) / total
        variance = (counts * (values - mean) ** 2).sum(1, keepdim=True) / (total - 1)
        mean, deviation = (x.view(1, -1, 1, 1).expand(1, 3, 1, 1) for x in (mean, variance.sqrt()))
        return cls(mean.float(), deviation.float().clamp_min(1e-3))

    def __call__(self, images: Tensor, moves: "Moves | None" = None) -> Tensor:
        """Return network input: uint8 (B, 1 or 3, H, W) -> float32 (B, 3, H, W), channels last.

        images: on any device. The result is on the same.
        moves: where every pixel comes from, from `Augment.draw`. None: no pixel moves.
        """
        count, channels, height, width = images.shape
        if moves is None:
            pixels = images.expand(-1, 3, -1, -1).permute(0, 2, 3, 1)
        else:
            pixels = images.reshape(-1).index_select(0, _positions(images, moves))
        scale, offset = self._per_row(width, images.device)
        rows = pixels.reshape(count * height, width * 3).float()
        return torch.addcmul(offset, rows, scale).view(count, height, width, 3).permute(0, 3, 1, 2)

    def _per_row(self, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return factor and summand of every value of a row of pixels: float32 (3 width,) each."""
        if (width, device) not in self._rows:
            mean, deviation = (x.double().view(3) for x in (self.mean, self.deviation))
            scale, offset = (
                x.float().repeat(width).to(device)
                for x in (1 / (255 * deviation), -mean / deviation)
            )
            self._rows[width, device] = scale, offset
        return self._rows[width, device]

    @cached_property
    def _rows(self) -> dict[tuple[int, torch.device], tuple[Tensor, Tensor]]:
        """Results of `_per_row`. They are kept, since every batch needs them."""
        return {}


def standards(domains: Iterable[Domain], standard: Standard | None = None) -> dict[str, Standard]:
    """Return the conversion to network input of every domain, by domain.

    domains: the domains.
    standard: conversion that all of them have, because the weights that a stage begins with expect
    it. None: each domain has its own (`Standard.of`).
    """
    return {d.name: Standard.of(d) if standard is None else standard for d in domains}


class Moves(NamedTuple):
    """Where the pixels of augmented images come from.

    rows: source row of every row of pixels, int32 (B, H).
    columns: source column of every column of pixels, int32 (B, W).
    turned: whether rows and columns of an image change places after that, bool (B,). None: of none.
    """

    rows: Tensor
    columns: Tensor
    turned: Tensor | None = None

    def part(self, index: Tensor) -> "Moves":
        """Return those of some images. index: int64."""
        return Moves(*(None if x is None else x[index] for x in self))  # type: ignore[arg-type]


def _positions(images: Tensor, moves: Moves) -> Tensor:
    """Return where the values of moved images, in the order (B, H, W, 3), are in the images.

    images: (B, 1 or 3, H, W). The one channel of grey images is taken three times.
    moves: where every pixel comes from.

    Returns positions among the values of `images` in their own order: (3 B H W,), int32 if that is
    enough, because it is twice as fast.
    """
    count, channels, height, width = images.shape
    dtype = torch.int32 if images.numel() < 2**31 else torch.int64
    rows, columns = (x.to(images.device, dtype) for x in moves[:2])
    image = torch.arange(count, dtype=dtype, device=images.device) * (channels * height * width)
    colour = torch.arange(3, dtype=dtype, device=images.device)
    colour *= height * width if channels == 3 else 0
    down, right = rows * width, columns  # what a step down and a step to the right add
    if moves.turned is not None:
        turned = moves.turned.to(images.device)[:, None]
        down, right = torch.where(turned, columns, down), torch.where(turned, down, right)
    first = image[:, None] + down  # (B, H), of the first value of a row
    inside = (right[:, :, None] + colour).flatten(1)  # (B, 3 W)
    return (first[:, :, None] + inside[:, None]).flatten()


@dataclass(frozen=True)
class Augment:
    """Random shift of every image, and random mirroring or turning if the domain allows it.

    Pixels that move in from outside repeat the edge of the image. An image is mirrored with
    probability 1/2. If images may be turned, each of the eight ways to lay a square on itself has
    the same probability.

    shift: largest shift in each direction, pixels, 0 to 1024. Shifts are uniform.
    """

    shift: Annotated[int, Range(0, 1024)] = 2

    def __post_init__(self) -> None:
        check(self)

    def draw(
        self,
        count: int,
        size: tuple[int, int],
        flip: bool,
        generator: torch.Generator,
        turn: bool = False,
    ) -> Moves:
        """Draw where every pixel of `count` images comes from, for `Standard`.

        size: (H, W) of the images, pixels.
        flip: whether images may be mirrored.
        turn: whether images, which are square, may be turned and mirrored.
        """
        offsets = torch.randint(-self.shift, self.shift + 1, (2, count, 1), generator=generator)
        rows, columns = (
            (torch.arange(length, dtype=torch.int32) + offset).clamp_(0, length - 1)
            for length, offset in zip(size, offsets.int(), strict=True)
        )
        if flip or turn:
            mirrored = torch.rand(count, 1, generator=generator) < 0.5
            columns = torch.where(mirrored, columns.flip(1), columns)
        if not turn:
            return Moves(rows, columns)
        upside_down, turned = torch.rand(2, count, generator=generator) < 0.5
        return Moves(torch.where(upside_down[:, None], rows.flip(1), rows), columns, turned)


@dataclass(frozen=True)
class Source:
    """The images of a stream.

    split: the split that holds them.
    standard: conversion to network input.
    flip: whether augmentation may mirror them.
    turn: whether augmentation may turn and mirror them.
    """

    split: Split
    standard: Standard
    flip: bool = False
    turn: bool = False


class Drawn:
    """A batch whose images and augmentation are drawn. `take` returns it, whole or in parts.

    source: the images.
    chosen: indices of the batch's images in the split, int64 (B,).
    moves: where pixels come from, from `Augment.draw`; None: no augmentation.
    """

    def __init__(self, source: Source, chosen: Tensor, moves: Moves | None) -> None:
        self.source, self.chosen, self.moves = source, chosen, moves

    def __len__(self) -> int:
        return len(self.chosen)

    def take(
        self, part: Tensor | None = None, device: torch.device | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return images float32 (B, 3, H, W), channels last, and labels int64 (B,).

        part: indices within the batch, int64; None: the whole batch.
        device: device of the result; None: the device of the split's tensors. Images go there as
        uint8, and are moved and normalised there.
        """
        chosen = self.chosen if part is None else self.chosen[part]
        split = self.source.split
        moves = self.moves
        if moves is not None and part is not None:
            moves = moves.part(part)
        images = self.source.standard(read(split, chosen).to(device), moves)
        return images, split.labels[chosen].to(device)


class DomainStream:
    """Endless batches of a split.

    The images of a batch are distinct. When fewer images than a batch remain, the split is shuffled
    again. All random numbers come from the stream's own generator, so the stream of one domain does
    not depend on other domains.

    source: the images.
    batch_size: images per batch; a smaller split is one batch.
    seed: seed of the stream's generator.
    augment: augmentation; None: none.
    """

    def __init__(
        self, source: Source, batch_size: int, seed: int, augment: Augment | None = None
    ) -> None:
        self.source, self.augment = source, augment
        self.batch_size = min(batch_size, len(source.split))
        self._generator = torch.Generator().manual_seed(seed)
        self._order = torch.empty(0, dtype=torch.int64)

    def next(self) -> Drawn:
        """Return the next batch. Random numbers are drawn here; images are read in `Drawn.take`."""
        split = self.source.split
        if len(self._order) < self.batch_size:
            self._order = torch.randperm(len(split), generator=self._generator)
        chosen, self._order = self._order[: self.batch_size], self._order[self.batch_size :]
        moves = None
        if self.augment is not None:
            _, height, width = split.shape
            moves = self.augment.draw(
                len(chosen), (height, width), self.source.flip, self._generator, self.source.turn
            )
        return Drawn(self.source, chosen, moves)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the generator and the rest of the current shuffle."""
        return {"generator": self._generator.get_state(), "order": self._order.clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state that `state_dict` returned.

        Raises `MpnasError` if the rest of the shuffle has other images than the stream.
        """
        order, count = state["order"], len(self.source.split)
        indices = order.dtype == torch.int64 and order.dim() == 1
        inside = indices and bool(((order >= 0) & (order < count)).all())
        require(inside, f"the order of a stream must be indices of its {count} images")
        self._generator.set_state(state["generator"])
        self._order = order


def streams(
    sources: Mapping[str, Source], batch_size: int, seed: int, augment: Augment | None = None
) -> dict[str, DomainStream]:
    """Return one stream per domain, each with its own generator.

    sources: the images of every domain, by name.
    batch_size: images per batch and domain.
    seed: seed from which the seeds of the streams are derived.
    augment: augmentation of all streams; None: none.
    """
    return {
        name: DomainStream(source, batch_size, derived_seed(seed, i), augment)
        for i, (name, source) in enumerate(sources.items())
    }


class DrawSchedule:
    """Which domains take part in each step.

    A domain of n images takes part in a share of the steps, `(n / largest n) ** temperature`. The
    largest domain takes part in every step. The steps of a domain are evenly spaced, not random:
    its share is summed over the steps, and it is drawn when the sum reaches a whole number.

    sizes: training images of every domain, by name.
    temperature: 0 draws all domains in every step; 1 draws them in proportion to their sizes.
    """

    def __init__(self, sizes: dict[str, int], temperature: float) -> None:
        largest = max(sizes.values())
        self._share = {d: (n / largest) ** temperature for d, n in sizes.items()}

    def drawn(self, step: int) -> tuple[str, ...]:
        """Return the domains of a step (from 0). All domains take part in step 0."""
        before, after = self.draws_before(step), self.draws_before(step + 1)
        return tuple(d for d in self._share if after[d] > before[d])

    def draws_before(self, step: int) -> dict[str, int]:
        """Return in how many steps before step `step` (from 0) each domain is drawn."""
        return {
            d: step if s >= 1 or step == 0 else int((step - 1) * s + 1e-9) + 1
            for d, s in self._share.items()
        }
