"""Decoding: every file of the zoo is read right or refused, and images are fitted as told."""

import contextlib
import warnings
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import numpy as np
import pytest
import torch
import zoo  # type: ignore[import-not-found]
from PIL import Image

from mpnas_kit.domains.decoding import BadImage, Fit, decode, is_grey
from mpnas_kit.errors import MpnasError


def half(pixels: torch.Tensor, right: bool) -> list[int]:
    """Mean colour of a half of an image, without the columns beside the middle and the edge."""
    size = pixels.shape[-1]
    columns = slice(size // 2 + 2, size - 1) if right else slice(1, size // 2 - 2)
    mean: list[int] = pixels[:, :, columns].float().mean((1, 2)).round().int().tolist()
    return mean


def test_the_zoo_is_large() -> None:
    assert len(zoo.READ) + len(zoo.REFUSED) >= 60


@pytest.mark.parametrize("name", zoo.READ)
@pytest.mark.parametrize("how", ["crop", "stretch"])
def test_an_odd_file_is_read_right(name: str, how: str) -> None:
    make, left, right = zoo.READ[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pixels = decode(make(), Fit(32, how, 3))
    assert pixels.shape == (3, 32, 32) and pixels.dtype == torch.uint8
    for found, expected in ((half(pixels, False), left), (half(pixels, True), right)):
        assert np.abs(np.array(found) - expected).max() <= 6, (found, expected)


@pytest.mark.parametrize("name", zoo.REFUSED)
def test_a_bad_file_is_refused_with_a_reason(name: str) -> None:
    make, words = zoo.REFUSED[name]
    with pytest.raises(BadImage) as caught, warnings.catch_warnings():
        warnings.simplefilter("error")
        decode(make(), Fit(32))
    reason = str(caught.value)
    assert words in reason and "\n" not in reason and len(reason) < 200


def test_any_cut_of_a_file_is_read_or_refused() -> None:
    for form in ("JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP", "ICO", "PPM", "JPEG2000", "AVIF"):
        content = zoo.encoded(zoo.halves(), form)
        for part in range(0, len(content), max(1, len(content) // 25)):
            try:
                assert decode(content[:part], Fit(8, channels=3)).shape == (3, 8, 8)
            except BadImage as error:
                assert "\n" not in str(error)


def test_any_wrong_byte_is_read_or_refused() -> None:
    rng = np.random.default_rng(0)
    for form in ("JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP", "ICO", "PPM", "JPEG2000", "AVIF"):
        content = np.frombuffer(zoo.encoded(zoo.halves((32, 32)), form), np.uint8)
        for _ in range(40):
            wrong = content.copy()
            wrong[rng.integers(0, min(len(wrong), 400), 3)] = rng.integers(0, 256, 3)
            try:
                assert decode(wrong.tobytes(), Fit(8, channels=3)).shape == (3, 8, 8)
            except BadImage as error:
                assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("name", "grey"),
    [("grey.jpg", True), ("grey16.png", True), ("one_bit.png", True), ("grey_alpha.png", True)]
    + [("plain.jpg", False), ("palette.png", False), ("float.tif", True), ("rgb16.png", False)],
)
def test_channels_follow_the_mode_unless_given(name: str, grey: bool) -> None:
    content = zoo.READ[name][0]()
    assert is_grey(content) == grey
    assert decode(content, Fit(8)).shape == (1 if grey else 3, 8, 8)
    assert decode(content, Fit(8, channels=1)).shape == (1, 8, 8)
    assert decode(content, Fit(8, channels=3)).shape == (3, 8, 8)


def test_an_image_of_the_right_size_keeps_its_pixels() -> None:
    content = zoo.array(zoo.NOISE, "PNG")
    for how in ("crop", "pad", "stretch"):
        assert decode(content, Fit(64, how)).permute(1, 2, 0).numpy().tolist() == zoo.NOISE.tolist()


def test_crop_keeps_the_middle_and_pad_everything() -> None:
    wide = Image.new("L", (96, 32), 0)
    wide.paste(255, (32, 0, 64, 32))  # white in the middle third
    content = zoo.encoded(wide, "PNG")
    assert decode(content, Fit(32, "crop")).float().mean() == 255
    padded = decode(content, Fit(96, "pad"))[0]
    assert padded[:32].max() == padded[64:].max() == 0, "black above and below"
    assert padded[33:63, 33:63].min() == 255 and padded[33:63, :31].max() == 0
    stretched = decode(content, Fit(96, "stretch"))[0]
    assert stretched[:, 34:62].min() == 255 and stretched[:, :30].max() == 0


def test_shrinking_averages_pixels() -> None:
    board = np.indices((640, 640)).sum(0) % 2 * 255
    for form in ("PNG", "JPEG"):
        small = decode(zoo.array(board.astype(np.uint8), form), Fit(32)).float()
        assert abs(float(small.mean()) - 127) < 3 and float(small.std()) < 3, form


def test_threads_decode_alike_and_leave_the_filters_of_warnings_alone() -> None:
    before = list(warnings.filters)
    contents = [make() for make, _, _ in zoo.READ.values()] * 3
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda c: decode(c, Fit(16)), contents))
    alone = [decode(content, Fit(16)) for content in contents]
    assert all(torch.equal(a, b) for a, b in zip(together, alone, strict=True))
    assert list(warnings.filters) == before


@pytest.mark.parametrize("wrong", [{"resolution": 0}, {"how": "zoom"}, {"channels": 2}])
def test_a_wrong_fit_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(MpnasError, match=f"images: {next(iter(wrong))} must be"):
        Fit(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "jpeg"])
def test_libtiff_prints_nothing(compression: str, capfd: pytest.CaptureFixture[str]) -> None:
    whole = zoo.encoded(zoo.halves((400, 400)), "TIFF", compression=compression)
    third, half = len(whole) // 3, len(whole) // 2
    damaged = whole[:third] + b"\x55" * (half - third) + whole[half:]
    with pytest.raises(BadImage, match="it cannot be decoded"):
        decode(damaged, Fit(8))
    assert capfd.readouterr().err == ""
    with contextlib.suppress(OSError), Image.open(BytesIO(damaged)) as image:
        image.load()
    assert capfd.readouterr().err != "", "outside of the kit, libtiff prints as before"
