"""Images of any kind as pixels of one size: files, pictures of Pillow, arrays and tensors."""

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from mpnas_kit import files
from mpnas_kit.domains.decoding import BadImage, Fit, decode, of_picture
from mpnas_kit.errors import MpnasError, short

EXPECTED = (
    "expected the path of an image file, a PIL image, an array (H, W), (H, W, 3) or (B, H, W, 3), "
    "a tensor (H, W), (3, H, W) or (B, 3, H, W), or a list of them"
)


def batches_of_pixels(inputs: Any, fit: Fit, batch_size: int) -> Iterator[tuple[list[str], Tensor]]:
    """Yield names and pixels of images in batches: uint8 (k, C, resolution, resolution).

    Files are read when their batch is needed, so memory does not grow with their number. A file has
    its path as name, any other image "image N" with its position from 0.

    inputs: one image, a batch of images, or a list of images and batches (see `Model.predict`).
    fit: size and channels of the result.
    batch_size: images per batch, at least 1. The last batch may have fewer.

    Raises `MpnasError` if there is no image, or an item is none.
    """
    names: list[str] = []
    parts: list[Tensor] = []
    count = 0
    for item in _items(inputs):
        is_path = isinstance(item, str | os.PathLike)
        name = os.fspath(item) if is_path else f"image {count}"
        for pixels in _pixels(item, name, fit).split(batch_size):
            own = [str(name)] if is_path else [f"image {count + i}" for i in range(len(pixels))]
            count += len(pixels)
            names, parts = names + own, [*parts, pixels]
            while len(names) >= batch_size:
                whole = torch.cat(parts) if len(parts) > 1 else parts[0]
                yield names[:batch_size], whole[:batch_size]
                names, parts = names[batch_size:], [whole[batch_size:]]
    if names:
        yield names, torch.cat(parts)
    if not count:
        raise MpnasError(f"there are no images: {EXPECTED}.")


def batches_in_fits(
    inputs: Any, fits: Sequence[Fit], batch_size: int
) -> Iterator[tuple[list[str], dict[Fit, Tensor]]]:
    """Yield names and pixels of images as `batches_of_pixels` does, in several sizes at once.

    fits: sizes and channels, at least one.
    """
    every = _items(inputs)
    copies = itertools.tee(every, len(fits))
    each = [batches_of_pixels(own, fit, batch_size) for own, fit in zip(copies, fits, strict=True)]
    for batches in zip(*each, strict=True):
        names, _ = batches[0]
        yield names, {fit: pixels for fit, (_, pixels) in zip(fits, batches, strict=True)}


def unusable(paths: Iterable[str]) -> dict[str, str]:
    """Return the files that are no usable images, each with a sentence that says why.

    paths: paths of files. Each is decoded, as small as its format allows.
    """
    found = {}
    for path in paths:
        try:
            _pixels(path, path, Fit(1))
        except MpnasError as error:
            found[path] = str(error)
    return found


def _items(inputs: Any) -> Iterator[Any]:
    is_one = isinstance(inputs, str | os.PathLike | Image.Image | np.ndarray | Tensor)
    if is_one or not isinstance(inputs, Iterable) or isinstance(inputs, bytes | dict):
        yield inputs
    else:
        yield from inputs


def _pixels(item: Any, name: Any, fit: Fit) -> Tensor:
    """Return the pixels of an item: uint8 (n, C, resolution, resolution)."""
    try:
        if isinstance(item, str | os.PathLike):
            return decode(files.read_bytes(files.as_path(item, "an image")), fit)[None]
        if isinstance(item, Image.Image):
            return of_picture(item, fit)[None]
    except BadImage as error:
        raise MpnasError(f"{name} is not a usable image: {error}.") from None
    if isinstance(item, Tensor):
        return fitted(_of_tensor(item, str(name)), fit)
    if isinstance(item, np.ndarray):
        return fitted(_of_array(item, str(name)), fit)
    raise MpnasError(f"{name} is {short(item)}: {EXPECTED}.")


def fitted(images: Tensor, fit: Fit) -> Tensor:
    """Return images with other channels and another size: uint8 (n, C, resolution, resolution).

    images: uint8 (n, 1 or 3, H, W). If they fit already, they are returned as they are.
    fit: size and channels of the result.
    """
    count, own, *size = images.shape
    channels, side = fit.channels or own, fit.resolution
    if size == [side, side] and own in (1, channels):
        return images.expand(-1, channels, -1, -1)
    arrays = images.permute(0, 2, 3, 1).cpu().numpy()
    pictures = (Image.fromarray(a[..., 0] if own == 1 else a) for a in arrays)
    done = [of_picture(picture, fit) for picture in pictures]
    return torch.stack(done) if done else images.new_empty(0, channels, side, side)


def _of_tensor(images: Tensor, name: str) -> Tensor:
    shape = tuple(images.shape)
    form = images[None] if images.ndim == 2 else images
    form = form[None] if form.ndim == 3 else form
    if form.ndim != 4 or form.shape[1] not in (1, 3) or not _is_sized(form):
        raise _wrong_shape(name, shape, "(H, W), (1 or 3, H, W) or (B, 1 or 3, H, W)")
    return _whole(form.detach(), name)


def _of_array(images: NDArray[Any], name: str) -> Tensor:
    shape = images.shape
    form = images[..., None] if images.ndim == 2 else images
    form = form[None] if form.ndim == 3 else form
    if form.ndim != 4 or form.shape[3] not in (1, 3) or not _is_sized(form):
        raise _wrong_shape(name, shape, "(H, W), (H, W, 1 or 3) or (B, H, W, 1 or 3)")
    if form.dtype != np.uint8 and form.dtype.kind != "f":
        raise _wrong_kind(name, form.dtype)
    if form.dtype.itemsize > 8 or not form.dtype.isnative:
        form = form.astype(np.float64)
    owned = np.require(form, requirements=["C", "W"])
    return _whole(torch.from_numpy(owned).permute(0, 3, 1, 2), name)


def _is_sized(images: Any) -> bool:
    return all(images.shape)


def _whole(images: Tensor, name: str) -> Tensor:
    """Return images as uint8. Fractions are rounded to 256 levels, as training images have."""
    if images.dtype == torch.uint8:
        return images
    if not images.is_floating_point():
        raise _wrong_kind(name, images.dtype)
    if not bool(torch.isfinite(images).all()):
        raise MpnasError(f"{name} has values that are not finite: expected 0 to 1, or uint8.")
    low, high = float(images.min()), float(images.max())
    if low < 0 or high > 1:
        raise MpnasError(
            f"{name} has values from {low:g} to {high:g}: expected 0 to 1, or uint8 0 to 255."
        )
    return (images.float() * 255).round().to(torch.uint8)


def _wrong_shape(name: str, shape: tuple[int, ...], expected: str) -> MpnasError:
    return MpnasError(f"{name} has the shape {shape}: expected {expected}, each at least 1.")


def _wrong_kind(name: str, found: object) -> MpnasError:
    return MpnasError(f"{name} has numbers of type {found}: expected uint8, or floats 0 to 1.")
