"""The kernels stay inside their memory: random chains under AddressSanitizer and UBSan."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from mpnas_kit.kernels import library
from mpnas_kit.kernels.compiler import LEVELS, SOURCE, best_level

HERE = Path(__file__).parent
SANITIZED = ["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The compiler and its options."""
    compiler, folder = shutil.which("c++"), tmp_path_factory.mktemp("sanitized")
    if compiler is None:
        pytest.skip("needs a C++ compiler: there is no c++")
    machine, features = library._machine()
    if best_level(machine, features) is None:
        pytest.skip(f"needs a processor with kernels, not {machine}")
    lowest = list(LEVELS[machine])[-1]  # it compiles in half of the time
    command = [compiler, "-std=c++17", f"-march={lowest}", "-fopenmp", *SANITIZED]
    (folder / "empty.cpp").write_text("int main() {}")
    program = folder / "empty"
    done = subprocess.run([*command, str(program.with_suffix(".cpp")), "-o", str(program)])
    if done.returncode or subprocess.run([str(program)]).returncode:
        pytest.skip(f"needs sanitizers and OpenMP: {compiler} has none")
    return command


def test_random_chains_stay_inside_their_memory(sanitized: list[str], tmp_path: Path) -> None:
    """And have the same bits for every content of unwritten memory and number of threads."""
    program = str(tmp_path / "fuzz")
    files = [str(HERE / "fuzz.cpp"), str(SOURCE / "block.cpp")]
    subprocess.run([*sanitized, f"-I{SOURCE}", *files, "-o", program], check=True)
    done = subprocess.run(
        [program, "0", "8"],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_WAIT_POLICY": "passive"},
    )
    assert (done.returncode, done.stdout) == (0, "8 cases\n"), done.stdout + done.stderr
