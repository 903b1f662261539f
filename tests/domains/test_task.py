"""The task of a domain: what chance gives, and quality and loss worked out by hand."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from mpnas_kit.domains.task import Classification, image_qualities, mean_qualities
from mpnas_kit.errors import MpnasError

LOGITS = torch.tensor([[2.0, 1.0], [0.0, 1.0], [3.0, -1.0], [0.0, 5.0]])
LABELS = torch.tensor([0, 1, 1, 1])


def test_quality_is_the_share_of_right_images_or_their_number() -> None:
    assert Classification(2).quality(LOGITS, LABELS) == 0.75
    assert Classification(2).quality(LOGITS, LABELS, reduction="sum") == 3


@pytest.mark.parametrize("classes", [2, 10])
def test_a_guess_has_the_loss_and_the_quality_of_chance(classes: int) -> None:
    task = Classification(classes)
    labels = torch.arange(classes)
    loss = task.loss(torch.zeros(classes, classes), labels)
    assert float(loss) == pytest.approx(task.chance_loss) == pytest.approx(math.log(classes))
    assert task.quality(torch.zeros(classes, classes), labels) == pytest.approx(task.chance_quality)


def test_the_sum_of_the_losses_is_their_mean_times_the_images() -> None:
    task = Classification(2)
    total = float(task.loss(LOGITS, LABELS, reduction="sum"))
    assert total == pytest.approx(4 * float(task.loss(LOGITS, LABELS)))


def test_the_head_has_an_output_per_class() -> None:
    head = Classification(5).head(8)
    assert head(torch.zeros(3, 8)).shape == (3, 5)


def test_one_class_is_refused() -> None:
    with pytest.raises(
        MpnasError, match="classes must be a whole number from 2 to 1,000,000, not 1"
    ):
        Classification(1)


# Qualities as tensors -----------------------------------------------------------------------------


class Plain:
    """A task that has only what a task needs."""

    def quality(self, outputs: Tensor, labels: Tensor, reduction: Any = "mean") -> float:
        return Classification(2).quality(outputs, labels, reduction)


class Wrong(Plain):
    """A task that returns one quality for all images."""

    def qualities(self, outputs: Tensor, labels: Tensor) -> Any:
        return 0.5


@pytest.mark.parametrize("task", [Classification(2), Plain()], ids=lambda t: type(t).__name__)
def test_qualities_are_those_of_every_image_and_their_means(task: Any) -> None:
    """A task without `qualities` gives the same, by its `quality`."""
    each = image_qualities(task, LOGITS, LABELS)
    assert each.tolist() == [1.0, 1.0, 0.0, 1.0] and each.dtype == torch.float64
    assert mean_qualities(task, [LOGITS, -LOGITS, LOGITS], LABELS).tolist() == [0.75, 0.25, 0.75]


def test_qualities_that_are_no_tensor_of_the_images_are_refused() -> None:
    wrong: Any = Wrong()
    for ask in (image_qualities, lambda t, x, y: mean_qualities(t, [x], y)):
        with pytest.raises(MpnasError, match="qualities of the task .* returns 0.5: expected a"):
            ask(wrong, LOGITS, LABELS)
