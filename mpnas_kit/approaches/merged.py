"""The approach that takes the paths of a merge pass."""

from dataclasses import dataclass
from typing import Annotated

from mpnas_kit.approaches.approach import Context, Plan
from mpnas_kit.errors import MpnasError
from mpnas_kit.settings import check
from mpnas_kit.values import Range


@dataclass(frozen=True)
class Merged:
    """MPNAS with a smaller union: paths of the merge pass of an MPNAS run (ours).

    The run that this run is matched to must have searched with the setting `merge`. Of its front,
    the point with the most parameters within the limit is taken (see `Front.at`).

    share: limit of the parameters of the union, as a share of those of the MPNAS union, above 0 and
    up to 1. Batch norms and classifiers do not count.
    parameters: limit of the parameters of the union, 1 to 10**12, in place of `share`. None:
    `share` holds.

    Raises `MpnasError` if a number is out of its range.

    >>> front = mk.Front((mk.FrontPoint(paths, 9000, 0.8),), measured=2)
    >>> context = mk.Context(space, suite.names, mk.SearchConfig(), matched=paths, front=front)
    >>> mk.Merged(share=1.0).plan(context).paths == paths
    True
    """

    share: Annotated[float, Range(0, 1, above=True)] = 0.5
    parameters: Annotated[int | None, Range(1, 10**12)] = None

    searches = False
    weighs = True

    def __post_init__(self) -> None:
        check(self)

    def plan(self, context: Context) -> Plan:
        """Return a plan with the paths of a point of the front.

        Raises `MpnasError` if there is no run to match, if its search had no merge pass, or if all
        unions of its front have more parameters.
        """
        context.require_matched("merged", "front")
        front = context.front
        if front is None:
            raise MpnasError(
                "merged takes the paths of a merge pass, and the search of the MPNAS run it is "
                "matched to had none: expected a search with the setting merge (--merge true)."
            )
        limit = self.parameters
        most = self.share * front.points[0].parameters if limit is None else limit
        return Plan(paths=dict(front.at(most).paths))
