"""MPNAS Kit: multi-path neural architecture search for several image domains, made to be explored.

Importing the package sets how OpenMP waits (`mpnas_kit.engine.runtime`), which only works before
torch is loaded: import `mpnas_kit` first.
"""

from mpnas_kit.engine import runtime

runtime.prepare()

__version__ = "0.1.0"
