"""Compile the native kernels into the wheel, one library per level of the processor.

Without GCC, and elsewhere than on Linux, the wheel is pure Python. It has the sources too, so the
kit can compile them at the first use. An editable install leaves that to the first use as well.

The libraries need glibc of this machine or a newer one, so the tag of the wheel is `linux`.
"""

import hashlib
import platform
import runpy
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CustomBuildHook(BuildHookInterface):
    """The hook that hatchling calls when it builds a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the libraries to the files of the wheel. version: `standard` or `editable`."""
        self._temporary = tempfile.TemporaryDirectory(prefix="mpnas-")
        module = runpy.run_path(str(Path(self.root) / "mpnas_kit" / "kernels" / "compiler.py"))
        levels = module["LEVELS"].get(platform.machine(), ()) if sys.platform == "linux" else ()
        if version == "editable" or not levels:
            return
        source = module["SOURCE"]
        files = [file for file in source.iterdir() if file.name.endswith(module["SUFFIXES"])]
        sources = {file.name: file.read_bytes() for file in files}
        folder = Path(self._temporary.name)
        try:
            compiler = module["Compiler"].find()
            if not compiler.is_gcc:
                raise module["NotCompiled"](f"{compiler.command[0]} is not GCC")
            for level in levels:
                one = module["Compilation"](compiler, level, openmp=True)
                library = folder / f"{one.name(sources)}.so"
                one.compile(source, library)
                checksum = hashlib.sha256(library.read_bytes()).hexdigest()
                library.with_suffix(module["SUM"]).write_text(checksum)
        except module["NotCompiled"] as why:
            self.app.display_warning(f"The wheel has no compiled kernels: {why}.")
            return
        for file in folder.iterdir():
            if file.suffix in (".so", module["SUM"]):
                build_data["force_include"][str(file)] = f"mpnas_kit/kernels/prebuilt/{file.name}"
        system = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["pure_python"], build_data["tag"] = False, f"py3-none-{system}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the libraries, which the wheel has now."""
        self._temporary.cleanup()
