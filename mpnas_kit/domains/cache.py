"""The cache: images that are decoded once, and then read by index from a file.

    CACHE/sources/KEY         hashes of the contents of some files, by their names, sizes and times
    CACHE/images/KEY          the decoded images of one domain, by their contents and how they fit
        header.json           number and shape; written last; its time is that of the last use
        pixels.bin            uint8 (n, C, H, W)
        index.bin             one record per image: hash of its pixels, group of duplicates
        originals.bin         one record per image: size, mode and format of its file
        paths.json            path of every file when it was decoded
        bad.json              reason per image that cannot be read, by position
        counts-KEY.bin        how often each pixel value occurs in a split
    CACHE/images/KEY.part     the same, unfinished: a killed preparation continues in it
    CACHE/images/KEY.lock     one process at a time prepares these images
    CACHE/suites/KEY          splits of a suite, and the stamps of the files that it is made of
    CACHE/given/KEY           a text with paths that the person gave as data, such as folders(...)

CACHE is `files.cache_folder()`. It also has compiled kernels (see `kernels.build`). All of it can
be deleted at any time.
"""

import hashlib
import pathlib
from collections.abc import Sequence
from dataclasses import replace

from mpnas_kit import files
from mpnas_kit.domains.cached_images import FORMAT, CachedImages
from mpnas_kit.domains.decoding import DECODER, BadImage, Fit, is_grey
from mpnas_kit.domains.preparation import (
    Preparation,
    Progress,
    Tell,
    in_order,
    to_stderr,
)
from mpnas_kit.domains.sources import Source, mark, read_image


def prepare(
    sources: Sequence[Source], fit: Fit, name: str, tell: Tell | None = None
) -> CachedImages:
    """Return images from the cache. What the cache lacks is decoded.

    sources: where they are, in an order in which they can be read fast (see `reading_order`).
    fit: size and channels. Channels None: 1 if all readable images are grey, otherwise 3.
    name: what the images are, for messages.
    tell: called with a line of text if it takes long; None: lines are written to stderr.

    An image that cannot be read is `bad` in the result. A killed preparation continues. Several
    processes can prepare the same images at once: one does it, the others wait.

    Raises `MpnasError` if the disk is too small, or a file changes meanwhile.
    """
    progress = Progress(name, tell or to_stderr)
    cache = files.cache_folder()
    for kind in ("sources", "images"):
        files.make_folder(cache / kind)
    hashes, grey = _sources(sources, cache / "sources", progress)
    fit = replace(fit, channels=fit.channels or (1 if grey else 3))
    about = repr((FORMAT, DECODER, fit, len(sources))).encode()
    key = hashlib.sha256(about + hashes).hexdigest()[:40]
    found = open_images(key)
    if found is not None:
        return found
    folder = cache / "images" / key
    with files.locked(folder.with_suffix(".lock")):
        found = open_images(key)  # another process may have prepared it meanwhile
        if found is None:
            files.remove_folder(folder)  # it is damaged
            Preparation(sources, hashes, fit, folder, progress).run()
            found = CachedImages(folder)
    return found


def remember_given(text: str) -> None:
    """Note that this person gave a text with paths as data, also for later processes."""
    files.make_folder(files.cache_folder() / "given")
    files.write_new(_given(text), text.encode())


def was_given(text: str) -> bool:
    """Return whether this person gave a text with paths as data before, on this machine.

    A run folder that names the same text can be followed, because its paths are the person's own.
    """
    return files.exists(_given(text))


def _given(text: str) -> pathlib.Path:
    return files.cache_folder() / "given" / hashlib.sha256(text.encode()).hexdigest()[:40]


def open_images(key: str) -> CachedImages | None:
    """Return the images under a key, or None if they are missing or damaged."""
    folder = files.cache_folder() / "images" / key
    if not files.exists(folder / "header.json"):
        return None
    try:
        found = CachedImages(folder)
    except ValueError:  # also an `MpnasError`
        return None
    files.touch(folder / "header.json")
    return found


# Contents -----------------------------------------------------------------------------------------


def _sources(
    sources: Sequence[Source], folder: pathlib.Path, progress: Progress
) -> tuple[bytes, bool]:
    """Return the hashes of the contents of images, and whether all readable ones are grey.

    If names, sizes and times of their files are those of an earlier call, no file is read.
    """
    digest = hashlib.sha256(DECODER.encode())
    for source in sources:
        digest.update(mark(source))
    file = folder / digest.hexdigest()[:40]
    known = files.read_checked(file)
    if known is not None:
        files.touch(file)
        return known[1:], known[:1] == b"\1"

    def look(part: Sequence[Source]) -> list[tuple[bytes, bool]]:
        return [_hash_and_grey(source) for source in part]

    parts = [sources[i : i + 256] for i in range(0, len(sources), 256)]
    hashes, grey = [], True
    for found in in_order(look, parts):
        hashes += [value for value, _ in found]
        grey = grey and all(each for _, each in found)
        progress.say("reading", len(hashes), len(sources))
    body = bytes([grey]) + b"".join(hashes)
    files.write_bytes(file, files.with_checksum(body))
    return body[1:], grey


def _hash_and_grey(source: Source) -> tuple[bytes, bool]:
    """Return the hash of an image's content, and False if it has colours."""
    try:
        content = read_image(source)
    except BadImage as error:
        return hashlib.sha256(f"unreadable: {error}".encode()).digest(), True
    try:
        grey = is_grey(content)
    except BadImage:
        grey = True
    return hashlib.sha256(content).digest(), grey
