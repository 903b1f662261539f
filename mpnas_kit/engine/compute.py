"""Where and how a stage computes: device, precision, micro-batches and processes."""

import warnings
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from mpnas_kit.domains.batches import Drawn
from mpnas_kit.engine.memory import MemoryBudget
from mpnas_kit.engine.runtime import require_same_products
from mpnas_kit.engine.team import Team, local_rank
from mpnas_kit.errors import MpnasError, reason, short
from mpnas_kit.kernels.library import Kernels, Library, resolve, variant_of
from mpnas_kit.network.defaults import plain_torch
from mpnas_kit.network.norms import Norm
from mpnas_kit.values import convert_plain

Precision = Literal["float32", "bfloat16"]


class Part(NamedTuple):
    """A micro-batch: images that one process computes together.

    domain: index of its domain among the drawn domains.
    images: float32 (B, 3, H, W), on the device of the stage.
    labels: int64 (B,), on the device of the stage.
    share: B divided by the number of the domain's images in the step, above 0 to 1.
    """

    domain: int
    images: Tensor
    labels: Tensor
    share: float


@dataclass(frozen=True)
class Compute:
    """Where and how a stage computes.

    device: device of network and batches. Default: the CPU.
    precision: precision of forward and backward pass, `float32` or `bfloat16`.
    micro_batches: number of parts that the batch of a domain is divided into, at least 1. Each part
    is normalised alone.
    team: processes that divide the parts of a step among them. Default: all of them.
    kernels: native library that networks compute with. None: eager.
    memory: memory budget of a step. Default: none.
    """

    device: torch.device = torch.device("cpu")
    precision: Precision = "float32"
    micro_batches: int = 1
    team: Team = field(default_factory=Team.current)
    kernels: Library | None = None
    memory: MemoryBudget = field(default_factory=MemoryBudget)

    @classmethod
    def of(
        cls,
        device: str | None,
        precision: Precision,
        micro_batches: int,
        norm: Norm,
        domains: int,
        kernels: Kernels,
        memory_budget: int | None = None,
    ) -> "Compute":
        """Return the compute for the settings of a stage.

        device, precision, micro_batches, norm, kernels, memory_budget: fields of its config.
        domains: number of domains of the stage.

        Raises `MpnasError` if there are more processes than parts in a step, if `mixed` statistics
        would be computed in several parts, if the device or the kernels cannot be used, or not
        reproducibly, or if the processes have different kernels.
        """
        team = Team.current()
        most = domains * micro_batches
        if team.size > most:
            raise team.error_on_all_ranks(
                f"{team.size} processes are more than {domains} domains x micro_batches "
                f"{micro_batches} = {most}: some would have no work. Start fewer "
                "processes, or raise micro_batches."
            )
        if norm == "mixed" and (team.size > 1 or micro_batches > 1):
            raise team.error_on_all_ranks(
                "norm 'mixed' normalises all images of a step together: expected one process and "
                "micro_batches 1."
            )
        where = device_named(device, precision)
        require_same_products(where)
        library = resolve(kernels, where, precision == "float32")
        memory = MemoryBudget(memory_budget, 2 if precision == "bfloat16" else 4)
        compute = cls(where, precision, micro_batches, team, library, memory)
        compute._require_same_kernels()
        return compute

    @property
    def variant(self) -> str:
        """Variant of the kernels, such as `eager`. Results are equal to the bit in one variant."""
        return variant_of(self.kernels)

    def _require_same_kernels(self) -> None:
        leaders = self.team.on_leader(lambda: self.variant)
        if self.team.any(self.variant != leaders):
            raise self.team.error_on_all_ranks(
                f"the first process has the kernels {leaders!r}, and another one has others: start "
                "all processes on machines with one kind of processor and compiler, or use kernels "
                "'eager'."
            )

    def autocast(self) -> AbstractContextManager[None]:
        """Return a context in which forward passes have the precision of the stage."""
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def parts(self, batches: Mapping[str, Drawn]) -> list[Part]:
        """Return the micro-batches of a step that this process computes."""
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
        self, shape: tuple[int, int], parts: Sequence[Part], values: Sequence[Tensor]
    ) -> Tensor:
        """Return means over the images of every domain, the same in all processes.

        The result is float64 (domains, values), on the CPU. The device is waited for once.

        shape: shape of the result.
        parts: parts that this process computed.
        values: means over the images of each of these parts, (values,) each, on any device.
        """
        table = torch.zeros(shape, dtype=torch.float64)
        if parts:
            rows = torch.stack(tuple(values)).double().cpu()
            shares = torch.tensor([[part.share] for part in parts], dtype=torch.float64)
            domains = torch.tensor([part.domain for part in parts])
            table.index_add_(0, domains, shares * rows)
        return self.team.sum(table)


def device_named(name: str | None, precision: Precision = "float32") -> torch.device:
    """Return the device with this name, after one small operation on it.

    If several processes run on one machine, `cuda` gives each of them the next GPU in turn.

    name: name of the device in torch, such as `cpu`, `cuda` or `cuda:1`. None: a GPU if there is
    one, else the CPU.
    precision: precision in which the device must compute, `float32` or `bfloat16`.

    Raises `MpnasError` if the device cannot be used.

    >>> mk.device_named("cpu")
    device(type='cpu')
    """
    name = convert_plain(name, str | None, "device")
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a backend that is missing may also warn
            device = torch.device(name)
            if device.type == "cuda" and device.index is None:
                device = torch.device("cuda", local_rank() % max(1, torch.cuda.device_count()))
            _try(device, precision)
    except Exception as error:  # each backend of torch raises errors of its own
        why = reason(error).split(". ")[0]
        wanted = "" if precision == "float32" else f" with precision {precision}"
        raise MpnasError(
            f"device {short(name)} cannot be used here{wanted} ({why[:160]}): expected cpu, or a "
            "device that this build of torch has."
        ) from None
    return device


def _try(device: torch.device, precision: Precision) -> None:
    """Compute one convolution with its gradient on the device, and read the result back."""
    with plain_torch():
        weight = torch.ones(1, 1, 1, 1, device=device, requires_grad=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            output = torch.nn.functional.conv2d(torch.ones(1, 1, 2, 2, device=device), weight)
        output.float().sum().backward()
        read = weight.grad.tolist() if weight.grad is not None else None
    if read != [[[[4.0]]]]:
        raise RuntimeError(f"it computes {read} instead of 4")
