"""On what a stage computes: device, precision, and the processes it is shared out to."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from mpnas_kit.domains.batches import Drawn
from mpnas_kit.engine.team import Team, local_rank
from mpnas_kit.errors import MpnasError
from mpnas_kit.network.norms import Norm

Precision = Literal["float32", "bfloat16"]


class Part(NamedTuple):
    """A micro-batch, which one process takes in one go.

    domain: its index among the drawn ones. share: of that domain's images in the step, 0 to 1.
    """

    domain: int
    images: Tensor
    labels: Tensor
    share: float


@dataclass(frozen=True)
class Compute:
    """Where and how a stage computes.

    micro_batches: into how many parts the batch of a domain is cut; each is normalised alone. The
    parts of a step are what the processes of `team` share out.
    """

    device: torch.device = torch.device("cpu")
    precision: Precision = "float32"
    micro_batches: int = 1
    team: Team = field(default_factory=Team.current)

    @classmethod
    def of(
        cls, device: str | None, precision: Precision, micro_batches: int, norm: Norm, domains: int
    ) -> "Compute":
        """By the settings of a stage. Raises `MpnasError` where the team cannot serve it so."""
        team = Team.current()
        most = domains * micro_batches
        if team.size > most:
            raise team.alike(
                f"{team.size} processes are more than {domains} domains x micro_batches "
                f"{micro_batches} = {most}: some would have no work. Start fewer, or raise "
                "micro_batches."
            )
        if norm == "mixed" and (team.size > 1 or micro_batches > 1):
            raise team.alike(
                "norm 'mixed' normalises all images of a step together: expected one process and "
                "micro_batches 1."
            )
        return cls(device_named(device), precision, micro_batches, team)

    def autocast(self) -> AbstractContextManager[None]:
        """Inside, forward passes have the precision that is wanted."""
        wanted = self.precision == "bfloat16"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=wanted)

    def parts(self, batches: Mapping[str, Drawn]) -> list[Part]:
        """The micro-batches of a step that are this process's."""
        pieces = [
            (index, batch, piece)
            for index, batch in enumerate(batches.values())
            for piece in torch.arange(len(batch)).tensor_split(self.micro_batches)
            if len(piece)
        ]
        return [
            Part(index, *batch.take(piece, self.device), len(piece) / len(batch))
            for index, batch, piece in self.team.share(pieces)
        ]

    def means(
        self, shape: tuple[int, int], parts: Sequence[Part], values: Sequence[Sequence[float]]
    ) -> Tensor:
        """Means over the images of every domain: (domains, values), float64, on the CPU.

        shape: that of the result, alike in all processes. values: for each of this process's parts
        its means over the images of the part.
        """
        table = torch.zeros(shape, dtype=torch.float64)
        for part, means in zip(parts, values, strict=True):
            table[part.domain] += part.share * torch.tensor(means, dtype=torch.float64)
        return self.team.sum(table)


def device_named(name: str | None) -> torch.device:
    """The device of that name; None: a GPU where there is one, else the CPU.

    Each process of a machine gets a GPU of its own. Raises `MpnasError` where it is not there.
    """
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise MpnasError(
            f"device {name!r} cannot be used here ({str(error).splitlines()[0].rstrip('.')}): "
            "expected cpu, or a device that this build of torch has."
        ) from None
    if device.type == "cuda" and device.index is None:
        return torch.device("cuda", local_rank() % torch.cuda.device_count())
    return device
