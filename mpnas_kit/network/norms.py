"""Batch normalisation for images of several domains in one tensor.

The accuracy of domains that share a node depends strongly on how the node normalises them. The
MPNAS article (Wang et al. 2021, arXiv 2010.04904) does not say how it does this. So it is a setting
of every network:

- `per_domain`: each domain is normalised with the statistics of its own batch, and has its own
  statistics, scale and shift. The residual adapters of Rebuffi et al. 2017 (arXiv 1705.08045) do
  the same.
- `mixed`: all images at a node are one batch, whatever their domain. There is one set of
  statistics, scale and shift, in training as in evaluation. Images that reach a node more than once
  by the same path count once.
- `naive`: there is one set of statistics, scale and shift, but each domain's training batch is
  normalised alone. A loop over domains does this with an ordinary batch norm. The averaged
  statistics then fit no domain. This setting is for comparison only.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mpnas_kit.kernels.function import Norm as NativeNorm
from mpnas_kit.network.segment_norm import Grouping, batch_normalise, normalise
from mpnas_kit.settings import require

Norm = Literal["per_domain", "mixed", "naive"]
SHARED = "shared"  # name of the one set of statistics of `mixed` and `naive`
LOOPED = ("cpu",)  # types of devices on which a loop over segments is faster than one call for all


def member(domain: str) -> str:
    """Return the name of a domain's part in a module.

    The prefix is needed because torch has attributes of its own, such as `train` and `items`.
    """
    return f"of_{domain}"


_Own = tuple[Tensor, Tensor, Tensor | None, Tensor | None]  # scale, shift, mean, variance


class Segments:
    """The domains of the images in the current tensor.

    There is one object per network. The network writes it before it runs a node, and the norms of
    the node read it. So blocks need not pass it on.

    current: (domain, number of images) of every segment, in the order of the tensor.
    """

    def __init__(self) -> None:
        self.current: list[tuple[str, int]] = []
        self._groupings: dict[tuple[torch.device, tuple[int, ...]], Grouping] = {}

    def grouping(self, device: torch.device) -> Grouping:
        """Return the grouping of the images of the current tensor, which is on `device`.

        Groupings are kept, so that a device gets each one once.
        """
        sizes = tuple(size for _, size in self.current)
        found = self._groupings.get((device, sizes))
        if found is None:
            if len(self._groupings) > 10_000:
                self._groupings.clear()
            found = self._groupings[device, sizes] = Grouping(sizes, device)
        return found


class DomainNorm(nn.Module):
    """Batch normalisation of a tensor (B, C, H, W) whose images belong to several domains.

    A training step does not change the statistics for evaluation. `measure` computes them after the
    training.

    channels: largest number of channels. A tensor with fewer channels uses the first ones.
    domains: names of the domains whose images may come.
    norm: `per_domain`, `mixed` or `naive` (see the module).
    segments: object that says which images belong to which domain.
    tracked: whether there are statistics for evaluation. If not, batch statistics are always used,
    as in a search.
    eps: added to the variance, above 0.

    Raises `MpnasError` if `norm` is unknown.
    """

    _lender: "tuple[DomainNorm, ...]" = ()  # in a tuple, so that torch does not register it here

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
        self.channels = channels
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
        """Return `x` (B, C, H, W) normalised, in the same shape."""
        segments = self._segments.current
        if self.norm == "mixed" or len(segments) == 1:
            return self._normalise(x, segments[0][0])
        if x.device.type not in LOOPED:
            return self._normalise_all(x, segments)
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

    def _normalise_all(self, x: Tensor, segments: Sequence[tuple[str, int]]) -> Tensor:
        """Return `x` with every segment normalised alone, in one call for all segments."""
        channels = x.shape[1]
        own = [self._own.get(domain) or self._find(domain) for domain, _ in segments]
        weight, bias, mean, var = (
            None if tensors[0] is None else torch.stack(tensors)[:, :channels]
            for tensors in zip(*own, strict=True)
        )
        assert weight is not None and bias is not None
        grouping = self._segments.grouping(x.device)
        if mean is not None and var is not None and not self.training:
            return normalise(x, mean, var, weight, bias, grouping, self.eps)
        values = x.shape[2] * x.shape[3]
        for domain, size in segments:
            require(
                size * values > 1,
                f"a batch of domain {domain!r} has one value per channel at a batch norm: expected "
                "at least 2 images, or larger ones.",
            )
        y, mean, var = batch_normalise(x, weight, bias, grouping, self.eps)
        if self._measuring:
            for (domain, size), *statistics in zip(segments, mean, var, strict=True):
                self._add(domain, size * values, *statistics)
        return y

    @torch.no_grad()
    def _add(self, domain: str, values: int, mean: Tensor, var: Tensor) -> None:
        """Include the statistics of a segment in those for evaluation, as torch's batch norm does.

        values: values per channel of the segment. mean, var: (C,), the latter divided by `values`.
        """
        name = self.name_for(domain)
        self._batches[name] += 1
        unbiased = var * (values / (values - 1))
        for kind, statistic in (("mean", mean), ("var", unbiased)):
            kept = self.get_buffer(f"{kind}_{name}")[: len(statistic)]
            kept.lerp_(statistic, 1 / self._batches[name])

    def _find(self, domain: str) -> "_Own":
        """Return the scale, shift and statistics of a domain, and keep them in `_own`.

        They are kept because finding them takes as long as using them.
        """
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
        """Move or convert all tensors, as `to` does."""
        self._own.clear()
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        """Load tensors. They may replace those that are kept."""
        self._own.clear()
        super()._load_from_state_dict(*args, **kwargs)

    @property
    def fixed(self) -> bool:
        """Whether images are normalised with the statistics for evaluation."""
        return self.tracked and not self.training

    @property
    def measures(self) -> bool:
        """Whether `measure` runs."""
        return self._measuring

    def native(self, domain: str) -> NativeNorm:
        """Return the tensors of a domain for the native kernels."""
        gamma, beta, mean, variance = self._own.get(domain) or self._find(domain)
        assert isinstance(gamma, nn.Parameter) and isinstance(beta, nn.Parameter)
        return NativeNorm(gamma, beta, *((mean, variance) if self.fixed else (None, None)))

    def name_for(self, domain: str) -> str:
        """Return the name of the scale, shift and statistics that a domain uses."""
        return member(domain) if self.norm == "per_domain" else SHARED

    @torch.no_grad()
    def plain(self, domain: str, channels: int | None = None) -> nn.BatchNorm2d:
        """Return an ordinary batch norm, in evaluation mode, with copies of a domain's tensors.

        domain: name of a domain of this norm.
        channels: number of channels, at most those of this norm. None: all of them.

        Raises `MpnasError` if this norm has no statistics, as in a supernet.
        """
        require(
            self.tracked,
            "a batch norm of a supernet has no statistics for evaluation: expected the network of "
            "a training.",
        )
        weight, bias, mean, var = self._find(domain)
        assert mean is not None and var is not None
        channels = len(mean) if channels is None else channels
        weight, bias, mean, var = (t[:channels].clone() for t in (weight, bias, mean, var))
        copy = nn.BatchNorm2d(channels, self.eps)
        copy.weight, copy.bias = nn.Parameter(weight), nn.Parameter(bias)
        copy.running_mean, copy.running_var = mean, var
        return copy.eval()

    def borrow(self, lender: nn.Module) -> None:
        """Use the first scales and shifts of `lender`, a `DomainNorm` of the same domains."""
        assert isinstance(lender, DomainNorm)
        del self.weight, self.bias
        self._lender = (lender,)
        self._own.clear()

    @contextmanager
    def measure(self) -> Iterator[None]:
        """Compute the statistics for evaluation from the batches that run inside.

        They become the plain mean of the batch statistics. The module must be in training mode.
        """
        self._batches, self._measuring = dict.fromkeys(self.names, 0), self.tracked
        try:
            yield
        finally:
            self._measuring = False

    def extra_repr(self) -> str:
        """Return the setting and the number of sets of statistics, for `repr`."""
        return f"{self.norm}, {len(self.names)} sets of statistics"
