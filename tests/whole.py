"""A tiny search and a tiny training in a folder, and whether two of them are equal to the bit."""

from pathlib import Path
from typing import Any

import tiny
import torch

from mpnas_kit.engine.loop import Callback
from mpnas_kit.prioritization.abdp import ABDP
from mpnas_kit.search.stage import search
from mpnas_kit.training.stage import train

STAGES = ["search", "train"]
FILES = {
    "search": {
        "metrics.jsonl",
        "checkpoint.pt",
        "policy.npy",
        "supernet.safetensors",
        "paths.json",
        "results.json",
    },
    "train": {
        "metrics.jsonl",
        "checkpoint.pt",
        "model.safetensors",
        "paths.json",
        "pixels.safetensors",
        "results.json",
    },
}
FEW = {"config.json", "environment.json", "timing.json"}


def run(stage: str, folder: Path, *callbacks: Callback, **settings: Any) -> Any:
    """A tiny search or training in `folder`; all that has state is in use."""
    suite, space = tiny.suite(3), tiny.space()
    common: dict[str, Any] = {
        "steps": 7,
        "draw_temperature": 0.5,
        "prioritization": ABDP(),
        **settings,
    }
    if stage == "search":
        config = tiny.search_config(**{"baseline": "moving_average", **common})
        return search(suite, space, config, folder=folder, callbacks=callbacks)
    paths = tiny.paths(space, ["k3e1 k5e3", "k3e1 k3e1", "zero k5e3"])
    train_config = tiny.train_config(**{"evaluate_every": 3, **common})
    return train(suite, space, paths, train_config, folder=folder, callbacks=callbacks)


def same(first: Any, second: Any) -> bool:
    """Whether two checkpoints are equal to the bit."""
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[k], second[k]) for k in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    return bool(first == second)


def assert_same_run(stage: str, folder: Path, other: Path) -> None:
    """All that a stage leaves is equal to the bit, but for the time it took."""
    for name in FILES[stage] - {"checkpoint.pt"}:
        assert (folder / name).read_bytes() == (other / name).read_bytes(), name
    states = [torch.load(f / "checkpoint.pt", weights_only=True) for f in (folder, other)]
    assert same(states[0]["state"], states[1]["state"])
