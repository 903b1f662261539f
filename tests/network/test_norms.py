"""Batch normalisation of several domains: whose images, whose statistics, whose scale and shift."""

import pytest
import torch
from torch import Tensor

from mpnas_kit.errors import MpnasError
from mpnas_kit.network.norms import DomainNorm, Norm, Segments

A, B = ("a", 6), ("b", 10)


def norm_and_images(norm: Norm, tracked: bool = True) -> tuple[DomainNorm, Segments, Tensor]:
    """A norm of two channels, and images of two domains with quite different statistics."""
    segments = Segments()
    segments.current = [A, B]
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(16, 2, 4, 4, generator=generator)
    x[6:] = 5 * x[6:] + 20
    return DomainNorm(2, ("a", "b"), norm, segments, tracked), segments, x


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    return x.mean((0, 2, 3)), x.var((0, 2, 3))


def is_standard(x: Tensor) -> bool:
    mean, var = moments(x.detach())
    return bool((mean.abs() < 1e-3).all() and ((var - 1).abs() < 0.02).all())


def test_per_domain_and_naive_normalise_every_domain_alone() -> None:
    for norm in ("per_domain", "naive"):
        layer, _, x = norm_and_images(norm)  # type: ignore[arg-type]
        y = layer(x)
        assert is_standard(y[:6]) and is_standard(y[6:])


def test_mixed_normalises_all_images_of_the_node_together() -> None:
    layer, _, x = norm_and_images("mixed")
    y = layer(x)
    assert is_standard(y) and not is_standard(y[:6]) and not is_standard(y[6:])


def test_per_domain_keeps_the_statistics_of_each_domain_apart() -> None:
    layer, segments, x = norm_and_images("per_domain")
    with layer.measure():
        layer(x)
        segments.current = [B]
        layer(x[6:] + 2)
    for name, part, more in (("a", x[:6], 0.0), ("b", x[6:], 1.0)):
        mean, var = moments(part)
        torch.testing.assert_close(layer.get_buffer(f"mean_of_{name}"), mean + more)
        torch.testing.assert_close(layer.get_buffer(f"var_of_{name}"), var)


def test_mixed_keeps_one_average_over_all_images() -> None:
    layer, _, x = norm_and_images("mixed")
    with layer.measure():
        layer(x)
    mean, var = moments(x)
    assert dict(layer.named_buffers()).keys() == {"mean_shared", "var_shared"}
    torch.testing.assert_close(layer.get_buffer("mean_shared"), mean)
    torch.testing.assert_close(layer.get_buffer("var_shared"), var)


def test_naive_keeps_one_average_over_batches_of_single_domains() -> None:
    layer, _, x = norm_and_images("naive")
    with layer.measure():
        layer(x)
    mean = (moments(x[:6])[0] + moments(x[6:])[0]) / 2
    torch.testing.assert_close(layer.get_buffer("mean_shared"), mean)


def test_scale_and_shift_are_a_domain_s_own_or_shared() -> None:
    for norm, own in (("per_domain", True), ("mixed", False), ("naive", False)):
        layer, _, x = norm_and_images(norm)  # type: ignore[arg-type]
        before = layer(x)
        with torch.no_grad():
            name = "of_b" if own else "shared"
            layer.weight[name].fill_(2.0)
            layer.bias[name].fill_(3.0)
        after = layer(x)
        torch.testing.assert_close(after[6:], 2 * before[6:] + 3)
        torch.testing.assert_close(after[:6], before[:6] if own else 2 * before[:6] + 3)


def test_evaluation_uses_the_statistics_of_the_image_s_own_domain() -> None:
    layer, segments, x = norm_and_images("per_domain")
    with layer.measure():
        layer(x)
    layer.eval()
    y = layer(x)
    for part, out in ((x[:6], y[:6]), (x[6:], y[6:])):
        mean, var = moments(part)
        expected = (part - mean[:, None, None]) / (var[:, None, None] + 1e-5).sqrt()
        torch.testing.assert_close(out, expected, atol=1e-4, rtol=1e-4)
    segments.current = [("b", 1)]
    torch.testing.assert_close(layer(x[6:7]), y[6:7])


@pytest.mark.parametrize("training", [True, False])
def test_statistics_move_only_when_they_are_measured(training: bool) -> None:
    layer, _, x = norm_and_images("per_domain")
    before = {n: b.clone() for n, b in layer.named_buffers()}
    layer.train(training)(x)
    assert all(torch.equal(before[n], b) for n, b in layer.named_buffers())


def test_untracked_norms_use_batch_statistics_in_evaluation_too() -> None:
    layer, _, x = norm_and_images("per_domain", tracked=False)
    assert not list(layer.buffers())
    assert torch.equal(layer.eval()(x), layer.train()(x))


def test_fewer_channels_use_the_first_ones() -> None:
    layer, _, x = norm_and_images("per_domain")
    with torch.no_grad():
        layer.weight["of_a"].copy_(torch.tensor([2.0, 7.0]))
    whole = layer(x)
    torch.testing.assert_close(layer(x[:, :1]), whole[:, :1])


def test_an_unknown_norm_is_named() -> None:
    with pytest.raises(MpnasError, match="norm must be one of .* not 'group'"):
        DomainNorm(2, ("a",), "group", Segments(), True)  # type: ignore[arg-type]
