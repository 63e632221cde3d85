"""``python -m detente.cli``: the command line without its script."""

import sys

from detente.cli import main

sys.exit(main())
