"""Batch normalisation for images of several domains in one tensor.

Whose statistics a shared node keeps decides much of how well domains live together on it, and the
article does not say what it did. So it is a setting of every network:

- `per_domain`: every domain is normalised by its own batch and keeps its own statistics,
  scale and shift (Rebuffi et al. 2017 keep them so in their residual adapters).
- `mixed`: all images that pass the node, of whatever domain, are one batch (images that come to it
  by the same way several times count once): one set of statistics, scale and shift, the same in
  training and in evaluation.
- `naive`: one set of statistics, scale and shift, but every domain's training batch is normalised
  alone: what a loop over domains does to an ordinary batch norm. The average over all then fits no
  domain. Here to be compared with, not to be used.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mpnas_kit.settings import require

Norm = Literal["per_domain", "mixed", "naive"]
SHARED = "shared"  # the one set of statistics of `mixed` and `naive`


def member(domain: str) -> str:
    """The name of a domain's part in a module: `train` or `items` are names of torch's own."""
    return f"of_{domain}"


_Own = tuple[Tensor, Tensor, Tensor | None, Tensor | None]  # scale, shift, mean, variance


class Segments:
    """Which images of the current tensor belong to which domain: [(domain, images), ...].

    One object a network. The network writes it before it runs a node, the node's norms read it;
    so blocks need not hand it through.
    """

    def __init__(self) -> None:
        self.current: list[tuple[str, int]] = []


class DomainNorm(nn.Module):
    """Batch normalisation of (B, C, H, W), where B is made of segments, each of one domain.

    `domains`: those that may come. `tracked`: whether statistics are kept for evaluation; if not,
    batch statistics are used always (as in a search). Training leaves those that are kept as they
    are: `measure` takes them, at the end. A tensor with fewer channels than `channels` uses the
    first ones.
    """

    _lender: "tuple[DomainNorm, ...]" = ()  # a tuple: torch must not see it as a part of this one

    def __init__(
        self,
        channels: int,
        domains: Sequence[str],
        norm: Norm,
        segments: Segments,
        tracked: bool,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        require(norm in get_args(Norm), f"norm must be one of {get_args(Norm)}, not {norm!r}.")
        self.norm, self.eps, self.tracked, self._measuring = norm, eps, tracked, False
        self._segments = segments
        self.names = tuple(map(member, domains)) if norm == "per_domain" else (SHARED,)
        self._batches = dict.fromkeys(self.names, 0)
        self._own: dict[str, _Own] = {}
        self.weight = nn.ParameterDict({n: torch.ones(channels) for n in self.names})
        self.bias = nn.ParameterDict({n: torch.zeros(channels) for n in self.names})
        if tracked:
            for name in self.names:
                self.register_buffer(f"mean_{name}", torch.zeros(channels))
                self.register_buffer(f"var_{name}", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same, normalised."""
        segments = self._segments.current
        if self.norm == "mixed" or len(segments) == 1:
            return self._normalise(x, segments[0][0])
        parts = torch.split(x, [size for _, size in segments])
        pairs = zip(parts, segments, strict=True)
        return torch.cat([self._normalise(part, domain) for part, (domain, _) in pairs])

    def _normalise(self, x: Tensor, domain: str) -> Tensor:
        weight, bias, mean, var = self._own.get(domain) or self._find(domain)
        channels = x.shape[1]
        if channels < len(weight):
            weight, bias = weight[:channels], bias[:channels]
            mean, var = (None if s is None else s[:channels] for s in (mean, var))
        batch, momentum = self.training or not self.tracked, 0.0
        if self._measuring:
            name = self.name_for(domain)
            self._batches[name] += 1
            momentum = 1 / self._batches[name]
        elif batch:
            mean = var = None
        return F.batch_norm(x, mean, var, weight, bias, batch, momentum, self.eps)

    def _find(self, domain: str) -> "_Own":
        """What a domain is normalised with; kept, since finding it takes as long as using it."""
        name, owner = self.name_for(domain), self._lender[0] if self._lender else self
        statistics = (
            [self.get_buffer(f"{kind}_{name}") for kind in ("mean", "var")]
            if self.tracked
            else [None, None]
        )
        found = (owner.weight[name], owner.bias[name], *statistics)
        self._own[domain] = found
        return found

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "DomainNorm":
        """Move or convert all tensors, as `to` does: what was kept is no longer it."""
        self._own.clear()
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def name_for(self, domain: str) -> str:
        """The name under which the scale, shift and statistics of a domain stand."""
        return member(domain) if self.norm == "per_domain" else SHARED

    @torch.no_grad()
    def adopt(self, other: "DomainNorm", domain: str) -> None:
        """Give every domain the scale and shift that `domain` has in `other`."""
        name = other.name_for(domain)
        for own in self.names:
            self.weight[own].copy_(other.weight[name])
            self.bias[own].copy_(other.bias[name])

    def borrow(self, lender: nn.Module) -> None:
        """Use the first scales and shifts of `lender`, which serves the same domains."""
        assert isinstance(lender, DomainNorm)
        del self.weight, self.bias
        self._lender = (lender,)
        self._own.clear()

    @contextmanager
    def measure(self) -> Iterator[None]:
        """Inside, in training mode, statistics become the plain mean of those of the batches."""
        self._batches, self._measuring = dict.fromkeys(self.names, 0), self.tracked
        try:
            yield
        finally:
            self._measuring = False

    def extra_repr(self) -> str:
        """The setting and whose statistics are kept."""
        return f"{self.norm}, {len(self.names)} sets of statistics"
