"""Data sets of Hugging Face: read as folders are, offline, and refused in one sentence."""

import json
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import hub_sets as sets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import zoo  # type: ignore[import-not-found]
from PIL import Image

import mpnas_kit as mk
from mpnas_kit.domains import own_images, shards
from mpnas_kit.domains.decoding import Fit, decode
from mpnas_kit.domains.domain import SPLITS
from mpnas_kit.domains.suites import suite_text
from mpnas_kit.errors import MpnasError

CLASSES = ("cat", "dog", "emu")
COUNTS = {"train": 7, "val": 3, "test": 2}
Rows = list[tuple[Path, str]]


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of the test's own, and no network."""

    def refused(*_: object) -> Any:
        raise AssertionError("the network was asked")

    monkeypatch.setenv("MPNAS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)


def write(root: Path, splits: bool = True, grey: bool = False) -> dict[str, Rows]:
    """A folder of one domain. Return its files and classes, in the order of a listing, by split."""
    rng = np.random.default_rng(len(root.name))
    rows: dict[str, Rows] = {}
    for label in CLASSES:
        for split, count in COUNTS.items():
            for i in range(count):
                folder = root / split / label if splits else root / label
                folder.mkdir(parents=True, exist_ok=True)
                values = rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)
                size = tuple(rng.integers(20, 50, 2).tolist())
                file = folder / f"{split}{i}.{'jpg' if i % 2 else 'png'}"
                Image.fromarray(values).resize(size).convert("L" if grey else "RGB").save(file)
                rows.setdefault(split if splits else "all", []).append((file, label))
    for own in rows.values():
        own.sort(key=lambda row: (row[1], ("test", "train", "val").index(row[0].name[:-5])))
    return rows


def parts(rows: dict[str, Rows], **options: Any) -> dict[str, "datasets.Dataset"]:
    names = {"val": "validation"}
    return {names.get(s, s): sets.data_set(own, **options) for s, own in rows.items()}


def small(folder: Path, **options: Any) -> Path:
    """Parquet files of twelve images of two classes, without splits."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    rows = []
    for i in range(12):
        values = rng.integers(0, 256, (9, 9, 3), np.uint8)
        (folder / f"{i}.png").write_bytes(zoo.array(values, "PNG"))
        rows.append((folder / f"{i}.png", ("a", "b")[i % 2]))
    data = sets.data_set(rows, **options)
    return sets.save_parquet(data, folder.parent / f"{folder.name}_set", "images", 2)


# The same images ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("splits", "embedded", "named"),
    [(True, True, True), (True, False, False), (False, True, False), (False, False, True)],
)
def test_folder_table_hub_and_suite_file_give_the_same_bytes(
    splits: bool, embedded: bool, named: bool, tmp_path: Path
) -> None:
    domains = {"pets": write(tmp_path / "root/pets", splits)}
    domains["signs"] = write(tmp_path / "root/signs", splits, grey=True)
    lines = ["path,label,domain,split"]
    for domain, rows in domains.items():
        for split, own in rows.items():
            words = split if splits else ""
            lines += [f"{file},{label},{domain},{words}" for file, label in own]
        made = parts(rows, embedded=embedded, named=named, order=CLASSES[::-1])
        saved = datasets.DatasetDict(made) if splits else made["all"]
        sets.save(saved, tmp_path / "saved" / domain, max_shard_size="4KB")
        for split, data in made.items():
            sets.save_parquet(data, tmp_path / "parquet" / domain / "data", split, 2)
    (tmp_path / "list.csv").write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "suite.toml").write_text(
        "resolution = 24\n[pets]\nhub = 'saved/pets'\n[signs]\nhub = 'parquet/signs'\n"
    )
    expected = mk.folders(tmp_path / "root", resolution=24)
    assert [d.channels for d in expected] == [3, 1]
    suites = [mk.hub(tmp_path / kind, resolution=24) for kind in ("saved", "parquet")]
    suites += [mk.table(tmp_path / "list.csv", resolution=24)]
    suites += [mk.suite_file(tmp_path / "suite.toml")]
    suites += [mk.hub({n: tmp_path / "parquet" / n for n in domains}, resolution=24)]
    for suite in suites:
        assert suite.fingerprint() == expected.fingerprint()
        for domain in expected:
            other = suite[domain.name]
            assert other.classes == domain.classes == CLASSES
            for split in COUNTS:
                one, two = domain.split(split), other.split(split)
                every = torch.arange(len(one))
                assert torch.equal(one.labels, two.labels)
                assert torch.equal(one.take(every), two.take(every))


def test_images_are_those_of_the_rows_in_any_order(tmp_path: Path) -> None:
    rows = write(tmp_path / "pets")["train"]
    mixed = [rows[i] for i in np.random.default_rng(1).permutation(len(rows))]
    sets.save_parquet(sets.data_set(mixed), tmp_path / "set", "train", 3)
    train = mk.hub(tmp_path / "set", resolution=16, shares=(0.8, 0.1, 0.1)).domains[0]
    seen = []
    for split in COUNTS:
        own = train.split(split)
        images = own.take(torch.arange(len(own)))
        seen += [(i.numpy().tobytes(), y) for i, y in zip(images, own.labels.tolist(), strict=True)]
    expected = [
        (decode(file.read_bytes(), Fit(16)).numpy().tobytes(), CLASSES.index(label))
        for file, label in rows
    ]
    assert sorted(seen) == sorted(expected)


def test_a_later_start_lists_no_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small(tmp_path / "files")
    rows = [(tmp_path / "files" / f"{i}.png", ("a", "b")[i % 2]) for i in range(12)]
    sets.data_set(rows).save_to_disk(str(tmp_path / "one"))
    first = mk.hub({"one": tmp_path / "one"}, resolution=8)
    monkeypatch.setattr(own_images, "list_data_set", lambda *_: pytest.fail("it was listed"))
    again = mk.hub({"one": tmp_path / "one"}, resolution=8)
    assert again.fingerprint() == first.fingerprint() and again.notices == first.notices
    for split in SPLITS:
        one, other = first["one"].split(split), again["one"].split(split)
        assert torch.equal(one.labels, other.labels)
        assert torch.equal(one.take(torch.arange(len(one))), other.take(torch.arange(len(one))))


def test_images_are_read_once_and_again_if_the_data_set_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small(tmp_path / "a")
    first = mk.hub(tmp_path / "a_set", resolution=8)
    real = shards.ImageColumn.content
    monkeypatch.setattr(shards.ImageColumn, "content", lambda *_: pytest.fail("it was read again"))
    assert mk.hub(tmp_path / "a_set", resolution=8).fingerprint() == first.fingerprint()
    monkeypatch.setattr(shards.ImageColumn, "content", real)
    moved = (tmp_path / "a_set").rename(tmp_path / "b_set")
    again = mk.hub({"a_set": moved}, resolution=8)
    assert again.fingerprint() == first.fingerprint()
    assert len(list((tmp_path / "cache/images").glob("*/header.json"))) == 1, "by content"
    file = moved / "images-00000-of-00002.parquet"
    table = pq.read_table(file)
    images = table.column("image").to_pylist()
    images[0]["bytes"] = zoo.encoded(zoo.halves(), "PNG")
    changed = table.set_column(0, "image", pa.array(images, table.schema.field("image").type))
    pq.write_table(changed, file)
    assert mk.hub({"a_set": moved}, resolution=8).fingerprint() != first.fingerprint()


def test_columns_may_have_other_names_and_types(tmp_path: Path) -> None:
    small(tmp_path / "a")
    pairs = []
    for i in range(2):
        table = pq.read_table(tmp_path / f"a_set/images-0000{i}-of-00002.parquet")
        images = table.column("image").combine_chunks()
        pairs.append((images.field("bytes"), table.column("label").combine_chunks()))
    expected = mk.hub({"x": tmp_path / "a_set"}, resolution=8)
    names = pa.array(["a", "b"])
    forms: dict[str, Callable[[Any, Any], tuple[Any, Any]]] = {
        "bytes": lambda image, label: (image, names.take(label)),
        "large": lambda image, label: (image.cast("large_binary"), names.take(label)),
        "dictionary": lambda image, label: (image, names.take(label).dictionary_encode()),
        "struct": lambda image, label: (
            pa.StructArray.from_arrays([image], ["bytes"]),
            names.take(label).cast("large_string"),
        ),
    }
    for form, make in forms.items():
        (tmp_path / form).mkdir()
        for i, (image, label) in enumerate(pairs):
            picture, kind = make(image, label)
            table = pa.table({"kind": kind, "caption": ["words"] * len(kind), "picture": picture})
            pq.write_table(table, tmp_path / form / f"{i}.parquet")
        suite = mk.hub({"x": tmp_path / form}, label="kind", resolution=8)
        assert suite.fingerprint() == expected.fingerprint(), form
    numbers = pa.table({"label": pairs[0][1], "img": pairs[0][0]})
    (tmp_path / "numbers").mkdir()
    pq.write_table(numbers, tmp_path / "numbers/all.parquet")
    assert mk.hub(tmp_path / "numbers", resolution=8)["numbers"].classes == ("0", "1")


def test_rows_of_one_group_stay_in_one_split(tmp_path: Path) -> None:
    small(tmp_path / "a", more={"group": [f"g{i // 3}" for i in range(12)]})
    for options in ({}, {"group": "group"}):
        domain = mk.hub(tmp_path / "a_set", resolution=8, shares=(0.5, 0.25, 0.25), **options)
        sizes = [len(domain["a_set"].split(split)) for split in COUNTS]
        assert all(size % 3 == 0 for size in sizes) and sum(sizes) == 12


def test_splits_without_labels_and_others_are_left_out_and_told(tmp_path: Path) -> None:
    rows = write(tmp_path / "pets")
    made = parts(rows, order=(*CLASSES, "yak"))
    none = made["test"].map(lambda _: {"label": -1})
    saved = datasets.DatasetDict({**made, "test": none, "extra": made["test"]})
    sets.save(saved, tmp_path / "set")
    suite = mk.hub(tmp_path / "set", resolution=8)
    assert suite.notices[:3] == (
        "domain 'set': split 'extra' is not used: expected train, val or test.",
        "domain 'set': split test has no labels and is left out.",
        "domain 'set': 1 of 4 named classes have no image: 'yak'.",
    )
    sizes = [len(suite["set"].split(split)) for split in COUNTS]
    assert sizes[1] == 9 and sizes[0] + sizes[2] == 21, "val as given, test out of train"
    assert suite["set"].classes == CLASSES


def test_bad_images_are_named_by_file_and_row(tmp_path: Path) -> None:
    small(tmp_path / "a")
    for i, content in {3: b"", 4: b"no image", 7: None}.items():
        file = tmp_path / f"a_set/images-0000{i // 6}-of-00002.parquet"
        table = pq.read_table(file)
        images = table.column("image").to_pylist()
        images[i % 6] = {"bytes": content, "path": "https://x.invalid/1.png" if i == 7 else None}
        table = table.set_column(0, "image", pa.array(images, table.schema.field("image").type))
        pq.write_table(table, file)
    with pytest.raises(MpnasError) as caught:
        mk.hub(tmp_path / "a_set", resolution=8)
    said = str(caught.value)
    assert said.startswith(
        "3 of 12 images cannot be read: a_set: images-00000-of-00002.parquet row"
    )
    suite = mk.hub(tmp_path / "a_set", resolution=8, bad="skip")
    assert suite.left_out == (
        "a_set: images-00000-of-00002.parquet row 3: it is empty",
        "a_set: images-00000-of-00002.parquet row 4: it is no image, or in a format that is not "
        "supported",
        "a_set: images-00001-of-00002.parquet row 1: it has no bytes, and no path of a file on "
        "this machine",
    )
    assert sum(len(suite["a_set"].split(split)) for split in COUNTS) == 9


def test_paths_of_images_are_relative_to_the_data_set(tmp_path: Path) -> None:
    small(tmp_path / "a")
    table = pa.table({"image": [f"pictures/{i}.png" for i in range(12)], "label": ["a", "b"] * 6})
    (tmp_path / "paths").mkdir()
    pq.write_table(table, tmp_path / "paths/all.parquet")
    (tmp_path / "a").rename(tmp_path / "paths/pictures")
    suite = mk.hub({"x": tmp_path / "paths"}, image="image", resolution=8)
    assert suite.fingerprint() == mk.hub({"x": tmp_path / "a_set"}, resolution=8).fingerprint()


# What is refused ----------------------------------------------------------------------------------


def broken(folder: Path, *, content: bytes | None = None, **columns: Any) -> Path:
    folder.mkdir(parents=True)
    if content is None:
        pq.write_table(pa.table(columns), folder / "train.parquet")
    else:
        (folder / "train.parquet").write_bytes(content)
    return folder


IMAGES = pa.array([b"1", b"2"])
SAVED = '{"_data_files": [{"filename": "%s"}]}'
REFUSED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "nothing": (lambda x: x.mkdir(), "has no data set: expected what `save_to_disk` writes"),
    "script": (
        lambda x: (small(x.parent / "y").rename(x), (x / "x.py").write_text("1 / 0")),
        "has the Python file 'x.py', which may be a loading script, and the kit executes none",
    ),
    "only_script": (
        lambda x: (x.mkdir(), (x / "x.py").write_text("1 / 0")),
        "has the Python file 'x.py'",
    ),
    "noise": (lambda x: broken(x, content=b"PAR1 no PAR1"), "train.parquet cannot be read: "),
    "empty": (lambda x: broken(x, content=b""), "train.parquet cannot be read: "),
    "no_image": (
        lambda x: broken(x, label=["a", "b"]),
        "train.parquet has no column that may be the image: label. Name it with image='...'",
    ),
    "two_images": (
        lambda x: broken(x, left=IMAGES, right=IMAGES, label=["a", "b"]),
        "has several columns that may be the image: left, right. Name it with image='...'",
    ),
    "no_label": (
        lambda x: broken(x, image=IMAGES, kind=["a", "b"]),
        "has no column that may be the label: image, kind. Name it with label='...'",
    ),
    "number": (
        lambda x: broken(x, image=IMAGES, label=[0.5, 1.5]),
        "column 'label' has \"Value('float64')\": expected ClassLabel, text or whole numbers",
    ),
    "list": (
        lambda x: broken(x, image=IMAGES, label=[["a"], ["b"]]),
        "column 'label' has \"List(Value('string'))\": expected ClassLabel",
    ),
    "missing": (
        lambda x: broken(x, image=IMAGES, label=["a", None]),
        "train.parquet, row 1: label is missing: expected a class in every row",
    ),
    "one_class": (lambda x: broken(x, image=IMAGES, label=["a", "a"]), "has only the class 'a'"),
    "shard": (
        lambda x: (small(x.parent / "y").rename(x), (x / "images-00001-of-00002.parquet").unlink()),
        "images-00001-of-00002.parquet is missing beside images-00000-of-00002.parquet",
    ),
    "no_train": (
        lambda x: (broken(x, image=IMAGES, label=["a", "b"]) / "train.parquet").rename(
            x / "test.parquet"
        ),
        "has no split 'train', but test",
    ),
    "two_vals": (
        lambda x: [
            broken(x / s, image=IMAGES, label=["a", "b"])
            .joinpath("train.parquet")
            .rename(x / f"{s}.parquet")
            for s in ("train", "val", "validation")
        ],
        "has the splits 'val' and 'validation', which both mean the val split",
    ),
    "json": (
        lambda x: (x.mkdir(), (x / "dataset_dict.json").write_text("[]")),
        "dataset_dict.json cannot be read: expected",
    ),
    "away": (
        lambda x: (x.mkdir(), (x / "dataset_dict.json").write_text('{"splits": ["../y"]}')),
        "dataset_dict.json names '../y': expected a name in the same folder",
    ),
    "state_away": (
        lambda x: (
            x.mkdir(),
            (x / "dataset_info.json").write_text("{}"),
            (x / "state.json").write_text(SAVED % "/etc/hosts"),
        ),
        "state.json names '/etc/hosts': expected a name in the same folder",
    ),
    "no_arrow": (
        lambda x: (
            x.mkdir(),
            (x / "dataset_info.json").write_text("{}"),
            (x / "state.json").write_text(SAVED % "data.arrow"),
        ),
        "data.arrow cannot be read: ",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_usable_data_set_is_refused_in_one_sentence(case: str, tmp_path: Path) -> None:
    make, words = REFUSED[case]
    make(tmp_path / "x")
    with pytest.raises(MpnasError) as caught:
        mk.hub(tmp_path / "x", resolution=8)
    said = str(caught.value)
    assert words in said and "\n" not in said and len(said) < 600, said


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"image": "img"}, "unknown column of "),
        ({"label": "image"}, "column 'image' has "),
        ({"group": "image"}, "column 'image' has "),
        ({"group": "grop"}, "unknown column of "),
        ({"image": 3}, "hub: image must be text or None, not 3"),
        ({"domains": ["y"]}, "unknown domain 'y'"),
        ({"how": "zoom"}, "how must be"),
        ({"resolution": 0}, "resolution must be"),
        ({"shares": [1]}, "shares must be"),
        ({"bad": "ask"}, "bad must be"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], words: str, tmp_path: Path) -> None:
    small(tmp_path / "a")
    with pytest.raises(MpnasError) as caught:
        mk.hub(tmp_path / "a_set", **options)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_every_cut_of_a_file_is_read_or_refused(tmp_path: Path) -> None:
    whole = (small(tmp_path / "a") / "images-00000-of-00002.parquet").read_bytes()
    sets.save(_plain(tmp_path), tmp_path / "s")
    arrow = tmp_path / "s/data-00000-of-00001.arrow"
    for file, content in (
        (tmp_path / "a_set/images-00000-of-00002.parquet", whole),
        (arrow, arrow.read_bytes()),
    ):
        for length in range(0, len(content), len(content) // 8):
            file.unlink()  # it may be mapped
            file.write_bytes(content[:length])
            with pytest.raises(MpnasError) as caught:
                mk.hub(file.parent, resolution=8)
            assert "\n" not in str(caught.value)


def test_a_missing_library_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small(tmp_path / "a")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MpnasError, match="not installed: pip install 'mpnas-kit.hf.'"):
        mk.hub(tmp_path / "a_set")


def test_the_network_stays_as_the_person_set_it(tmp_path: Path) -> None:
    from huggingface_hub import constants

    small(tmp_path / "a")
    seen = []
    real = datasets.Features.from_arrow_schema

    def noted(schema: Any) -> Any:
        seen.append((datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE))
        return real(schema)

    before = (datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.Features, "from_arrow_schema", noted)
        mk.hub(tmp_path / "a_set", resolution=8)
    assert set(seen) == {(True, True)}
    assert before == (datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE)


# Texts --------------------------------------------------------------------------------------------


def test_a_folder_of_data_sets_is_recognised_and_no_other(tmp_path: Path) -> None:
    small(tmp_path / "a")
    folder = small(tmp_path / "sets/a")
    assert suite_text(str(folder)) == f"hub(path='{folder}', resolution=64)"
    assert suite_text(str(tmp_path / "sets"), resolution=8, bad="skip").startswith("hub(path=")
    two = [f"x={folder}", f"y={tmp_path / 'a_set'}"]
    assert suite_text(two).startswith("hub(path={'x': ")
    write(tmp_path / "root/pets")
    pq.write_table(pa.table({"path": ["x"], "label": ["y"]}), tmp_path / "root/list.parquet")
    pq.write_table(pa.table({"path": ["x"], "label": ["y"]}), tmp_path / "root/pets/list.parquet")
    for place in (tmp_path / "root", tmp_path / "root/pets"):
        assert suite_text(str(place)) == f"folders(path='{place}', resolution=64)"
    with pytest.raises(MpnasError, match=r"is a data set of Hugging Face, and .* is not"):
        suite_text([f"x={folder}", f"y={tmp_path / 'root/pets'}"])


def test_the_source_of_a_suite_creates_it_again(tmp_path: Path) -> None:
    folder = small(tmp_path / "a", more={"who": list("aabbccddeeff")})
    for suite in (
        mk.hub(folder, resolution=8),
        mk.hub(folder, image="image", label="label", group="who", resolution=8, how="pad", seed=3),
        mk.hub({"x": folder}, resolution=8, flip=True, shares=[0.5, 0.25, 0.25]),
    ):
        assert suite.source is not None and suite_text(suite.source) == suite.source
        again = mk.suite_from_text(suite.source)
        assert again.fingerprint() == suite.fingerprint()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[x]\nhub='a_set'\nfolder='a'", "[x] must have one of folder, table and hub"),
        ("[x]\nfolder='a'\nlabel='kind'", "[x]: label names a column of a data set: expected hub"),
        ("[x]\nhub='a_set'\nlabel=3", "[x]: label must be text"),
        ("[x]\nhub='none'", "there is no folder"),
        ("[x]\nhub='a_set'\nimage='img'", "unknown column of "),
    ],
)
def test_wrong_suite_files_are_refused(content: str, words: str, tmp_path: Path) -> None:
    small(tmp_path / "a")
    (tmp_path / "suite.toml").write_text(content)
    with pytest.raises(MpnasError) as caught:
        mk.suite_file(tmp_path / "suite.toml")
    assert words in str(caught.value)


def _plain(root: Path) -> "datasets.Dataset":
    files = [(root / "a" / f"{i}.png", ("a", "b")[i % 2]) for i in range(12)]
    return sets.data_set(files)


def test_a_data_set_that_a_program_keeps_formatted_is_read_as_it_is(tmp_path: Path) -> None:
    small(tmp_path / "a")
    sets.save(_plain(tmp_path), tmp_path / "s")
    expected = mk.hub(tmp_path / "s", resolution=8).fingerprint()
    state = tmp_path / "s/state.json"
    content = json.loads(state.read_text())
    state.write_text(json.dumps({**content, "_format_type": "no_such_library"}))
    (tmp_path / "s/cache-1234.arrow").write_bytes(b"what `map` left here")
    assert mk.hub(tmp_path / "s", resolution=8).fingerprint() == expected
