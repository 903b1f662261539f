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
    fixed: whether they have fixed ones.
    """

    def __init__(self, norms: Sequence[Norm]) -> None:
        self.norms, self.fixed = norms, norms[0].mean is not None
        kept = [(n.gamma, n.beta, n.mean, n.variance) for n in norms]
        self._tensors = [t for own in kept for t in own if t is not None]
        self._addresses: list[int] = []
        self._words: list[int] = []

    @property
    def parameters(self) -> Iterator[nn.Parameter]:
        """Scales and shifts of all norms."""
        for norm in self.norms:
            yield norm.gamma
            yield norm.beta

    def words(self, gradients: Mapping[nn.Parameter, int] | None = None) -> list[int]:
        """Return the structs `Norm` of a job. gradients: addresses of those of parameters."""
        addresses = [t.data_ptr() for t in self._tensors]
        if addresses != self._addresses:  # the first time, or the tensors have moved
            _require_plain(self._tensors)
            per_norm = iter(addresses)
            count, none = (4, ()) if self.fixed else (2, (0, 0))
            self._words = []
            for _ in self.norms:
                self._words += (*itertools.islice(per_norm, count), *none, 0, 0)
            self._words += [0] * (_NORM_WORDS * (MOST_UNITS - len(self.norms)))
            self._addresses = addresses
        if not gradients:
            return self._words
        words = self._words.copy()
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
    parameters: its weights and biases.
    out_channels: width of the output.
    """

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.out_channels = chain.units[-1].weights.out_channels
        self.parameters: list[nn.Parameter] = []
        for unit in chain.units:
            for weights in (unit.weights, *_gate_weights(unit)):
                self.parameters.append(weights.parameter)
                if weights.bias is not None:
                    self.parameters.append(weights.bias)
        self._forms: dict[tuple[int, int, int], Form] = {}
        self._addresses: list[int] = []
        self._words: list[int] = []
        self._places: list[tuple[int, nn.Parameter, int]] = []

    def form(self, library: Library, images: int, height: int, width: int) -> "Form":
        """Return size of the output and memory of a job of so many images of this size."""
        key = images, height, width
        if key not in self._forms:
            size = (height, width)
            for unit in self.chain.units:
                kernel = unit.weights.kernel
                rows, columns = ((n + kernel // 2 * 2 - kernel) // unit.stride + 1 for n in size)
                size = (rows, columns)
            room = (ctypes.c_int64 * 6)()
            recipe = array("q", self.words(0, 0))
            job = array("q", [0, images, height, width, *[0] * (_JOB_WORDS - 4)])
            library.functions.mpnas_kernels_room(_at(recipe), _at(job), room)
            self._forms[key] = Form(*size, *room)
        return self._forms[key]

    def words(
        self, packed: int, packed_back: int, gradients: Mapping[nn.Parameter, int] | None = None
    ) -> list[int]:
        """Return the struct `Recipe`.

        packed, packed_back: addresses of the room for packed weights.
        gradients: addresses of the gradients of parameters.
        """
        addresses = [p.data_ptr() for p in self.parameters]
        if addresses != self._addresses:  # the first time, or the weights have moved
            _require_plain(self.parameters)
            self._words, self._places = self._fixed_words()
            self._addresses = addresses
        words = self._words.copy()
        words[2], words[3] = packed, packed_back
        for place, parameter, offset in self._places if gradients else ():
            if gradients and parameter in gradients:
                words[place] = gradients[parameter] + offset
        return words

    def _fixed_words(self) -> tuple[list[int], list[tuple[int, nn.Parameter, int]]]:
        """Return what does not change, and place, parameter and offset of its gradients."""
        units = self.chain.units
        words = [len(units), int(self.chain.residual), 0, 0]
        places: list[tuple[int, nn.Parameter, int]] = []
        for unit in units:
            weights, gate = unit.weights, unit.gate
            words += (
                int(unit.depthwise),
                weights.kernel,
                unit.stride,
                weights.in_channels,
                weights.out_channels,
                ACTIVATIONS.index(unit.activation),
                0 if gate is None else gate.reduce.out_channels,
            )
            for part in (weights, *_gate_weights(unit)):
                parameter, bias = part.parameter, part.bias
                _, _, row_step, column_step = steps = parameter.stride()
                edge = (parameter.shape[-1] - part.kernel) // 2
                offset = _FLOAT * edge * (row_step + column_step)
                places.append((len(words) + 5, parameter, offset))
                words += (parameter.data_ptr() + offset, *steps, 0)
                if bias is not None:
                    places.append((len(words) + 1, bias, 0))
                words += (0 if bias is None else bias.data_ptr(), 0)
            words += [0] * (0 if gate else 2 * _WEIGHT_WORDS)
        return words + [0] * (_UNIT_WORDS * (MOST_UNITS - len(units))), places


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


def _gate_weights(unit: Unit) -> tuple[Weights, ...]:
    return () if unit.gate is None else (unit.gate.reduce, unit.gate.expand)


_WEIGHT_WORDS = 8
_UNIT_WORDS = 7 + 3 * _WEIGHT_WORDS
_NORM_WORDS = 6
_JOB_WORDS = 10 + _NORM_WORDS * MOST_UNITS


class Job(NamedTuple):
    """The images of one domain at one node.

    recipe: the node.
    x: input, float32 (B, C, H, W).
    norms: its batch norms.
    """

    recipe: Recipe
    x: Tensor
    norms: Norms


class _Call:
    """One call of the kernels, forward and then backward. Arguments are those of `run_chains`."""

    def __init__(self, library: Library, jobs: Sequence[Job], eps: float) -> None:
        self.library, self.jobs, self.eps = library, jobs, eps
        self.threads = kernel_threads()
        self.fixed = jobs[0].norms.fixed
        self.numbers: dict[Recipe, int] = {}
        self.forms: list[Form] = []
        for recipe, x, _ in jobs:
            self.numbers.setdefault(recipe, len(self.numbers))
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
        for (recipe, _, norms), x, form in zip(self.jobs, xs, forms, strict=True):
            images, channels, height, width = x.shape
            rows, columns, out = form.rows, form.columns, recipe.out_channels
            y = torch.empty_strided(
                (images, out, rows, columns),
                (rows * columns * out, 1, columns * out, out),
                **_PLAIN,
            )
            ys.append(y)
            number, at, to = self.numbers[recipe], x.data_ptr(), y.data_ptr()
            own = norms.words()
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
        recipes = self._recipes(packed, None)
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
        for (recipe, _, norms), x, dy, need, form in zip(
            self.jobs, xs, dys, needed, self.forms, strict=True
        ):
            dx = torch.empty_like(x) if need else None
            dxs.append(dx)
            images, _, height, width = x.shape
            words.extend((self.numbers[recipe], images, height, width, x.data_ptr(), 0))
            words.extend((dy.data_ptr(), 0 if dx is None else dx.data_ptr(), saved, at))
            words.extend(norms.words(addresses))
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
        gradients: Mapping[nn.Parameter, int] | None = None,
    ) -> "array[int]":
        """Return the structs `Recipe` of all recipes, in the order of their numbers."""
        words, at = array("q"), packed.data_ptr()
        back = 0 if packed_back is None else packed_back.data_ptr()
        for recipe, form in zip(self.numbers, self._recipe_forms(), strict=True):
            words.extend(recipe.words(at, back, gradients))
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


def run_chains(library: Library, jobs: Sequence[Job], eps: float = 1e-5) -> list[Tensor]:
    """Return the output of every job, float32 (B, out, H', W'), channels last.

    The result does not depend on the number of threads (see `kernels.threads`).

    library: the kernels.
    jobs: at least one. All have statistics of the batch, or all have fixed ones; with fixed ones
    there are no gradients.
    eps: added to every variance, above 0.
    """
    call, xs = _Call(library, jobs, eps), [job.x for job in jobs]
    if torch.is_grad_enabled():
        found: dict[Any, None] = {}
        for recipe in call.numbers:
            found.update(dict.fromkeys(recipe.parameters))
        for _, _, norms in jobs:
            found.update(dict.fromkeys(norms.parameters))
        parameters = list(found)
        if any(t.requires_grad for t in (*parameters, *xs)):
            outputs: tuple[Tensor, ...] = _Chains.apply(  # type: ignore[no-untyped-call]
                call, parameters, *xs, *parameters
            )
            return list(outputs)
    return call.forward([_channels_last(x) for x in xs], backward_follows=False)[0]
