"""Several processes at one stage: what they share out, and what they agree on.

Started by torchrun (`torchrun --nproc-per-node 2 -m -- mpnas_kit search ...`), every process holds
the whole state of a stage, the same to the bit: weights, controllers, generators. Only the work of
a step is shared out, micro-batch by micro-batch; what comes out of it, losses, qualities and
gradients, is summed over all processes with torch.distributed (gloo on CPUs, nccl on GPUs). So
every process decides alike, any of them could write the checkpoint (the first one does), and a
stage goes on with another number of processes as if nothing had been.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from mpnas_kit.errors import MpnasError
from mpnas_kit.settings import require

T = TypeVar("T")
PATIENCE = timedelta(minutes=30)  # how long a process waits for the others


class ToldElsewhere(MpnasError):
    """An error that all processes have alike, and the first one tells."""


@dataclass(frozen=True)
class Team:
    """The processes at a stage: this one is number `rank` of `size`. Alone by default."""

    rank: int = 0
    size: int = 1

    @classmethod
    def current(cls) -> "Team":
        """The processes of torch's default process group; without one, this process alone."""
        if dist.is_available() and dist.is_initialized():
            return cls(dist.get_rank(), dist.get_world_size())
        return cls()

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes and tells."""
        return self.rank == 0

    def share(self, work: Sequence[T]) -> Sequence[T]:
        """The part of `work` that this process does: every `size`-th piece."""
        return work[self.rank :: self.size]

    def lead(self, make: Callable[[], T]) -> T:
        """What `make` returns in the first process, in all of them; so with its `MpnasError`."""
        if self.size == 1:
            return make()
        made: list[Any] = [None, None]
        if self.leads:
            try:
                made[0] = make()
            except MpnasError as error:
                made[1] = str(error)
        with _told():
            dist.broadcast_object_list(made, src=0)
        if made[1] is not None:
            raise self.alike(made[1])
        value: T = made[0]
        return value

    def alike(self, message: str) -> MpnasError:
        """The error to raise where all processes raise it."""
        return MpnasError(message) if self.leads else ToldElsewhere(message)

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over all processes, alike in all of them; `tensor` where there is one."""
        if self.size > 1:
            with _told():
                dist.all_reduce(tensor)
        return tensor

    def any(self, true: bool) -> bool:
        """Whether it is true in any process."""
        return true if self.size == 1 else bool(self.sum(torch.tensor(float(true))))

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Make every gradient the sum over all processes.

        A parameter that took part in no process keeps no gradient at all, so that the optimiser
        leaves it as it is; one that took part elsewhere only has zeros to add here.
        """
        if self.size == 1:
            return
        every = [p for p in parameters if p.requires_grad]
        took_part = self.sum(torch.tensor([float(p.grad is not None) for p in every]))
        moved = [p for p, n in zip(every, took_part.tolist(), strict=True) if n > 0]
        if not moved:
            return
        gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in moved]
        whole = self.sum(torch.cat([g.reshape(-1) for g in gradients]))
        parts = whole.split([p.numel() for p in moved])
        for parameter, part, own in zip(moved, parts, gradients, strict=True):
            parameter.grad = own
            own.copy_(part.view_as(own))


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise MpnasError(
            "another process of this job has ended or does not answer "
            f"({str(error).splitlines()[0]}): it has said why, or was killed. "
            "The same command goes on from the last checkpoint, with any number of processes."
        ) from None


@contextmanager
def joined() -> Iterator[Team]:
    """Inside, the processes that torchrun started are one team; otherwise this one is alone.

    Raises `MpnasError` where the others do not come.
    """
    if os.environ.get("WORLD_SIZE", "1") == "1" or dist.is_initialized():
        yield Team.current()
        return
    require(dist.is_available(), "this build of torch has no torch.distributed.")
    try:
        with _told():
            dist.init_process_group(timeout=PATIENCE)
    except ValueError as error:
        raise MpnasError(
            f"WORLD_SIZE is {os.environ['WORLD_SIZE']}, but the processes cannot find each other "
            f"({str(error).splitlines()[0].rstrip('.')}): expected what torchrun sets."
        ) from None
    try:
        yield Team.current()
    finally:
        # gloo's threads still hold the tensors of the last call, need the interpreter to drop them,
        # and abort a process that ends meanwhile
        time.sleep(0.1)
        dist.destroy_process_group()


def local_rank() -> int:
    """Which of the processes of this machine this one is."""
    return int(os.environ.get("LOCAL_RANK", "0"))
