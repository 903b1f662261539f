"""Controllers: one policy over the paths of a space per domain, learned with REINFORCE.

A policy has one independent categorical distribution per decision. Its logits start at 0. Decisions
inside a skipped layer add nothing to log-probability and entropy (TuNAS, Bender et al., CVPR 2020,
arXiv 2008.06120).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mpnas_kit.engine.checkpoint import load_optimiser
from mpnas_kit.network.norms import member
from mpnas_kit.space.space import Path, SearchSpace

Baseline = Literal["leave_one_out", "moving_average"]


class PathController(nn.Module):
    """The policy of one domain.

    logits: float32 (decisions, choices). A decision with fewer choices than the largest one has
    unused logits at the end of its row.
    """

    def __init__(self, space: SearchSpace) -> None:
        super().__init__()
        self.space = space
        counts = torch.tensor([len(d.choices) for d in space.decisions])
        most = int(counts.max()) if len(counts) else 1
        self.register_buffer("exists", torch.arange(most) < counts[:, None])  # (D, K)
        self.logits = nn.Parameter(torch.zeros(len(counts), most))

    @property
    def log_probabilities(self) -> Tensor:
        """Log-probabilities, (decisions, choices). Choices that a decision lacks have -inf."""
        masked = self.logits.masked_fill(~self.get_buffer("exists"), -math.inf)
        return torch.log_softmax(masked, 1)

    @property
    def probabilities(self) -> Tensor:
        """Probabilities, (decisions, choices), detached. Each row sums to 1."""
        return self.log_probabilities.detach().exp()

    def sample(self, generator: torch.Generator) -> Path:
        """Draw a path from the policy."""
        drawn = torch.multinomial(self.probabilities, 1, generator=generator)
        return self.space.path(drawn[:, 0].tolist())

    def best(self) -> Path:
        """Return the path with the most likely choice of every decision. Nothing is random."""
        return self.space.path(self.log_probabilities.argmax(1).tolist())

    def score(self, paths: Sequence[Path]) -> tuple[Tensor, Tensor]:
        """Return log pi(path) and entropy (nats) of every path: (paths,) each, with gradient.

        Both are sums over the decisions that are active in the path.
        """
        logs = self.log_probabilities  # (D, K)
        choices = torch.tensor([p.choices for p in paths])  # (P, D)
        active = torch.tensor([self.space.active(p.choices) for p in paths])  # (P, D)
        chosen = logs.expand(len(paths), -1, -1).gather(2, choices[:, :, None])[:, :, 0]
        entropy = -(logs.exp() * logs.masked_fill(~self.get_buffer("exists"), 0)).sum(1)
        return (chosen * active).sum(1), (entropy * active).sum(1)

    def indecision(self) -> Tensor:
        """Return entropy / log(choices) of every decision, (decisions,), detached.

        0 is certain, 1 undecided. A decision with one choice has 0.
        """
        logs = self.log_probabilities.detach()
        exists = self.get_buffer("exists")
        entropy = -(logs.exp() * logs.masked_fill(~exists, 0)).sum(1)
        return entropy / exists.sum(1).clamp_min(2).log()


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

    def rate(self, step: int, steps: int) -> float:
        """Return the learning rate of step `step` (from 0)."""
        first = math.floor(self.delay * steps)
        if step < first:
            return 0.0
        count = steps - first
        ratio = self.growth ** (1 / max(1, count - 1))
        squares = count if ratio == 1 else (ratio ** (2 * count) - 1) / (ratio**2 - 1)
        return float(self.spread * ratio ** (step - first) / math.sqrt(squares))


class Controllers:
    """All controllers of a search, with their optimiser and their baselines.

    They learn with REINFORCE (Williams 1992, doi 10.1007/BF00992696). In a step, the logits move
    along `advantage * grad log pi(path)`, averaged over the paths of the step. The advantage is
    reward - baseline. The optimiser is Adam with beta1 = 0 (as in TuNAS, arXiv 2008.06120).

    domains: names of the controllers.
    steps: number of steps of the search.
    baseline: `leave_one_out`, the mean reward of the other paths of the step; or `moving_average`,
    that of all rewards of the controller so far. A step of one path always uses the latter.
    baseline_decay: factor of the old average when a step is added to the moving average, 0 to below
    1. The average is corrected for its bias towards 0.
    entropy_weight: weight of the entropy in the objective, at least 0. Default: 0, as in TuNAS.
    """

    def __init__(
        self,
        space: SearchSpace,
        domains: Sequence[str],
        schedule: ControllerSchedule,
        steps: int,
        baseline: Baseline = "leave_one_out",
        baseline_decay: float = 0.95,
        entropy_weight: float = 0.0,
    ) -> None:
        self.domains, self.schedule, self.steps = tuple(domains), schedule, steps
        self.baseline, self.baseline_decay = baseline, baseline_decay
        self.entropy_weight = entropy_weight
        self.policies = nn.ModuleDict({member(d): PathController(space) for d in domains})
        betas = (0.0, schedule.second_decay(steps))
        self.optimiser = torch.optim.Adam(self.policies.parameters(), lr=0.0, betas=betas)
        self._average = dict.fromkeys(self.domains, 0.0)
        self._seen = dict.fromkeys(self.domains, 0)

    def __getitem__(self, domain: str) -> PathController:
        policy = self.policies[member(domain)]
        assert isinstance(policy, PathController)
        return policy

    def learns(self, step: int) -> bool:
        """Return whether step `step` (from 0) moves logits. It does not during the delay."""
        return self.schedule.rate(step, self.steps) > 0

    def best(self) -> dict[str, Path]:
        """Return the most likely path of every domain."""
        return {d: self[d].best() for d in self.domains}

    def update(
        self, step: int, paths: Mapping[str, Sequence[Path]], rewards: Mapping[str, Tensor]
    ) -> None:
        """Do one REINFORCE step.

        step: number of the step, from 0.
        paths: sampled paths by domain.
        rewards: rewards of these paths by domain, (paths,) each. Higher is better.
        """
        terms = []
        for domain, sampled in paths.items():
            gain = self._advantage(domain, rewards[domain]).float()
            logs, entropy = self[domain].score(sampled)
            terms.append((gain * logs + self.entropy_weight * entropy).mean())
        self.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(-torch.stack(terms).sum())
        for group in self.optimiser.param_groups:
            group["lr"] = self.schedule.rate(step, self.steps)
        self.optimiser.step()

    def _advantage(self, domain: str, rewards: Tensor) -> Tensor:
        """Return reward - baseline, float64 (paths,)."""
        rewards = rewards.double()
        count = len(rewards)
        if self.baseline == "leave_one_out" and count > 1:
            return rewards - (rewards.sum() - rewards) / (count - 1)
        decay = self.baseline_decay
        self._average[domain] = decay * self._average[domain] + (1 - decay) * float(rewards.mean())
        self._seen[domain] += 1
        return rewards - self._average[domain] / (1 - decay ** self._seen[domain])

    def state_dict(self) -> dict[str, Any]:
        """Return the state that a resume needs: logits, optimiser and baselines."""
        return {
            "policies": self.policies.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "average": dict(self._average),
            "seen": dict(self._seen),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state that `state_dict` returned."""
        self.policies.load_state_dict(state["policies"])
        load_optimiser(self.optimiser, state["optimiser"])
        self._average, self._seen = dict(state["average"]), dict(state["seen"])
