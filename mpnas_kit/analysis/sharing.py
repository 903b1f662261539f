"""Sizes of a union of paths: what the domains share, and what each domain's path costs."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pandas as pd
from torch import Tensor, nn

from mpnas_kit.errors import MpnasError
from mpnas_kit.network.building import owned
from mpnas_kit.network.net import MultiPathNet
from mpnas_kit.network.norms import DomainNorm
from mpnas_kit.space.elastic import ElasticConv
from mpnas_kit.space.layers import Node, Path, Use
from mpnas_kit.space.space import SearchSpace

CATEGORIES = ("shared", "private", "batch norm", "heads")


def usage(
    space: SearchSpace, paths: Mapping[str, Path], *, all_layers: bool = False
) -> dict[Node, tuple[str, ...]]:
    """Return the domains whose paths use each candidate node.

    space: the search space.
    paths: path of every domain.
    all_layers: whether layers with one candidate count too; by default searched layers only.

    Keys are all candidate nodes, in the order of the space; `zero` is not a node. Values are the
    domains in the order of `paths`; () if no path uses the node. Two paths that use the same node
    share its weights only if the network shares that layer (`MultiPathNet.users`) and the node is
    not private (owner `*`): then each has a copy.

    >>> users = mk.analysis.usage(space, {"a": paths["planted0"], "b": paths["planted0"]})
    >>> set(users.values()) == {("a", "b"), ()}
    True
    """
    nodes = {d: space.nodes(p, all_layers=all_layers) for d, p in paths.items()}
    layers = range(len(space.layers)) if all_layers else space.searched
    candidates = (
        space.candidate_node(i, pick)
        for i in layers
        for pick, block in enumerate(space.layers[i].candidates)
        if block
    )
    return {n: tuple(d for d, used in nodes.items() if n in used) for n in candidates}


@dataclass(frozen=True, eq=False, repr=False)
class Accounting:
    """Parameters and multiply-adds of a union of paths, as tidy tables. Returned by `account`.

    Multiply-adds are what papers of this field call FLOPs. The MPNAS article does not say what its
    FLOPs count, so there are three readings (ours).

    nodes: one row per node of the union, with stem and head. A node that domains do not share has
    one row per domain. Columns layer (index, from 0), layer_name, block, users (number of domains),
    domains (names), parameters (without batch norm), norm_parameters. Nodes may have weights in
    common (`TrainConfig.collapse`, private depthwise convolutions): each counts those it uses.
    categories: one row per category. Columns category, parameters, share (of all parameters, 0 to
    1). The categories:

        `shared`: weights of two or more domains, without batch norm.
        `private`: weights of one domain, without batch norm.
        `batch norm`: scales and shifts of all nodes.
        `heads`: the classifiers.

    domains: one row per domain, about its own path at its own widths. Columns:

        domain: name.
        parameters: shared + private, without batch norm and classifier.
        shared, private: parameters that two or more domains have, and this domain only.
        norm: batch-norm scales and shifts that its images pass: its own set, or the common set.
        head: parameters of its classifier.
        multiply_adds: of one image, with the classifier.

    totals: four rows. Columns batch_norm and heads (whether they are counted), parameters (of the
    whole union).
    multiply_adds: three rows. Columns reading, multiply_adds. The readings:

        `per image`: one image, mean over domains.
        `union`: every distinct node once, at its largest width and image size, and every
        classifier.
        `N images`: one image per domain.

    >>> sizes = mk.analysis.account(trained.net, trained.paths)
    >>> sizes.multiply_adds["reading"].tolist()
    ['per image', 'union', 'N images']
    """

    nodes: pd.DataFrame
    categories: pd.DataFrame
    domains: pd.DataFrame
    totals: pd.DataFrame
    multiply_adds: pd.DataFrame

    def parameters(self, *, batch_norm: bool = True, heads: bool = True) -> int:
        """Return the number of parameters of the whole union.

        batch_norm: whether batch-norm scales and shifts count.
        heads: whether classifiers count.
        """
        rows = self.totals
        row = rows[(rows["batch_norm"] == batch_norm) & (rows["heads"] == heads)]
        return int(row["parameters"].iloc[0])

    def _repr_html_(self) -> str:
        return str(self.domains.to_html())

    def __repr__(self) -> str:
        shared = self.categories.set_index("category")["share"]["shared"]
        return (
            f"Accounting({len(self.domains)} domains, {len(self.nodes)} nodes, "
            f"{self.parameters():,} parameters, {shared:.0%} of them in shared nodes)"
        )


def account(net: MultiPathNet, paths: Mapping[str, Path]) -> Accounting:
    """Return the parameters and multiply-adds of a union of paths.

    net: a union model (`MultiPathNet.of_paths`); its weights are not used.
    paths: the paths that it is the union of, by domain.

    Parameters are counted from the modules of the network. A domain's own path is counted at its
    own widths. Raises `MpnasError` if `net` is not the union of `paths`.

    >>> sizes = mk.analysis.account(trained.net, trained.paths)
    >>> sizes.parameters() == sum(p.numel() for p in trained.net.parameters())
    True
    """
    users = _users(net, paths)
    tensors = _tensors(net, users)
    nodes = _nodes(net, users)
    norms = _norms_by_domain(net, users)
    heads = {d: _size(net.head_of(d)) for d in net.tasks}
    domains = _domains(net, paths, tensors, norms, heads)
    shared = sum(t.numel() for t, own in tensors.values() if len(own) > 1)
    private = sum(t.numel() for t, own in tensors.values()) - shared
    norm, head = sum(map(_size, _norms(net))), sum(heads.values())
    sizes = dict(zip(CATEGORIES, (shared, private, norm, head), strict=True))
    everything = sum(sizes.values())
    categories = pd.DataFrame(
        [(c, n, n / everything) for c, n in sizes.items()],
        columns=["category", "parameters", "share"],
    )
    totals = pd.DataFrame(
        [
            (n, h, shared + private + n * norm + h * head)
            for n in (False, True)
            for h in (False, True)
        ],
        columns=["batch_norm", "heads", "parameters"],
    )
    each = domains["multiply_adds"]
    distinct = sum(use.cost.multiply_adds for use in net.uses.values())
    union = distinct + sum(_classifier_multiply_adds(net, d) for d in net.tasks)
    readings = pd.DataFrame(
        [("per image", each.mean()), ("union", float(union)), ("N images", float(each.sum()))],
        columns=["reading", "multiply_adds"],
    )
    return Accounting(nodes, categories, domains, totals, readings)


def _users(net: MultiPathNet, paths: Mapping[str, Path]) -> dict[Node, tuple[str, ...]]:
    """Return the domains of every node of the network, after a check against the paths."""
    if set(paths) != set(net.tasks):
        raise MpnasError(
            f"the network serves {', '.join(net.tasks)}, but paths are given for "
            f"{', '.join(paths) or 'no domain'}: account needs the paths of all its domains."
        )
    used: dict[Node, tuple[str, ...]] = {}
    for domain in net.tasks:
        for use in (u for u in net.space.uses(paths[domain]) if u is not None):
            node = owned(use.node, domain, net.private)
            used[node] = (*used.get(node, ()), domain)
    if set(used) != set(net.users):
        odd = min(set(used) ^ set(net.users))
        raise MpnasError(
            f"node {odd.block!r} of layer {net.space.layers[odd.layer].name!r} is only in the "
            "network or only in the paths: account needs the union of the paths, not a supernet."
        )
    return used


def _size(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _norms(module: nn.Module) -> list[DomainNorm]:
    return [m for m in module.modules() if isinstance(m, DomainNorm)]


def _weights(module: nn.Module) -> Iterator[tuple[Tensor, int]]:
    """Yield the tensors that a node computes with, and how many of their values; no batch norm."""
    for part in module.modules():
        if isinstance(part, ElasticConv):
            used = part.out_channels * part.in_channels // part.groups * part.kernel_size[0] ** 2
            yield part.owner.weight, used
            if part.owner.bias is not None:
                yield part.owner.bias, part.out_channels
        elif not isinstance(part, DomainNorm | nn.ParameterDict):
            yield from ((p, p.numel()) for p in part.parameters(recurse=False))


def _tensors(
    net: MultiPathNet, users: Mapping[Node, tuple[str, ...]]
) -> dict[int, tuple[Tensor, set[str]]]:
    """Return every tensor of the network's nodes, and the domains that use it; no batch norm."""
    found: dict[int, tuple[Tensor, set[str]]] = {}
    for node, domains in users.items():
        for tensor, _ in _weights(net.module_of(node)):
            found.setdefault(id(tensor), (tensor, set()))[1].update(domains)
    return found


def _nodes(net: MultiPathNet, users: Mapping[Node, tuple[str, ...]]) -> pd.DataFrame:
    rows = []
    for node, module in ((n, net.module_of(n)) for n in net.users):
        norms = _norms(module)
        rows.append(
            {
                "layer": node.layer,
                "layer_name": net.space.layers[node.layer].name,
                "block": node.block,
                "users": len(users[node]),
                "domains": users[node],
                "parameters": sum(used for _, used in _weights(module)),
                "norm_parameters": sum(2 * norm.channels * len(norm.names) for norm in norms),
            }
        )
    return pd.DataFrame(rows)


def _norms_by_domain(net: MultiPathNet, users: Mapping[Node, tuple[str, ...]]) -> Counter[str]:
    """Return the number of batch-norm parameters that the images of each domain pass."""
    sizes: Counter[str] = Counter()
    for node, module in ((n, net.module_of(n)) for n in net.users):
        for domain in users[node]:
            sizes[domain] += sum(2 * norm.channels for norm in _norms(module))
    return sizes


def _domains(
    net: MultiPathNet,
    paths: Mapping[str, Path],
    tensors: Mapping[int, tuple[Tensor, set[str]]],
    norms: Mapping[str, int],
    heads: Mapping[str, int],
) -> pd.DataFrame:
    rows = []
    for domain in net.tasks:
        uses = [u for u in net.space.of(domain).uses(paths[domain]) if u is not None]
        shared = sum(_shared(net, u, domain, tensors) for u in uses)
        private = sum(u.cost.parameters for u in uses) - shared
        path = sum(u.cost.multiply_adds for u in uses)
        rows.append(
            {
                "domain": domain,
                "parameters": shared + private,
                "shared": shared,
                "private": private,
                "norm": norms[domain],
                "head": heads[domain],
                "multiply_adds": path + _classifier_multiply_adds(net, domain),
            }
        )
    return pd.DataFrame(rows)


def _shared(
    net: MultiPathNet,
    use: Use,
    domain: str,
    tensors: Mapping[int, tuple[Tensor, set[str]]],
) -> int:
    """Return how many of the parameters that a path uses in a node other domains have too."""
    module = net.module_of(owned(use.node, domain, net.private))
    sizes = [(used, len(tensors[id(tensor)][1])) for tensor, used in _weights(module)]
    shared = sum(used for used, users in sizes if users > 1)
    whole = sum(used for used, _ in sizes)
    return use.cost.parameters * shared // whole if shared else 0


def _classifier_multiply_adds(net: MultiPathNet, domain: str) -> int:
    head = net.head_of(domain)
    assert isinstance(head, nn.Linear)
    return head.in_features * head.out_features
