"""A wheel, installed without the repository: commands, notebooks, explorers and native kernels."""

import os
import platform
import re
import runpy
import subprocess
import sys
import sysconfig
import urllib.request
import venv
import zipfile
from pathlib import Path

import pytest

from mpnas_kit.kernels.compiler import LEVELS, Compiler, NotCompiled

ROOT = Path(__file__).parents[1]
SOURCE = "mpnas_kit/kernels/source/block.cpp"


def has_gcc() -> bool:
    try:
        return sys.platform == "linux" and Compiler.find().is_gcc
    except NotCompiled:
        return False


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a new environment that has the wheel, and this one's dependencies.

    Dependencies come from the environment of the tests, which takes seconds instead of minutes and
    no network. That all of them are declared is tested in `test_layers.py`.
    """
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist", ROOT]
    subprocess.run(build, check=True, capture_output=True)
    venv.create(folder / "env", symlinks=True)
    python = folder / "env" / "bin" / "python"
    (wheel,) = (folder / "dist").glob("*.whl")
    install = ["install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", "--python", python, *install], check=True)
    (packages,) = (folder / "env").glob("lib/python*/site-packages")
    others = sysconfig.get_path("purelib")  # a .pth inside it, as of the editable kit, is not read
    (packages / "dependencies.pth").write_text(f"{others}\n")
    return python


def environment() -> dict[str, str]:
    """The environment variables for a command of the wheel."""
    shared = Path(sysconfig.get_path("data")) / "share" / "jupyter"  # of the dependencies
    rest = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return {**rest, "JUPYTER_PATH": str(shared)}


def run(python: Path, folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [str(a) for a in (python, *arguments)],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_kit_comes_from_the_wheel(python: Path, tmp_path: Path) -> None:
    said = run(python, tmp_path, "-c", "import mpnas_kit; print(mpnas_kit.__file__)")
    assert Path(said.strip()).is_relative_to(python.parents[1])


def test_readme_s_commands_work_without_the_repository(python: Path, tmp_path: Path) -> None:
    mpnas = str(python.parent / "mpnas")
    small = ["--steps", "4", "--batch-size", "4", "--threads", "1"]
    domains = ["--domains", "digits,icons"]
    run(python, tmp_path, mpnas, "search", "--run", "runs/first", *domains, *small)
    run(python, tmp_path, mpnas, "train", "--run", "runs/first", *small)
    assert "mpnas" in run(python, tmp_path, mpnas, "compare", "--run", "runs/first")
    run(python, tmp_path, mpnas, "report", "--run", "runs/first", "paths")
    pages = {p.name for p in (tmp_path / "reports").glob("*.html")}
    assert pages == {"index.html", "02_paths.html"}


def test_explore_opens_the_notebook_of_the_wheel(python: Path, tmp_path: Path) -> None:
    command = [str(python.parent / "mpnas"), "explore", "runs/mine", "--no-browser"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            found = (re.search(r"http://\S+", line) for line in process.stdout)
            address = next(one[0] for one in found if one is not None)
            with urllib.request.urlopen(address, timeout=60) as answer:
                assert answer.status == 200
            page, query = address.split("lab/tree/explore.ipynb")
            begin = urllib.request.Request(f"{page}api/kernels{query}", data=b"{}")
            with urllib.request.urlopen(begin, timeout=60) as answer:
                assert answer.status == 201
        finally:
            process.terminate()
    assert (tmp_path / "runs" / "mine" / "explore.ipynb").exists()


@pytest.mark.skipif(not has_gcc(), reason="needs GCC on Linux")
def test_the_wheel_has_kernels_that_need_no_compiler(python: Path, tmp_path: Path) -> None:
    (wheel,) = (python.parents[2] / "dist").glob("*.whl")
    assert wheel.name.endswith(f"-py3-none-linux_{platform.machine()}.whl")
    names = zipfile.ZipFile(wheel).namelist()
    libraries = [Path(name).stem for name in names if name.endswith(".so")]
    assert {name.rpartition("-")[0] for name in libraries} == set(LEVELS[platform.machine()])
    code = (
        "import os\n"
        f"os.environ |= {{'PATH': '', 'MPNAS_CACHE': {str(tmp_path / 'cache')!r}}}\n"
        "from mpnas_kit.kernels.library import find_library\n"
        "print(find_library().variant)\n"
    )
    variant = run(python, tmp_path, "-c", code).split()
    assert variant[0] == "native" and "-".join(variant[1:]) in libraries
    assert not (tmp_path / "cache").exists()


def test_without_a_compiler_the_wheel_is_pure_and_has_the_sources(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k not in ("CC", "CXX")}
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    done = subprocess.run(
        build,
        cwd=ROOT,
        env={**environment, "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "The wheel has no compiled kernels: there is no C++ compiler" in done.stderr
    (wheel,) = tmp_path.glob("*-py3-none-any.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert SOURCE in names and not [name for name in names if name.endswith(".so")]


def test_an_editable_install_compiles_nothing() -> None:
    hook_class = runpy.run_path(str(ROOT / "hatch_build.py"))["CustomBuildHook"]
    hook = hook_class(str(ROOT), {}, None, None, str(ROOT), "wheel")
    build_data: dict[str, object] = {"force_include": {}}
    hook.initialize("editable", build_data)
    hook.finalize("editable", build_data, "")
    assert build_data == {"force_include": {}}
