"""Controllers: a factorised policy over the paths of a space for every domain, and REINFORCE.

One independent categorical per decision; logits start at 0. Decisions inside a skipped layer
contribute nothing to log-probability or entropy (TuNAS).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mpnas_kit.network.norms import member
from mpnas_kit.space.space import Path, SearchSpace

Baseline = Literal["leave_one_out", "moving_average"]


class PathController(nn.Module):
    """The policy of one domain: logits (decisions, most choices of any), padded with -inf."""

    def __init__(self, space: SearchSpace) -> None:
        super().__init__()
        self.space = space
        counts = torch.tensor([len(d.choices) for d in space.decisions])
        most = int(counts.max()) if len(counts) else 1
        self.register_buffer("exists", torch.arange(most) < counts[:, None])  # (D, K)
        self.logits = nn.Parameter(torch.zeros(len(counts), most))

    @property
    def log_probabilities(self) -> Tensor:
        """(decisions, choices), -inf where a decision has fewer choices."""
        masked = self.logits.masked_fill(~self.get_buffer("exists"), -math.inf)
        return torch.log_softmax(masked, 1)

    @property
    def probabilities(self) -> Tensor:
        """(decisions, choices), detached, rows sum to 1."""
        return self.log_probabilities.detach().exp()

    def sample(self, generator: torch.Generator) -> Path:
        """A path drawn from the policy."""
        drawn = torch.multinomial(self.probabilities, 1, generator=generator)
        return self.space.path(drawn[:, 0].tolist())

    def best(self) -> Path:
        """The most likely choice of every decision: what the search found. Nothing is drawn."""
        return self.space.path(self.log_probabilities.argmax(1).tolist())

    def score(self, paths: Sequence[Path]) -> tuple[Tensor, Tensor]:
        """log pi(path) and entropy (nats) of every path, (paths,) each, with gradient.

        Both are sums over the decisions that are active in the path.
        """
        logs = self.log_probabilities  # (D, K)
        choices = torch.tensor([p.choices for p in paths])  # (P, D)
        active = torch.tensor([self.space.active(p.choices) for p in paths])  # (P, D)
        chosen = logs.expand(len(paths), -1, -1).gather(2, choices[:, :, None])[:, :, 0]
        entropy = -(logs.exp() * logs.masked_fill(~self.get_buffer("exists"), 0)).sum(1)
        return (chosen * active).sum(1), (entropy * active).sum(1)

    def indecision(self) -> Tensor:
        """Entropy over log(choices) of every decision, (D,), detached: 1 undecided, 0 certain."""
        logs = self.log_probabilities.detach()
        exists = self.get_buffer("exists")
        entropy = -(logs.exp() * logs.masked_fill(~exists, 0)).sum(1)
        return entropy / exists.sum(1).clamp_min(2).log()


@dataclass(frozen=True)
class ControllerSchedule:
    """The controllers' learning rate over a search: shape as in TuNAS (section 3), scale ours.

    0 for a share `delay` of the steps, then growing exponentially by `growth` to the end. TuNAS
    gives a rate per step, for tens of thousands of steps; over some hundreds it leaves every logit
    where it started, and a fixed larger one decides by chance. So the scale is set by what chance
    may do: `spread` is the root of the sum of the squared rates, which is the deviation a logit
    has at the end if rewards are pure noise (Adam's steps then are as large as the rate, of random
    sign). What a reward tells moves a logit on in every step, so it wins as steps grow in number.
    """

    delay: float
    growth: float
    spread: float

    def second_decay(self, steps: int) -> float:
        """Adam's beta2: it remembers a twentieth of the steps that learn, as TuNAS's 0.999 does.

        (Of its 21,000 such steps.) Remembered for the whole of a short search, the large gradients
        of its beginning would keep the late steps small, and the policy from settling.
        """
        return 1 - 1 / max(2.0, 0.05 * (1 - self.delay) * steps)

    def rate(self, step: int, steps: int) -> float:
        """The rate of step `step` (from 0)."""
        first = math.floor(self.delay * steps)
        if step < first:
            return 0.0
        count = steps - first
        ratio = self.growth ** (1 / max(1, count - 1))
        squares = count if ratio == 1 else (ratio ** (2 * count) - 1) / (ratio**2 - 1)
        return float(self.spread * ratio ** (step - first) / math.sqrt(squares))


class Controllers:
    """All controllers of a search, their optimiser and their baselines.

    REINFORCE: logits move along advantage * grad log pi(path), averaged over the paths of a step;
    Adam with beta1 = 0 (TuNAS). baseline: `leave_one_out`, the mean reward of the
    other paths of this step; `moving_average` of all rewards so far, per domain, decay
    `baseline_decay`, bias-corrected.
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
        """Whether step `step` moves logits: False during the delay."""
        return self.schedule.rate(step, self.steps) > 0

    def best(self) -> dict[str, Path]:
        """The most likely path of every domain."""
        return {d: self[d].best() for d in self.domains}

    def update(
        self, step: int, paths: Mapping[str, Sequence[Path]], rewards: Mapping[str, Tensor]
    ) -> None:
        """One REINFORCE step. rewards: (paths of the domain,), higher is better."""
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
        """Reward less baseline, (paths,)."""
        rewards = rewards.double()
        count = len(rewards)
        if self.baseline == "leave_one_out" and count > 1:
            return rewards - (rewards.sum() - rewards) / (count - 1)
        decay = self.baseline_decay
        self._average[domain] = decay * self._average[domain] + (1 - decay) * float(rewards.mean())
        self._seen[domain] += 1
        return rewards - self._average[domain] / (1 - decay ** self._seen[domain])

    def state_dict(self) -> dict[str, Any]:
        """Logits, optimiser and baselines."""
        return {
            "policies": self.policies.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "average": dict(self._average),
            "seen": dict(self._seen),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken."""
        self.policies.load_state_dict(state["policies"])
        self.optimiser.load_state_dict(state["optimiser"])
        self._average, self._seen = dict(state["average"]), dict(state["seen"])
