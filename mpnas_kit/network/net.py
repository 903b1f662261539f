"""One network class for the supernet, the union model and the single model.

A network has a set of nodes of a space: all nodes (the supernet), the nodes of several domains'
paths (the union model), or the nodes of one path (a single model).

One forward pass takes any number of flows. A flow is a batch of one domain and the path that it
takes. A node runs once for all flows that use it in the same way.

From a given layer on, each domain may have private nodes. If that is the first layer, the network
is a bundle of single models.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Annotated, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.utils._python_dispatch import is_in_torch_dispatch_mode
from torch.utils.checkpoint import checkpoint

from mpnas_kit.domains.batches import Standard
from mpnas_kit.domains.task import Task
from mpnas_kit.errors import MpnasError, RaisedBy, short, unknown
from mpnas_kit.kernels.chain import Chained, require_widths
from mpnas_kit.kernels.function import EPS, Job, Norms, Recipe, run_chains
from mpnas_kit.kernels.library import Library
from mpnas_kit.network.building import build_modules, owned
from mpnas_kit.network.defaults import plain_torch
from mpnas_kit.network.maps import Map, alone, apart, average, chunks, together
from mpnas_kit.network.norms import DomainNorm, Norm, Segments, member
from mpnas_kit.space.block import Block, build_block, require_map
from mpnas_kit.space.elastic import ElasticConv
from mpnas_kit.space.layers import Node, Path, Use
from mpnas_kit.space.private_layers import SHARED, PrivateLayers
from mpnas_kit.space.space import SearchSpace
from mpnas_kit.values import SEED, convert_plain


@dataclass(frozen=True)
class Blend:
    """A path on which a layer may have several candidates. Their outputs are averaged.

    The warm-up of a search uses blends ("op warmup" of TuNAS, Bender et al. 2020, arXiv
    2008.06120).

    layers: for every layer of the space the uses to average. None among them is the skipped layer,
    whose output is its input.
    """

    layers: tuple[tuple[Use | None, ...], ...]


class Flow(NamedTuple):
    """A batch of one domain and the path that it takes through a network.

    domain: name of the domain.
    images: network input, float32 (B, 3, H, W).
    path: path or blend of candidates.
    """

    domain: str
    images: Tensor
    path: Path | Blend


class _Run:
    """A node with the widths at which a path uses it: what a map runs through.

    node: the node. use: how a path uses it. module: its module.
    elastic: whether the module takes the width of its output.
    recipe: the node for the native kernels; None: they cannot compute it.
    """

    __slots__ = ("_kept", "_norms", "elastic", "module", "node", "recipe", "use")

    def __init__(self, node: Node, use: Use, module: nn.Module, elastic: bool) -> None:
        self.node, self.use, self.module, self.elastic = node, use, module, elastic
        chain = None
        if isinstance(module, Chained):
            with RaisedBy(lambda: f"chain of block {use.block.name!r}"):
                chain = module.chain(use.in_channels, use.out_channels)
                require_widths(chain, use.in_channels, use.out_channels)
        norms = [] if chain is None else [unit.norm for unit in chain.units]
        self._norms = [norm for norm in norms if isinstance(norm, DomainNorm)]
        known = chain is not None and len(self._norms) == len(chain.units)
        known = known and all(norm.eps == EPS for norm in self._norms)
        self.recipe = Recipe(chain) if chain is not None and known else None
        self._kept: dict[tuple[str, bool], Norms] = {}

    def jobs(self, parts: Sequence[Sequence[Map]]) -> list[Job] | None:
        """Return a job of the native kernels for every part, or None if they cannot compute it.

        parts: maps that are normalised together.
        """
        recipe, fixed = self.recipe, bool(self._norms) and self._norms[0].fixed
        weights = None if recipe is None else recipe.parameters()
        if recipe is None or weights is None:
            return None
        for norm in self._norms:
            if norm.measures or norm.fixed != fixed:
                return None
        found = []
        for part in parts:
            domain, x = part[0].domain, together(part)
            norms = self._kept.get((domain, fixed)) or self._keep(recipe, domain, fixed)
            words = norms.words()
            if words is None or (not fixed and x.shape[0] == 1 and self._is_one_pixel(x)):
                return None  # a batch of one value is one that torch refuses in a sentence
            recorded = fixed and torch.is_grad_enabled()
            if recorded and any(t.requires_grad for t in (*weights, *norms.parameters, x)):
                return None  # the kernels have no gradients with fixed statistics
            found.append(Job(recipe, x, norms, words))
        return found

    def _keep(self, recipe: Recipe, domain: str, fixed: bool) -> Norms:
        """Return the norms of a domain, and keep them."""
        widths = [unit.weights.out_channels for unit in recipe.chain.units]
        norms = Norms([norm.native(domain) for norm in self._norms], widths)
        self._kept[domain, fixed] = norms
        return norms

    def _is_one_pixel(self, x: Tensor) -> bool:
        """Return whether the output has one pixel, so that one image has no variance."""
        return max(x.shape[2:]) <= self.use.stride


@dataclass
class _Extent:
    """How a network uses a node.

    use: use of the node at the largest widths and map size.
    domains: names of the domains that use it.
    """

    use: Use
    domains: tuple[str, ...]

    def widened(self, use: Use, domains: tuple[str, ...]) -> "_Extent":
        """Return the extent that also covers this use by these domains."""
        return _Extent(self.use.covering(use), tuple(dict.fromkeys((*self.domains, *domains))))


class MultiPathNet(nn.Module):
    """A network of nodes that domains share if their paths meet, with one head per domain.

    Create it with `supernet` or `of_paths`. The initial weights depend on `seed` only: Kaiming
    normal (fan-out) for convolutions, normal with standard deviation 0.01 for classifiers. The
    global generator of torch does not change. The method is MPNAS (Wang et al. 2021,
    arXiv 2010.04904).

    space: search space of the nodes.
    extents: largest use and domains of every node.
    tasks: task of every domain, by name.
    norm: how nodes normalise several domains: `per_domain`, `mixed` or `naive` (see
    `network.norms`).
    tracked: whether batch norms have statistics for evaluation.
    seed: seed of the initial weights.
    private: layers in which each domain has nodes of its own.
    collapse: whether nodes of a layer that differ in size share one set of weights (see
    `network.collapse`).

    Attributes: `uses` has for every node its use at the largest widths. `users` has for every node
    the names of its domains. `kernels` is the native library that it computes with; None: eager.
    `standards` has the conversion of a domain's images to network input, by domain; a domain that
    it lacks has its own (`Standard.of`).

    >>> net = mk.MultiPathNet.of_paths(space, paths, suite.tasks, "per_domain", seed=0)
    >>> images = torch.zeros(5, 3, 16, 16)
    >>> logits = net([mk.Flow(domain, images, path) for domain, path in paths.items()])
    >>> [tuple(x.shape) for x in logits]
    [(5, 16), (5, 16)]
    """

    kernels: Library | None = None

    def __init__(
        self,
        space: SearchSpace,
        extents: Mapping[Node, "_Extent"],
        tasks: Mapping[str, Task],
        norm: Norm,
        tracked: bool,
        seed: int,
        private: PrivateLayers,
        collapse: bool = False,
    ) -> None:
        super().__init__()
        seed = convert_plain(seed, Annotated[int, SEED], "seed")
        private.require_within(len(space.layers))
        if norm == "mixed" and space.resolutions:
            sizes = ", ".join(f"{d} {size}" for d, size in space.resolutions.items())
            raise MpnasError(
                "the norm 'mixed' normalises the images of all domains together, so they need one "
                f"resolution, not {sizes} pixels: expected one, or the norm 'per_domain'."
            )
        self.space, self.norm, self.tasks = space, norm, dict(tasks)
        self.private = private
        self.uses = {node: extent.use for node, extent in extents.items()}
        self.users = {node: extent.domains for node, extent in extents.items()}
        self.standards: dict[str, Standard] = {}
        self._segments = Segments()
        self._plans: dict[tuple[Path, str], tuple[tuple[_Run | None, ...], ...]] = {}
        self._runs: dict[tuple[Node, Use], _Run] = {}
        with plain_torch(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.nodes, self.lenders = nn.ModuleDict(), nn.ModuleDict()
            build = partial(self._build, tracked)
            made = build_modules(self.uses, self.users, private, collapse, build)
            for node, module in made.nodes.items():
                self.nodes[_key(node)] = module
            for node, module in made.lenders.items():
                self.lenders[_key(node)] = module
            features = space.layers[-1].widths[-1]
            self.heads = nn.ModuleDict(
                {member(d): task.head(features) for d, task in tasks.items()}
            )
            _initialise(self)
            for parameter in self.parameters():
                if parameter.ndim == 4:
                    parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)

    @classmethod
    def supernet(
        cls,
        space: SearchSpace,
        tasks: Mapping[str, Task],
        norm: Norm,
        seed: int,
        private: PrivateLayers = SHARED,
        collapse: bool = False,
    ) -> "MultiPathNet":
        """Return a supernet: all nodes of `space`, each for every domain of `tasks`.

        Parameters are those of the class. Batch norms always use batch statistics.
        """
        extents = {}
        for use in space.widest_uses():
            for domain in tasks:
                node = owned(use.node, domain, private)
                users = (domain,) if node.owner else tuple(tasks)
                extents[node] = _Extent(use, users)
        return cls(space, extents, tasks, norm, False, seed, private, collapse)

    @classmethod
    def of_paths(
        cls,
        space: SearchSpace,
        paths: Mapping[str, Path],
        tasks: Mapping[str, Task],
        norm: Norm,
        seed: int,
        private: PrivateLayers = SHARED,
        collapse: bool = False,
    ) -> "MultiPathNet":
        """Return the union model of the domains' paths. It has only nodes that a path uses.

        paths: path of every domain of `tasks`, by name. Other parameters are those of the class.

        Raises `MpnasError` if a domain of `tasks` has no path.
        """
        extents: dict[Node, _Extent] = {}
        for domain in tasks:
            if domain not in paths:
                raise unknown("domain without a path:", domain, paths)
            for use in (u for u in space.of(domain).uses(paths[domain]) if u is not None):
                node = owned(use.node, domain, private)
                extents[node] = extents.get(node, _Extent(use, ())).widened(use, (domain,))
        ordered = {n: extents[n] for n in sorted(extents)}
        return cls(space, ordered, tasks, norm, True, seed, private, collapse)

    def forward(self, flows: Sequence[Flow], recompute: bool = False) -> list[Tensor]:
        """Return the head outputs (B, outputs of the domain's task) of every flow, in order.

        Flows of one domain with the same image tensor share all computations up to the layer in
        which their paths differ.

        recompute: whether only the inputs of layers are kept for the backward pass, which computes
        each layer once more (Chen et al. 2016, arXiv 1604.06174). Not while `measure` runs: batches
        would count twice.

        Raises `MpnasError` if a domain or a node is not in the network, or images are no network
        input.
        """
        features = self.features(flows, recompute)
        return [self.head_of(f.domain)(x) for f, x in zip(flows, features, strict=True)]

    def features(self, flows: Sequence[Flow], recompute: bool = False) -> list[Tensor]:
        """Return what the heads get: the means of the last map, (B, channels), of every flow.

        Parameters and errors are those of `forward`.
        """
        for flow in flows:
            self._check(flow)
        plans = [self._plan(flow.path, flow.domain) for flow in flows]
        inputs = {(f.domain, id(f.images)): alone(f.domain, f.images) for f in flows}
        maps = [inputs[f.domain, id(f.images)] for f in flows]
        native = self.kernels if all(map(_is_plain, inputs.values())) else None
        run = partial(checkpoint, self._layer, use_reentrant=False) if recompute else self._layer
        for layer in range(len(self.space.layers)):
            outputs = run(maps, [plan[layer] for plan in plans], native)
            maps = [m[0] if len(m) == 1 else average(m) for m in outputs]
        pooled = {m: m.tensor.mean((2, 3)) for m in dict.fromkeys(maps)}
        return [pooled[m] for m in maps]

    def _check(self, flow: Flow) -> None:
        if flow.domain not in self.tasks:
            raise unknown("domain of this network", flow.domain, self.tasks)
        x = flow.images
        if not isinstance(x, Tensor) or x.ndim != 4 or x.shape[1] != 3 or not len(x):
            found = tuple(x.shape) if isinstance(x, Tensor) else short(x)
            raise MpnasError(
                f"the images of a flow of domain {flow.domain!r} must have the shape (images, 3, "
                f"height, width), not {found}."
            )

    def _layer(
        self,
        maps: Sequence[Map],
        runs: Sequence[tuple[_Run | None, ...]],
        native: Library | None,
    ) -> list[list[Map]]:
        """Return the outputs of a layer: for every flow one map per run. None returns its input."""
        groups: dict[tuple[_Run, int], dict[Map, Map]] = {}  # input map -> output map
        for m, own in zip(maps, runs, strict=True):
            for run in own:
                if run is not None:
                    groups.setdefault((run, m.size), {})[m] = m
        jobs: list[tuple[Job, Sequence[Map], dict[Map, Map]]] = []
        for (run, _), outputs in groups.items():
            inputs = list(outputs)
            parts = [inputs] if self.norm == "mixed" else [[m] for m in inputs]
            found = run.jobs(parts) if native else None
            if found is not None:
                jobs += zip(found, parts, itertools.repeat(outputs))  # noqa: B905 (it is endless)
                continue
            for chunk in [inputs] if self.norm == "mixed" else chunks(inputs):
                self._segments.current = [(m.domain, m.count) for m in chunk]
                whole = self._run(run, together(chunk))
                outputs.update(zip(chunk, apart(whole, chunk), strict=True))
        if native is not None:
            wholes = run_chains(native, [job for job, _, _ in jobs])
            for whole, (_, part, outputs) in zip(wholes, jobs, strict=True):
                outputs.update(zip(part, apart(whole, part), strict=True))
        return [
            [m if run is None else groups[run, m.size][m] for run in own]
            for m, own in zip(maps, runs, strict=True)
        ]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "MultiPathNet":
        """Move or convert all tensors, as `to` does. What is kept of them is then outdated."""
        self._forget()
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        """Load tensors. They may replace those of which something is kept."""
        self._forget()
        super()._load_from_state_dict(*args, **kwargs)

    def _forget(self) -> None:
        """Forget through which modules and tensors paths run."""
        self._plans.clear()
        self._runs.clear()

    @contextmanager
    def measure(self) -> Iterator[None]:
        """Compute the batch-norm statistics for evaluation from the batches that run inside.

        The network must be in training mode (see `DomainNorm.measure`).
        """
        with ExitStack() as stack:
            for module in self.modules():
                if isinstance(module, DomainNorm):
                    stack.enter_context(module.measure())
            yield

    def fingerprint(self) -> str:
        """Return a short hash over all weights and statistics."""
        digest = sha256()
        for name, tensor in self.state_dict().items():
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    def module_of(self, node: Node) -> nn.Module:
        """Return the module of a node. Raises `MpnasError` if the network lacks it."""
        key = _key(node)
        if key not in self.nodes:
            raise MpnasError(
                f"{self._words(node)} is not in this network: expected a path of the network."
            )
        return self.nodes[key]

    def head_of(self, domain: str) -> nn.Module:
        """Return the head of a domain. Raises `MpnasError` if the network lacks the domain."""
        if domain not in self.tasks:
            raise unknown("domain of this network", domain, self.tasks)
        return self.heads[member(domain)]

    def freeze(self, other: "MultiPathNet") -> None:
        """Copy all that `other` has and this network has too, and train it no more.

        Tensors are matched by name: weights of nodes, batch norms per domain with their statistics,
        and heads. The copied parameters need no gradients.

        other: trained network of the same space.

        Raises `MpnasError` if one of these tensors has another shape here.
        """
        own, parameters = self.state_dict(), dict(self.named_parameters())
        for name, tensor in other.state_dict().items():
            if name not in own:
                continue
            if own[name].shape != tensor.shape:
                raise MpnasError(
                    f"the frozen network has a tensor {name} of shape {tuple(tensor.shape)}, but "
                    f"here it has {tuple(own[name].shape)}: expected paths that use frozen nodes "
                    "at most at their widths."
                )
            own[name].copy_(tensor)
            if name in parameters:
                parameters[name].requires_grad_(False)

    def _build(
        self, tracked: bool, block: Block, use: Use, domains: Sequence[str], is_node: bool
    ) -> nn.Module:
        """Return a new module of a block for some domains, with the widths of a use."""
        norm = partial(
            DomainNorm,
            domains=domains,
            norm=self.norm,
            segments=self._segments,
            tracked=tracked and is_node,
        )
        return build_block(block, use.in_channels, use.out_channels, use.stride, norm)

    def _run(self, run: _Run, x: Tensor) -> Tensor:
        width = run.use.out_channels
        with RaisedBy(lambda: f"the module of {self._words(run.node)}"):
            y: Tensor = run.module(x, width) if run.elastic else run.module(x)
        require_map(run.use.block, y, len(x), width)
        return y

    def _words(self, node: Node) -> str:
        return f"block {node.block!r} in layer {self.space.layers[node.layer].name!r}"

    def _plan(self, path: Path | Blend, domain: str) -> tuple[tuple[_Run | None, ...], ...]:
        """Return what the images of a domain run through: per layer the runs of the path."""
        if isinstance(path, Blend):
            return tuple(tuple(self._run_of(use, domain) for use in uses) for uses in path.layers)
        key = path, domain
        if key not in self._plans:
            if len(self._plans) > 10_000:
                self._plans.clear()
            self._plans[key] = tuple((self._run_of(u, domain),) for u in self.space.uses(path))
        return self._plans[key]

    def _run_of(self, use: Use | None, domain: str) -> _Run | None:
        if use is None:
            return None
        key = owned(use.node, domain, self.private), use
        if key not in self._runs:
            node = key[0]
            elastic = len(self.space.layers[node.layer].widths) > 1
            self._runs[key] = _Run(node, use, self.module_of(node), elastic)
        return self._runs[key]


def _is_plain(m: Map) -> bool:
    """Return whether the native kernels can read a map: float32 on the CPU, nothing traces it.

    What traces are compilers, and the modes and transformations of torch that see every operation.
    """
    x = m.tensor
    return (
        type(x) is Tensor
        and x.dtype == torch.float32
        and x.device.type == "cpu"
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]
        and not is_in_torch_dispatch_mode()
        and torch._C._functorch.peek_interpreter_stack() is None
        and forward_ad._current_level < 0
    )


def _key(node: Node) -> str:
    """Return the name of a node's module: layer, block, owner. Torch allows no dot in it."""
    owner = f"@{node.owner}" if node.owner else ""
    return f"{node.layer}_{node.block.replace('.', ',')}{owner}"


def _initialise(net: nn.Module) -> None:
    for module in net.modules():
        if isinstance(module, ElasticConv) and module.borrows:
            continue
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01)
            nn.init.zeros_(module.bias)
