"""MPNAS Kit: multi-path neural architecture search for several image domains.

    import mpnas_kit as mk

    run = mk.Run("runs/mine", domains=mk.pocket(["digits", "letters"]))
    found = run.search(steps=600)
    trained = run.train(steps=600)

All public names are here; `__init__.pyi` lists them with the modules they come from. They are
imported when they are first used.

Importing the package sets how OpenMP waits (`engine.runtime`), which only works before torch is
loaded: import `mpnas_kit` first.

MPNAS: Wang et al., "Multi-path Neural Networks for On-device Multi-domain Visual Classification",
WACV 2021, arXiv 2010.04904.
"""

import sys
from types import ModuleType

import lazy_loader

from mpnas_kit.engine import runtime

runtime.prepare()

__version__ = "0.2.0"
__getattr__, _, _names = lazy_loader.attach_stub(__name__, __file__)
__all__ = sorted([*_names, "__version__"])


def __dir__() -> list[str]:
    return __all__


class _Package(ModuleType):
    """The room `search` and the public function `search` have one name: here it is the function."""

    def __setattr__(self, name: str, value: object) -> None:
        if name == "search" and isinstance(value, ModuleType):
            return  # the import system binds a room to its package; imports find it without that
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
