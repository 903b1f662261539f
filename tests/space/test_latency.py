"""Latency tables: sums that are worked out by hand, and what is refused in a file."""

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from torch import nn

import mpnas_kit as mk
from mpnas_kit import parts
from mpnas_kit.errors import MpnasError
from mpnas_kit.parts import Missing, to_text
from mpnas_kit.space.costs import COST
from mpnas_kit.space.latency_file import LatencyFile, Time, Unit, parse_latency
from mpnas_kit.space.space import SearchSpace

# The space: stem conv3 (3 -> 8, stride 2, 8 px), 1.1: conv1 or conv3, 1.2: none, conv1 or conv3
# (8 -> 8, 4 px), head conv1 (8 -> 16, 4 px).
HEADER = "block,in_channels,out_channels,stride,resolution,milliseconds"
ROWS = """# device: a phone
# threads: 2
block,in_channels,out_channels,stride,resolution,milliseconds,spread
call,3,10,1,8,100,0.5
conv,3,8,2,8,20,
conv(kernel=1),8,8,1,4,3,
conv,8,8,1,4,4,
conv(kernel=1),8,16,1,4,0.5,0.1
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPNAS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(parts, "_GIVEN", {})


def table(folder: Path, text: str = ROWS) -> mk.LatencyTable:
    (folder / "phone.csv").write_text(text, encoding="utf-8")
    return mk.LatencyTable(str(folder / "phone.csv"))


def test_a_path_costs_a_call_and_its_blocks(tmp_path: Path) -> None:
    space, model = tiny.two_searched_layers(), table(tmp_path)
    archs = {"conv1 zero": 123.5, "conv1 conv3": 127.5, "conv3 conv3": 128.5}
    paths = {arch: space.parse(arch) for arch in archs}
    assert mk.path_costs(model, space, paths) == archs
    assert mk.cost_bounds(model, space, domains=2) == (123.5, 128.5)
    assert model.unit == "ms"


def test_a_table_serves_several_resolutions(tmp_path: Path) -> None:
    larger = "call,3,10,1,16,200,\nconv,3,8,2,16,60,\nconv(kernel=1),8,8,1,8,10,\n"
    larger += "conv,8,8,1,8,13,\nconv(kernel=1),8,16,1,8,2,\n"
    model = table(tmp_path, ROWS + larger)
    small = tiny.two_searched_layers()
    large = mk.LayerwiseSpace("large", small.layers, 16)
    arch = "conv3 conv1"
    assert mk.path_costs(model, small, {"": small.parse(arch)})[""] == 127.5
    assert mk.path_costs(model, large, {"": large.parse(arch)})[""] == 285


def test_a_missing_row_is_named_before_a_search(tmp_path: Path) -> None:
    model = table(tmp_path, ROWS.replace("conv,8,8,1,4,4,\n", ""))
    with pytest.raises(MpnasError) as refused:
        mk.cost_bounds(model, tiny.two_searched_layers(), 1)
    assert str(refused.value) == (
        f"{tmp_path}/phone.csv has no row for block 'conv3', 8 to 8 channels, stride 1, at 4 px: "
        "expected a row that begins with conv,8,8,1,4. `mpnas profile` measures what is missing."
    )
    model = table(tmp_path, ROWS.replace("call,3,10,1,8,100", "call,3,10,1,16,100"))
    with pytest.raises(MpnasError, match="no row for a call with images of 8 px"):
        mk.cost_bounds(model, tiny.two_searched_layers(), 1)


def test_a_factored_space_is_checked_too(tmp_path: Path) -> None:
    space = mk.mobilenet_v3_like(32)
    times = dict.fromkeys([Unit("call", 3, 10, 1, 32), *map(Unit.of, space.all_uses())], Time(1))
    blocks = len(times) - 1
    model = table(tmp_path, LatencyFile({}, times).text())
    assert mk.cost_bounds(model, space, 1) == (1 + 8, 1 + 24)  # 1 of a call, 1 per block
    (unit,) = [u for u in times if u.resolution == 2 and "kernel=7, expansion=6, se" in u.block][:1]
    del times[unit]
    assert len(times) == blocks
    with pytest.raises(MpnasError, match="has no row for block 'k7e6se'"):
        mk.cost_bounds(table(tmp_path, LatencyFile({}, times).text()), space, 1)


def test_every_use_of_random_paths_is_among_all_uses() -> None:
    spaces: list[SearchSpace] = [tiny.space(), mk.pocket_space(), mk.mobilenet_v3_like(64)]
    for space in spaces:
        known, generator = set(space.all_uses()), torch.Generator().manual_seed(0)
        for _ in range(50):
            assert {u for u in space.uses(space.sample(generator)) if u is not None} <= known


@dataclass(frozen=True)
class Wide:
    """A block in a lone file, whose text form has a path."""

    factor: int = 2
    name = "wide"

    def build(self, in_channels: int, out_channels: int, stride: int, norm: Any) -> nn.Module:
        return nn.Conv2d(in_channels, out_channels, 1, stride)


def test_a_block_of_ones_own_has_a_name_without_its_file() -> None:
    assert to_text(Wide()).startswith("/")
    use = mk.Use(mk.Node(0, "wide"), Wide(3), 3, 8, 2, 32)
    assert Unit.of(use).row() == "Wide(factor=3),3,8,2,32"


def test_a_block_without_a_text_form_has_its_name() -> None:
    use = mk.Use(mk.Node(0, "wide"), Wide([3]), 3, 8, 2, 32)  # type: ignore[arg-type]
    assert Unit.of(use).block == "Wide(factor=[3])"
    odd = mk.Use(mk.Node(0, "wide"), Wide(object()), 3, 8, 2, 32)  # type: ignore[arg-type]
    assert Unit.of(odd).block == "wide"


WRONG = [
    ("", "has no rows"),
    ("# only: notes\n", "has no rows"),
    (HEADER, "has no rows"),
    (f"{HEADER}\n\n", "has no rows"),
    (HEADER.replace("stride,", ""), "has no column 'stride': expected block, in_channels,"),
    (f"{HEADER},speed\n", "unknown column of .*'speed'.*spread"),
    (f"{HEADER},stride\n", "has the column 'stride' twice"),
    (f"{HEADER}\nconv,3,8,2,8,-1", "line 2: milliseconds must be a number from 0 .*not '-1'"),
    (f"{HEADER}\nconv,3,8,2,8,nan", "line 2: milliseconds must be a number"),
    (f"{HEADER}\nconv,3,8,2,8,fast", "line 2: milliseconds must be a number .*'fast'"),
    (f"# a: b\n{HEADER}\nconv,3,8,2,8,1,2", "line 3 has 7 fields: expected 6"),
    (f"{HEADER}\nconv,0,8,2,8,1", "line 2: in_channels must be a whole number from 1"),
    (f"{HEADER}\nconv,3,8.5,2,8,1", "line 2: out_channels must be a whole number"),
    (f"{HEADER}\nconv,3,8,,8,1", "line 2: stride must be a whole number"),
    (f"{HEADER}\nconv,3,8,2,9999999,1", "line 2: resolution must be a whole number"),
    (f"{HEADER}\n,3,8,2,8,1", "line 2: block '' is none"),
    (f"{HEADER}\nconv,3,8,2,8,1\nconv,3,8,2,8,2", "line 3 repeats the row of line 2"),
    (f"{HEADER}\ncall,3,8,1,8,1\ncall,3,9,1,8,2", "line 3 is another row 'call' for 8 px"),
    (f'{HEADER}\n"conv,3,8,2,8,1', "line 2 cannot be read"),
    (f"{HEADER}\nconv,3,8,2,8,", "has no time for 1 of 1 rows, such as conv,3,8,2,8"),
]


@pytest.mark.parametrize(("text", "words"), WRONG)
def test_a_wrong_file_is_refused_by_its_line(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(MpnasError, match=words) as refused:
        table(tmp_path, text)
    assert str(refused.value).startswith((str(tmp_path), "unknown column of"))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("path", ["", "no.csv", "\0", 3, None, "."])
def test_a_path_that_is_no_table_is_refused(
    path: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MpnasError):
        mk.LatencyTable(path)


def test_a_file_of_a_spreadsheet_is_read(tmp_path: Path) -> None:
    text = "\ufeff" + ROWS.replace(",", ";").replace("\n", "\r\n")
    (tmp_path / "sheet.csv").write_bytes(text.encode())
    content = (tmp_path / "sheet.csv").read_bytes()
    read = parse_latency(content, tmp_path / "sheet.csv")
    assert read == parse_latency(ROWS.encode(), tmp_path)
    assert read.notes == {"device": "a phone", "threads": "2"}
    assert read.times[Unit("conv(kernel=1)", 8, 16, 1, 4)] == Time(0.5, 0.1)


def test_a_written_file_is_read_back(tmp_path: Path) -> None:
    times = {Unit("a(b='x, y')", 1, 2, 1, 8): Time(0.25, 0.125), Unit("conv", 3, 8, 2, 9): None}
    file = LatencyFile({"device": "any"}, times)
    assert parse_latency(file.text().encode(), tmp_path) == file


# Text form and trust ------------------------------------------------------------------------------


def test_the_text_form_has_the_checksum_and_refuses_another_file(tmp_path: Path) -> None:
    model, space = table(tmp_path), tiny.two_searched_layers()
    text = to_text(model)
    assert text == f"latency(path='{tmp_path}/phone.csv', checksum='{model.checksum}')"
    assert len(str(model.checksum)) == 16 and COST.parse(text) == model
    assert pickle.loads(pickle.dumps(model)) == model
    (tmp_path / "phone.csv").write_text(ROWS.replace("100", "101"), encoding="utf-8")
    again = COST.parse(text)  # a finished run can be read without its table
    with pytest.raises(MpnasError, match=rf"phone.csv has changed: .* given with {model.checksum}"):
        mk.cost_bounds(again, space, 1)
    assert mk.LatencyTable(tmp_path / "phone.csv").checksum != model.checksum  # type: ignore[arg-type]


def test_a_run_folder_of_a_stranger_reads_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = table(tmp_path)
    text = to_text(model)
    assert COST.read(text, trust=False) == model, "this person gave it"
    monkeypatch.setattr(parts, "_GIVEN", {})
    assert COST.read(text, trust=False) == model, "in an earlier process"
    monkeypatch.setenv("MPNAS_CACHE", str(tmp_path / "other person"))
    missing = COST.read(text, trust=False)
    assert isinstance(missing, Missing)
    assert "give it again (such as --cost)" in str(missing.error())
    assert COST.read(text, trust=True) == model
    stranger = text.replace("phone", "secret")
    assert isinstance(COST.read(stranger, trust=False), Missing)
