"""Pretrained weights as networks of the kit, and their transfer into any network of the kit.

The rules of a transfer:

- **Layers** correspond by stage and depth; a stage begins at a stride above 1 (see
  `starts.matching`). Of several blocks that the source has in a layer, one of the same name is
  taken, else the nearest one: first by owner and domains, then by activation, squeeze-and-excite,
  kernel and width.
- **Kernels**: a smaller one is the centre of the larger, a larger one gets a border of zeros.
- **Hidden widths**: a narrower block gets the channels of the largest L1 norm of the weights that
  read them. All its convolutions, norms and squeeze-and-excite have the same ones. If other blocks
  or paths use the first channels of a block, as in a collapsed supernet, the most important come
  first. Its full width then computes what the source computes. If that is so in the source too, its
  order is kept.
- **Feature maps**: the same rule holds for the channels of a map, and for all layers that write or
  read it. If the layer before has no counterpart, weights that read its map are left.
- **New channels** are written by random weights and read by zeros. So they change nothing at first,
  and can be trained.
- **Blocks without a counterpart** start as identity if they add their input to their output: the
  scale of their last batch norm is 0. Others start at random. A block that expands has no
  counterpart that does not expand, and the other way round.
- **Squeeze-and-excite** that the source lacks starts with the gate 1/2 for all channels (weights
  and bias of its last convolution are 0). The batch norm after it undoes the factor. One that only
  the source has is left.
- **Activations and paddings** may differ. The table notes it.
- **Batch norms**: every domain gets the scale and shift of the domain of the same name, or of the
  first one of the source. Statistics for evaluation are copied too if the network has any.
- **Heads** start at random, unless the source has the same domain with the same classes.
- **Private copies** of a block get the same weights as the shared block.

The smaller kernels and the order of hidden channels are those of Once-for-All (Cai et al. 2020,
arXiv 1908.09791). Identity by a scale of 0 is from Goyal et al. 2017 (arXiv 1706.02677), new
channels that change nothing from Net2Net (Chen et al. 2016, arXiv 1511.05641). The rest is ours.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from mpnas_kit.domains.batches import Standard
from mpnas_kit.errors import MpnasError
from mpnas_kit.network.net import MultiPathNet
from mpnas_kit.space.layers import Path
from mpnas_kit.starts.transfer import Row, Transfer
from mpnas_kit.values import require_type


@dataclass(frozen=True, eq=False)
class Loaded:
    """What a transfer of weights did.

    table: one row per tensor of the source and tensor that got it. Columns: source, source_shape,
    target, target_shape, how, note. `how` is `taken` (the whole tensor), `cut` (some of it),
    `padded` (the whole tensor, and the target has more), or `left`: no tensor got it, `target` is
    empty, and `note` says why. So every tensor of the source is in the table.
    names: names of the parameters of the network that got weights.
    """

    table: pd.DataFrame
    names: frozenset[str]

    def __repr__(self) -> str:
        counts = self.table["how"].value_counts()
        words = ", ".join(f"{counts.get(how, 0)} {how}" for how in ("taken", "cut", "padded"))
        return f"Loaded({words}, {counts.get('left', 0)} left)"


@dataclass(frozen=True, eq=False)
class Start:
    """Weights to start from: a trained network, and where it came from.

    `start_from_text` returns one from files, and `Start.of` one from a network in memory. The rules
    of a transfer are in the module `mpnas_kit.starts.source`.

    text: text form as a person gave it, such as `lite0` or `weights.pth`; empty: it has none.
    checksum: SHA-256 of the file, in hexadecimal; `net.fingerprint()` if there is no file.
    net: the source as a network of the kit.
    paths: path of every domain of `net`, by domain. A network of ImageNet has one, `imagenet`.
    standard: network input that the weights expect; None: every domain has its own.
    classes: names of the classes by domain. A head is copied only if they are known.

    >>> start = mk.Start.of(trained.net, trained.paths)
    >>> start.load(mk.MultiPathNet.of_paths(space, paths, suite.tasks, "per_domain", seed=1))
    Loaded(94 taken, 0 cut, 0 padded, 4 left)
    """

    text: str
    checksum: str
    net: MultiPathNet = field(repr=False)
    paths: Mapping[str, Path] = field(repr=False)
    standard: Standard | None = field(repr=False)
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, net: MultiPathNet, paths: Mapping[str, Path]) -> "Start":
        """Return the weights of a network in memory. Later changes of them count.

        net: any network of the kit.
        paths: path of every domain of `net`, by domain.

        Raises `MpnasError` if `net` is none, or a domain has no path.
        """
        require_type(net, MultiPathNet, "net")
        require_type(paths, Mapping, "paths")
        for domain in net.tasks:
            if domain not in paths:
                raise MpnasError(
                    f"domain {domain!r} of the network has no path: expected a path of each of "
                    f"{', '.join(net.tasks)}."
                )
            net.space.require(paths[domain])
        return cls("", net.fingerprint(), net, {d: paths[d] for d in net.tasks}, None)

    def load(self, net: MultiPathNet, classes: Mapping[str, Sequence[str]] | None = None) -> Loaded:
        """Copy the weights into a network of the kit, in place. Return what became of each tensor.

        net: any network: a supernet, a union or a single model, of this space or another one.
        classes: names of the classes by domain of `net`. A head is copied if the source has the
        same domain with the same classes. None: all heads stay as they are.

        Raises `MpnasError` if `net` is no network of the kit.
        """
        require_type(net, MultiPathNet, "net")
        same = [
            domain
            for domain, names in ({} if classes is None else classes).items()
            if domain in net.tasks and self.classes.get(domain) == tuple(names)
        ]
        transfer = Transfer(self.net, net)
        transfer.nodes()
        transfer.heads(same)
        table = pd.DataFrame(transfer.rows(), columns=list(Row._fields))
        return Loaded(table, frozenset(transfer.copies.names))
