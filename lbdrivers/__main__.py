"""``python -m lbdrivers``: the same as the ``lbdrivers`` command."""

import sys

from lbdrivers.cli import main

sys.exit(main())
