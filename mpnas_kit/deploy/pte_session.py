"""Exported ExecuTorch files: how they are read, and how ExecuTorch runs them."""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from mpnas_kit.deploy.metadata import DOMAINS, Exported, optional, read_domains
from mpnas_kit.deploy.session import levels
from mpnas_kit.errors import MpnasError, one_line

MAGIC = b"ET"  # bytes 4 and 5 of a program
SEAL = b"mpnas_kit.sha256="  # comes after the program, before its checksum


def is_pte(content: bytes) -> bool:
    """Return whether the content of a file is an ExecuTorch program."""
    return content[4:6] == MAGIC


def sealed(program: bytes) -> bytes:
    """Return a program with its checksum behind, which ExecuTorch ignores.

    ExecuTorch may crash on a damaged program. With the checksum, damage is found before.
    """
    return program + SEAL + hashlib.sha256(program).digest()


def read_pte(content: bytes, where: object) -> Exported:
    """Return an ExecuTorch file that `mpnas export` wrote.

    content: the file.
    where: its path, for an error.

    Raises `MpnasError` if it is damaged, or no such file.
    """
    (runtime,) = optional("mobile", "executorch.runtime")
    program_bytes, _, _ = content.rpartition(SEAL)
    if content != sealed(program_bytes):
        raise MpnasError(
            f"{where} is damaged, or was not written by `mpnas export`: its checksum does not fit."
        )
    with _errors(where), _without_remarks():
        program = runtime.Runtime.get().load_program(program_bytes)
        names = program.method_names
        text = program.load_method(DOMAINS).execute(())[0] if DOMAINS in names else None
    text = text if isinstance(text, str) else None
    signatures, methods = read_domains(text, names, where)

    def network(domain: str) -> nn.Module:
        return PteNetwork(program, methods[domain], where)

    return Exported(signatures, methods, network)


class PteNetwork(nn.Module):
    """The network of a domain in an ExecuTorch program, run by its XNNPACK on the CPU.

    program: the loaded program. A method without its program would crash, so it is kept.
    method: name of the method.
    where: path of the file, for an error.

    Raises `MpnasError` if the method cannot be loaded.
    """

    def __init__(self, program: Any, method: str, where: object) -> None:
        super().__init__()
        self._program, self._where = program, where
        with _errors(where), _without_remarks():
            self._method = program.load_method(method)
            self._most = int(self._method.metadata.input_tensor_meta(0).sizes()[0])

    def forward(self, pixels: Tensor) -> Tensor:
        """Return logits float32 (B, classes). A larger batch than the method takes is cut.

        pixels: (B, 3, H, W), uint8 0 to 255, or float 0 to 1, which is rounded to 256 levels.
        """
        with _errors(self._where):
            parts = levels(pixels).split(self._most)
            return torch.cat([self._method.execute((part.contiguous(),))[0] for part in parts])


@contextlib.contextmanager
def _errors(where: object) -> Iterator[None]:
    """Turn an error of the runtime into `MpnasError`."""
    try:
        yield
    except (RuntimeError, TypeError, ValueError, IndexError, UnicodeError) as error:
        raise MpnasError(
            f"ExecuTorch refuses {where} ({one_line(error)[:160]}): export it again."
        ) from None


@contextlib.contextmanager
def _without_remarks() -> Iterator[None]:
    """Send nowhere what the runtime prints to the error output, such as remarks on the CPU."""
    try:
        before = os.dup(2)
    except OSError:  # it is closed
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)
        os.close(nowhere)
