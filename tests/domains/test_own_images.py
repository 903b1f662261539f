"""Own images: all readers give the same, what cannot be read is told, and texts create it again."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import zoo  # type: ignore[import-not-found]
from PIL import Image

import mpnas_kit as mk
from mpnas_kit.domains.batches import Standard
from mpnas_kit.domains.decoding import Fit, decode
from mpnas_kit.domains.split import Split
from mpnas_kit.domains.suites import SUITE, read_suite, suite_text
from mpnas_kit.errors import MpnasError, Unavailable
from mpnas_kit.parts import Missing, approve, approved

DOMAINS = {"pets": ("cat", "dog", "emu"), "signs": ("go", "stop")}
COUNTS = {"train": 6, "val": 2, "test": 2}


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("MPNAS_CACHE", str(place))
    return place


def picture(seed: int, grey: bool = False) -> Image.Image:
    """Blobs that differ from picture to picture, in another size each time."""
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
    size = tuple(rng.integers(20, 60, 2).tolist())
    image = Image.fromarray(values).resize(size, Image.Resampling.BICUBIC)
    return image.convert("L") if grey else image


def write(root: Path, splits: bool = True) -> list[dict[str, str]]:
    """A folder of two domains of mixed sizes, one of them grey. Return its rows of a table."""
    rows, seed = [], 0
    for domain, classes in DOMAINS.items():
        for label in classes:
            for split, count in COUNTS.items():
                for i in range(count):
                    where = f"{split}/{label}" if splits else f"{label}"
                    name = f"{domain}/{where}/{split} {i}.png"
                    (root / name).parent.mkdir(parents=True, exist_ok=True)
                    picture(seed, domain == "signs").save(root / name)
                    rows.append(
                        {"path": name, "label": label, "domain": domain, "split": split}
                        if splits
                        else {"path": name, "label": label, "domain": domain}
                    )
                    seed += 1
    return rows


def suite_toml(root: Path) -> Path:
    (root / "suite.toml").write_text(
        'resolution = 32\n[pets]\nfolder = "pets"\n[signs]\ntable = "list.csv"\n', encoding="utf-8"
    )
    return root / "suite.toml"


@pytest.mark.parametrize("splits", [True, False])
def test_all_readers_give_the_same_images(tmp_path: Path, splits: bool) -> None:
    rows = write(tmp_path, splits)
    table = pd.DataFrame(rows[::-1])
    table.to_csv(tmp_path / "list.csv", index=False)
    table.to_csv(tmp_path / "list.tsv", index=False, sep="\t")
    table.to_parquet(tmp_path / "list.parquet")
    lines = "\n".join(json.dumps(row) for row in rows)
    (tmp_path / "list.jsonl").write_text(lines, encoding="utf-8")
    names = list(DOMAINS)
    suites = [mk.folders(tmp_path, resolution=32), mk.suite_file(suite_toml(tmp_path))]
    suites += [
        mk.table(tmp_path / f"list.{end}", resolution=32)
        for end in ("csv", "tsv", "jsonl", "parquet")
    ]
    named = {name: tmp_path / name for name in names}
    suites.append(mk.folders(named, resolution=32))
    assert len({suite.fingerprint() for suite in suites}) == 1
    for suite in suites:
        assert suite.names == ("pets", "signs") and suite.resolution == 32
        assert [d.channels for d in suite] == [3, 1]
        assert suite["pets"].classes == DOMAINS["pets"]
        assert [len(suite["pets"].split(s)) for s in COUNTS] == [18, 6, 6]


def test_images_are_those_of_the_files(tmp_path: Path) -> None:
    write(tmp_path)
    train = mk.folders(tmp_path, resolution=16, how="pad")["pets"].train
    index = torch.tensor([7, 0, 7])  # dog 1, cat 0
    names = [f"pets/train/{name}.png" for name in ("dog/train 1", "cat/train 0", "dog/train 1")]
    for image, name in zip(train.take(index), names, strict=True):
        assert torch.equal(image, decode((tmp_path / name).read_bytes(), Fit(16, "pad")))
    assert train.labels[index].tolist() == [1, 0, 1] and isinstance(train, Split)
    assert train.take(torch.empty(0, dtype=torch.int64)).shape == (0, 3, 16, 16)
    standard = Standard.of(mk.folders(tmp_path, resolution=16, how="pad")["pets"])
    assert 0 < float(standard.mean.mean()) < 1


def test_the_fingerprint_follows_pixels_labels_and_order_and_reads_no_pixel(
    tmp_path: Path, cache: Path
) -> None:
    write(tmp_path / "a")
    first = mk.folders(tmp_path / "a", resolution=16)
    prints = {first.fingerprint()}
    assert mk.folders(tmp_path / "a", resolution=16).fingerprint() in prints
    prints.add(mk.folders(tmp_path / "a", resolution=8).fingerprint())
    prints.add(mk.folders(tmp_path / "a", resolution=16, how="stretch").fingerprint())
    prints.add(mk.folders(tmp_path / "a", resolution=16, channels=1).fingerprint())
    prints.add(mk.folders(tmp_path / "a", resolution=16, flip=True).fingerprint())
    moved = tmp_path / "a/pets/train/cat/train 0.png"
    moved.rename(tmp_path / "a/pets/train/dog/train 0b.png")
    prints.add(mk.folders(tmp_path / "a", resolution=16).fingerprint())
    assert len(prints) == 6
    for pixels in cache.glob("images/*/pixels.bin"):
        pixels.write_bytes(bytes(pixels.stat().st_size))
    assert (
        first["pets"].train.fingerprint() == mk.Subset(first["pets"].train, []).split.fingerprint()
    )


def test_one_seed_and_its_shares_give_the_split(tmp_path: Path) -> None:
    write(tmp_path, splits=False)
    sizes = {}
    for seed, shares in ((0, (0.7, 0.15, 0.15)), (1, (0.7, 0.15, 0.15)), (0, (0.4, 0.3, 0.3))):
        suite = mk.folders(tmp_path, resolution=8, seed=seed, shares=shares)
        sizes[seed, shares] = (suite.fingerprint(), [len(suite["pets"].split(s)) for s in COUNTS])
    assert len({mark for mark, _ in sizes.values()}) == 3
    # 10 images a class: 1.5 is rounded up to 2; 3 of 10
    assert [n for _, n in sizes.values()] == [[18, 6, 6], [18, 6, 6], [12, 9, 9]]


def test_duplicates_stay_together_and_are_reported(tmp_path: Path) -> None:
    write(tmp_path, splits=False)
    for i in range(8):
        copy = picture(900 + i % 2)
        copy.save(tmp_path / f"pets/cat/copy {i}.png")
    suite = mk.folders(tmp_path / "pets", resolution=16)
    (notice,) = suite.notices
    assert notice == (
        "domain 'pets': 6 of 38 images are exact or near duplicates of others, such as "
        "cat/copy 2.png and cat/copy 0.png."
    )
    parts = [
        {image.numpy().tobytes() for image in split.take(torch.arange(len(split)))}
        for split in (suite["pets"].train, suite["pets"].val, suite["pets"].test)
    ]
    assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])


def test_duplicates_across_given_splits_missing_and_empty_classes_are_told(tmp_path: Path) -> None:
    write(tmp_path)
    cat = (tmp_path / "pets/train/cat/train 0.png").read_bytes()
    (tmp_path / "pets/test/dog/again.png").write_bytes(cat)
    for i in range(2):
        (tmp_path / f"pets/val/emu/val {i}.png").unlink()
    said = mk.folders(tmp_path, ["pets"], resolution=16).notices
    pair = "test/dog/again.png and train/cat/train 0.png."
    assert said == (
        "domain 'pets': class folder 'val/emu' is empty.",
        "domain 'pets': 1 of 3 classes have no image in val: 'emu'.",
        f"domain 'pets': 1 of 29 images are exact or near duplicates of others, such as {pair}",
        "domain 'pets': 1 duplicates are in different splits, so test results may be too good, "
        f"such as {pair}",
        f"domain 'pets': 1 duplicates have different classes, such as {pair}",
    )


def test_too_few_different_images_are_told(tmp_path: Path) -> None:
    for i in range(5):
        for label in ("cat", "dog"):
            (tmp_path / label).mkdir(exist_ok=True)
            picture(label == "cat").save(tmp_path / label / f"{i}.png")
    with pytest.raises(MpnasError, match="has no image for val: expected .* 3 different images"):
        mk.folders({"x": tmp_path}, resolution=16)


# What cannot be read ------------------------------------------------------------------------------


def put_zoo(root: Path) -> None:
    """The whole zoo, good and bad, as the class `odd` of a domain."""
    for i in range(6):
        (root / "plain").mkdir(parents=True, exist_ok=True)
        picture(i).save(root / f"plain/{i}.png")
    (root / "odd").mkdir()
    for name, (make, *_) in {**zoo.READ, **zoo.REFUSED}.items():
        (root / "odd" / name).write_bytes(make())


def test_bad_files_stop_with_their_number_and_the_first(tmp_path: Path) -> None:
    put_zoo(tmp_path / "x")
    with pytest.raises(MpnasError) as caught:
        mk.folders(tmp_path / "x", resolution=16)
    said, count = str(caught.value), len(zoo.REFUSED)
    total = count + len(zoo.READ) + 6
    assert said.startswith(f"{count} of {total} images cannot be read: x: odd/")
    assert said.count("; ") == 3 and f"and {count - 3} more. Mend or" in said
    assert len(said) < 650 and "\n" not in said


def test_bad_files_are_left_out_only_if_that_is_asked_and_all_are_listed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    put_zoo(tmp_path / "x")
    suite = mk.folders(tmp_path / "x", resolution=16, bad="skip")
    assert len(suite.left_out) == len(zoo.REFUSED)
    for name, (_, words) in zoo.REFUSED.items():
        (line,) = [each for each in suite.left_out if each.startswith(f"x: odd/{name}: ")]
        assert words in line
    domain = suite["x"]
    assert len(domain.train) + len(domain.val) + len(domain.test) == len(zoo.READ) + 6
    assert suite.notices[-1].startswith(f"{len(zoo.REFUSED)} images are left out: x: odd/")
    assert suite.select(["x"]).left_out == suite.left_out
    captured = capfd.readouterr()
    assert captured.err == captured.out == "", "decoders print nothing"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda root: mk.folders(root / "none"), "there is no folder"),
        (lambda root: mk.folders(root / "list.csv"), "is a file: expected a folder"),
        (lambda root: mk.folders(root, ["pest"]), "unknown domain 'pest'"),
        (lambda root: mk.folders({"pets": root / "pets"}, ["x"]), "unknown domain 'x'"),
        (lambda root: mk.folders({3: root / "pets"}), "a name in path must be text"),
        (lambda root: mk.hub({3: root / "pets"}), "a name in path must be text"),
        (lambda root: mk.folders({"a b": root, "a_b": root}), "two folders for the domain 'a_b'"),
        (lambda root: mk.hub({"a b": root, "a_b": root}), "two folders for the domain 'a_b'"),
        (lambda root: mk.folders(3), "must be text or a path"),
        (lambda root: mk.folders(root, resolution=0), "resolution must be a whole number from 1"),
        (lambda root: mk.folders(root, how="zoom"), "how must be 'crop' or 'pad' or 'stretch'"),
        (lambda root: mk.folders(root, shares=(1, 2)), "shares must be 3 numbers"),
        (lambda root: mk.folders(root, group="["), "is no regular expression"),
        (lambda root: mk.folders(root, bad="ask"), "bad must be"),
        (lambda root: mk.folders(root / "pets" / "train" / "cat"), "has no folders"),
        (lambda root: mk.table(root / "none.csv"), "no such file"),
        (lambda root: mk.table(root), "is no manifest"),
        (lambda root: mk.suite_file(root), "is a directory"),
        (lambda root: mk.suite_file(root / "none.toml"), "no such file"),
    ],
)
def test_wrong_calls_are_refused(make: Callable[[Path], Any], words: str, tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "list.csv").write_text("path,label\n")
    with pytest.raises(MpnasError) as caught:
        make(tmp_path)
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "has no domains: expected a table per domain"),
        ("resolution = 32", "has no domains"),
        ("[pets", "is no valid TOML"),
        ("[pets]\n", "[pets] must have one of folder, table and hub"),
        ("[pets]\nfolder='pets'\ntable='list.csv'", "must have one of folder, table and hub"),
        ("[pets]\nfoldr='pets'", "unknown key in"),
        ("size = 3\n[pets]\nfolder='pets'", "unknown key in"),
        ("resolution = 'x'\n[pets]\nfolder='pets'", "resolution must be a whole number"),
        ("bad = 'x'\n[pets]\nfolder='pets'", "bad must be"),
        ("[pets]\nfolder=3", "folder must be a path, not 3"),
        ("[pets]\nfolder='none'", "there is no folder"),
        ("[pets]\nfolder='pets'\nhow='x'", "[pets]: images: how must be"),
        ("[pets]\nfolder='pets'\nshares=[1]", "[pets]: shares must be"),
        ("['a b']\nfolder='pets'", "must have letters, digits"),
        ("[more]\ntable='list.csv'", "unknown domain in"),
    ],
)
def test_wrong_suite_files_are_refused(content: str, words: str, tmp_path: Path) -> None:
    pd.DataFrame(write(tmp_path)).to_csv(tmp_path / "list.csv", index=False)
    (tmp_path / "suite.toml").write_text(content)
    with pytest.raises(MpnasError) as caught:
        mk.suite_file(tmp_path / "suite.toml")
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_a_suite_file_treats_every_domain_in_its_own_way(tmp_path: Path) -> None:
    rows = pd.DataFrame(write(tmp_path, splits=False))
    rows[rows["domain"] == "signs"].drop(columns="domain").to_csv(tmp_path / "s.csv", index=False)
    (tmp_path / "suite.toml").write_text(
        "resolution = 24\nseed = 3\n[signs]\ntable = 's.csv'\nchannels = 3\nhow = 'pad'\n"
        "[animals]\nfolder = 'pets'\nflip = true\nturn = true\n"
        "shares = [0.4, 0.3, 0.3]\nresolution = 16\n"
    )
    suite = mk.suite_file(tmp_path / "suite.toml")
    assert suite.names == ("signs", "animals") and suite.resolution == 24
    assert suite.resolutions == {"signs": 24, "animals": 16}
    assert [d.channels for d in suite] == [3, 3] and [d.flip for d in suite] == [False, True]
    assert [d.turn for d in suite] == [False, True]
    assert [len(suite["animals"].split(s)) for s in COUNTS] == [12, 9, 9]
    assert mk.suite_file(tmp_path / "suite.toml", ["animals"]).names == ("animals",)


# Texts --------------------------------------------------------------------------------------------


def test_paths_become_texts_with_absolute_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "pocket").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    here = str(tmp_path)
    for given, text in {
        "photos": f"folders(path='{here}/photos', resolution=64)",
        "./pocket": f"folders(path='{here}/pocket', resolution=64)",
        "~/photos": f"folders(path='{here}/photos', resolution=64)",
        ".": f"folders(path='{here}', resolution=64)",
        "list.csv": f"table(path='{here}/list.csv', resolution=64)",
        "LIST.PARQUET": f"table(path='{here}/LIST.PARQUET', resolution=64)",
        "suite.toml": f"suite_file(path='{here}/suite.toml')",
        "pets=photos": f"folders(path={{'pets': '{here}/photos'}}, resolution=64)",
        "folders(path='photos', flip=True)": (
            f"folders(path='{here}/photos', flip=True, resolution=64)"
        ),
        "pocket": "pocket",
        "pocket(full=True)": "pocket(full=True)",
        "my_data.py:suite": f"{here}/my_data.py:suite",
        "my.module:suite": "my.module:suite",
    }.items():
        assert suite_text(given) == text
        assert suite_text(text) == text, "a text with absolute paths stays as it is"
    assert suite_text(["a=x", "b=y"], resolution=32, bad="skip") == (
        f"folders(path={{'a': '{here}/x', 'b': '{here}/y'}}, resolution=32, bad='skip')"
    )


@pytest.mark.parametrize(
    ("given", "options", "words"),
    [
        (["a=x", "a=y"], {}, "names the domain 'a' twice"),
        (["x", "y"], {}, "data is given 2 times: expected name=path"),
        (["a=x", "pocket"], {}, "data is given 2 times"),
        (["pocket"], {"resolution": 32}, "resolution cannot be used with data 'pocket'"),
        (["a.toml"], {"bad": "skip"}, "bad cannot be used with data 'a.toml'"),
        (["photos"], {}, "unknown suite of domains 'photos'"),
        (["photos"], {}, "There is no folder of this name."),
        (["folders(resolution=3)"], {}, "has no path: expected folders(path='...')"),
        ([3], {}, "data must be text, not 3"),
    ],
)
def test_data_that_means_nothing_is_refused(
    given: Any, options: dict[str, Any], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MpnasError) as caught:
        suite_text(given, **options)
    assert words in str(caught.value)


def test_the_source_of_a_suite_creates_it_again(tmp_path: Path) -> None:
    pd.DataFrame(write(tmp_path)).to_csv(tmp_path / "list.csv", index=False)
    for suite in (
        mk.folders(tmp_path, ["signs"], resolution=8, how="pad", shares=[0.5, 0.25, 0.25]),
        mk.folders({"signs": tmp_path / "signs"}, resolution=8, flip=True, seed=4, group="^x"),
        mk.table(tmp_path / "list.csv", ["signs"], resolution=8, channels=3, bad="skip"),
        mk.suite_file(suite_toml(tmp_path), ["signs"]),
    ):
        assert suite.source is not None and suite_text(suite.source) == suite.source
        again = mk.suite_from_text(suite.source, ["signs"])
        assert again.fingerprint() == suite.fingerprint() and again.source == suite.source


def test_a_text_with_a_path_is_read_only_if_a_person_gave_or_trusts_it(tmp_path: Path) -> None:
    write(tmp_path)
    text = suite_text(str(tmp_path), resolution=8)
    found = SUITE.read(text, trust=False)
    assert isinstance(found, Missing)
    with pytest.raises(Unavailable) as caught:
        read_suite(text, ["pets"], trust=False)
    assert "reads files outside of the run folder" in str(caught.value)
    assert "give it again (such as --data), or trust the run" in str(caught.value)
    assert text not in approved()
    mk.suite_from_text(str(tmp_path), ["pets"])  # another resolution is another text
    assert isinstance(SUITE.read(text, trust=False), Missing)
    mk.folders(tmp_path, resolution=8)
    assert read_suite(text, ["pets"], trust=False).names == ("pets",) and text in approved()
    other = text.replace("resolution=8", "resolution=9")
    assert isinstance(SUITE.read(other, trust=False), Missing)
    approve([other])  # as another process of the same run does
    assert read_suite(other, ["pets"], trust=False).resolution == 9
