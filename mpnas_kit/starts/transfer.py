"""The transfer of weights from one network to another. `starts.source` has the rules."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mpnas_kit.kernels.chain import Unit, Weights
from mpnas_kit.network.net import MultiPathNet
from mpnas_kit.network.norms import DomainNorm
from mpnas_kit.space.space import SearchSpace
from mpnas_kit.starts.anatomy import Part, importance, own_tensors, parameter, parts_of, used
from mpnas_kit.starts.channels import Channels, place
from mpnas_kit.starts.matching import Matching

Chooser = Callable[[Tensor, int], Channels]
"""Function: importance of every channel of the source, number of channels -> these channels."""


class Row(NamedTuple):
    """What became of a tensor of the source.

    source, target: names of the tensors; target is empty if the tensor is left.
    source_shape, target_shape: their shapes.
    how: `taken`, `cut`, `padded` or `left`.
    note: what else there is to know, or why it is left.
    """

    source: str
    source_shape: tuple[int, ...]
    target: str
    target_shape: tuple[int, ...]
    how: str
    note: str


class Copies:
    """Copies of tensors of one network in another, and what is known of them.

    source, target: the networks.
    names: names of the parameters of the target that got weights.
    """

    def __init__(self, source: MultiPathNet, target: MultiPathNet) -> None:
        self.names: set[str] = set()
        self._source, self._rows = source, list[Row]()
        self._reasons: dict[str, str] = {}
        self._parameters = {name for name, _ in target.named_parameters()}
        self._own_names, self._names = (
            {id(t): n for n, t in [*net.named_parameters(), *net.named_buffers()]}
            for net in (source, target)
        )

    def place(
        self,
        target: Tensor,
        source: Tensor,
        rows: Channels,
        columns: Channels | None = None,
        *,
        values: Tensor | None = None,
        note: str = "",
    ) -> None:
        """Write a tensor of the target (see `channels.place`).

        source: a whole tensor of the source. values: the part of it that is in use; None: all.
        note: what else there is to know.
        """
        part = source.detach() if values is None else values
        height, width = target.shape[0], target.shape[1] if target.ndim > 1 else 0
        rows = rows.fitted(height, part.shape[0])
        columns = None if columns is None else columns.fitted(width, part.shape[1])
        how, words = place(target, part, rows, columns)
        is_whole, note = part.shape == source.shape, ", ".join(filter(None, (words, note)))
        self._note(target, source, how if is_whole else "cut", note)

    def copy(self, target: Tensor, source: Tensor) -> None:
        """Copy a tensor to one of the same shape."""
        with torch.no_grad():
            target.copy_(source)
        self._note(target, source, "taken", "")

    def _note(self, target: Tensor, source: Tensor, how: str, note: str) -> None:
        name, own = self._names[id(target)], self._own_names[id(source)]
        if name in self._parameters:
            self.names.add(name)
        shapes = tuple(source.shape), tuple(target.shape)
        self._rows.append(Row(own, shapes[0], name, shapes[1], how, note))

    def leave(self, source: Tensor, why: str) -> None:
        """Note why a tensor of the source has not been copied to one that it could belong to."""
        self._reasons.setdefault(self._own_names[id(source)], why)

    def rows(self, default: Mapping[str, str]) -> list[Row]:
        """Return what became of every tensor of the source, in its order.

        default: why a tensor has not been copied, by the name of its module.
        """
        found: dict[str, list[Row]] = {}
        for row in self._rows:
            found.setdefault(row.source, []).append(row)
        for name, tensor in self._source.state_dict().items():
            module = ".".join(name.split(".")[:2])
            why = self._reasons.get(name) or default.get(module, "no layer corresponds")
            found.setdefault(name, [Row(name, tuple(tensor.shape), "", (), "left", why)])
        return [row for name in self._source.state_dict() for row in found[name]]


class _Maps:
    """The channels of the streams of a network, as channels of the streams of the source."""

    def __init__(
        self,
        matching: Matching,
        source: MultiPathNet,
        own_parts: Sequence[Part],
        space: SearchSpace,
        parts: Sequence[Part],
    ) -> None:
        self._matching, self._source, self._space = matching, source, space
        self._own_parts, self._parts = own_parts, parts
        self._known: dict[int, Channels | None] = {-1: Channels.same(3)}

    def before(self, layer: int) -> Channels | None:
        """Return the channels that a layer reads, or None if the source has no such stream."""
        return self.of(self._matching.input_of(layer))

    def after(self, layer: int) -> Channels | None:
        """Return the channels that a layer writes, or None if the source has no such stream."""
        return self.of(self._matching.streams[layer])

    def of(self, stream: int) -> Channels | None:
        """Return the channels of a stream, or None if the source has none that corresponds.

        They are those of the source, if the width is the same and no path has a smaller one. If
        paths of the source have smaller widths, its order is kept: they use the first channels.
        """
        if stream not in self._known:
            own = self._matching.source_of(stream)
            self._known[stream] = None if own is None else self._chosen(stream, own)
        return self._known[stream]

    def _chosen(self, stream: int, own: int) -> Channels | None:
        streams, own_streams = self._matching.streams, self._matching.source_streams
        widths = [p.use.out_channels for p in self._parts if streams[p.node.layer] == stream]
        own_widths = [
            p.use.out_channels for p in self._own_parts if own_streams[p.node.layer] == own
        ]
        if not widths or not own_widths:
            return None
        if len(self._source.space.layers[own].widths) > 1:
            return Channels.leading(max(own_widths), max(widths))
        fixed = len(self._space.layers[stream].widths) == 1
        if fixed and max(widths) == max(own_widths):
            return Channels.same(max(widths))
        scores = torch.zeros(max(own_widths), dtype=torch.float64)
        for found in self._readers(own):
            scores[: len(found)] += found
        return Channels.by_importance(scores, max(widths))

    def _readers(self, own: int) -> Iterator[Tensor]:
        """Yield the importance of the channels of a stream of the source to all that read it."""
        own_streams = self._matching.source_streams
        for part in self._own_parts:
            reads = (
                not part.lends and part.node.layer > 0 and own_streams[part.node.layer - 1] == own
            )
            if reads and part.anatomy is not None:
                first = part.anatomy.units[0]
                yield importance(first.weights, first.depthwise)
        if own_streams[-1] == own:
            for head in self._source.heads.values():
                if isinstance(head, nn.Linear):
                    yield head.weight.detach().double().abs().sum(0).cpu()


class Transfer:
    """A transfer of weights.

    source: network with the weights. target: network that gets them.
    """

    def __init__(self, source: MultiPathNet, target: MultiPathNet) -> None:
        self.source, self.target = source, target
        self.copies = Copies(source, target)
        self.matching = Matching.of(source.space, target.space)
        self._own_parts, self._parts = list(parts_of(source)), list(parts_of(target))
        self._maps = _Maps(self.matching, source, self._own_parts, target.space, self._parts)
        parts = [*self._own_parts, *self._parts]
        self._homes = {id(m): part for part in parts for m in part.module.modules()}
        self._origins: dict[str, Part | None] = {}  # by name of the part of the target

    def nodes(self) -> None:
        """Copy the weights of all nodes. A block that gets none starts as identity if it can."""
        for part in self._parts:
            origin = self._origin(part)
            if origin is None:
                _start_as_identity(part)
            elif part.anatomy is None:
                self._copy_unknown(part, origin)
            else:
                self._copy(part, origin)

    def heads(self, domains: Collection[str]) -> None:
        """Copy the heads of these domains. All other heads stay as they are."""
        last = len(self.matching.streams) - 1
        own_last = self.matching.source_streams[-1]
        reads = self.matching.source_of(self.matching.streams[last]) == own_last
        columns = self._maps.after(last) if reads else None
        for domain in self.source.tasks:
            head = self.target.head_of(domain) if domain in domains else None
            for name, source in self.source.head_of(domain).named_parameters():
                if not isinstance(head, nn.Linear):
                    self.copies.leave(source, "heads start at random")
                elif columns is None:
                    self.copies.leave(source, "the head reads another feature map")
                else:
                    read = columns if name == "weight" else None
                    rows = Channels.same(len(source))
                    self.copies.place(head.get_parameter(name), source, rows, read)

    def rows(self) -> list[Row]:
        """Return what became of every tensor of the source."""
        used_parts = {part.name for part in self._origins.values() if part is not None}
        default = {}
        for part in self._own_parts:
            if part.name in used_parts or part.lends:
                default[part.name] = "no candidate of the layer has this part"
            elif part.node.layer in self.matching.layers:
                default[part.name] = "no candidate of the layer gets the weights of this block"
        return self.copies.rows(default)

    # Modules --------------------------------------------------------------------------------------

    def _root(self, part: Part) -> Part:
        """Return the part with the dense weights of a part: itself, or one that lends them to it.

        It says which hidden channels come first.
        """
        dense = [u for u in part.anatomy.units if not u.depthwise] if part.anatomy else []
        return self._homes.get(id(dense[-1].weights.owner), part) if dense else part

    def _origin(self, part: Part) -> Part | None:
        """Return the part of the source whose weights a part of the target gets, or None.

        It is the nearest one. If a part borrows, its hidden channels must be those of its root.
        """
        if part.name not in self._origins:
            layer, root = self.matching.layers[part.node.layer], self._root(part)
            fitting = [p for p in self._own_parts if p.node.layer == layer and p.fits(part)]
            if root is not part:
                lent = self._origin(root)
                fitting = [p for p in fitting if lent and self._root(p) is self._root(lent)]
            nearest = min(fitting, key=lambda p: p.distance(part), default=None)
            self._origins[part.name] = nearest
        return self._origins[part.name]

    def _copy(self, part: Part, origin: Part) -> None:
        """Copy the weights that a module has itself. It borrows the others from its root."""
        assert part.anatomy is not None and origin.anatomy is not None
        root = self._root(part)
        lent = self._origin(root)
        assert lent is not None
        maps, choose = self._inner_maps(root, lent), self._chooser(root, lent)
        inside = {id(module) for module in part.module.modules()}
        for i, (unit, own) in enumerate(zip(part.anatomy.units, origin.anatomy.units, strict=True)):
            read, written = maps[i], maps[i + 1]
            if id(unit.weights.owner) in inside:
                self._copy_weights(unit, own, written, read)
            if written is None:
                continue
            if isinstance(unit.norm, DomainNorm) and id(unit.norm) in inside:
                assert isinstance(own.norm, DomainNorm)
                self._copy_norm(unit.norm, own.norm, written)
            if unit.gate is not None and id(unit.gate.reduce.owner) in inside:
                self._copy_gate(unit, own, written, choose)

    def _inner_maps(self, root: Part, origin: Part) -> list[Channels | None]:
        """Return the channels of the input of a module, and of the output of each convolution.

        Modules that borrow from the root use its first channels. None: the source has no such map.
        """
        assert root.anatomy is not None and origin.anatomy is not None
        layer, units, own = root.node.layer, root.anatomy.units, origin.anatomy.units
        choose = self._chooser(root, origin)
        found = [self._maps.before(layer) if self.matching.reads_the_same(layer) else None]
        for i, unit in enumerate(units):
            if unit.depthwise:
                found.append(found[-1])
            elif i == len(units) - 1:
                found.append(self._maps.after(layer))
            else:
                reader = next(u for u in own[i + 1 :] if not u.depthwise)
                count = len(parameter(unit.weights, "weight"))
                found.append(choose(importance(reader.weights), count))
        return found

    def _chooser(self, root: Part, origin: Part) -> Chooser:
        """Return the function that chooses channels inside a module.

        The channels are those of the source, if there are as many and no path uses only the first
        ones. If a path of the source does, its order is kept.
        """
        is_sliced = _is_sliced(root, self.target.space)
        was_sliced = _is_sliced(self._root(origin), self.source.space)

        def choose(scores: Tensor, count: int) -> Channels:
            if was_sliced or (count == len(scores) and not is_sliced):
                return Channels.leading(len(scores), count)
            return Channels.by_importance(scores, count)

        return choose

    # Tensors --------------------------------------------------------------------------------------

    def _copy_weights(
        self, unit: Unit, own: Unit, written: Channels | None, read: Channels | None
    ) -> None:
        values = used(own.weights, own.depthwise)
        target, source = (parameter(u.weights, "weight") for u in (unit, own))
        if written is None or read is None:
            self.copies.leave(source, "it reads another feature map")
            return
        columns = None if unit.depthwise else read
        self.copies.place(
            target, source, written, columns, values=values, note=_differences(unit, own)
        )
        if "bias" in unit.weights.names and "bias" in own.weights.names:
            target, source = (parameter(u.weights, "bias") for u in (unit, own))
            self.copies.place(target, source, written, values=source.detach()[: len(values)])

    def _copy_norm(self, norm: DomainNorm, own: DomainNorm, written: Channels) -> None:
        """Copy scale, shift and statistics for every domain, from that of its name or the first."""
        users, own_users = (
            [domain for domain in net.tasks if one.name_for(domain) in one.names]
            for net, one in ((self.target, norm), (self.source, own))
        )
        for name, domain in {norm.name_for(d): d for d in reversed(users)}.items():
            origin = domain if domain in own_users else own_users[0]
            if hasattr(norm, "weight"):  # a norm that borrows has no scale and shift
                gamma, beta = own.native(origin)[:2]
                self.copies.place(norm.weight[name], gamma, written)
                self.copies.place(norm.bias[name], beta, written)
            for kind in ("mean", "var") if own.tracked else ():
                source = own.get_buffer(f"{kind}_{own.name_for(origin)}")
                if norm.tracked:
                    self.copies.place(norm.get_buffer(f"{kind}_{name}"), source, written)
                else:
                    self.copies.leave(source, "a supernet has no statistics")

    def _copy_gate(self, unit: Unit, own: Unit, written: Channels, choose: Chooser) -> None:
        """Copy squeeze-and-excite. If the source has none, its gate starts at 1/2 everywhere."""
        gate, own_gate = unit.gate, own.gate
        assert gate is not None
        if own_gate is None:
            for name in gate.expand.names:
                nn.init.zeros_(parameter(gate.expand, name))
            return
        count = len(parameter(gate.reduce, "weight"))
        inner = choose(importance(own_gate.expand), count)
        self._copy_weights(_bare(gate.reduce), _bare(own_gate.reduce), inner, written)
        self._copy_weights(_bare(gate.expand), _bare(own_gate.expand), written, inner)

    def _copy_unknown(self, part: Part, origin: Part) -> None:
        """Copy a module of whose parts only names and shapes are known, if its maps are the same.

        Its shapes are those of the source (see `Part.fits`).
        """
        read, written = self._maps.before(part.node.layer), self._maps.after(part.node.layer)
        if read is None or written is None or not (read.are_same and written.are_same):
            return
        if not self.matching.reads_the_same(part.node.layer):
            return
        for name, norm in part.module.named_modules():
            own = origin.module.get_submodule(name)
            if isinstance(norm, DomainNorm) and isinstance(own, DomainNorm):
                channels = Channels.same(len(own.native(origin.users[0])[0]))
                self._copy_norm(norm, own, channels)
        tensors = own_tensors(origin.module)
        for name, target in own_tensors(part.module).items():
            self.copies.copy(target, tensors[name])


def _is_sliced(root: Part, space: SearchSpace) -> bool:
    """Return whether a path may use only the first channels inside a module."""
    layer = root.node.layer
    return root.lends or (layer > 0 and len(space.layers[layer - 1].widths) > 1)


def _bare(weights: Weights) -> Unit:
    """Return a convolution without norm."""
    return Unit(weights, nn.Identity())


def _differences(unit: Unit, own: Unit) -> str:
    """Return in words what two convolutions do not have in common, besides their sizes."""
    words = []
    if unit.activation != own.activation:
        words.append(f"activation {own.activation} to {unit.activation}")
    if unit.same != own.same and unit.stride > 1:
        words.append("other padding")
    if (unit.gate is None) != (own.gate is None):
        words.append(f"squeeze-and-excite {'lost' if unit.gate is None else 'new'}")
    return ", ".join(words)


@torch.no_grad()
def _start_as_identity(part: Part) -> None:
    """Let a block with a residual return its input: the last scale is 0. Others stay random."""
    if part.anatomy is None or not part.anatomy.residual:
        return
    norm = part.anatomy.units[-1].norm
    if isinstance(norm, DomainNorm) and hasattr(norm, "weight"):  # a norm that borrows has none
        for scale in norm.weight.values():
            scale.zero_()
