"""Re-ranking: of many paths of the final policy, the one that measures best is taken (ours).

The likeliest path is only one of the paths that a policy prefers. After the search, many of them
are measured on all reward images, with statistics of these images, and the best one is the result.
"""

import math
from collections.abc import Callable, Sequence

import torch

from mpnas_kit.search.controller import Controllers
from mpnas_kit.space.layers import Path

TOLERANCE = 0.05  # share by which the cost of a candidate may differ from the wanted cost
_DRAWN = 256  # paths that are drawn at once
_DRAWS = 200  # draws after which no more candidates are looked for


def near(cost: float, wanted: float) -> bool:
    """Return whether a cost is within 5 % of the wanted one.

    >>> near(104.0, 100.0), near(106.0, 100.0)
    (True, False)
    """
    return cost > 0 and abs(math.log(cost / wanted)) <= math.log1p(TOLERANCE)


def candidates(
    controllers: Controllers,
    name: str,
    fits: Callable[[Path], bool],
    count: int,
    generator: torch.Generator,
) -> list[Path]:
    """Return distinct paths of a policy: the likeliest one, and others that are drawn from it.

    There may be fewer than `count`, if a policy is nearly certain, or if few of its paths fit.

    controllers: the controllers. name: name of the one whose policy counts.
    fits: whether a path is wanted. The likeliest path stays if no path fits.
    count: most paths that are returned, at least 1.
    generator: source of the random paths.
    """
    likeliest = controllers.best()[name]
    seen = {likeliest}
    found = [likeliest] if fits(likeliest) else []
    for _ in range(_DRAWS):
        if len(found) >= count:
            break
        for path in controllers.sample([name], _DRAWN, generator)[name]:
            if path not in seen:
                seen.add(path)
                found += [path] if fits(path) else []
    return found[:count] or [likeliest]


def best_of(paths: Sequence[Path], quality: torch.Tensor) -> Path:
    """Return the path of the highest quality, the first one of several.

    paths: the paths. quality: their qualities, float64 (paths,).
    """
    return paths[int(quality.argmax())]
