"""Networks of chains, as torch modules and as ONNX files, and how they are timed.

Blocks have the deploy form, with batch norms folded, as in an exported file, and random weights:
the time of a network does not depend on its weights.
"""

import pathlib
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mpnas_kit import files
from mpnas_kit.deploy.chains import END, PIXELS, Chain
from mpnas_kit.deploy.clock import clock_for, time_in_turns
from mpnas_kit.deploy.form import Preprocess, block_form, folded, global_pooling
from mpnas_kit.deploy.metadata import optional
from mpnas_kit.deploy.onnx import translated
from mpnas_kit.deploy.onnx_graph import finish
from mpnas_kit.deploy.session import start_session
from mpnas_kit.domains.signature import Signature
from mpnas_kit.errors import MpnasError
from mpnas_kit.space.latency_file import Time, Unit
from mpnas_kit.space.layers import Use

Runtime = Literal["onnx", "torch"]
AT_ONCE = 64  # pieces that are exported together


class Networks:
    """The networks of chains.

    uses: use of every unit that is a block, by unit.
    """

    def __init__(self, uses: Mapping[Unit, Use]) -> None:
        self._uses = uses
        self._modules: dict[Unit, nn.Sequential] = {}
        self._models: dict[Unit, Any] = {}

    def network(self, chain: Chain) -> nn.Sequential:
        """Return the network of a chain as a torch module, in evaluation mode."""
        return nn.Sequential(*(self._module(piece) for piece in chain)).eval()

    def content(self, chain: Chain) -> bytes:
        """Return the network of a chain as an ONNX file.

        Call `prepare` with the chain before.
        """
        (compose,) = optional("onnx", "onnx.compose")
        whole: Any = None
        for number, piece in enumerate(chain):
            part = compose.add_prefix(self._models[piece], f"n{number}_")
            if whole is None:
                whole = part
                continue
            joint = [(whole.graph.output[0].name, part.graph.input[0].name)]
            whole = compose.merge_models(whole, part, io_map=joint)
        content: bytes = whole.SerializeToString()
        return content

    def prepare(self, chains: Iterable[Chain]) -> None:
        """Export the pieces of chains to ONNX, unless that was done before.

        Raises `MpnasError` if a package is missing, or names the block that cannot be exported.
        """
        pieces = dict.fromkeys(piece for chain in chains for piece in chain)
        left = [piece for piece in pieces if piece not in self._models]
        for begin in range(0, len(left), AT_ONCE):
            some = left[begin : begin + AT_ONCE]
            try:
                self._export(some)
            except MpnasError:
                for piece in some:  # one of them cannot be exported: the error is to name it
                    self._export([piece])

    def _export(self, pieces: Sequence[Unit]) -> None:
        _, utils = optional("onnx", "onnx", "onnx.utils")
        inputs, outputs = ([f"{way}{i}" for i in range(len(pieces))] for way in ("in", "out"))
        model = translated(
            _SideBySide([self._module(piece) for piece in pieces]).eval(),
            tuple(example_input((piece,), 2) for piece in pieces),
            inputs,
            outputs,
            f"block {pieces[0].block}" if len(pieces) == 1 else "a block",
        )
        finish(model, {})
        extractor = utils.Extractor(model)
        for piece, own_input, own_output in zip(pieces, inputs, outputs, strict=True):
            self._models[piece] = extractor.extract_model([own_input], [own_output])

    def _module(self, piece: Unit) -> nn.Sequential:
        if piece not in self._modules:
            self._modules[piece] = folded(self._form(piece))
        return self._modules[piece]

    def _form(self, piece: Unit) -> nn.Sequential:
        if piece.block == PIXELS:
            names = ("any", "other")
            return nn.Sequential(
                Preprocess(Signature(names, 3, piece.resolution, (0.5,) * 3, (0.25,) * 3))
            )
        if piece.block == END:
            classifier = nn.Linear(piece.in_channels, piece.out_channels)
            return nn.Sequential(global_pooling(), classifier).requires_grad_(False)
        return nn.Sequential(block_form(self._uses[piece]))


class _SideBySide(nn.Module):
    """Networks that share nothing, each with an input and an output of its own."""

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(network(x) for network, x in zip(self.networks, inputs, strict=True))


def example_input(chain: Chain, batch: int) -> Tensor:
    """Return a random input of a chain: (batch, in_channels, H, W), pixels as uint8."""
    first, generator = chain[0], torch.Generator().manual_seed(0)
    shape = (batch, first.in_channels, first.resolution, first.resolution)
    if first.block == PIXELS:
        return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    return torch.rand(shape, generator=generator)


@dataclass(frozen=True)
class ThisMachine:
    """A timer of chains that runs them on the CPU of this machine.

    networks: networks of the chains.
    runtime: `onnx` (onnxruntime) or `torch` (eager).
    threads: number of threads.
    batch: images per call.
    rounds: samples per network.
    """

    networks: Networks
    runtime: Runtime
    threads: int
    batch: int
    rounds: int

    def __call__(self, chains: list[Chain]) -> dict[Chain, Time]:
        """Return the time of every chain for one image: that of a call, divided by `batch`."""
        before = torch.get_num_threads()
        if self.runtime == "onnx":
            self.networks.prepare(chains)
        torch.set_num_threads(self.threads)
        try:
            with torch.inference_mode():
                calls = [self._call(chain) for chain in chains]
                times = time_in_turns(calls, self.rounds, clock_for(self.threads))
        finally:
            torch.set_num_threads(before)
        return {chain: self._per_image(time) for chain, time in zip(chains, times, strict=True)}

    def _per_image(self, time: Time) -> Time:
        spread = None if time.spread is None else time.spread / self.batch
        return Time(time.milliseconds / self.batch, spread)

    def _call(self, chain: Chain) -> Callable[[], object]:
        given = example_input(chain, self.batch)
        if self.runtime == "torch":
            network = self.networks.network(chain)
            return lambda: network(given)
        session = start_session(self.networks.content(chain), self.threads)
        feed = {session.get_inputs()[0].name: given.numpy()}
        return lambda: session.run(None, feed)

    @property
    def notes(self) -> dict[str, str]:
        """What the times hold for, for a latency file."""
        package = "onnxruntime" if self.runtime == "onnx" else "torch"
        return {
            "device": device_words(),
            "runtime": f"{package} {version(package)}",
            "threads": str(self.threads),
            "batch": str(self.batch),
        }


def device_words() -> str:
    """Return the name of this machine's processor, and its system."""
    name = platform.processor() or platform.machine()
    if platform.system() == "Linux":
        try:
            lines = (
                files.read_bytes(pathlib.Path("/proc/cpuinfo"))
                .decode("utf-8", "replace")
                .splitlines()
            )
        except MpnasError:
            lines = []
        named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
        name = next(named, name)
    return f"{name}, {platform.system()}"
