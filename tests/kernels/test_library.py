"""How a native library gets onto a machine: levels, compilers, the cache, and what goes wrong."""

import copy
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mpnas_kit import files
from mpnas_kit.errors import MpnasError
from mpnas_kit.kernels import build, library
from mpnas_kit.kernels.compiler import Compilation, Compiler, NotCompiled, best_level
from mpnas_kit.kernels.library import Library, find_library, resolve

LEVEL = best_level(*library._machine()) or "none"
SUM = """#include <cstdint>
extern "C" int64_t mpnas_kernels_abi() { return 2; }
extern "C" int64_t sum(int64_t n) {
    int64_t total = 0;
#pragma omp parallel for reduction(+ : total)
    for (int64_t i = 0; i < n; ++i) total += i;
    return total;
}
"""


def has_compiler() -> bool:
    try:
        return LEVEL != "none" and bool(Compiler.find())
    except NotCompiled:
        return False


compiled = pytest.mark.skipif(not has_compiler(), reason="needs a C++ compiler")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("MPNAS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "kernels"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder of sources with one function, which computes in parallel."""
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "block.cpp").write_text(SUM)
    return folder


@pytest.fixture
def no_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without compilers and without a wheel."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for name in ("CC", "CXX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(build, "PREBUILT", tmp_path / "none")


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has not looked for its library yet."""
    monkeypatch.setattr(library, "_found", library._found.__wrapped__)


def refuse_to_compile(*_: object) -> None:
    raise AssertionError("compiled")


def native(source: Path, prebuilt: Path = Path("/nowhere")) -> build.Built:
    return build.native(LEVEL, True, source, prebuilt)


# Levels -------------------------------------------------------------------------------------------

AVX2 = ["abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "sse4_2", "xsave"]
AVX512 = [*AVX2, "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"]


@pytest.mark.parametrize(
    ("machine", "features", "level"),
    [
        ("x86_64", AVX512, "x86-64-v4"),
        ("x86_64", [f for f in AVX512 if f != "avx512vl"], "x86-64-v3"),  # Knights Landing
        ("x86_64", AVX2, "x86-64-v3"),
        ("x86_64", [f for f in AVX512 if f != "fma"], None),
        ("x86_64", [], None),
        ("aarch64", [], "armv8-a"),
        ("riscv64", AVX512, None),
    ],
)
def test_the_features_of_a_processor_decide_its_level(
    machine: str, features: list[str], level: str | None
) -> None:
    assert best_level(machine, features) == level


def test_every_change_of_a_recipe_gives_another_name() -> None:
    gcc = Compiler(("g++",), "12.2.0", True)
    compilations = [
        Compilation(gcc, "x86-64-v4", True),
        Compilation(gcc, "x86-64-v3", True),
        Compilation(gcc, "x86-64-v4", False),
        Compilation(Compiler(("g++",), "13.1.0", True), "x86-64-v4", True),
    ]
    sources = [{"a.h": b"1", "b.h": b""}, {"a.h": b"", "b.h": b"1"}, {"a.h": b"1"}, {"b.h": b"1"}]
    names = {one.name(content) for one in compilations for content in sources}
    assert len(names) == len(compilations) * len(sources)
    other = Compilation(Compiler(("/usr/bin/c++",), "12.2.0", True), "x86-64-v4", True)
    assert other.name(sources[0]) == compilations[0].name(sources[0])


# Compiled at first use ----------------------------------------------------------------------------


@compiled
def test_a_library_is_compiled_once_into_a_private_folder(
    source: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, functions = native(source)
    assert functions.sum(1000) == 499500 and name.startswith(f"{LEVEL}-")
    assert {p.name for p in cache.iterdir()} == {f"{name}.so", f"{name}.sha256", "lock"}
    assert cache.stat().st_mode & 0o777 == 0o700
    monkeypatch.setattr(Compilation, "compile", refuse_to_compile)
    assert native(source).name == name


@compiled
def test_a_library_needs_only_the_c_library(source: Path, cache: Path) -> None:
    native(source)
    (file,) = cache.glob("*.so")
    needed = [word for word in (b"libgomp", b"libstdc++", b"libgcc_s") if word in file.read_bytes()]
    assert needed == []


@compiled
@pytest.mark.parametrize(("suffix", "cut"), [(".so", -1), (".sha256", 0)])
def test_a_damaged_library_is_compiled_again(
    suffix: str, cut: int, source: Path, cache: Path
) -> None:
    native(source)
    before = {p.name: p.read_bytes() for p in cache.iterdir()}
    (file,) = cache.glob(f"*{suffix}")
    content = file.read_bytes()[:cut]
    file.unlink()  # the loaded library stays as it is
    if content:
        file.write_bytes(content)
    other = subprocess.run(  # this process has the library already
        [sys.executable, "-c", AGAIN, LEVEL, str(source)], capture_output=True, text=True
    )
    assert other.stdout.strip() == "10", other.stderr
    assert {p.name: p.read_bytes() for p in cache.iterdir()} == before


AGAIN = """
import sys, pathlib
import mpnas_kit, torch
from mpnas_kit.kernels.build import native
print(native(sys.argv[1], True, pathlib.Path(sys.argv[2]), pathlib.Path("/nowhere"))[1].sum(5))
"""


@compiled
def test_processes_that_compile_at_once_all_have_the_library(source: Path, cache: Path) -> None:
    command = [sys.executable, "-c", AGAIN, LEVEL, str(source)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate(timeout=120)[0].strip() for process in both] == ["10", "10"]
    assert len(list(cache.iterdir())) == 3


@compiled
def test_a_cache_that_cannot_be_used_is_not_needed(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("MPNAS_CACHE", str(tmp_path / "file"))
    assert native(source).functions.sum(5) == 10


@compiled
def test_a_folder_in_which_others_can_write_is_not_used(source: Path, cache: Path) -> None:
    cache.mkdir(parents=True)
    cache.chmod(0o770)
    assert native(source).functions.sum(5) == 10
    assert list(cache.iterdir()) == []


@compiled
def test_a_library_is_read_from_a_disk_that_cannot_be_written(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    native(source)
    for name in ("locked", "write_together"):
        monkeypatch.setattr(files, name, refuse_to_compile)
    monkeypatch.setattr(Compilation, "compile", refuse_to_compile)
    assert native(source).functions.sum(5) == 10


# Compiled before ----------------------------------------------------------------------------------


@compiled
def test_a_library_of_the_wheel_needs_no_compiler_and_no_cache(
    source: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = native(source).name
    prebuilt = cache.rename(cache.parent / "prebuilt")
    monkeypatch.setattr(Compiler, "find", refuse_to_compile)
    assert native(source, prebuilt).name == name and not cache.exists()


@compiled
def test_a_library_of_the_wheel_that_cannot_be_loaded_is_compiled_here(
    source: Path, cache: Path, tmp_path: Path
) -> None:
    for wrong, words in (
        (SUM.replace("return 2", "return 3"), "has ABI 3: expected 2"),
        (SUM.replace("_abi", "_number"), "undefined symbol: mpnas_kernels_abi"),
        (SUM.replace("return total", "return missing()"), "undefined symbol: missing"),  # OpenMP
    ):
        (source / "block.cpp").write_text(f'extern "C" long missing();\n{wrong}')
        with pytest.raises(MpnasError, match=words):
            native(source)
    (source / "block.cpp").write_text(SUM)
    prebuilt = cache.rename(tmp_path / "prebuilt")
    assert len(list(prebuilt.glob("*.so"))) == 3
    cut = tmp_path / "cut"
    shutil.copytree(prebuilt, cut)
    for file in cut.glob("*.so"):
        file.write_bytes(file.read_bytes()[:5000])
    for folder in (prebuilt, cut):
        assert native(source, folder).functions.sum(5) == 10


# No library ---------------------------------------------------------------------------------------


def test_without_a_compiler_auto_is_eager_and_native_says_why(
    no_compiler: None, fresh: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "_machine", lambda: ("x86_64", AVX2))
    cpu = torch.device("cpu")
    assert find_library() is None and resolve("auto", cpu) is None and resolve("eager", cpu) is None
    with pytest.raises(MpnasError) as refused:
        resolve("native", cpu)
    assert str(refused.value) == (
        "kernels 'native' cannot be used here (there is no C++ compiler: no c++, g++, clang++ or "
        "cc): expected a C++ compiler such as g++ for this machine, or kernels 'auto' or 'eager'."
    )


def test_a_processor_without_a_level_is_named(fresh: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "_machine", lambda: ("x86_64", ["sse2"]))
    with pytest.raises(MpnasError, match=r"this processor \(x86_64\) has none of the levels x86-6"):
        resolve("native", torch.device("cpu"))


def test_other_devices_are_eager() -> None:
    assert resolve("auto", torch.device("cuda")) is None
    with pytest.raises(MpnasError, match="compute on a CPU, not on device 'cuda:1'"):
        resolve("native", torch.device("cuda:1"))


@compiled
def test_the_first_error_of_the_compiler_is_told(source: Path, cache: Path) -> None:
    (source / "block.cpp").write_text("int a;\nint b = c;\nint d = e;\n")
    with pytest.raises(MpnasError, match=r"failed: .*block.cpp:2:9: error: .c. was not declared"):
        native(source)
    assert {p.name for p in cache.iterdir()} == {"lock"}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("no-such-compiler", "no-such-compiler does not start: No such file or directory"),
        ("g++ 'a", r"\$CXX cannot be read: No closing quotation"),
        ("false", "false failed: no reason"),
    ],
)
def test_a_compiler_of_ones_own_that_does_not_work_is_named(
    given: str, words: str, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", given)
    with pytest.raises(MpnasError, match=words):
        native(source)


@compiled
def test_a_compiler_of_ones_own_may_have_options(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Compiler.find()
    monkeypatch.setenv("CXX", f"{plain.command[0]} -DANY='1 2'")
    assert Compiler.find().command[1:] == ("-DANY=1 2",)
    assert native(source).functions.sum(5) == 10


# The library of this process ----------------------------------------------------------------------


def test_the_library_of_a_network_can_be_copied_and_pickled() -> None:
    found = find_library()
    if found is None:
        pytest.skip("needs a native library")
    assert find_library() is found and found.variant.startswith(f"native {LEVEL} ")
    net = torch.nn.Linear(1, 1)
    net.kernels = found  # type: ignore[assignment]
    assert copy.deepcopy(net).kernels is found
    assert pickle.loads(pickle.dumps(net)).kernels is found
    other = Library("native other", found.functions)
    assert copy.deepcopy(other) is other
