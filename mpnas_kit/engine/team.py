"""Several processes at one stage: how they divide the work and stay equal.

torchrun starts them (`torchrun --nproc-per-node 2 -m -- mpnas_kit search ...`). Each process has a
rank, from 0. All ranks hold the whole state of the stage, bit for bit the same: weights,
controllers, generators. They divide only the work of a step, by micro-batches. Losses, qualities
and gradients are summed over all ranks with torch.distributed (gloo on CPUs, nccl on GPUs). So all
ranks take the same decisions. Rank 0 is the leader: it writes the files and prints the messages. A
stage can be resumed with another number of processes.
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

from mpnas_kit.engine.parent import end_with_torchrun
from mpnas_kit.errors import MpnasError, reason
from mpnas_kit.settings import require

T = TypeVar("T")
MEETING = timedelta(minutes=2)  # how long a rank waits for the others to start
PATIENCE = timedelta(minutes=30)  # how long a rank waits for the others afterwards


class ReportedByLeader(MpnasError):
    """An error that all ranks raise, as the ranks other than the leader raise it.

    The leader raises a plain `MpnasError` and reports it, so these ranks end without a message.
    """


@dataclass(frozen=True)
class Team:
    """The processes at a stage.

    rank: number of this process, from 0. size: number of processes. Default: this process alone.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def current(cls) -> "Team":
        """Return the processes of torch's default process group, or this process alone."""
        if dist.is_available() and dist.is_initialized():
            return cls(dist.get_rank(), dist.get_world_size())
        return cls()

    @property
    def is_leader(self) -> bool:
        """Whether this process is the leader, which writes files and prints messages."""
        return self.rank == 0

    def share(self, work: Sequence[T]) -> Sequence[T]:
        """Return the part of `work` that this rank does: every `size`-th piece."""
        return work[self.rank :: self.size]

    def on_leader(self, make: Callable[[], T]) -> T:
        """Call `make` in the leader only. Return its result in all ranks.

        If `make` raises `MpnasError`, all ranks raise an error with its message.
        """
        if self.size == 1:
            return make()
        outcome: list[Any] = [None, None]  # result, message of an error
        if self.is_leader:
            try:
                outcome[0] = make()
            except MpnasError as error:
                outcome[1] = str(error)
        with _connected():
            dist.broadcast_object_list(outcome, src=0)
        if outcome[1] is not None:
            raise self.error_on_all_ranks(outcome[1])
        value: T = outcome[0]
        return value

    def error_on_all_ranks(self, message: str) -> MpnasError:
        """Return an error that all ranks raise, so that only the leader reports it."""
        return MpnasError(message) if self.is_leader else ReportedByLeader(message)

    def sum(self, tensor: Tensor) -> Tensor:
        """Sum `tensor` over all ranks, in place. Return it: it is the same in all ranks."""
        if self.size > 1:
            with _connected():
                dist.all_reduce(tensor)
        return tensor

    def any(self, true: bool) -> bool:
        """Return whether `true` is true in at least one rank."""
        return true if self.size == 1 else bool(self.sum(torch.tensor(float(true))))

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its sum over all ranks.

        A parameter without a gradient in all ranks stays without one, so the optimiser skips it. A
        parameter that has a gradient only in other ranks counts as 0 here.
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
def _connected() -> Iterator[None]:
    """Inside, an error of torch.distributed becomes an `MpnasError`."""
    try:
        yield
    except RuntimeError as error:
        raise MpnasError(
            "another process of this job has ended or does not answer "
            f"({reason(error)}): it printed why, unless it was killed. "
            "The same command resumes from the last checkpoint, with any number of processes."
        ) from None


@contextmanager
def joined() -> Iterator[Team]:
    """Join the processes that torchrun started. Without torchrun, this process is alone.

    Yields the team: `rank` is the number of this process (from 0), `size` the number of processes.
    A process that torchrun started ends soon after torchrun has ended.

    Raises `MpnasError` if the processes cannot find each other, or if this build of torch has no
    torch.distributed.

    >>> with mk.joined() as team:
    ...     print(team.rank, team.size)
    0 1
    """
    size = os.environ.get("WORLD_SIZE") or "1"
    if size == "1" or dist.is_initialized():
        yield Team.current()
        return
    require(dist.is_available(), "this build of torch has no torch.distributed: start one process.")
    from torch.distributed.rendezvous import rendezvous

    end_with_torchrun()
    try:
        store, rank, count = next(rendezvous("env://", timeout=MEETING))
        store.set_timeout(PATIENCE)
        dist.init_process_group(store=store, rank=rank, world_size=count, timeout=PATIENCE)
    except (ValueError, RuntimeError) as error:
        raise MpnasError(
            f"WORLD_SIZE is {size!r}, but the processes cannot find each other "
            f"({reason(error)}): expected the variables that torchrun sets, or no WORLD_SIZE."
        ) from None
    try:
        yield Team.current()
    finally:
        # gloo's threads still hold the tensors of the last call. They need the interpreter to drop
        # them, and abort a process that ends before that.
        time.sleep(0.1)
        dist.destroy_process_group()


def local_rank() -> int:
    """Return the number of this process among those of its machine, from 0."""
    text = os.environ.get("LOCAL_RANK", "0")
    require(text.isdecimal(), f"LOCAL_RANK is {text!r}: expected the number that torchrun sets.")
    return int(text)
