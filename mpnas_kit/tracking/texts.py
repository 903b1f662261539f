"""The trackers of the kit, by their names in text."""

from mpnas_kit.parts import Kind, by_text_name, lacks_attributes
from mpnas_kit.tracking.mlflow import MLflow
from mpnas_kit.tracking.tensorboard import TensorBoard

TRACKER = Kind(
    "tracker",
    by_text_name(TensorBoard, MLflow),
    lambda value: lacks_attributes(value, "check()", "begin(start)"),
)
