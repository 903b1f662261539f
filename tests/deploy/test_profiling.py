"""Latency tables that are measured: with clocks and timers whose answers are known."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from torch import Tensor, nn

import mpnas_kit as mk
from mpnas_kit.cli.commands import main
from mpnas_kit.deploy import profiling
from mpnas_kit.deploy.chain_networks import Networks, example_input
from mpnas_kit.deploy.chains import Chain, Chains, chain_words, spread_paths
from mpnas_kit.deploy.clock import SAMPLE, clock_for, time_in_turns
from mpnas_kit.deploy.profiling import fill_table
from mpnas_kit.deploy.session import start_session
from mpnas_kit.errors import MpnasError
from mpnas_kit.space.latency_file import LatencyFile, Time, Unit, read_latency_file

NOTES = {"device": "a test", "runtime": "none", "threads": "1", "batch": "1"}
SPACE = tiny.space()


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPNAS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


# The clock ----------------------------------------------------------------------------------------


class Machine:
    """A machine on which time passes only in calls, and other work slows them for a while."""

    def __init__(self) -> None:
        self.now, self.log, self.slow = 0.0, "", range(0)

    def call(self, name: str, seconds: float) -> Callable[[], None]:
        def run() -> None:
            self.log += name
            self.now += seconds * (5 if len(self.log) in self.slow else 1)

        return run


def test_calls_are_timed_in_turns_and_the_smallest_sample_counts() -> None:
    machine = Machine()
    calls = [machine.call("a", SAMPLE), machine.call("b", SAMPLE / 2)]
    machine.slow = range(13, 16)  # the first round
    first, second = time_in_turns(calls, 3, lambda: machine.now)
    assert machine.log == "aaaaaa" + "bbbbbb" + "abb" * 3
    assert first.milliseconds == pytest.approx(1000 * SAMPLE)
    assert second.milliseconds == pytest.approx(500 * SAMPLE)
    assert first.spread == pytest.approx(0) == second.spread, "two of three samples are equal"


def test_a_disturbed_first_call_does_not_make_samples_short() -> None:
    machine = Machine()
    machine.slow = range(2, 5)
    time_in_turns([machine.call("a", SAMPLE / 4)], 1, lambda: machine.now)
    assert len(machine.log) == 6 + 4


def test_one_thread_is_timed_by_its_own_clock() -> None:
    import time

    assert clock_for(1) is time.thread_time and clock_for(2) is time.perf_counter


# Tables from known times --------------------------------------------------------------------------


class Additive:
    """A timer of a machine on which every call costs 5 ms, and every piece a time of its own."""

    def __init__(self, breaks_at: int = 10**9, curve: float = 0) -> None:
        self.timed: list[Chain] = []
        self.breaks_at, self.curve = breaks_at, curve

    def __call__(self, chains: list[Chain]) -> Mapping[Chain, Time]:
        if len(self.timed) >= self.breaks_at:
            raise KeyboardInterrupt
        self.timed += chains
        return {c: Time(self.time(c), 0.125) for c in chains}

    def time(self, chain: Chain) -> float:
        noise = self.curve * (len(chain_words(chain)) % 7) if len(chain) > 4 else 0
        return 5 + sum(piece(unit) for unit in chain) + noise


def piece(unit: Unit) -> float:
    """Time of a piece, ms: no two pieces of the space have the same."""
    return len(unit.block) + unit.in_channels / 8 + unit.out_channels / 64 + unit.stride / 256


def filled(file: Path, timer: Additive, space: Any = SPACE, notes: Any = NOTES) -> Any:
    return fill_table(space, file, Chains.of(space, 10), timer, notes, paths=8)


def test_every_row_is_the_time_of_its_block_and_sums_are_exact(tmp_path: Path) -> None:
    file, timer = tmp_path / "new" / "table.csv", Additive()
    check = filled(file, timer)
    assert (round(check.spearman, 9), check.largest_error) == (1, pytest.approx(0, abs=1e-5))
    table = read_latency_file(file)
    assert table.notes.items() >= NOTES.items()
    uses = {Unit.of(use) for use in SPACE.all_uses()}
    call = Unit("call", 3, 10, 1, 16)
    assert set(table.times) == uses | {call}
    assert len(uses) == 8, "the stem, three blocks in each searched layer and the head"
    for unit, time in table.times.items():
        pixels, end = Unit("pixels", 3, 3, 1, 16), Unit("end", 16, 10, 1, 4)
        expected = piece(unit) if unit in uses else 5 + piece(pixels) + piece(end)
        assert time is not None and time.milliseconds == pytest.approx(expected, abs=1e-4)
        assert time.spread == 0.125
    assert len(check.rows) == len({*check.rows["arch"]}) > 3
    path = SPACE.parse(check.rows["arch"][0])
    whole = timer.time(Chains.of(SPACE, 10).whole(SPACE, path))
    assert check.rows["measured"][0] == pytest.approx(whole)


def test_equal_work_is_measured_once(tmp_path: Path) -> None:
    body = (mk.InvertedBottleneck(3, 2), mk.InvertedBottleneck(5, 2))
    layers = [mk.Layer("stem", 2, (8,), (mk.Conv(3),))]
    layers += [mk.Layer(f"body{i}", 1, (8,), body) for i in range(5)]
    timer = Additive()
    filled(tmp_path / "table.csv", timer, mk.LayerwiseSpace("deep", layers, 16))
    assert len(read_latency_file(tmp_path / "table.csv").times) == 4
    assert len(timer.timed) == len(set(timer.timed)), "chains in common are timed once too"


def test_a_stopped_measurement_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiling, "GROUP", 2)
    file = tmp_path / "table.csv"
    with pytest.raises(KeyboardInterrupt):
        filled(file, Additive(breaks_at=5))
    done = set(read_latency_file(file).times)
    assert 2 <= len(done) < 9
    timer = Additive()
    assert filled(file, timer).largest_error < 1e-5
    first = {chain[0] for chain in timer.timed if len(chain) == 2}
    stem = Unit("conv", 3, 8, 2, 16)  # the row of a call needs its chain too
    assert done & first <= {stem}, "what the table had was not measured again"
    again = Additive()
    assert filled(file, again).largest_error < 1e-5
    assert again.timed == [], "a finished table and its paths are only read"


def test_another_resolution_is_added_and_nothing_else_changes(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    filled(file, Additive())
    before = file.read_text("utf-8")
    large = tiny.space(32)
    check = filled(file, Additive(), large)
    assert check.resolution == 32 and check.largest_error < 1e-5
    assert file.read_text("utf-8").startswith(before)
    again = Additive()
    assert filled(file, again).resolution == 16 and again.timed == []


def test_a_table_of_other_settings_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    filled(file, Additive())
    before = file.read_bytes()
    with pytest.raises(MpnasError, match="was measured with threads '1', not '4': use another"):
        filled(file, Additive(), notes={**NOTES, "threads": "4"})
    with pytest.raises(MpnasError, match="measured with 10 classes at 16 px, not 20"):
        fill_table(SPACE, file, Chains.of(SPACE, 20), Additive(), NOTES, 5)
    assert file.read_bytes() == before


def test_a_time_is_never_negative(tmp_path: Path) -> None:
    class Odd(Additive):
        def time(self, chain: Chain) -> float:
            return 10.0 / len(chain)

    filled(tmp_path / "table.csv", Odd())
    times = read_latency_file(tmp_path / "table.csv").times.values()
    assert min(time.milliseconds for time in times if time is not None) == 0


def test_paths_are_spread_over_the_costs() -> None:
    space = mk.pocket_space()
    costs = [space.cost(path).multiply_adds for path in spread_paths(space, 10)]
    low, high = mk.cost_bounds(mk.MultiplyAdds(), space, 1)
    places = np.sort((np.array(costs) - low) / (high - low))
    assert np.abs(places - (np.arange(10) + 0.5) / 10).max() < 0.06
    assert spread_paths(space, 10) == spread_paths(space, 10)
    alone = mk.mobilenet_v3_large(32)
    assert spread_paths(alone, 3) == [alone.parse("")]


# Networks -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Own:
    """A block of a person's own; `broken`: its module cannot be exported."""

    broken: bool = False

    @property
    def name(self) -> str:
        return f"own{int(self.broken)}"

    def build(self, in_channels: int, out_channels: int, stride: int, norm: Any) -> nn.Module:
        convolution = nn.Conv2d(in_channels, out_channels, 3, stride, 1)
        return nn.Sequential(convolution, norm(out_channels), _Odd() if self.broken else nn.ReLU())


class _Odd(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if torch.compiler.is_exporting():
            raise RuntimeError("not for export")
        return x.relu()


def own_space(broken: bool) -> mk.LayerwiseSpace:
    layers = (
        mk.Layer("stem", 2, (8,), (mk.Conv(3),)),
        mk.Layer("body", 1, (8,), (Own(broken), mk.InvertedBottleneck(5, 2, se=True))),
        mk.Layer("pooled", 1, (12,), (mk.PooledConv(),)),
    )
    return mk.LayerwiseSpace("own", layers, 16)


def test_the_onnx_file_of_a_chain_equals_its_torch_network() -> None:
    pytest.importorskip("onnxruntime")
    space = own_space(broken=False)
    chains = Chains.of(space, 5)
    networks = Networks(chains.uses)
    whole = [chains.whole(space, path) for path in tiny.all_paths(space)]
    needed = [*whole, *(c for f in chains.formulas.values() for c in f.chains)]
    networks.prepare(needed)
    for chain in needed:
        given = example_input(chain, 3)
        with torch.inference_mode():
            expected = networks.network(chain)(given)
        session = start_session(networks.content(chain), 1)
        (found,) = session.run(None, {session.get_inputs()[0].name: given.numpy()})
        assert np.abs(found - expected.numpy()).max() < 1e-4 * max(1, float(expected.abs().max()))
        if chain in whole:
            assert expected.shape == (3, 5) and given.dtype == torch.uint8


def test_a_block_that_cannot_be_exported_is_named() -> None:
    pytest.importorskip("onnxruntime")
    chains = Chains.of(own_space(broken=True), 5)
    with pytest.raises(MpnasError, match=r"block Own\(broken=True\) cannot be exported to ONNX"):
        Networks(chains.uses).prepare(
            [(unit,) for unit in chains.uses if unit.in_channels == 8][:2]
        )


def test_a_space_is_measured_on_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    profile = ["profile", "--space", f"{__file__}:own_space(broken=True)", "--resolution", "16"]
    some = ["--runtime", "torch", "--rounds", "2", "--paths", "3", "--classes", "5"]
    assert main([*profile, *some]) == 0
    said = capsys.readouterr()
    assert "whole paths against their sums: Spearman" in said.out and "measuring" in said.err
    table = read_latency_file(Path("latency.csv"))
    assert table.notes["runtime"].startswith("torch 2") and table.notes["threads"] == "1"
    assert set(table.times) == set(Chains.of(own_space(True), 5).formulas)
    assert all(time is not None for time in table.times.values())
    assert (
        Path("latency.paths.csv").read_text().startswith("space,resolution,arch,measured\nown,16")
    )
    assert torch.get_num_threads() == 1
    assert main([*profile, *some, "--threads", "2"]) == 2
    assert "was measured with threads '1', not '2'" in capsys.readouterr().err


def test_onnx_is_measured_for_a_batch(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    space = own_space(broken=False)
    table = tmp_path / "table.csv"
    check = mk.measure_latency(space, table, runtime="onnx", batch=2, rounds=2, paths=2, classes=5)
    assert len(check.rows) == 2 and (check.rows["measured"] > 0).all()
    assert read_latency_file(table).notes["batch"] == "2"


def test_paths_are_measured_by_name() -> None:
    space = own_space(broken=False)
    paths = {"first": space.parse("own0"), "second": space.parse("k5e2se")}
    found = mk.measure_paths(space, paths, runtime="torch", rounds=1)
    assert list(found) == ["first", "second"] and min(found.values()) > 0


# Other machines -----------------------------------------------------------------------------------


def test_networks_are_timed_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    onnx: Any = pytest.importorskip("onnx")
    space = ["--space", f"{__file__}:own_space(broken=False)", "--resolution", "16", "--paths", "2"]
    assert main(["profile", *space, "--networks", "phone"]) == 0
    file = Path("phone/networks.csv")
    rows = file.read_text("utf-8").splitlines()
    networks = sorted(Path("phone").glob("*.onnx"))
    assert len(rows) == 5 + len(networks)
    for network in networks:
        onnx.checker.check_model(onnx.load(network))
        assert str(tmp_path).encode() not in network.read_bytes()
    assert main(["profile", *space, "--from", str(file), "--out", "phone.csv"]) == 2
    assert "00000.onnx has no milliseconds" in capsys.readouterr().err
    assert not Path("phone.csv").exists()

    timer, of = Additive(), {chain_words(c): c for c in chains_of(own_space(False))}
    text = "\n".join([*rows[:5], *(_timed(row, timer, of) for row in rows[5:])])
    file.write_text(text.replace("# device: ", "# device: a phone"), "utf-8")
    assert main(["profile", *space, "--from", str(file), "--out", "phone.csv"]) == 0
    table = read_latency_file(Path("phone.csv"))
    assert table.notes["device"] == "a phone"
    time = table.times[Unit("conv", 3, 8, 2, 16)]
    assert time is not None and time.milliseconds == pytest.approx(piece(Unit("conv", 3, 8, 2, 16)))
    before = Path("phone.csv").read_bytes()
    assert main(["profile", *space, "--from", str(file), "--out", "phone.csv"]) == 0
    number, milliseconds = file.read_text("utf-8").splitlines()[5].rsplit(",", 1)
    corrected = f"{number},{float(milliseconds) + 5}"
    file.write_text(file.read_text("utf-8").replace(f"{number},{milliseconds}", corrected), "utf-8")
    capsys.readouterr()
    assert main(["profile", *space, "--from", str(file), "--out", "phone.csv"]) == 2
    assert "use another file, or remove this one" in capsys.readouterr().err
    assert Path("phone.csv").read_bytes() == before
    assert main(["profile", "--networks", "phone"]) == 2
    assert "phone is not empty: expected a new folder" in capsys.readouterr().err


def chains_of(space: Any) -> list[Chain]:
    chains = Chains.of(space, 10)
    whole = [chains.whole(space, path) for path in spread_paths(space, 2)]
    return [*(c for f in chains.formulas.values() for c in f.chains), *whole]


def _timed(row: str, timer: Additive, of: Mapping[str, Chain]) -> str:
    words = row.split(",", 1)[1].removesuffix(",").removeprefix('"').removesuffix('"')
    return f"{row}{timer.time(of[words.replace(chr(34) * 2, chr(34))])}"


def test_a_template_has_all_rows_and_no_times(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "--template", "phone.csv"]) == 0
    assert "59 rows to fill in" in capsys.readouterr().out
    table = read_latency_file(Path("phone.csv"))
    assert len(table.times) == 59 and set(table.times.values()) == {None}
    assert main(["profile", "--template", "phone.csv"]) == 2
    assert "exists: expected a new file" in capsys.readouterr().err
    with pytest.raises(MpnasError, match="has no time for 59 of 59 rows, such as conv,3,8,2,32"):
        mk.LatencyTable("phone.csv")


# Agreement ----------------------------------------------------------------------------------------


def test_sums_that_do_not_agree_are_said_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from mpnas_kit.cli import profile_command

    def disagrees(space: Any, out: Any, **options: Any) -> Any:
        return fill_table(space, Path(out), Chains.of(space, 10), Additive(curve=90), NOTES, 20)

    monkeypatch.setattr(profile_command, "measure_latency", disagrees)
    assert main(["profile"]) == 0
    assert "Warning: Spearman is below 0.95" in capsys.readouterr().out
    assert main(["profile", "--strict"]) == 2
    assert "do not agree with whole paths" in capsys.readouterr().err


def test_too_few_paths_have_no_order() -> None:
    import pandas as pd

    rows = pd.DataFrame({"arch": ["a", "b"], "sum": [1.0, 2.0], "measured": [1.25, 2.0]})
    check = mk.analysis.LatencyCheck(8, rows)
    assert check.median_error == pytest.approx(0.1) and check.largest_error == pytest.approx(0.2)
    assert not check.agrees and "too few to compare" in check.verdict()


def test_a_file_without_times_is_written_and_read(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text(LatencyFile({}, {Unit("conv", 3, 8, 2, 16): None}).text())
    assert read_latency_file(file).times == {Unit("conv", 3, 8, 2, 16): None}
