"""The best landmark of every domain: a control for the search (ours)."""

from dataclasses import dataclass

from mpnas_kit.approaches.approach import Context, Plan
from mpnas_kit.errors import MpnasError


@dataclass(frozen=True)
class BestLandmarks:
    """Multi-path without a search: per domain the landmark with the best score (ours).

    This is random search with the trainings that the landmarks of the matched MPNAS run took. If
    two paths use the same node, they share its weights.

    >>> archs = ["row row row row", "row column row column", "row row column diagonal"]
    >>> scores = {"score": [-1.0, -0.5, -0.7], "accuracy": [0.4, 0.8, 0.6]}
    >>> rows = pd.DataFrame({"set": range(3), "domain": "a", "arch": archs, **scores})
    >>> context = mk.Context(space, ["a"], mk.SearchConfig(), landmarks=mk.Landmarks(rows))
    >>> mk.BestLandmarks().plan(context).paths["a"].arch
    'row column row column'
    """

    searches = False
    weighs = True

    def plan(self, context: Context) -> Plan:
        """Return a plan with landmarks.

        Raises `MpnasError` if there are no landmarks, or a domain has none.
        """
        if context.landmarks is None:
            raise MpnasError(
                "best_landmarks takes its paths from the landmarks of an MPNAS run: expected its "
                "folder as `matched_to`, and a finished search with the setting landmarks above 0."
            )
        best = context.landmarks.best()
        return Plan({d: context.space.read(best[d]) for d in context.domains if d in best})
