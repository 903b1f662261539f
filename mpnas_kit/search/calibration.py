"""Controllers that learn from a known reward, without a network (ours).

Used to calibrate the controllers' learning rate, and to show that REINFORCE finds a planted truth.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from mpnas_kit.search.controller import Controllers
from mpnas_kit.space.layers import Path


def reward_only(
    controllers: Controllers,
    reward: Callable[[Mapping[str, Sequence[Path]]], Mapping[str, Tensor]],
    paths_per_step: int,
    generator: torch.Generator,
) -> dict[str, Path]:
    """Do all steps of `controllers`. Return the most likely path of every domain.

    reward: function from the sampled paths of every domain to their rewards, (paths_per_step,) per
    domain.
    paths_per_step: paths that each controller samples per step.
    generator: source of the random paths.
    """
    for step in range(controllers.steps):
        if controllers.learns(step):
            sampled = controllers.sample(controllers.names, paths_per_step, generator)
            controllers.update(step, sampled, reward(sampled))
    return controllers.best()
