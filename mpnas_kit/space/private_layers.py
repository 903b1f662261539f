"""Which layers of a network each domain has for itself."""

from dataclasses import dataclass
from typing import Annotated

from mpnas_kit.settings import check, require
from mpnas_kit.values import Range

Layers = Range(0, 10_000)


@dataclass(frozen=True)
class PrivateLayers:
    """The layers whose nodes no domain shares: the first ones, the last ones, or both (ours).

    until: index of the first layer that is not private at the beginning (stem: 0). 0: none is.
    since: index of the first layer that is private at the end. None: none is.

    Raises `MpnasError` if an index is out of its range.

    >>> private = mk.PrivateLayers(until=2)
    >>> [layer in private for layer in range(4)]
    [True, True, False, False]
    """

    until: Annotated[int, Layers] = 0
    since: Annotated[int | None, Layers] = None

    def __post_init__(self) -> None:
        check(self, "private layers")

    def __contains__(self, layer: object) -> bool:
        """Return whether the layer of an index is private."""
        if not isinstance(layer, int):
            return False
        return layer < self.until or (self.since is not None and layer >= self.since)

    def require_within(self, layers: int) -> None:
        """Raise `MpnasError` if a space of so many layers has no layer `until`."""
        require(
            self.until < layers,
            f"private_until must be 0 to {layers - 1}, not {self.until}: the space has {layers} "
            "layers. For separate models expected private_from 0.",
        )

    def __str__(self) -> str:
        return f"private_until {self.until}, private_from {self.since}"

    @property
    def every(self) -> bool:
        """Whether all layers are private, so that every domain has a model of its own."""
        return self.since is not None and self.since <= self.until


SHARED = PrivateLayers()
"""No layer is private."""
