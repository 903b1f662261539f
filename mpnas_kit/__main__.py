"""`python -m mpnas_kit`: the command `mpnas`, also for torchrun."""

import sys

from mpnas_kit.cli.commands import main

sys.exit(main())
