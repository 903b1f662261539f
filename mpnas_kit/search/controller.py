"""Controllers: policies over the paths of a space, learned with REINFORCE.

A policy has one independent categorical distribution per decision. Its logits start at 0, so that
all choices are equally likely, or with a prior for the original path of the space. Decisions
inside a skipped layer add nothing to log-probability and entropy (TuNAS, Bender et al., CVPR 2020,
arXiv 2008.06120).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mpnas_kit.engine.checkpoint import load_optimiser
from mpnas_kit.space.layers import Path
from mpnas_kit.space.space import SearchSpace

Baseline = Literal["leave_one_out", "moving_average"]
MOST_KNOWN = 10_000  # paths that are kept, so that they are made once


@dataclass(frozen=True)
class ControllerSchedule:
    """The controllers' learning rate over a search.

    The shape is that of TuNAS (arXiv 2008.06120): 0 for the first steps, then exponential growth.
    The scale is ours. TuNAS states a rate for tens of thousands of steps. Over a few hundred steps
    it moves the logits too little, and a larger fixed rate lets chance decide.

    So the scale is set by the effect of chance. If rewards are pure noise, Adam's steps are about
    as large as the rate and have a random sign. At the end a logit then has the standard deviation
    `sqrt(sum over steps of rate ** 2)`. The schedule makes it equal to `spread`. A real difference
    in reward moves a logit in the same direction in every step, so over enough steps it outweighs
    chance.

    delay: share of the steps in which the rate is 0, 0 to below 1.
    growth: last rate divided by the first, above 0.
    spread: standard deviation of a logit at the end if rewards are pure noise, at least 0.
    """

    delay: float
    growth: float
    spread: float

    def second_decay(self, steps: int) -> float:
        """Return Adam's beta2. It averages over a twentieth of the steps that learn (ours).

        TuNAS has 0.999 for 21,000 such steps, which is the same share. In a short search, 0.999
        would average over all steps: the large gradients of the first ones would keep the last ones
        small, and the policy could not settle.
        """
        return 1 - 1 / max(2.0, 0.05 * (1 - self.delay) * steps)

    def first(self, steps: int) -> int:
        """Return the first step (from 0) in which the controllers learn."""
        return math.floor(self.delay * steps)

    def rate(self, step: int, steps: int) -> float:
        """Return the learning rate of step `step` (from 0)."""
        first = self.first(steps)
        if step < first:
            return 0.0
        count = steps - first
        ratio = self.growth ** (1 / max(1, count - 1))
        squares = count if ratio == 1 else (ratio ** (2 * count) - 1) / (ratio**2 - 1)
        return float(self.spread * ratio ** (step - first) / math.sqrt(squares))


class Controllers:
    """All controllers of a search: one policy each, with their optimiser and their baselines.

    All policies are one tensor, so that sampling, scores and updates take one call for all of them.

    They learn with REINFORCE (Williams 1992, doi 10.1007/BF00992696). In a step, the logits move
    along `advantage * grad log pi(path)`, averaged over the paths of the step. The advantage is
    reward - baseline. The optimiser is Adam with beta1 = 0 (as in TuNAS, arXiv 2008.06120). A
    controller that is not updated in a step keeps its logits and its moments.

    space: search space of the paths.
    names: names of the controllers.
    schedule: learning rate over the search.
    steps: number of steps of the search.
    baseline: `leave_one_out`, the mean reward of the other paths of the step; or `moving_average`,
    that of all rewards of the controller so far. A step of one path always uses the latter.
    baseline_decay: factor of the old average when a step is added to the moving average, 0 to below
    1. The average is corrected for its bias towards 0.
    entropy_weight: weight of the entropy in the objective, at least 0. Default: 0, as in TuNAS.
    prior: probability that every decision has for the choice of the space's original path at first,
    above 0 and below 1 (ours). None: all choices are equally likely.

    Raises `MpnasError` if there is a prior, but no original path.

    Attribute: `logits`, float32 (controllers, decisions, choices). A decision with fewer choices
    than the largest one has unused logits at the end of its row.

    >>> controllers = Controllers(space, ["a", "b"], ControllerSchedule(0.25, 10.0, 1.5), steps=8)
    >>> paths = controllers.sample(["a", "b"], 3, torch.Generator().manual_seed(0))
    >>> controllers.logits.shape, {name: len(own) for name, own in paths.items()}
    (torch.Size([2, 4, 3]), {'a': 3, 'b': 3})
    """

    def __init__(
        self,
        space: SearchSpace,
        names: Sequence[str],
        schedule: ControllerSchedule,
        steps: int,
        baseline: Baseline = "leave_one_out",
        baseline_decay: float = 0.95,
        entropy_weight: float = 0.0,
        prior: float | None = None,
    ) -> None:
        self.space, self.names = space, tuple(names)
        self.schedule, self.steps = schedule, steps
        self.baseline, self.baseline_decay = baseline, baseline_decay
        self.entropy_weight = entropy_weight
        self._row = {name: row for row, name in enumerate(self.names)}
        counts = torch.tensor([len(d.choices) for d in space.decisions])
        most = int(counts.max()) if len(counts) else 1
        self.exists = torch.arange(most) < counts[:, None]  # (D, K)
        first = torch.zeros(len(counts), most)
        if prior is not None:
            original = space.require_original()
            for row, (decision, choice) in enumerate(
                zip(space.decisions, original.choices, strict=True)
            ):
                others = len(decision.choices) - 1
                first[row, choice] = math.log(prior * others / (1 - prior)) if others else 0.0
        self.logits = first.repeat(len(self.names), 1, 1).requires_grad_()
        # Adam has the rows as weights of their own, in the same memory: it skips those of the
        # controllers that are not updated.
        self._rows = [nn.Parameter(row) for row in self.logits.detach()]
        betas = (0.0, schedule.second_decay(steps))
        self.optimiser = torch.optim.Adam(self._rows, lr=0.0, betas=betas, fused=True)
        self._average = torch.zeros(len(self.names), dtype=torch.float64)
        self._seen = torch.zeros(len(self.names), dtype=torch.float64)
        self._known: dict[tuple[int, ...], tuple[Path, tuple[bool, ...]]] = {}

    @property
    def log_probabilities(self) -> Tensor:
        """Log-probabilities, (controllers, decisions, choices). Choices that lack have -inf."""
        return torch.log_softmax(self.logits.masked_fill(~self.exists, -math.inf), 2)

    @property
    def probabilities(self) -> Tensor:
        """Probabilities, (controllers, decisions, choices), detached. Each row sums to 1."""
        return self.log_probabilities.detach().exp()

    def learns(self, step: int) -> bool:
        """Return whether step `step` (from 0) moves logits. It does not during the delay."""
        return self.schedule.rate(step, self.steps) > 0

    def sample(
        self, names: Iterable[str], count: int, generator: torch.Generator
    ) -> dict[str, list[Path]]:
        """Draw `count` paths from each of some policies.

        All random numbers are drawn in one call. Each choice has an exponential waiting time whose
        rate is its probability. The shortest one decides, which happens with that probability.

        names: names of the controllers. generator: source of the random numbers.
        """
        names = list(names)
        rates = self.probabilities[[self._row[name] for name in names], None].double()
        shape = (len(names), count, *self.exists.shape)
        waits = -torch.rand(shape, dtype=torch.float64, generator=generator).log()  # at rate 1
        drawn = (rates / waits).argmax(3).tolist()  # (names, paths, D)
        return {
            name: [self._path(tuple(choices))[0] for choices in own]
            for name, own in zip(names, drawn, strict=True)
        }

    def best(self) -> dict[str, Path]:
        """Return the path with the most likely choice of every decision, by controller."""
        likeliest = self.probabilities.argmax(2).tolist()
        return {
            name: self._path(tuple(own))[0] for name, own in zip(self.names, likeliest, strict=True)
        }

    def score(self, paths: Mapping[str, Sequence[Path]]) -> tuple[Tensor, Tensor]:
        """Return log pi(path) and entropy (nats) of every path: (controllers, paths) each.

        Both are sums over the decisions that are active in the path, with gradient.

        paths: paths by name of their controller, equally many for each.
        """
        sampled = [[p.choices for p in own] for own in paths.values()]
        choices = torch.tensor(sampled, dtype=torch.int64)  # (C, P, D)
        active = torch.tensor([[self._path(c)[1] for c in own] for own in sampled])  # (C, P, D)
        rows = torch.tensor([self._row[name] for name in paths])
        logs = self.log_probabilities.index_select(0, rows)  # (C, D, K)
        chosen = logs[:, None].expand(-1, choices.shape[1], -1, -1).gather(3, choices[..., None])
        entropy = _entropy(logs, self.exists)[:, None]  # (C, 1, D)
        return (chosen[..., 0] * active).sum(2), (entropy * active).sum(2)

    def indecision(self) -> Tensor:
        """Return entropy / log(choices) of every decision, (controllers, decisions), detached.

        0 is certain, 1 undecided. A decision with one choice has 0.
        """
        entropy = _entropy(self.log_probabilities.detach(), self.exists)
        return entropy / self.exists.sum(1).clamp_min(2).log()

    def update(
        self,
        step: int,
        paths: Mapping[str, Sequence[Path]],
        rewards: Mapping[str, Tensor],
        exact: Tensor | None = None,
    ) -> None:
        """Do one REINFORCE step.

        step: number of the step, from 0.
        paths: sampled paths by name of their controller, equally many for each.
        rewards: rewards of these paths, (paths,) per controller. Higher is better.
        exact: part of the objective that is computed from `log_probabilities` without sampling, a
        scalar with gradient: the sum over these controllers. None: there is none.
        """
        rows = [self._row[name] for name in paths]
        given = torch.stack([rewards[name] for name in paths]).double()
        gain = self._advantage(rows, given).float()
        logs, entropy = self.score(paths)
        self.logits.grad = None
        objective = (gain * logs + self.entropy_weight * entropy).mean(1).sum()
        if exact is not None:
            objective = objective + exact.float()
        torch.autograd.backward(-objective)
        assert self.logits.grad is not None
        self.optimiser.zero_grad(set_to_none=True)
        for row in rows:
            self._rows[row].grad = self.logits.grad[row]
        for group in self.optimiser.param_groups:
            group["lr"] = self.schedule.rate(step, self.steps)
        self.optimiser.step()

    def _advantage(self, rows: Sequence[int], rewards: Tensor) -> Tensor:
        """Return reward - baseline, float64 (controllers, paths), like `rewards`."""
        count = rewards.shape[1]
        if self.baseline == "leave_one_out" and count > 1:
            return rewards - (rewards.sum(1, keepdim=True) - rewards) / (count - 1)
        decay = self.baseline_decay
        self._average[rows] = decay * self._average[rows] + (1 - decay) * rewards.mean(1)
        self._seen[rows] += 1
        corrected = self._average[rows] / (1 - decay ** self._seen[rows])
        return rewards - corrected[:, None]

    def _path(self, choices: tuple[int, ...]) -> tuple[Path, tuple[bool, ...]]:
        """Return the path with these choices, and which decisions are active in it."""
        if choices not in self._known:
            if len(self._known) > MOST_KNOWN:
                self._known.clear()
            self._known[choices] = self.space.path(choices), self.space.active(choices)
        return self._known[choices]

    def state_dict(self) -> dict[str, Any]:
        """Return the state that a resume needs: logits, optimiser and baselines."""
        return {
            "logits": self.logits.detach().clone(),
            "optimiser": self.optimiser.state_dict(),
            "average": self._average.clone(),
            "seen": self._seen.clone(),
        }

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state that `state_dict` returned."""
        self.logits.copy_(state["logits"])
        load_optimiser(self.optimiser, state["optimiser"])
        self._average, self._seen = state["average"].clone(), state["seen"].clone()


def _entropy(logs: Tensor, exists: Tensor) -> Tensor:
    """Return the entropy of every decision in nats: (controllers, D, K) -> (controllers, D)."""
    return -(logs.exp() * logs.masked_fill(~exists, 0)).sum(2)
