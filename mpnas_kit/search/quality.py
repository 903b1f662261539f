"""The quality of a path in a search, and what a frozen supernet allows: measuring each path once.

While weights do not change, a path has the same quality on the same images. So the batches of a
domain then come in a fixed order, and a path that is sampled again on a batch is not run again.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from mpnas_kit.domains.batches import Drawn, Source
from mpnas_kit.domains.task import Task, mean_probabilities, mean_qualities
from mpnas_kit.errors import MpnasError, short
from mpnas_kit.settings import require
from mpnas_kit.space.layers import Path

Quality = Literal["task", "probability"]
MOST_MEASURED = 10_000  # qualities that are kept per domain


def require_quality(quality: Quality, tasks: Mapping[str, Task]) -> None:
    """Raise `MpnasError` if the task of a domain does not have this quality."""
    for domain, task in tasks.items():
        if quality == "probability" and not hasattr(task, "probabilities"):
            raise MpnasError(
                f"search: quality 'probability' needs the probability of the right answer, which "
                f"the task {short(task)} of domain {domain!r} does not give: expected quality "
                "'task', or a task with a method probabilities(outputs, labels)."
            )


def path_qualities(
    quality: Quality, task: Task, outputs: Sequence[Tensor], labels: Tensor
) -> Tensor:
    """Return the quality of several paths on the same images: float64 (paths,).

    quality: `task`, the quality of the task, which is the accuracy of a classification; or
    `probability`, the mean over images of the probability of the true class. That is a smooth
    function of the outputs, so it is less noisy on few images (ours).
    task: task of the domain.
    outputs: what the head returned for each path, (B, outputs of the task). labels: int64 (B,).
    """
    measure = mean_probabilities if quality == "probability" else mean_qualities
    return measure(task, outputs, labels)


class FixedStream:
    """Endless batches of a split that are the same in every pass, and in the same order.

    The split is shuffled once and divided into batches of about equal size. All its images are in a
    batch, so batches may have more images than `batch_size`, but fewer than twice as many.

    source: the images. They are not augmented.
    batch_size: least number of images per batch; a smaller split is one batch.
    seed: seed of the shuffle.

    Attributes: `number` is the number of the next batch, from 0. `count` is how many there are.
    """

    def __init__(self, source: Source, batch_size: int, seed: int) -> None:
        images = len(source.split)
        self.count = max(1, images // batch_size)
        order = torch.randperm(images, generator=torch.Generator().manual_seed(seed))
        self._batches = [Drawn(source, x, None) for x in order.tensor_split(self.count)]
        self.number = 0

    def next(self) -> Drawn:
        """Return the next batch."""
        batch = self._batches[self.number]
        self.number = (self.number + 1) % self.count
        return batch

    def state_dict(self) -> dict[str, Any]:
        """Return the number of the next batch."""
        return {"number": self.number}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state that `state_dict` returned. Raises `MpnasError` if it is wrong."""
        number = state["number"]
        fits = isinstance(number, int) and 0 <= number < self.count
        require(fits, f"the number of a batch must be below {self.count}")
        self.number = number


class Measured:
    """Qualities that were measured on a frozen supernet, by domain, batch and path.

    At most `MOST_MEASURED` of a domain are kept from one step to the next. The oldest are dropped.

    domains: names of the domains.
    decisions: number of decisions of a path.
    """

    def __init__(self, domains: Iterable[str], decisions: int) -> None:
        self.decisions = decisions
        self._known: dict[str, dict[tuple[int, ...], float]] = {d: {} for d in domains}

    def lacking(self, domain: str, batch: int, paths: Iterable[Path]) -> list[Path]:
        """Return the paths that were not measured on this batch, each once."""
        known = self._known[domain]
        while len(known) > MOST_MEASURED:
            del known[next(iter(known))]
        return [p for p in dict.fromkeys(paths) if (batch, *p.choices) not in known]

    def add(
        self, domain: str, batch: int, paths: Sequence[Path], qualities: Iterable[float]
    ) -> None:
        """Add the qualities of paths on a batch. There may be more numbers than paths."""
        keys = [(batch, *path.choices) for path in paths]
        self._known[domain].update(zip(keys, qualities, strict=False))

    def of(self, domain: str, batch: int, paths: Iterable[Path]) -> list[float]:
        """Return the qualities of paths that were measured on a batch."""
        known = self._known[domain]
        return [known[batch, *path.choices] for path in paths]

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        """Return what was measured: per domain batches and choices, and the qualities."""
        return {
            domain: {
                "paths": torch.tensor(list(known), dtype=torch.int32).view(-1, 1 + self.decisions),
                "qualities": torch.tensor(list(known.values()), dtype=torch.float64),
            }
            for domain, known in self._known.items()
        }

    def load_state_dict(self, state: dict[str, dict[str, Tensor]]) -> None:
        """Continue from a state that `state_dict` returned. Raises `MpnasError` if it is wrong."""
        for domain, known in self._known.items():
            paths, qualities = state[domain]["paths"], state[domain]["qualities"]
            require(
                paths.shape == (len(qualities), 1 + self.decisions)
                and (paths.dtype, qualities.dtype) == (torch.int32, torch.float64),
                f"expected a quality for each measured path of {self.decisions} choices",
            )
            known.clear()
            known.update(zip(map(tuple, paths.tolist()), qualities.tolist(), strict=True))
