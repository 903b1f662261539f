"""The approaches of the kit, by their text form."""

from typing import Any

from mpnas_kit.approaches.fixed import Backbone, PrivatePaths, SharedTrunk, SinglePath
from mpnas_kit.approaches.random_draws import EvenPaths, RandomPaths
from mpnas_kit.approaches.searched import MPNAS, Bundle, Grown, MultiHead
from mpnas_kit.parts import Kind, by_text_name, lacks_attributes


def _lacks(value: Any) -> str | None:
    """Return what `value` lacks to be an approach."""
    return lacks_attributes(value, "searches", "weighs", "plan(context)")


APPROACH = Kind(
    "approach",
    by_text_name(
        MPNAS,
        Bundle,
        MultiHead,
        SinglePath,
        Backbone,
        RandomPaths,
        EvenPaths,
        SharedTrunk,
        PrivatePaths,
        Grown,
    ),
    _lacks,
)
