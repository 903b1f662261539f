"""Sizes of a union of paths: what the domains share, and what each domain's path costs."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
from torch import nn

from mpnas_kit.errors import MpnasError
from mpnas_kit.network.building import owned
from mpnas_kit.network.net import MultiPathNet
from mpnas_kit.network.norms import DomainNorm
from mpnas_kit.space.space import OWN, Node, Path, SearchSpace

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
        Node(i, block.name, OWN if space.is_private(i, pick) else "")
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
    domains (names), parameters (without batch norm), norm_parameters.
    categories: one row per category. Columns category, parameters, share (of all parameters, 0 to
    1). The categories:

        `shared`: nodes of two or more domains, without batch norm.
        `private`: nodes of one domain, without batch norm.
        `batch norm`: scales and shifts of all nodes.
        `heads`: the classifiers.

    domains: one row per domain, about its own path at its own widths. Columns:

        domain: name.
        parameters: shared + private, without batch norm and classifier.
        shared, private: parameters in nodes of two or more domains, and of this domain only.
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
    nodes = _nodes(net, users)
    norms = _norms_by_domain(net, users)
    heads = {d: _size(net.head_of(d)) for d in net.tasks}
    domains = _domains(net, paths, users, norms, heads)
    shared = int(nodes.loc[nodes["users"] > 1, "parameters"].sum())
    private = int(nodes["parameters"].sum()) - shared
    norm, head = int(nodes["norm_parameters"].sum()), sum(heads.values())
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
            node = owned(use.node, domain, net.private_from)
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


def _nodes(net: MultiPathNet, users: Mapping[Node, tuple[str, ...]]) -> pd.DataFrame:
    rows = []
    for node, module in ((n, net.module_of(n)) for n in net.users):
        norm = sum(_size(m) for m in _norms(module))
        rows.append(
            {
                "layer": node.layer,
                "layer_name": net.space.layers[node.layer].name,
                "block": node.block,
                "users": len(users[node]),
                "domains": users[node],
                "parameters": _size(module) - norm,
                "norm_parameters": norm,
            }
        )
    return pd.DataFrame(rows)


def _norms_by_domain(net: MultiPathNet, users: Mapping[Node, tuple[str, ...]]) -> Counter[str]:
    """Return the number of batch-norm parameters that the images of each domain pass."""
    sizes: Counter[str] = Counter()
    for node, module in ((n, net.module_of(n)) for n in net.users):
        for norm in _norms(module):
            for domain in users[node]:
                name = norm.name_for(domain)
                sizes[domain] += norm.weight[name].numel() + norm.bias[name].numel()
    return sizes


def _domains(
    net: MultiPathNet,
    paths: Mapping[str, Path],
    users: Mapping[Node, tuple[str, ...]],
    norms: Mapping[str, int],
    heads: Mapping[str, int],
) -> pd.DataFrame:
    rows = []
    for domain in net.tasks:
        uses = [u for u in net.space.of(domain).uses(paths[domain]) if u is not None]
        sharing = {u: len(users[owned(u.node, domain, net.private_from)]) for u in uses}
        shared = sum(u.cost.parameters for u in uses if sharing[u] > 1)
        private = sum(u.cost.parameters for u in uses if sharing[u] == 1)
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


def _classifier_multiply_adds(net: MultiPathNet, domain: str) -> int:
    head = net.head_of(domain)
    assert isinstance(head, nn.Linear)
    return head.in_features * head.out_features
