"""The cache: decoded once, shared, resumed, checked, and never larger than the disk."""

import os
import pickle
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zoo  # type: ignore[import-not-found]
from PIL import Image

from mpnas_kit import files
from mpnas_kit.domains import cache, preparation
from mpnas_kit.domains.cache import prepare
from mpnas_kit.domains.cached_images import CachedImages
from mpnas_kit.domains.decoding import Fit, decode
from mpnas_kit.domains.originals import read_originals
from mpnas_kit.errors import MpnasError


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the cache."""
    monkeypatch.setenv("MPNAS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def write(folder: Path, count: int = 20) -> list[str]:
    """Images of noise, whose paths are returned."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    paths = []
    for i in range(count):
        values = rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)
        (folder / f"{i}.png").write_bytes(zoo.array(values, "PNG"))
        paths.append(str(folder / f"{i}.png"))
    return paths


def pixels_of(images: CachedImages) -> Any:
    return images.take(np.arange(images.shape[0]))


def never(*_: object, **__: object) -> Any:
    raise AssertionError("this was to come from the cache")


def test_the_folder_of_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MPNAS_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert files.cache_folder() == tmp_path / "mpnas-kit"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # not valid: the default counts
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert files.cache_folder() == tmp_path / "home" / ".cache" / "mpnas-kit"
    monkeypatch.setenv("MPNAS_CACHE", "here")
    assert files.cache_folder() == Path.cwd() / "here"


def test_images_are_those_of_the_decoder_and_are_decoded_once(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = write(tmp_path / "a")
    found = prepare(paths, Fit(16), "x")
    assert found.shape == (20, 3, 16, 16) and not found.bad
    for pixels, path in zip(pixels_of(found), paths, strict=True):
        assert (pixels == decode(Path(path).read_bytes(), Fit(16)).numpy()).all()
    monkeypatch.setattr(preparation, "decode_with_original", never)
    copied = write(tmp_path / "b")  # the same contents elsewhere
    assert prepare(copied, Fit(16), "x").folder == found.folder
    monkeypatch.setattr(files, "read_bytes", only_of(place))
    assert prepare(paths, Fit(16), "x").folder == found.folder, "no source file is read again"
    again = pickle.loads(pickle.dumps(found))
    assert (pixels_of(again) == pixels_of(found)).all()


def only_of(folder: Path) -> Any:
    real = files.read_bytes

    def read(path: Path) -> bytes:
        assert path.is_relative_to(folder), path
        return real(path)

    return read


def test_other_contents_and_other_fits_are_other_images(place: Path, tmp_path: Path) -> None:
    paths = write(tmp_path / "a")
    folders = {prepare(paths, fit, "x").folder for fit in (Fit(16), Fit(8), Fit(16, "pad"))}
    folders.add(prepare(paths, Fit(16, channels=1), "x").folder)
    folders.add(prepare(paths[::-1], Fit(16), "x").folder)
    Path(paths[3]).write_bytes(zoo.encoded(zoo.halves(), "PNG"))
    changed = prepare(paths, Fit(16), "x")
    assert len(folders | {changed.folder}) == 6
    assert (pixels_of(changed)[3] == decode(Path(paths[3]).read_bytes(), Fit(16)).numpy()).all()
    assert prepare(paths, Fit(16, channels=3), "x").folder == changed.folder, "None became 3"


def test_grey_images_stay_grey(place: Path, tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(zoo.GREY16)
    (tmp_path / "2.png").write_bytes(zoo.encoded(zoo.halves().convert("L"), "PNG"))
    paths = [str(tmp_path / name) for name in ("1.png", "2.png", "none.png")]
    assert prepare(paths, Fit(8), "x").shape == (3, 1, 8, 8)


def test_what_cannot_be_read_is_told_by_reason(place: Path, tmp_path: Path) -> None:
    paths = write(tmp_path, 3)
    Path(paths[1]).write_bytes(b"")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder.png").mkdir()
    more = [str(tmp_path / name) for name in ("none.png", "pipe", "folder.png")]
    for _ in range(2):
        found = prepare([*paths, *more], Fit(8), "x")
        assert found.bad == {
            1: "it is empty",
            3: "it cannot be read (no such file or directory)",
            4: "it cannot be read (it is a device or a pipe, not a file)",
            5: "it cannot be read (is a directory)",
        }
        assert found.index["bad"].tolist() == [False, True, False, True, True, True]


def test_duplicates_are_known(place: Path, tmp_path: Path) -> None:
    paths = write(tmp_path, 4)
    Path(paths[2]).write_bytes(Path(paths[0]).read_bytes())
    for _ in range(2):
        assert prepare(paths, Fit(16), "x").index["group"].tolist() == [0, 1, 0, 3]


@pytest.mark.parametrize("name", ["pixels.bin", "index.bin", "bad.json", "header.json"])
@pytest.mark.parametrize("how", ["cut", "gone", "other"])
def test_a_damaged_cache_is_prepared_again(
    name: str, how: str, place: Path, tmp_path: Path
) -> None:
    paths = write(tmp_path / "a", 5)
    found = prepare(paths, Fit(8), "x")
    pixels = pixels_of(found)
    file = found.folder / name
    content = file.read_bytes()
    if how == "gone":
        file.unlink()
    elif how == "cut":
        file.write_bytes(content[:-1])
    elif name != "pixels.bin":  # its size counts; its pixels are not read when it is opened
        file.write_bytes(content.replace(b"\0", b"\1", 1) if b"\0" in content else b"[]")
    for source in (place / "sources").iterdir():
        source.write_bytes(source.read_bytes()[:-1])
    again = prepare(paths, Fit(8), "x")
    assert (pixels_of(again) == pixels).all() and again.folder == found.folder


def test_a_file_that_changes_meanwhile_is_named(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = write(tmp_path, 3)
    real = cache._sources

    def changed(*arguments: Any) -> Any:
        done = real(*arguments)
        Path(paths[1]).write_bytes(b"other")
        return done

    monkeypatch.setattr(cache, "_sources", changed)
    with pytest.raises(MpnasError, match=r"1\.png was changed while it was read"):
        prepare(paths, Fit(8), "x")


def test_a_disk_that_is_too_small_is_told_before_anything_is_decoded(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "free_bytes", lambda _: 50_000_100)
    monkeypatch.setattr(preparation, "decode_with_original", never)
    with pytest.raises(MpnasError, match="the images need 0 MB in the cache .* 50 MB free"):
        prepare(write(tmp_path), Fit(16), "x")


def test_a_folder_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MPNAS_CACHE", str(tmp_path / "file"))
    with pytest.raises(MpnasError, match="cannot create the folder"):
        prepare(write(tmp_path / "a"), Fit(16), "x")


def test_long_work_says_how_far_it_is_and_how_large(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    monkeypatch.setattr(preparation, "_QUICK", 0.0)
    monkeypatch.setattr(preparation, "_SMALL", 0)
    monkeypatch.setattr(preparation, "_PART_IMAGES", 5)
    prepare(write(tmp_path), Fit(16), "domain 'x'", lines.append)
    assert lines[0].startswith("the images of domain 'x' need 0 MB in ")
    assert lines[1] == "decoding the images of domain 'x': 5 of 20"


# Kills and several processes ----------------------------------------------------------------------

CHILD = """
import sys, time
from mpnas_kit.domains import cache, preparation
from mpnas_kit.domains.decoding import Fit
preparation._PART_IMAGES = 4
real = preparation.decode_with_original
def slow(content, fit):
    time.sleep({pause})
    return real(content, fit)
preparation.decode_with_original = slow
found = cache.prepare(sys.argv[1:], Fit(16), "x")
print(found.folder)
"""


def child(paths: list[str], pause: float) -> "subprocess.Popen[str]":
    code = CHILD.format(pause=pause)
    return subprocess.Popen(
        [sys.executable, "-c", code, *paths],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_killed_preparation_continues(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = write(tmp_path / "a", 40)
    process = child(paths, 0.05)
    parts: list[Path] = []
    begun = time.monotonic()
    while time.monotonic() - begun < 60:
        parts = list(place.glob("images/*.part/done.bin"))
        if parts and sum(parts[0].read_bytes()) >= 2:
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert parts and not list(place.glob("images/*/header.json"))
    done = sum(parts[0].read_bytes())
    assert 2 <= done < 10
    pixels = parts[0].parent / "pixels.bin"
    with pixels.open("r+b") as file:  # as if the first part had not reached the disk
        file.write(bytes(100))
    decoded = []
    real = preparation.decode_with_original
    monkeypatch.setattr(preparation, "_PART_IMAGES", 4)
    monkeypatch.setattr(
        preparation, "decode_with_original", lambda c, fit: (decoded.append(1), real(c, fit))[1]
    )
    found = prepare(paths, Fit(16), "x")
    assert len(decoded) == 40 - 4 * done + 4
    for image, path in zip(pixels_of(found), paths, strict=True):
        assert (image == decode(Path(path).read_bytes(), Fit(16)).numpy()).all()
    assert not list(place.glob("images/*.part"))


def test_two_processes_share_one_cache(place: Path, tmp_path: Path) -> None:
    paths = write(tmp_path / "a", 30)
    processes = [child(paths, 0.005) for _ in range(2)]
    said = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert len({out for out, _ in said}) == 1
    found = CachedImages(Path(said[0][0].strip()))
    for image, path in zip(pixels_of(found), paths, strict=True):
        assert (image == decode(Path(path).read_bytes(), Fit(16)).numpy()).all()


def test_threads_share_one_cache(place: Path, tmp_path: Path) -> None:
    paths = write(tmp_path / "a", 30)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: prepare(paths, Fit(16), "x"), range(4)))
    assert len({each.folder for each in found}) == 1
    assert all((pixels_of(each) == pixels_of(found[0])).all() for each in found)


def test_what_files_were_is_recorded_upright_also_after_a_kill(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = {
        "a.png": zoo.encoded(zoo.one_colour(size=(30, 20)), "PNG"),
        "c.gif": zoo.palette(False),
        "d.png": zoo.encoded(zoo.one_colour((9, 9, 9, 9), (12, 50), "RGBA"), "PNG"),
        "e.png": b"none",
    }
    wide = zoo.halves((80, 40)).transpose(Image.Transpose.ROTATE_90)  # 40 x 80 on the disk
    exif = Image.Exif()
    exif[0x0112] = 6
    contents["b.jpg"] = zoo.encoded(wide, "JPEG", exif=exif)
    paths = []
    for name, content in sorted(contents.items()):
        (tmp_path / name).write_bytes(content)
        paths.append(str(tmp_path / name))
    monkeypatch.setattr(preparation, "_PART_IMAGES", 2)
    real, calls = preparation.decode_with_original, []

    def stops(content: bytes, fit: Fit) -> Any:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(content, fit)

    monkeypatch.setattr(preparation, "decode_with_original", stops)
    with pytest.raises(KeyboardInterrupt):
        prepare(paths, Fit(16), "x")
    folder = prepare(paths, Fit(16), "x").folder
    table = read_originals(folder, 5)
    assert table is not None and table["path"].tolist() == paths
    about = table[["width", "height", "mode", "format"]].to_numpy().tolist()
    assert about == [
        [30, 20, "RGB", "PNG"],
        [80, 40, "RGB", "JPEG"],
        [64, 64, "P", "PNG"],
        [12, 50, "RGBA", "PNG"],
        [0, 0, "", ""],
    ]
    (folder / "originals.bin").write_bytes(b"cut")
    assert read_originals(folder, 5) is None, "nothing is made up"
