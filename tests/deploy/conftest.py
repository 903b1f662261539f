"""A finished tiny run, and its model after the run was moved."""

import shutil
from pathlib import Path

import pytest
import tiny
from PIL import Image

import mpnas_kit as mk

ARCHS = ["k5e2se k5e3", "k5e2se k3e1", "zero k5e3"]


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> mk.Run:
    """A run of three domains whose training is finished. Its images were in memory only."""
    space = tiny.space()
    run = mk.Run(tmp_path_factory.mktemp("deploy") / "run", domains=tiny.suite(3), space=space)
    run.train(tiny.train_config(steps=12), paths=tiny.paths(space, ARCHS))
    return run


@pytest.fixture(scope="session")
def moved(made: mk.Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of that run in another folder."""
    folder = tmp_path_factory.mktemp("elsewhere") / "copy"
    shutil.copytree(made.folder, folder)
    return folder


@pytest.fixture(scope="session")
def model(moved: Path) -> mk.Model:
    return mk.load(moved)


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The test images of domain b as PNG files."""
    folder = tmp_path_factory.mktemp("photos")
    files = []
    for i, image in enumerate(tiny.pixels(tiny.suite(3)["b"].test)):
        files.append(folder / f"photo {i}.png")
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(files[-1])
    return files
