"""Tasks of domains: head, loss, quality, and the loss and quality of a guess.

The only task so far is classification. Everything that depends on the task is in this module:
network, training step, rewards, prioritizations and analyses ask the task.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mpnas_kit.errors import MpnasError, short
from mpnas_kit.settings import check
from mpnas_kit.values import Range

Reduction = Literal["mean", "sum"]


class Task(Protocol):
    """What a network must predict for the images of a domain.

    A method `qualities(outputs, labels)` is optional: the quality of every image, a tensor (B,) on
    the device of the outputs, whose mean is what `quality` returns. With it, a step waits for a GPU
    once, not once per domain and path. So is a method `probabilities(outputs, labels)`: the
    probability of the right answer for every image, float (B,), 0 to 1. A search needs it if its
    setting `quality` is `probability`.

    outputs: values per image that the head returns, at least 1.
    chance_loss: loss of a guess, in nats, above 0.
    chance_quality: quality of a guess, 0 to 1.
    """

    @property
    def outputs(self) -> int:
        """Values per image that the head returns."""
        ...

    @property
    def chance_loss(self) -> float:
        """Loss of a guess, in nats."""
        ...

    @property
    def chance_quality(self) -> float:
        """Quality of a guess, 0 to 1."""
        ...

    def head(self, features: int) -> nn.Module:
        """Return a new head: float32 (B, features) -> (B, outputs)."""
        ...

    def loss(
        self,
        outputs: Tensor,
        labels: Tensor,
        label_smoothing: float = 0.0,
        reduction: Reduction = "mean",
    ) -> Tensor:
        """Return the loss over the images: a scalar in nats, with gradient.

        outputs: what the head returned, (B, outputs).
        labels: int64 (B,).
        label_smoothing: share of the target that is spread over all classes, 0 to 1.
        reduction: `mean` or `sum` over the images.
        """
        ...

    def quality(self, outputs: Tensor, labels: Tensor, reduction: Reduction = "mean") -> float:
        """Return the quality over the images. Higher is better; the mean is 0 to 1.

        outputs: what the head returned, (B, outputs).
        labels: int64 (B,).
        reduction: `mean` or `sum` over the images.
        """
        ...


@dataclass(frozen=True)
class Classification:
    """Classification of an image into one of several classes.

    The head is a linear classifier. The loss is the cross-entropy. The quality is the top-1
    accuracy. A guess has the loss `ln(classes)` and the quality `1 / classes`.

    classes: number of classes, 2 to 1 million.

    Raises `MpnasError` if `classes` is no such number.

    >>> task = mk.Classification(4)
    >>> task.outputs, round(task.chance_loss, 3), task.chance_quality
    (4, 1.386, 0.25)
    """

    classes: Annotated[int, Range(2, 1_000_000)]

    def __post_init__(self) -> None:
        check(self)

    @property
    def outputs(self) -> int:
        """Number of classes."""
        return self.classes

    @property
    def chance_loss(self) -> float:
        """Loss of a guess: `ln(classes)`, in nats."""
        return math.log(self.classes)

    @property
    def chance_quality(self) -> float:
        """Accuracy of a guess: `1 / classes`."""
        return 1 / self.classes

    def head(self, features: int) -> nn.Module:
        """Return a new linear classifier: float32 (B, features) -> logits (B, classes)."""
        return nn.Linear(features, self.classes)

    def loss(
        self,
        outputs: Tensor,
        labels: Tensor,
        label_smoothing: float = 0.0,
        reduction: Reduction = "mean",
    ) -> Tensor:
        """Return the cross-entropy of logits (B, classes), in nats (see `Task.loss`)."""
        return F.cross_entropy(
            outputs, labels, label_smoothing=label_smoothing, reduction=reduction
        )

    def qualities(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return for every image whether logits (B, classes) are right: bool (B,)."""
        return outputs.argmax(1) == labels

    def probabilities(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return the probability of the true class for every image: (B, classes) -> float32 (B,).

        It is `exp(-loss)` of the image.
        """
        return outputs.float().softmax(1).gather(1, labels[:, None])[:, 0]

    def quality(self, outputs: Tensor, labels: Tensor, reduction: Reduction = "mean") -> float:
        """Return the top-1 accuracy of logits (B, classes), 0 to 1 (see `Task.quality`).

        With reduction `sum`, return the number of images that are classified correctly.
        """
        correct = self.qualities(outputs, labels)
        return float(correct.sum()) if reduction == "sum" else float(correct.float().mean())


def mean_qualities(task: Task, outputs: Sequence[Tensor], labels: Tensor) -> Tensor:
    """Return the mean quality of several outputs for the same images: float64 (outputs,).

    The result is on the device of the outputs. The device is not waited for if the task has
    `qualities`.

    outputs: what the head returned, (B, outputs of the task) each. labels: int64 (B,).

    Raises `MpnasError` if `qualities` returns no tensor (B,).

    >>> outputs = torch.tensor([[0.0, 1.0], [2.0, 1.0]])
    >>> mean_qualities(mk.Classification(2), [outputs, -outputs], torch.tensor([1, 1]))
    tensor([0.5000, 0.5000], dtype=torch.float64)
    """
    if not hasattr(task, "qualities"):
        found = [task.quality(x, labels) for x in outputs]
        return torch.tensor(found, dtype=torch.float64, device=labels.device)
    if len(outputs) == 1:
        return image_qualities(task, outputs[0], labels).mean(0, keepdim=True)
    each = image_qualities(task, torch.cat(tuple(outputs)), labels.repeat(len(outputs)))
    return each.view(len(outputs), -1).mean(1)


def image_qualities(task: Task, outputs: Tensor, labels: Tensor) -> Tensor:
    """Return the quality of every image: float64 (B,), on the device of the outputs.

    A task without `qualities` is asked for one image at a time.

    outputs: what the head returned, (B, outputs of the task). labels: int64 (B,).

    Raises `MpnasError` if `qualities` returns no tensor (B,).
    """
    own: Callable[[Tensor, Tensor], Any] | None = getattr(task, "qualities", None)
    if own is None:
        pairs = zip(outputs.split(1), labels.split(1), strict=True)
        found = [task.quality(x, y) for x, y in pairs]
        return torch.tensor(found, dtype=torch.float64, device=labels.device)
    return _of_each_image(task, "qualities", own(outputs, labels), labels)


def mean_probabilities(task: Task, outputs: Sequence[Tensor], labels: Tensor) -> Tensor:
    """Return the mean probability of the right answers, for several outputs for the same images.

    The result is float64 (outputs,), on the device of the outputs, which is not waited for.

    task: a task with the method `probabilities`.
    outputs: what the head returned, (B, outputs of the task) each. labels: int64 (B,).

    Raises `MpnasError` if the task has no method `probabilities`, or it returns no tensor (B,).

    >>> outputs = torch.tensor([[0.0, 1.0], [2.0, 1.0]])
    >>> found = mean_probabilities(mk.Classification(2), [outputs, -outputs], torch.tensor([1, 1]))
    >>> [round(float(value), 3) for value in found]
    [0.5, 0.5]
    """
    own: Callable[[Tensor, Tensor], Any] | None = getattr(task, "probabilities", None)
    if own is None:
        raise MpnasError(
            f"the task {short(task)} gives no probability of the right answer: expected a task "
            "with a method probabilities(outputs, labels), or the quality 'task'."
        )
    repeated = labels.repeat(len(outputs))
    found = own(torch.cat(tuple(outputs)), repeated)
    each = _of_each_image(task, "probabilities", found, repeated)
    return each.view(len(outputs), -1).mean(1)


def _of_each_image(task: Task, method: str, each: Any, labels: Tensor) -> Tensor:
    """Return what a method of a task returned, as float64 (B,), checked."""
    if not isinstance(each, Tensor) or each.shape != labels.shape:
        value = "quality" if method == "qualities" else "probability"
        raise MpnasError(
            f"{method} of the task {short(task)} returns {short(each)}: expected a tensor with "
            f"the {value} of each of {len(labels)} images."
        )
    return each.double()
