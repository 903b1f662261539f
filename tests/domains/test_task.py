"""The task of a domain: what chance gives, and quality and loss worked out by hand."""

import math

import pytest
import torch

from mpnas_kit.domains.task import Classification
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
