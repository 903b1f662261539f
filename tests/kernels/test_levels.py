"""Kernels that are compiled for different levels of processors give the same bits."""

from pathlib import Path
from typing import Any

import native_nodes
import pytest
from native_nodes import Node
from torch import nn

from mpnas_kit.errors import MpnasError
from mpnas_kit.kernels import library
from mpnas_kit.kernels.build import native
from mpnas_kit.kernels.compiler import LEVELS, SOURCE
from mpnas_kit.kernels.library import Library, missing_reason
from mpnas_kit.space.blocks import InvertedBottleneck


def libraries(empty: Path) -> list[Library]:
    """Those of all levels that this processor has. empty: folder without prebuilt libraries."""
    machine, features = library._machine()
    levels = [level for level, needed in LEVELS.get(machine, {}).items() if needed <= set(features)]
    if len(levels) < 2:
        pytest.skip(f"needs a processor with two levels, not {levels}")
    found = []
    for level in levels:
        try:
            functions = native(level, True, SOURCE, empty).functions
        except MpnasError as error:
            pytest.skip(f"needs a C++ compiler: {error}")
        for name, arguments in library._ARGUMENTS.items():
            getattr(functions, name).argtypes = arguments
            getattr(functions, name).restype = None
        found.append(Library(level, functions))
    return found


@pytest.mark.skipif(missing_reason() is not None, reason=f"no kernels: {missing_reason()}")
def test_all_levels_give_the_same_bits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    built = libraries(tmp_path)
    for kernel, activation in ((3, "relu"), (5, "hardswish"), (7, "hardswish"), (9, "identity")):

        def build(norm: Any, kernel: int = kernel, activation: Any = activation) -> nn.Module:
            return InvertedBottleneck(kernel, 3, kernel > 3, activation).build(13, 22, 1, norm)

        for fixed in (False, True):
            node = Node(build, (13, 22), {"a": 7, "b": 1}, (11, 10), fixed=fixed)
            results = []
            for each in built:
                monkeypatch.setattr(native_nodes, "LIBRARY", each)
                results.append(node.native().all())
            for name, value in results[0].items():
                assert all(value.equal(other[name]) for other in results[1:]), (kernel, name)
