"""What if a domain took another node: the path with that node."""

from itertools import product

from mpnas_kit.errors import MpnasError, short, unknown
from mpnas_kit.space.layers import ZERO, Path
from mpnas_kit.space.space import SearchSpace


def move(space: SearchSpace, path: Path, layer: int, block: str) -> Path:
    """Return a path with another node in one layer (ours).

    Blocks of other layers, and all widths, stay as they are. If the path has a node of its own in
    the layer (`Path.own`), it has a shared one then.

    space: search space of the path.
    path: the path.
    layer: index of the layer, from 0.
    block: name of the candidate to take; `zero` skips the layer.

    Raises `MpnasError` if there is no such layer or candidate, or if no path of the space has this
    candidate beside the other choices of `path`.

    >>> path = space.parse("row row column column")
    >>> str(mk.analysis.move(space, path, space.searched[1], "diagonal"))
    'row diagonal column column'
    """
    space.require(path)
    pick = _candidate(space, layer, block)
    wanted = list(space.candidate_indices(path.choices))
    wanted[layer] = pick
    places = space.deciding(layer)
    known = [path.choices[i] for i in places]
    options = product(*(range(len(space.decisions[i].choices)) for i in places))
    nearest = sorted(options, key=lambda own: sum(a != b for a, b in zip(own, known, strict=True)))
    widths = space.widths(path.choices)
    for own in nearest:
        choices = list(path.choices)
        for place, choice in zip(places, own, strict=True):
            choices[place] = choice
        if space.candidate_indices(choices)[layer] != pick:
            continue
        found = space.path(choices)
        if (
            list(space.candidate_indices(found.choices)) == wanted
            and space.widths(found.choices) == widths
        ):
            kept = set(path.own) - {layer}
            return space.with_own(found, kept) if kept else found
    raise MpnasError(
        f"no path of space {space.name!r} has {block!r} in layer {space.layers[layer].name!r} "
        f"beside the other choices of {short(path.arch)}: change another layer first."
    )


def _candidate(space: SearchSpace, layer: int, block: str) -> int:
    """Return the index of a candidate. Raises `MpnasError` if there is none with this name."""
    last = len(space.layers) - 1
    if not isinstance(layer, int) or isinstance(layer, bool) or not 0 <= layer <= last:
        raise MpnasError(f"layer must be the index of a layer, 0 to {last}, not {short(layer)}.")
    name, choices = space.layers[layer].name, space.layers[layer].choices
    if block == ZERO and ZERO not in choices:
        raise MpnasError(
            f"layer {name!r} cannot be skipped: expected one of its blocks, {', '.join(choices)}."
        )
    if block not in choices:
        raise unknown(f"block in layer {name!r}", block, choices)
    return choices.index(block)
