"""What the domains share, and what each costs: the accounting of a union of paths."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
from torch import nn

from mpnas_kit.errors import MpnasError
from mpnas_kit.network.net import MultiPathNet, owned
from mpnas_kit.network.norms import DomainNorm
from mpnas_kit.space.space import Node, Path, SearchSpace

CATEGORIES = ("shared", "private", "batch norm", "heads")


def usage(
    space: SearchSpace, paths: Mapping[str, Path], *, all_layers: bool = False
) -> dict[Node, tuple[str, ...]]:
    """For every candidate node the domains whose paths have it, () where none has.

    Layers and candidates in the order of the space, domains in the order of `paths`; `zero` is no
    node. Searched layers only, or all. What is said of paths alone: whether domains that meet in a
    node also share its weights is the network's to say (`MultiPathNet.users`).
    """
    nodes = {d: space.nodes(p, all_layers=all_layers) for d, p in paths.items()}
    layers = range(len(space.layers)) if all_layers else space.searched
    candidates = (
        Node(i, block.name) for i in layers for block in space.layers[i].candidates if block
    )
    return {n: tuple(d for d, used in nodes.items() if n in used) for n in candidates}


@dataclass(frozen=True, eq=False, repr=False)
class Accounting:
    """Parameters and multiply-adds of a union of paths. All tables are tidy.

    nodes: a row a node of the union, stem and head among them: layer (index), layer_name, block,
    users (number of domains), domains, parameters, norm_parameters. A node that a domain has for
    itself is a row of its own.
    categories: category, parameters, share (of all). `shared`: nodes of two or more domains;
    `private`: of one; both without their batch norms, which are a category of their own; `heads`:
    the classifiers.
    domains: a row a domain, about its own path: parameters (without batch norm and classifier) =
    shared + private; norm (batch-norm scales and shifts that its images pass: its own set, or the
    one set of all where the network has one); head; multiply_adds of one image, classifier
    included.
    totals: batch_norm, heads (whether counted), parameters of the whole union.
    multiply_adds: reading, multiply_adds. Three readings, in multiply-adds (what papers of this
    field call FLOPs): `per image`, the mean over domains; `union`, each distinct node once at its
    largest width, and every classifier; `N images`, one a domain.
    """

    nodes: pd.DataFrame
    categories: pd.DataFrame
    domains: pd.DataFrame
    totals: pd.DataFrame
    multiply_adds: pd.DataFrame

    def parameters(self, *, batch_norm: bool = True, heads: bool = True) -> int:
        """The parameters of the whole union, with or without batch norm and classifiers."""
        rows = self.totals
        row = rows[(rows["batch_norm"] == batch_norm) & (rows["heads"] == heads)]
        return int(row["parameters"].iloc[0])

    def __repr__(self) -> str:
        shared = self.categories.set_index("category")["share"]["shared"]
        return (
            f"Accounting({len(self.domains)} domains, {len(self.nodes)} nodes, "
            f"{self.parameters():,} parameters, {shared:.0%} of them in shared nodes)"
        )


def account(net: MultiPathNet, paths: Mapping[str, Path]) -> Accounting:
    """The accounting of `net`, the union of `paths` (`MultiPathNet.of_paths`).

    Counted from the modules of the network, so that searched widths, batch norms and classifiers
    are as they are. A domain's own path is counted at its own widths. Raises `MpnasError` where
    `net` is not the union of `paths`.
    """
    users = _users(net, paths)
    nodes = _nodes(net, users)
    norms = _norms_by_domain(net, users)
    heads = {d: _size(net.head_of(d)) for d in net.classes}
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
    union = distinct + sum(_classifier_multiply_adds(net, d) for d in net.classes)
    readings = pd.DataFrame(
        [("per image", each.mean()), ("union", float(union)), ("N images", float(each.sum()))],
        columns=["reading", "multiply_adds"],
    )
    return Accounting(nodes, categories, domains, totals, readings)


def _users(net: MultiPathNet, paths: Mapping[str, Path]) -> dict[Node, tuple[str, ...]]:
    """The nodes of the network and their domains, checked against the paths."""
    if set(paths) != set(net.classes):
        raise MpnasError(
            f"the network serves {', '.join(net.classes)}, but paths are given for "
            f"{', '.join(paths) or 'no domain'}: account needs the paths it was made of."
        )
    used: dict[Node, tuple[str, ...]] = {}
    for domain in net.classes:
        for node in net.space.nodes(paths[domain], all_layers=True):
            node = owned(node, domain, net.private_from)
            used[node] = (*used.get(node, ()), domain)
    if set(used) != set(net.users):
        odd = min(set(used) ^ set(net.users))
        raise MpnasError(
            f"node {odd.block!r} of layer {net.space.layers[odd.layer].name!r} is in the network "
            "or in the paths, not in both: account needs the union of the paths, not a supernet."
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
    """Batch-norm parameters that a domain's images pass."""
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
    for domain in net.classes:
        uses = [u for u in net.space.uses(paths[domain]) if u is not None]
        alike = {u: len(users[owned(u.node, domain, net.private_from)]) for u in uses}
        shared = sum(u.cost.parameters for u in uses if alike[u] > 1)
        private = sum(u.cost.parameters for u in uses if alike[u] == 1)
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
