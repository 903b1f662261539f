"""Listing: folders and manifests give classes and splits in a fixed order, or one sentence."""

import json
import os
from pathlib import Path

import pandas as pd
import pytest

from mpnas_kit.domains.listing import domain_name, list_domain, list_folders, natural
from mpnas_kit.domains.manifests import read_manifest
from mpnas_kit.errors import MpnasError


def touch(root: Path, *names: str) -> Path:
    """Empty files, with their folders. A name that ends with / is a folder."""
    for name in names:
        path = root / name
        if name.endswith("/"):
            path.mkdir(parents=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return root


def test_natural_order_reads_numbers_and_ignores_case() -> None:
    names = ["b10", "B9", "a", "b2", "10", "9", "é", "img 007", "img 7"]
    assert sorted(names, key=natural) == [
        *("9", "10", "a", "b2", "B9", "b10", "img 007", "img 7", "é")
    ]


def test_a_folder_of_domains_with_and_without_splits(tmp_path: Path) -> None:
    touch(tmp_path, "pets/train/cat/10.png", "pets/train/cat/9.png", "pets/train/dog/1.png")
    touch(tmp_path, "pets/Validation/dog/1.png", "pets/test/emu/1.png", "pets/LICENSE")
    touch(tmp_path, "road signs/stop/1.jpg", "road signs/go/deep/er/1.jpg", "notes.txt")
    pets, signs = list_folders(tmp_path)
    assert (pets.domain, signs.domain) == ("pets", "road_signs")
    assert pets.classes == ("cat", "dog", "emu") and signs.classes == ("go", "stop")
    assert [(i.name, i.split) for i in pets.images] == [
        ("train/cat/9.png", "train"),
        ("train/cat/10.png", "train"),
        ("train/dog/1.png", "train"),
        ("Validation/dog/1.png", "val"),
        ("test/emu/1.png", "test"),
    ]
    assert [(i.name, i.split) for i in signs.images] == [
        ("go/deep/er/1.jpg", None),
        ("stop/1.jpg", None),
    ]
    assert [list_folders(tmp_path / p)[0].images for p in ("pets", "road signs")] == [
        pets.images,
        signs.images,
    ]
    assert [x.domain for x in list_folders(tmp_path, ["road_signs"])] == ["road_signs"]


def test_what_systems_leave_behind_is_skipped_and_empty_classes_are_named(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.png", "b/1.png", "b/.hidden.png", "b/Thumbs.db", "b/desktop.ini", "c/")
    touch(tmp_path, ".ipynb_checkpoints/1.png", "__MACOSX/1.png", "b/.DS_Store", "a/notes.txt")
    found = list_domain(str(tmp_path), "mine")
    assert [i.name for i in found.images] == ["a/1.png", "a/notes.txt", "b/1.png"]
    assert found.notices == ("domain 'mine': class folder 'c' is empty.",)


def test_links_are_followed_once(tmp_path: Path) -> None:
    touch(tmp_path / "data", "cat/1.png", "dog/1.png")
    touch(tmp_path / "more", "2.png")
    (tmp_path / "data" / "cat" / "more").symlink_to(tmp_path / "more")
    (tmp_path / "data" / "dog" / "2.png").symlink_to(tmp_path / "more" / "2.png")
    (tmp_path / "data" / "dog" / "3.png").symlink_to("nowhere")
    found = [i.name for i in list_domain(str(tmp_path / "data"), "x").images]
    assert found == ["cat/1.png", "cat/more/2.png", "dog/1.png", "dog/2.png", "dog/3.png"]
    (tmp_path / "data" / "cat" / "round").symlink_to(tmp_path / "data")
    with pytest.raises(MpnasError, match="is a link to a folder that it is in"):
        list_domain(str(tmp_path / "data"), "x")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([], "has no folders"),
        (["1.png"], "has no folders"),
        (["pets/"], "has no images in folders"),
        (["pets/train/cat/", "pets/train/dog/"], "has no images in folders"),
        (["train/cat/1.png", "dog/1.png"], "has the folder 'dog' beside train"),
        (["train/a/1.png", "val/a/1.png", "valid/a/1.png"], "both mean the val split"),
        (["pets/val/a/1.png", "pets/test/a/1.png"], "has no folder 'train'"),
        (["train/a/1.png", "train/1.png"], "1 images outside of class folders, such as '1.png'"),
        (["a/1.png", "1.jpg"], "outside of class folders"),
        (["a b/x/1.png", "a_b/x/1.png"], "would both be the domain 'a_b'"),
        (["a/1.png", "b/c/1.png"], "is neither a domain nor a folder of domains"),
        (["写真/x/1.png"], "cannot be the name of a domain"),
        (["a\nb/1.png"], "a class name must be text without line breaks"),
    ],
)
def test_another_layout_is_refused(names: list[str], words: str, tmp_path: Path) -> None:
    with pytest.raises(MpnasError) as caught:
        list_folders(touch(tmp_path, *names))
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_images_deep_in_class_folders_are_told_and_a_domain_is_no_class(tmp_path: Path) -> None:
    touch(tmp_path, "a/x/1.png", "a/x/2.png", "b/1.png", "b/y/1.png")
    found = list_domain(str(tmp_path), "mine")
    assert found.notices == (
        "domain 'mine': class folder 'a' has images only in folders inside of it, such as "
        "'x/1.png'.",
    )
    touch(tmp_path, "c/train/cat/1.png")
    with pytest.raises(MpnasError, match="c has a folder 'train', so it is a domain"):
        list_domain(str(tmp_path), "mine")


def test_unknown_domains_and_unreadable_folders_are_named(tmp_path: Path) -> None:
    touch(tmp_path, "pets/cat/1.png")
    with pytest.raises(MpnasError, match="unknown domain 'pest': did you mean 'pets'"):
        list_folders(tmp_path, ["pest"])
    if os.geteuid():
        (tmp_path / "pets" / "cat").chmod(0)
        with pytest.raises(MpnasError, match="cannot list .*cat: permission denied"):
            list_folders(tmp_path)
        (tmp_path / "pets" / "cat").chmod(0o700)


@pytest.mark.parametrize(("text", "name"), [("a b", "a_b"), ("Köln 2", "K_ln_2"), ("(x)", "x")])
def test_names_of_domains_are_made_valid(text: str, name: str) -> None:
    assert domain_name(text, "here") == name


# Manifests ----------------------------------------------------------------------------------------

ROWS = [
    {"path": "a/10.png", "label": "cat", "domain": "pets", "split": "train", "group": "p1"},
    {"path": "a/9.png", "label": "cat", "domain": "pets", "split": "valid", "group": ""},
    {"path": "b/ü, 1.png", "label": "7", "domain": "signs", "split": "", "group": ""},
]


def write(path: Path, rows: list[dict[str, str]]) -> Path:
    """A manifest in the form that the end of its name says."""
    table = pd.DataFrame(rows)
    if path.suffix == ".jsonl":
        path.write_text("\n".join(json.dumps(r) for r in rows) + "\n", encoding="utf-8")
    elif path.suffix == ".parquet":
        table.to_parquet(path)
    else:
        sign = "\t" if path.suffix == ".tsv" else ","
        path.write_text(table.to_csv(index=False, sep=sign), encoding="utf-8")
    return path


@pytest.mark.parametrize("end", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_all_forms_of_a_manifest_say_the_same(end: str, tmp_path: Path) -> None:
    pets, signs = read_manifest(write(tmp_path / f"list{end}", ROWS))
    assert [(i.source, i.name, *i[2:]) for i in pets.images] == [
        (str(tmp_path / "a/9.png"), "a/9.png", "cat", "val", None),
        (str(tmp_path / "a/10.png"), "a/10.png", "cat", "train", "p1"),
    ]
    assert [i[1:] for i in signs.images] == [("b/ü, 1.png", "7", None, None)]
    assert [x.domain for x in read_manifest(tmp_path / f"list{end}", ["signs"])] == ["signs"]


def test_a_manifest_as_people_write_them(tmp_path: Path) -> None:
    file = tmp_path / "My list.csv"
    text = "Label;Path;author\r\n1;sub/../1.png;me\r\n\r\n2;/abs/2.png;\r\n"
    file.write_bytes(b"\xef\xbb\xbf" + text.encode())
    (found,) = read_manifest(file)
    assert found.domain == "My_list" and found.classes == ("1", "2")
    assert [i.source for i in found.images] == [str(tmp_path / "1.png"), "/abs/2.png"]
    (tmp_path / "n.jsonl").write_text('{"path": "1.png", "label": 3}\n')
    assert read_manifest(tmp_path / "n.jsonl")[0].classes == ("3",)


Wrong = list[tuple[str, bytes, str]]
WRONG: Wrong = [
    ("a.csv", b"", "has no rows"),
    ("a.csv", b"path,label\n", "has no rows"),
    ("a.csv", b"file,class\nx,y\n", "has no column 'path': its columns are file, class."),
    ("a.csv", b"path,label,label\nx,y,z\n", "has the column 'label' twice"),
    ("a.csv", b"path,label\nx,y\nz,\n", "a.csv, line 3: label is empty"),
    ("a.csv", b"path,label\n ,y\n", "line 2: path is empty"),
    ("a.csv", b"path,label\nx,y\nz,a,b\n", "line 3 has 3 fields: expected 2"),
    ("a.csv", b"path,label\nx,y\n./x,z\n", "line 3 repeats the image './x' of"),
    ("a.csv", b"path,label,split\nx,y,trian\n", "unknown split in"),
    ("a.csv", b"path,label\nx,y\n\xff\xfe,z\n", "line 3: it is not UTF-8 text"),
    ("a.csv", b'path,label\n"x,y\n', "line 2 cannot be read"),
    ("a.csv", b"path,label,domain\nx,y,\xe5\x86\x99\n", "cannot be the name of a domain"),
    ("a.jsonl", b'{"path": "x", "label": "y"}\n[1]\n', "line 2 cannot be read"),
    ("a.jsonl", b'{"path": "x"}\n', "line 1 has no 'label'"),
    ("a.jsonl", b'{"path": "x", "label": 1.5}\n', "label must be text or a whole number"),
    ("a.jsonl", b'{"path": "x\\u0000", "label": 1}\n', "cannot be the path of a file"),
    ("a.jsonl", b'{"path": "\\ud800", "label": 1}\n', "cannot be the path of a file"),
    ("a.parquet", b"PAR1 no", "a.parquet cannot be read"),
    ("a.txt", b"x", "is no manifest: expected a name that ends in .csv, .tsv, .jsonl or .parquet"),
]


@pytest.mark.parametrize(("name", "content", "words"), WRONG)
def test_a_wrong_manifest_is_refused_by_line(
    name: str, content: bytes, words: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(MpnasError) as caught:
        read_manifest(tmp_path / name)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_a_parquet_file_without_the_columns_is_refused(tmp_path: Path) -> None:
    pd.DataFrame({"file": ["x"]}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(MpnasError, match="has no column 'path': its columns are file"):
        read_manifest(tmp_path / "a.parquet")


def test_parquet_says_what_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object, **__: object) -> None:
        raise ImportError("pyarrow")

    (tmp_path / "a.parquet").touch()
    monkeypatch.setattr(pd, "read_parquet", missing)
    with pytest.raises(MpnasError, match=r"pip install 'mpnas-kit\[parquet\]'"):
        read_manifest(tmp_path / "a.parquet")
