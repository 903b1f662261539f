"""Helpers of the notebooks: parameters, progress, tables, and display of results.

`__init__.pyi` lists the names and the modules they come from.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
