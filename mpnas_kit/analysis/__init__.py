"""Analyses of paths, networks and runs. Each returns a small result with tidy tables.

`__init__.pyi` lists the public names and their modules.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
