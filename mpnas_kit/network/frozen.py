"""A trained network to which domains are added: it stays as it is."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from mpnas_kit.errors import MpnasError, short
from mpnas_kit.network.net import MultiPathNet
from mpnas_kit.network.norms import Norm
from mpnas_kit.space.grown import GrownSpace
from mpnas_kit.space.layers import Path
from mpnas_kit.space.private_layers import PrivateLayers
from mpnas_kit.space.space import SearchSpace


class Frozen(Protocol):
    """A trained network that stays as it is, and its paths. A `TrainResult` is one."""

    @property
    def net(self) -> MultiPathNet:
        """The network. Its batch norms have statistics for evaluation."""
        ...

    @property
    def paths(self) -> Mapping[str, Path]:
        """Path of every domain of the network, by domain."""
        ...


def grown_space(
    space: SearchSpace,
    frozen: Frozen,
    domains: Sequence[str],
    norm: Norm,
    private: PrivateLayers,
) -> GrownSpace:
    """Return the search space of domains that are added to a frozen network.

    space: search space of the network.
    frozen: the network and its paths.
    domains: names of the domains that are added.
    norm, private: settings of the stage that adds them.

    Raises `MpnasError` if the network has another space or other settings, if batch norms are not
    per domain, or if the network has one of these domains.
    """
    net: Any = getattr(frozen, "net", None)
    if not isinstance(net, MultiPathNet) or not hasattr(frozen, "paths"):
        raise MpnasError(
            f"frozen got {short(frozen)}: expected the result of a training, with net and paths."
        )
    for where, value in (("the frozen network has", net.norm), ("the setting is", norm)):
        if value != "per_domain":
            raise MpnasError(
                f"domains can be added only with norm 'per_domain', but {where} norm {value!r}: "
                "other norms would change the statistics of the domains that are there already."
            )
    if net.lenders:
        raise MpnasError(
            "domains cannot be added to a network whose nodes have parts of their weights in "
            "common: expected a training with collapse=False, without private depthwise "
            "convolutions."
        )
    ours = (*_fingerprints(space), private)
    if ours != (*_fingerprints(net.space), net.private):
        raise MpnasError(
            f"the frozen network has space {net.space.name!r} and {net.private}, not "
            f"space {space.name!r} and {private}: expected the same."
        )
    for domain in domains:
        if domain in net.tasks:
            raise MpnasError(
                f"the frozen network has a domain {domain!r} already: give the new one another "
                "name."
            )
    return GrownSpace(space, frozen.paths, private)


def _fingerprints(space: SearchSpace) -> tuple[str, str]:
    """Return the fingerprints of a space, whatever the resolutions of single domains."""
    return space.with_resolutions({}).fingerprint(), space.blocks_fingerprint()
