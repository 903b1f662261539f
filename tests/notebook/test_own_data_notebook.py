"""notebooks/own_data.ipynb: from a folder of images to a prediction, also of odd images."""

from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import papermill
import pytest
from papermill.exceptions import PapermillExecutionError
from PIL import Image

import mpnas_kit as mk
from mpnas_kit.notebook.files import notebooks_folder

SMALL: dict[str, Any] = {"search_steps": 3, "train_steps": 3, "shown": 2, "threads": 1}


def execute(folder: Path, **parameters: Any) -> str:
    """Run the notebook in this folder, and return all that it shows, as text."""
    done = papermill.execute_notebook(
        str(notebooks_folder() / "own_data.ipynb"),
        str(folder / "out.ipynb"),
        parameters={**SMALL, **parameters},
        progress_bar=False,
        cwd=str(folder),
    )
    outputs = [o for c in done.cells for o in c.get("outputs", ()) if "data" in o]
    return "\n".join(str(o["data"].get("text/plain", "")) for o in outputs)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPNAS_CACHE", str(tmp_path / "cache"))


def test_without_images_a_folder_is_made(tmp_path: Path) -> None:
    said = execute(tmp_path)
    assert mk.load(tmp_path / "runs" / "own_data").domains == ("digits", "landcover")
    assert (tmp_path / "runs" / "own_data.onnx").exists()
    assert "From above" not in said and "probabilities of their classes" in said
    made = mk.folders(tmp_path / "runs" / "own_data_photos", resolution=32)
    assert {len(d.classes) for d in made} == {10, 11}
    again = mk.notebook.example_folder(tmp_path / "runs" / "own_data_photos")
    assert mk.folders(again, resolution=32).fingerprint() == made.fingerprint()


def test_a_folder_of_odd_images_goes_through(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for label, mode in (("Füße & Hände", "RGBA"), ("$x$ <b>", "L"), ("猫" * 30, "P")):
        folder = tmp_path / "my photos" / label
        folder.mkdir(parents=True)
        for i in range(12):
            blobs = Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8))
            blobs.resize((30 + 9 * i, 25)).convert(mode).save(folder / f"{i} é.png")
        (folder / "broken.jpg").write_bytes(b"none")
    said = execute(tmp_path, photos="my photos", resolution=16, run="runs/mine", export=False)
    assert "my_photos" in said and "3 files are left out" in said
    assert not (tmp_path / "runs" / "mine.onnx").exists()
    with pytest.raises(PapermillExecutionError, match="3 of 39 images cannot be read"):
        execute(tmp_path, photos="my photos", run="runs/other", bad="stop")


def test_the_notebook_has_no_state() -> None:
    notebook = nbformat.read(notebooks_folder() / "own_data.ipynb", as_version=4)
    assert len({cell["id"] for cell in notebook.cells}) == len(notebook.cells)
