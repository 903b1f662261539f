"""Options of the commands: a wrong one is refused in one sentence, before anything is written."""

import os
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hostile import Refused

from mpnas_kit.cli.parsers import CONFIGS
from mpnas_kit.settings import options
from mpnas_kit.values import Range

NUMBERS = ["nan", "inf", "-inf", "1e300", "9" * 30, "9" * 5000, "many", "", " ", "1,5", "0x1g", "½"]


def ranges(hint: Any) -> Iterator[Range]:
    yield from (m for m in getattr(hint, "__metadata__", ()) if isinstance(m, Range))
    for inner in typing.get_args(hint):
        yield from ranges(inner)


def cases() -> Iterator[tuple[str, str, str]]:
    """Command, option and a wrong value: for each number below, above and odd ones in turn."""
    count = 0
    for command, config in CONFIGS.items():
        for name, (hint, _, _) in options(config).items():
            for allowed in ranges(hint):
                low, high = allowed.low - 1, allowed.high + 1
                for value in (str(low), str(high), *NUMBERS[count % 4 :: 4]):
                    yield command, name, value
                count += 1


CASES = list(cases())


def test_every_number_of_a_config_has_a_range() -> None:
    for config in CONFIGS.values():
        for name, (hint, _, _) in options(config).items():
            plain = [a for a in (hint, *typing.get_args(hint)) if a in (int, float)]
            assert not plain or list(ranges(hint)), name
    assert len(CASES) > 150


@pytest.mark.parametrize(
    ("command", "name", "value"), CASES, ids=[f"{c}-{n}-{v[:12]}" for c, n, v in CASES]
)
def test_a_number_out_of_its_range_is_refused_before_a_folder_is_made(
    command: str, name: str, value: str, tmp_path: Path, refused: Refused
) -> None:
    option = f"--{name.replace('_', '-')}={value}"
    refused([command, "--run", str(tmp_path / "run"), option], name)


WRONG = [
    # given twice
    (["search", "--steps", "3", "--steps", "3"], ["--steps", "twice"]),
    (["train", "--seed", "1", "--seed=2"], ["--seed", "twice"]),
    (["sweep", "--train", "steps", "2", "--train", "steps", "3"], ["steps", "twice"]),
    (["report", "-p", "steps", "2", "-p", "steps", "3"], ["steps", "twice"]),
    (["search", "--reward", "absolute(beta=-0.1, beta=-0.2)"], ["beta", "twice"]),
    # texts of parts
    (["search", "--reward", ""], ["reward"]),
    (["search", "--reward", "absolute("], ["absolute("]),
    (["search", "--reward", "absolute()()"], ["absolute()()"]),
    (["search", "--reward", "absolute(-0.1)"], ["absolute(-0.1)"]),
    (["search", "--reward", "absolute(beta=[1])"], ["beta"]),
    (["search", "--reward", "absolute(beta=open('x'))"], ["plain values"]),
    (["search", "--reward", "absolute(**{'beta': 1})"], ["absolute"]),
    (["search", "--reward", "absolute(beta=" + "(" * 3000], ["absolute("]),
    (["search", "--reward", "\0"], ["reward"]),
    (["search", "--sampling", "even"], ["sampling", "'policy' or 'fair'"]),
    (["search", "--quality", "loss"], ["quality", "'task' or 'probability'"]),
    (["search", "--two-phases", "perhaps"], ["two_phases"]),
    (["search", "--exact-cost", "2"], ["exact_cost"]),
    (["search", "--prioritization", "abdp(start=nan)"], ["start"]),
    (["search", "--prioritization", "abdp(start=-1e400)"], ["start"]),
    (["search", "--prioritization", "abdp(schedule=3)"], ["schedule"]),
    (["search", "--cost", "no_such_module:Cost"], ["no_such_module"]),
    (["search", "--cost", "no_such_file.py:Cost"], ["no_such_file.py"]),
    (["search", "--cost", "json:Cost"], ["Cost"]),
    (["search", "--cost", "latency"], ["path"]),
    (["search", "--cost", "latency(path='no such.csv')"], ["no such.csv"]),
    (["search", "--cost", "latency(path=3)"], ["path"]),
    (["search", "--cost", "latency(path='a.csv', file='b.csv')"], ["file"]),
    (["search", "--data", ""], ["suite"]),
    (["search", "--data", "pocket(full=3)"], ["full"]),
    (["search", "--data", "pocket(fulll=True)"], ["fulll"]),
    (["search", "--space", "pocket(resolution=0)"], ["resolution"]),
    (["search", "--space", "pocket(resolution=33)"], ["33"]),
    (["search", "--domains", ""], ["domain"]),
    (["search", "--domains", "digits,digits"], ["twice"]),
    (["search", "--domains", ","], ["domain"]),
    (["search", "--domains", "digits;icons"], ["digits;icons"]),
    (["search", "--approach", "bundle(3)"], ["bundle(3)"]),
    (["search", "--approach", "random_paths(draw=-1)"], ["draw"]),
    (["search", "--approach", "random_paths"], ["random_paths"]),
    (["search", "--search-from", "nowhere"], ["nowhere"]),
    (["search", "--start", ""], ["start"]),
    (["search", "--start", "nowhere.pth"], ["nowhere.pth"]),
    (["search", "--start", "\0"], ["start"]),
    (["train", "--start", "nowhere"], ["nowhere"]),
    (["train", "--start", "."], ["config.json"]),
    (["sweep", "--start", "nowhere.safetensors"], ["nowhere.safetensors"]),
    (["train", "--frozen-norms", "all"], ["frozen_norms", "'measured' or 'tuned' or 'start'"]),
    (["train", "--frozen-norms", "tuned"], ["frozen_norms", "frozen=True"]),
    (["train", "--approach", "backbone(tuned='some')"], ["tuned"]),
    (["train", "--approach", "backbone(shared=2)"], ["shared"]),
    (["train", "--approach", "backbone(tuned='heads', shared=False)"], ["tuned='all'"]),
    (["train", "--approach", "backbone(tuned='heads')"], ["--start"]),
    (["train", "--approach", "backbone"], ["path='...'"]),
    (["search", "--callbacks", "json:dumps(3)"], ["json:dumps(3)"]),
    (["search", "--callbacks", "no_such:thing"], ["no_such"]),
    (["search", "--norm", "batch"], ["norm"]),
    (["search", "--precision", "float16"], ["precision"]),
    (["search", "--kernels", "fast"], ["kernels", "'auto' or 'native' or 'eager'"]),
    (["search", "--collapse", "maybe"], ["collapse"]),
    (["search", "--warmup-share", "0.9"], ["warmup_share"]),
    (["search", "--micro-batches", "64"], ["micro_batches"]),
    (["search", "--memory-budget", "0"], ["memory_budget"]),
    (["train", "--memory-budget", "9", "--norm", "mixed"], ["memory_budget", "mixed"]),
    (["search", "--cost-target", "1"], ["cost_target"]),
    # devices
    *[
        (["search", "--device", device], [device])
        for device in ("meta", "hpu", "mkldnn", "cuda:99", "cpu:7x", "mps", "xla", "gpu", "")
    ],
    # sweeps: all cells are checked before the first one runs
    (["sweep", "--train", "steps", "0"], ["steps"]),
    (["sweep", "--train", "learning_rate", "nan"], ["learning_rate"]),
    (["sweep", "--search", "reward_batch", "1"], ["reward_batch"]),
    (["sweep", "--search", "device", "meta"], ["meta"]),
    (["sweep", "--search", "seed", "3"], ["seeds"]),
    (["sweep", "--search", "stepz", "3"], ["stepz"]),
    (["sweep", "--seeds", "1,x"], ["seed", "x"]),
    (["sweep", "--seeds", "-1"], ["seed"]),
    (["sweep", "--seeds", "99999999999999999999"], ["seed"]),
    (["sweep", "--norms", "all"], ["norm"]),
    (["sweep", "--approaches", "bundles"], ["bundles"]),
    (["sweep", "--approaches", "bundle(scale=0)"], ["scale", "above 0"]),
    (["sweep", "--approaches", "random_paths(match='area')"], ["match", "'size'"]),
    (["compare", "--claims", "--claims"], ["--claims is given twice"]),
    (["sweep", "--prioritizations", "abdp > abdp > abdp"], ["two"]),
    (["sweep", "--jobs", "0"], ["jobs"]),
    (["sweep", "--jobs", "-1"], ["jobs"]),
    (["sweep", "--jobs", "9999999"], ["jobs"]),
    (["sweep", "--jobs", "two"], ["jobs"]),
    (["sweep", "--executor", "dsak"], ["dsak", "did you mean 'dask'"]),
    (["sweep", "--executor", "joblib(jobs=2)", "--jobs", "3"], ["jobs is 3", "give the number"]),
    (["sweep", "--executor", "dask(scheduler='')"], ["scheduler must be text"]),
    (["sweep", "--executor", "slurm(time=0)"], ["time must be", "from 1 to 525,600"]),
    (["sweep", "--executor", "slurm(options=3)"], ["options must be a dict"]),
    (["sweep", "--executor", "nowhere.py:MPI"], ["nowhere.py does not exist"]),
    # data
    (["data", "--data", ""], ["suite"]),
    (["data", "--data", "pockett"], ["did you mean 'pocket'", "pockett"]),
    (["data", "--data", "pocket", "--data", "pocket"], ["--data", "twice"]),
    (["data", "--data", "pocket", "--bad", "skip"], ["bad"]),
    (["data", "--bad", "skip"], ["--bad", "--data"]),
    (["data", "--resolution", "9"], ["--resolution", "--data"]),
    (["data", "--data", "nowhere/at/all"], ["nowhere"]),
    (["data", "--data", "nowhere.csv"], ["nowhere.csv"]),
    (["data", "--data", "json:dumps"], ["json:dumps"]),
    (["data", "--domains", "digts"], ["did you mean 'digits'"]),
    (["data", "--domains", ""], ["domain"]),
    (["data", "--space", "pockett"], ["pockett"]),
    (["data", "--space", "pocket(resolution=16)"], ["16"]),
    (["data", "--out"], ["--out"]),
    (["data", "--out", ""], ["path"]),
    (["data", "--out", "/dev/null/look"], ["/dev/null"]),
    (["data", "--json", "--json"], ["twice"]),
    (["data", "--run", "runs/quick"], ["--run"]),
    (["data", "extra"], ["extra"]),
    # models
    (["predict"], ["image files"]),
    (["predict", "--json"], ["image files"]),
    (["predict", "photo.png"], ["runs/quick", "run.json"]),
    (["predict", "--run", "", "photo.png"], ["path"]),
    (["predict", "--run", "nowhere", "photo.png"], ["nowhere", "run.json"]),
    (["predict", "--top", "2", "--top", "3", "photo.png"], ["--top", "twice"]),
    (["predict", "--top", "0", "photo.png"], ["--top"]),
    (["predict", "--top", "x", "photo.png"], ["--top"]),
    (["predict", "--tpo", "2", "photo.png"], ["--top"]),
    (["predict", "--batch-size", "-1", "photo.png"], ["--batch-size"]),
    (["predict", "--domain"], ["--domain"]),
    (["evaluate"], ["--data"]),
    (["evaluate", "--data", "pocket"], ["runs/quick"]),
    (["evaluate", "--data", "pocket", "--data", "pocket"], ["--data", "twice"]),
    (["evaluate", "--data", "pocket", "extra"], ["extra"]),
    (["export"], ["--out"]),
    (["export", "--out", "x.onnx"], ["runs/quick"]),
    (["export", "--out", "x.onnx", "--out", "y.onnx"], ["--out", "twice"]),
    (["export", "--out", "x.onnx", "--fromat", "pte"], ["--format"]),
    (["export", "--out", "x.onnx", "--layout", "folded"], ["--layout"]),
    (["export", "--out", "x.onnx", "--max-loss", "nan"], ["--max-loss", "0 to 1"]),
    (["export", "--out", "x.onnx", "--max-loss", "-0.1"], ["--max-loss"]),
    (["export", "--out", "x.onnx", "--max-loss", "5%"], ["--max-loss", "5%"]),
    (["export", "--out", "x.onnx", "--data", "pocket", "photo.png"], ["--data", "not both"]),
    (["export", "--out", "x.onnx", "--data", "pocket", "--data", "pocket"], ["--data", "twice"]),
    (["submit"], ["decathlon-1.0", "--data"]),
    (["submit", "--data", "x"], ["--out"]),
    (["submit", "--data", "x", "--out", "x.zip"], ["runs/quick", "run.json"]),
    (["submit", "--data", "x", "--out", "x.zip", "--out", "y.zip"], ["--out", "twice"]),
    (["submit", "--data", "x", "--out", "x.zip", "--batch-size", "0"], ["--batch-size"]),
    (["submit", "--data", "x", "--out", "x.zip", "--domain", "dtd"], ["--domains"]),
    (["submit", "--data", "x", "--out", "x.zip", "extra"], ["extra"]),
    # data sets of Hugging Face, and the Decathlon
    (["search", "--data", "hub()"], ["path"]),
    (["search", "--data", "hub(path='none')"], ["there is no folder"]),
    (["search", "--data", "hub(path='.')"], ["has no data set"]),
    (["search", "--data", "hub(path='.', image=3)"], ["image must be text"]),
    (["search", "--data", "hub(path='.', imge='x')"], ["imge", "image"]),
    (["search", "--data", "decathlon(path='none')"], ["there is no folder"]),
    (["search", "--data", "decathlon(path='.')"], ["has no domain of the Decathlon"]),
    (["search", "--data", "decathlon(path='.', official_val='all')"], ["official_val"]),
    (["search", "--data", "decathlon(path='.', flip='yes')"], ["flip"]),
    # the cache
    (["cache", "--limit", "20"], ["--limit", "20GB"]),
    (["cache", "--limit", "-1GB"], ["--limit"]),
    (["cache", "--limit", "1e3GB"], ["--limit"]),
    (["cache", "--limit", "9" * 400 + "B"], ["--limit"]),
    (["cache", "--limit", ""], ["--limit"]),
    (["cache", "--limit"], ["--limit"]),
    (["cache", "--unused-days", "-1"], ["--unused-days"]),
    (["cache", "--unused-days", "nan"], ["--unused-days"]),
    (["cache", "--unused-days", "week"], ["--unused-days"]),
    (["cache", "--all", "--limit", "1GB"], ["--limit and --all", "one"]),
    (["cache", "--all", "--all"], ["--all", "twice"]),
    (["cache", "photos"], ["photos"]),
    (["cache", "--remove"], ["--remove"]),
    # latency tables
    (["profile", "--space", "pockets"], ["pockets"]),
    (["profile", "--resolution", "0"], ["--resolution"]),
    (["profile", "--resolution", "large"], ["--resolution"]),
    (["profile", "--out", "table.txt"], [".csv"]),
    (["profile", "--out", ""], ["out"]),
    (["profile", "--runtime", "tensorrt"], ["runtime"]),
    (["profile", "--threads", "0"], ["threads"]),
    (["profile", "--batch", "-1"], ["batch"]),
    (["profile", "--classes", "1"], ["classes"]),
    (["profile", "--rounds", "0"], ["rounds"]),
    (["profile", "--paths", "1.5"], ["paths"]),
    (["profile", "--from", "nowhere/networks.csv"], ["nowhere"]),
    (["profile", "--from", "a.csv", "--threads", "2"], ["--threads", "--from"]),
    (["profile", "--template", "a.csv", "--networks", "b"], ["--networks", "--template"]),
    (["profile", "--template", "a.csv", "--out", "b.csv"], ["--out", "--template"]),
    (["profile", "--template", "a.txt"], [".csv"]),
    (["profile", "stray"], ["stray"]),
    (["grow"], ["--data"]),
    (["grow", "--data", "pocket"], ["--out"]),
    (["grow", "--data", "pocket", "--out", "new"], ["runs/quick", "run.json"]),
    (["grow", "--data", "a", "--data", "a"], ["--data", "twice"]),
    (["grow", "--search", "steps", "2", "--search", "steps", "3"], ["steps", "twice"]),
    (["grow", "--norm", "mixed"], ["--norm"]),
    # trackers
    (["search", "--track", "tensorbord"], ["did you mean 'tensorboard'"]),
    (["search", "--track", "tensorboard(dir='x')"], ["dir", "folder"]),
    (["search", "--track", "tensorboard(folder=3)"], ["folder", "text"]),
    (["search", "--track", "tensorboard(pictures_every=0)"], ["pictures_every", "1 to"]),
    (["search", "--track", "tensorboard(folder='/dev/null')"], ["/dev/null", "folder"]),
    (["search", "--track", "mlflow(uri='sqlite:///no/such/x.db')"], ["no/such"]),
    (["search", "--track", "mlflow(uri='sqlite:////dev/null')"], ["/dev/null"]),
    (["search", "--track", "mlflow(uri='http://me:secret@127.0.0.1:9')"], ["http://127.0.0.1:9"]),
    (["search", "--track", "mlflow(uri='gopher://x')"], ["gopher://x"]),
    (["search", "--track", "mlflow(uri='mlruns')"], ["mlruns", "sqlite:///"]),
    (["search", "--track", "mlflow(experiment='')"], ["experiment"]),
    (["search", "--track", "json:JSONEncoder"], ["JSONEncoder", "check()"]),
    (["search", "--track", "tensorboard", "--track", "mlflow"], ["--track", "twice"]),
    (["sweep", "--track", "mlfow"], ["did you mean 'mlflow'"]),
    # tables
    (["tables"], ["--out"]),
    (["tables", "--out", "new"], ["runs/quick", "run.json"]),
    (["tables", "--out", "new", "--run", "nowhere"], ["nowhere", "run.json"]),
    (["tables", "--out", "a", "--out", "b"], ["--out", "twice"]),
    (["tables", "--out", ""], ["path"]),
    (["tables", "--out", "new", "extra"], ["extra"]),
    # transfer
    (["transfer", "--run", "nowhere"], ["nowhere", "run.json"]),
    (["transfer"], ["runs/quick", "run.json"]),
    (["transfer", "--seeds", "one"], ["--seeds", "one"]),
    (["transfer", "--seeds", "0", "--seeds", "1"], ["--seeds", "twice"]),
    (["transfer", "--csv", ""], ["--csv"]),
    (["transfer", "--step", "3"], ["--step", "--steps"]),
    (["transfer", "extra"], ["extra"]),
    # commands
    (["searches"], ["searches"]),
    (["search", "extra"], ["extra"]),
    (["search", "--run"], ["--run"]),
    (["compare", "--csv"], ["--csv"]),
    (["check"], ["run.json"]),
    (["check", "a", "--run", "b"], ["twice"]),
    (["explore", "--port", "x"], ["port"]),
    (["explore", "--port", "99999999"], ["port"]),
    (["explore", "--ip", "192.0.2.1"], ["ip '192.0.2.1'", "an address of this machine"]),
    (["explore", "--ip", ""], ["ip ''"]),
    (["explore", "--ip", "\0"], ["ip"]),
    (["explore", "--base-url", "mine"], ["base_url", "'/mine/'"]),
    (["explore", "--base-url", "/my lab/"], ["base_url", "'/my lab/'"]),
    (["explore", "--base-url", ""], ["base_url"]),
    (["watch"], ["run.json"]),
    (["watch", "a", "--run", "b"], ["twice"]),
    (["watch", "--every", "0"], ["every"]),
    (["watch", "--every", "often"], ["every"]),
    (["watch", "--stage", "trains"], ["'train'"]),
    (["stop"], ["run.json"]),
    (["stop", "--stage", ""], ["stage"]),
    (["stop", "--now"], ["--now"]),
    (["report", ""], ["notebook"]),
    (["report", " "], ["notebook"]),
    (["report", "_"], ["'_'"]),
    (["report", "--cells", "a", "b"], ["--cells"]),
    (["report", "--beside", ""], ["path"]),
    (["report", "--beside", "none"], ["none"]),
    (["report", "--beside"], ["--beside"]),
    (["report", "--beside", "a", "--beside", "a"], ["--beside", "twice"]),
    (["train"], ["search"]),
    (["compare"], ["train"]),
]


@pytest.mark.parametrize(("arguments", "words"), WRONG, ids=[" ".join(a)[:60] for a, _ in WRONG])
def test_a_wrong_option_is_refused_before_a_folder_is_made(
    arguments: list[str],
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    refused: Refused,
) -> None:
    monkeypatch.chdir(tmp_path)
    refused(arguments, *words)


PATHS = [
    ("a" * 300, "name too long"),
    ("/proc/1/mem/run", "/proc/1/mem/run"),
    ("", "path"),
    ("  ", "path"),
    ("nul\0byte", "nul"),
    ("~no_such_user/run", "no_such_user"),
    ("file", "file"),
    ("file/run", "file"),
    ("loop", "loop"),
    ("pipe", "pipe"),
    ("/dev/full", "/dev/full"),
    ("/dev/null/run", "/dev/null"),
    ("full", "full"),
]
BEGIN = ["--data", "tiny:suite", "--space", "tiny:space", "--steps", "1"]
USES = {
    "--run": ["search", *BEGIN],
    "--search-from": ["search", "--run", "new", *BEGIN],
    "--paths": ["train", "--run", "new", *BEGIN],
    "--csv": ["compare", "--run", "{finished}"],
    "--out": ["data", "--data", "tiny:suite", "--space", "tiny:space", "--no-time"],
}


INTO = ("--csv", "--out")  # options of a folder that may have other files


@pytest.mark.parametrize(
    ("how", "path", "word"),
    [(how, *case) for how in USES for case in PATHS if how not in INTO or case[0] != "full"],
    ids=lambda value: repr(value[:20]),
)
def test_a_path_that_cannot_be_used_is_named(
    how: str,
    path: str,
    word: str,
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    refused: Refused,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("precious")
    command = [words.format(finished=finished) for words in USES[how]]
    refused([*command, how, path], word)


@pytest.mark.parametrize("form", ["", "xlsx", "CSV"])
def test_an_unknown_form_of_tables_is_refused(
    form: str, finished: Path, tmp_path: Path, refused: Refused
) -> None:
    arguments = ["tables", "--run", str(finished), "--out", str(tmp_path / "new")]
    refused([*arguments, "--format", form], "'csv' or 'parquet'")
