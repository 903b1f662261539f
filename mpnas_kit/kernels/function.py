"""Chains of many domains, computed by the native kernels in one call, with gradients.

One call computes a whole layer: the maps of all domains at all nodes. Its jobs (one domain at one
node) are independent, so several threads have work even if every job is small. One call is one node
of autograd's graph.

The structs of `source/chain.h` are arrays of 64-bit numbers here, in the order of their fields.
"""

import ctypes
import itertools
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from mpnas_kit.kernels.chain import ACTIVATIONS, MOST_UNITS, Chain, Unit, Weights
from mpnas_kit.kernels.library import Library
from mpnas_kit.kernels.threads import kernel_threads
from mpnas_kit.settings import require

_BLOCK_PIXELS = 1024  # as in `source/chain.h`
_FLOAT = 4  # bytes
EPS = 1e-5  # added to variances, as in every batch norm of the kit
_PLAIN: Any = {"dtype": torch.float32, "device": "cpu"}  # whatever the defaults are


class Norm(NamedTuple):
    """Batch norm of one unit for one domain.

    gamma, beta: scale and shift, float32 (C,). The first channels are used.
    mean, variance: fixed statistics, float32 (C,); None: those of the batch.
    """

    gamma: nn.Parameter
    beta: nn.Parameter
    mean: Tensor | None = None
    variance: Tensor | None = None


class Norms:
    """The batch norms of a node for one domain.

    norms: norm of every unit. All have statistics of the batch, or all have fixed ones.
    widths: channels of every unit.
    fixed: whether they have fixed statistics.
    """

    def __init__(self, norms: Sequence[Norm], widths: Sequence[int]) -> None:
        self.norms, self.fixed = norms, norms[0].mean is not None
        kept = [(n.gamma, n.beta, n.mean, n.variance) for n in norms]
        self._tensors = [t for own in kept for t in own if t is not None]
        count = len(self._tensors) // len(norms)
        self._widths = [width for width in widths for _ in range(count)]
        self._addresses: list[int] = []
        self._words: list[int] = []

    @property
    def parameters(self) -> Iterator[nn.Parameter]:
        """Scales and shifts of all norms."""
        for norm in self.norms:
            yield norm.gamma
            yield norm.beta

    def words(self) -> list[int] | None:
        """Return the structs `Norm` of a job, or None if the kernels cannot read the tensors."""
        addresses = [t.data_ptr() for t in self._tensors]
        if addresses != self._addresses:  # the first time, or the tensors have moved
            pairs = zip(self._tensors, self._widths, strict=True)
            if not all(is_readable(t) and len(t) >= width for t, width in pairs):
                return None
            per_norm = iter(addresses)
            count, none = (4, ()) if self.fixed else (2, (0, 0))
            self._words = []
            for _ in self.norms:
                self._words += (*itertools.islice(per_norm, count), *none, 0, 0)
            self._words += [0] * (_NORM_WORDS * (MOST_UNITS - len(self.norms)))
            self._addresses = addresses
        return self._words

    def words_back(self, gradients: Mapping[nn.Parameter, int]) -> list[int]:
        """Return the structs for the backward pass. gradients: addresses of those of parameters."""
        addresses = [t.data_ptr() for t in self._tensors]
        if addresses != self._addresses:
            _require_plain(self._tensors)  # since the forward pass, they have moved
        known = self.words()
        assert known is not None
        words = known.copy()
        for i, norm in enumerate(self.norms):
            words[_NORM_WORDS * i + 4] = gradients.get(norm.gamma, 0)
            words[_NORM_WORDS * i + 5] = gradients.get(norm.beta, 0)
        return words


def _require_plain(tensors: Iterable[Tensor]) -> None:
    """Raise `MpnasError` unless the kernels can read these tensors."""
    for tensor in tensors:
        require(
            tensor.dtype == torch.float32 and tensor.device.type == "cpu",
            f"a network has weights of {tensor.dtype} on device {tensor.device}, but images of "
            "float32 on the CPU: expected the same type and device.",
        )


class Recipe:
    """A chain as the kernels read it: what the jobs of one node have in common.

    chain: the chain.
    out_channels: width of the output.
    """

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.out_channels = chain.units[-1].weights.out_channels
        self._owners = [
            (part.owner, name) for u in chain.units for part in _parts(u) for name in part.names
        ]
        self._forms: dict[tuple[int, int, int], Form] = {}
        self._readable: list[tuple[nn.Parameter, int]] = []
        self._words: list[int] = []
        self._places: list[tuple[int, int, int]] = []

    def parameters(self) -> list[nn.Parameter] | None:
        """Return weights and biases, in order, as their modules have them now.

        Return None if the kernels cannot read them: another type, device, memory layout or size.
        """
        found: list[Any] = [owner._parameters.get(name) for owner, name in self._owners]
        if len(self._readable) < len(found) or not all(
            p is known and p.data_ptr() == address
            for p, (known, address) in zip(found, self._readable, strict=True)
        ):  # the first time, or parameters are new or have moved
            self._readable = []
            readable = all(type(p) is nn.Parameter and is_readable(p) for p in found)
            if not readable or not self._fit(found):
                return None
            self._words, self._places = self._fixed_words(found)
            self._readable = [(p, p.data_ptr()) for p in found]
        return found

    def _fit(self, parameters: Sequence[nn.Parameter]) -> bool:
        """Return whether the chain uses no more than these parameters have."""
        left = iter(parameters)
        return all(
            part.fits([next(left) for _ in part.names], unit.depthwise and part is unit.weights)
            for unit in self.chain.units
            for part in _parts(unit)
        )

    def form(self, library: Library, images: int, height: int, width: int) -> "Form":
        """Return size of the output and memory of a job of so many images of this size."""
        key = images, height, width
        if key not in self._forms:
            size = (height, width)
            for unit in self.chain.units:
                size = -(-size[0] // unit.stride), -(-size[1] // unit.stride)
            room = (ctypes.c_int64 * 6)()
            recipe = array("q", self._words)
            job = array("q", [0, images, height, width, *[0] * (_JOB_WORDS - 4)])
            library.functions.mpnas_kernels_room(_at(recipe), _at(job), room)
            self._forms[key] = Form(*size, *room)
        return self._forms[key]

    def words(
        self,
        parameters: Sequence[nn.Parameter],
        packed: int,
        packed_back: int,
        gradients: Mapping[nn.Parameter, int],
    ) -> list[int]:
        """Return the struct `Recipe`.

        parameters: what `parameters` returned.
        packed, packed_back: addresses of the room for packed weights.
        gradients: addresses of the gradients of parameters.
        """
        if [p.data_ptr() for p in parameters] != [address for _, address in self._readable]:
            _require_plain(parameters)  # since the forward pass, they have moved
        words = self._words.copy()
        words[2], words[3] = packed, packed_back
        for parameter, (place, offset, to_gradient) in zip(parameters, self._places, strict=True):
            words[place] = parameter.data_ptr() + offset
            if parameter in gradients:
                words[place + to_gradient] = gradients[parameter] + offset
        return words

    def _fixed_words(
        self, parameters: Sequence[nn.Parameter]
    ) -> tuple[list[int], list[tuple[int, int, int]]]:
        """Return the struct, and where the address of each parameter is in it.

        For every parameter: index of its address, offset of its first used weight in bytes, and how
        many words later the address of its gradient is.
        """
        units, left = self.chain.units, iter(parameters)
        words = [len(units), int(self.chain.residual), 0, 0]
        places: list[tuple[int, int, int]] = []
        for unit in units:
            weights, gate = unit.weights, unit.gate
            words += (
                int(unit.depthwise),
                weights.kernel,
                unit.stride,
                int(unit.same),
                weights.in_channels,
                weights.out_channels,
                ACTIVATIONS.index(unit.activation),
                0 if gate is None else gate.reduce.out_channels,
            )
            for part in _parts(unit):
                weight = next(left)
                _, _, row_step, column_step = steps = weight.stride()
                edge = (weight.shape[-1] - part.kernel) // 2
                places.append((len(words), _FLOAT * edge * (row_step + column_step), 5))
                words += (0, *steps, 0)
                if "bias" in part.names:
                    next(left)
                    places.append((len(words), 0, 1))
                words += (0, 0)
            words += [0] * (0 if gate else 2 * _WEIGHT_WORDS)
        return words + [0] * (_UNIT_WORDS * (MOST_UNITS - len(units))), places


def is_readable(t: Tensor) -> bool:
    """Return whether the kernels can read a tensor: float32 on the CPU, without gaps."""
    return (
        t.dtype == torch.float32
        and t.device.type == "cpu"
        and (t.is_contiguous() or t.is_contiguous(memory_format=torch.channels_last))
    )


class Form(NamedTuple):
    """Size of the output of a job, and the floats that it needs (see `mpnas_kernels_room`)."""

    rows: int
    columns: int
    packed: int
    packed_back: int
    saved: int
    gradients: int
    slot: int
    tile: int


def _parts(unit: Unit) -> tuple[Weights, ...]:
    """Return all weights of a unit."""
    gate = unit.gate
    return (unit.weights,) if gate is None else (unit.weights, gate.reduce, gate.expand)


_WEIGHT_WORDS = 8
_UNIT_WORDS = 8 + 3 * _WEIGHT_WORDS
_NORM_WORDS = 6
_JOB_WORDS = 10 + _NORM_WORDS * MOST_UNITS


class Job(NamedTuple):
    """The images of one domain at one node.

    recipe: the node.
    x: input, float32 (B, C, H, W).
    norms: its batch norms.
    words: what `norms.words` returns.
    """

    recipe: Recipe
    x: Tensor
    norms: Norms
    words: list[int]


class _Call:
    """One call of the kernels, forward and then backward. Arguments are those of `run_chains`."""

    def __init__(self, library: Library, jobs: Sequence[Job], eps: float) -> None:
        self.library, self.jobs, self.eps = library, jobs, eps
        self.threads = kernel_threads()
        self.fixed = jobs[0].norms.fixed
        self.numbers: dict[Recipe, int] = {}
        self.weights: dict[Recipe, list[nn.Parameter]] = {}
        self.forms: list[Form] = []
        for recipe, x, *_ in jobs:
            if recipe not in self.numbers:
                weights = recipe.parameters()
                assert weights is not None  # else there is no job
                self.numbers[recipe], self.weights[recipe] = len(self.numbers), weights
            images, _, height, width = x.shape
            if self.fixed:  # images need not be together: in blocks, their maps stay in the cache
                images = min(images, _block_images(height, width))
            self.forms.append(recipe.form(library, images, height, width))
        self.tile = max(form.tile for form in self.forms)

    def forward(
        self, xs: Sequence[Tensor], backward_follows: bool
    ) -> tuple[list[Tensor], tuple[Tensor, Tensor]]:
        """Return the outputs of all jobs, and what the backward pass needs."""
        forms, words, ys = self.forms, array("q"), []
        kept = torch.empty(sum(form.saved for form in forms) if backward_follows else 0, **_PLAIN)
        place = kept.data_ptr() if backward_follows else 0
        for (recipe, _, _, own), x, form in zip(self.jobs, xs, forms, strict=True):
            images, channels, height, width = x.shape
            rows, columns, out = form.rows, form.columns, recipe.out_channels
            y = torch.empty_strided(
                (images, out, rows, columns),
                (rows * columns * out, 1, columns * out, out),
                **_PLAIN,
            )
            ys.append(y)
            number, at, to = self.numbers[recipe], x.data_ptr(), y.data_ptr()
            step = _block_images(height, width) if self.fixed else images
            for first in range(0, images, step):
                count = min(step, images - first)
                words.extend((number, count, height, width, at, to, 0, 0, place, 0))
                words.extend(own)
                at += _FLOAT * step * height * width * channels
                to += _FLOAT * step * rows * columns * out
            if backward_follows:
                place += _FLOAT * form.saved
        slot = max(form.slot + (0 if backward_follows else form.saved) for form in forms)
        memory, packed = self._memory(slot), self._empty("packed")
        recipes = self._recipes(packed, None, {})
        self.library.functions.mpnas_kernels_forward(
            _at(recipes),
            len(self.numbers),
            _at(words),
            len(words) // _JOB_WORDS,
            self.threads,
            memory.data_ptr(),
            self.tile,
            slot,
            int(self.fixed),
            self.eps,
        )
        return ys, (kept, packed)

    def backward(
        self,
        xs: Sequence[Tensor],
        kept: Tensor,
        packed: Tensor,
        dys: Sequence[Tensor],
        needed: Sequence[bool],
        parameters: Sequence[nn.Parameter],
    ) -> tuple[list[Tensor | None], list[Tensor | None]]:
        """Return the gradients of the inputs and those of the parameters.

        kept, packed: what `forward` returned.
        dys: gradients of the outputs.
        needed: whether the gradient of an input is needed.
        parameters: all parameters of the jobs, each once.
        """
        sizes = [_aligned(p.numel()) if p.requires_grad else 0 for p in parameters]
        whole = torch.zeros(sum(sizes), **_PLAIN)
        gradients: list[Tensor | None] = []
        addresses, place = {}, 0
        for parameter, size in zip(parameters, sizes, strict=True):
            if size:
                addresses[parameter] = whole.data_ptr() + _FLOAT * place
                gradients.append(whole.as_strided(parameter.shape, parameter.stride(), place))
            else:
                gradients.append(None)
            place += size
        own = torch.empty(sum(form.gradients for form in self.forms), **_PLAIN)
        words, at, saved = array("q"), own.data_ptr(), kept.data_ptr()
        dxs: list[Tensor | None] = []
        for (recipe, _, norms, _), x, dy, need, form in zip(
            self.jobs, xs, dys, needed, self.forms, strict=True
        ):
            dx = torch.empty_like(x) if need else None
            dxs.append(dx)
            images, _, height, width = x.shape
            words.extend((self.numbers[recipe], images, height, width, x.data_ptr(), 0))
            words.extend((dy.data_ptr(), 0 if dx is None else dx.data_ptr(), saved, at))
            words.extend(norms.words_back(addresses))
            at += _FLOAT * form.gradients
            saved += _FLOAT * form.saved
        slot = max(form.slot for form in self.forms)
        memory, packed_back = self._memory(slot), self._empty("packed_back")
        recipes = self._recipes(packed, packed_back, addresses)
        self.library.functions.mpnas_kernels_backward(
            _at(recipes),
            len(self.numbers),
            _at(words),
            len(self.jobs),
            self.threads,
            memory.data_ptr(),
            self.tile,
            slot,
        )
        return dxs, gradients

    def _memory(self, slot: int) -> Tensor:
        """Return the memory of the threads."""
        return torch.empty(self.threads * (self.tile + slot), **_PLAIN)

    def _empty(self, kind: str) -> Tensor:
        """Return room for the packed weights of all recipes. kind: field of `Form`."""
        return torch.empty(sum(getattr(form, kind) for form in self._recipe_forms()), **_PLAIN)

    def _recipe_forms(self) -> Iterator[Form]:
        """Yield a form of every recipe, in the order of their numbers."""
        seen = -1
        for job, form in zip(self.jobs, self.forms, strict=True):
            if self.numbers[job.recipe] > seen:
                seen = self.numbers[job.recipe]
                yield form

    def _recipes(
        self,
        packed: Tensor,
        packed_back: Tensor | None,
        gradients: Mapping[nn.Parameter, int],
    ) -> "array[int]":
        """Return the structs `Recipe` of all recipes, in the order of their numbers."""
        words, at = array("q"), packed.data_ptr()
        back = 0 if packed_back is None else packed_back.data_ptr()
        for recipe, form in zip(self.numbers, self._recipe_forms(), strict=True):
            words.extend(recipe.words(self.weights[recipe], at, back, gradients))
            at += _FLOAT * form.packed
            back += _FLOAT * form.packed_back
        return words


def _block_images(height: int, width: int) -> int:
    """Return the number of images of a block, as `source/chain.h` does."""
    return max(1, _BLOCK_PIXELS // (height * width))


def _aligned(count: int) -> int:
    """Return at least `count`, so that the next tensor begins at a whole cache line."""
    return (count + 15) // 16 * 16


def _at(words: "array[int]") -> int:
    """Return the address of an array. The caller must keep the array."""
    return words.buffer_info()[0]


class _Chains(torch.autograd.Function):
    """The chains of many jobs as one function of their inputs and parameters."""

    @staticmethod
    def forward(
        ctx: Any, call: _Call, parameters: Sequence[nn.Parameter], *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        xs = [_channels_last(x) for x in tensors[: len(call.jobs)]]
        ctx.call, ctx.parameters = call, parameters
        ctx.needed = ctx.needs_input_grad[2 : 2 + len(xs)]
        ys, kept = call.forward(xs, backward_follows=True)
        ctx.save_for_backward(*kept, *tensors[len(xs) :], *xs)
        return tuple(ys)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *dys: Tensor) -> tuple[Any, ...]:
        count = len(ctx.parameters)
        kept, packed, *rest = ctx.saved_tensors  # saved, so that autograd sees if they change
        dys = tuple(_channels_last(dy) for dy in dys)
        dxs, gradients = ctx.call.backward(
            rest[count:], kept, packed, dys, ctx.needed, ctx.parameters
        )
        return (None, None, *dxs, *gradients)


def _channels_last(x: Tensor) -> Tensor:
    """Return `x` with the channels last in memory."""
    return x.contiguous(memory_format=torch.channels_last)


def run_chains(library: Library, jobs: Sequence[Job], eps: float = EPS) -> list[Tensor]:
    """Return the output of every job, float32 (B, out, H', W'), channels last.

    The result does not depend on the number of threads (see `kernels.threads`).

    library: the kernels.
    jobs: images and nodes. Those with fixed statistics have no gradients.
    eps: added to every variance, above 0.
    """
    outputs: dict[int, Tensor] = {}
    for fixed in (False, True):
        chosen = [i for i, job in enumerate(jobs) if job.norms.fixed == fixed]
        if chosen:
            call = _Call(library, [jobs[i] for i in chosen], eps)
            outputs.update(zip(chosen, _run(call), strict=True))
    return [outputs[i] for i in range(len(jobs))]


def _run(call: _Call) -> Sequence[Tensor]:
    """Return the outputs of a call, with gradients unless its statistics are fixed."""
    xs = [job.x for job in call.jobs]
    if torch.is_grad_enabled() and not call.fixed:
        found: dict[Any, None] = {}
        for weights in call.weights.values():
            found.update(dict.fromkeys(weights))
        for _, _, norms, _ in call.jobs:
            found.update(dict.fromkeys(norms.parameters))
        parameters = list(found)
        if any(t.requires_grad for t in (*parameters, *xs)):
            outputs: tuple[Tensor, ...] = _Chains.apply(  # type: ignore[no-untyped-call]
                call, parameters, *xs, *parameters
            )
            return outputs
    return call.forward([_channels_last(x) for x in xs], backward_follows=False)[0]
