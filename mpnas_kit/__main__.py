"""`python -m mpnas_kit`: the command `mpnas`, also for torchrun."""

import sys

from mpnas_kit.cli import main

sys.exit(main())
