"""``python -m pytest_repro``: the command ``pytest-repro``, for a shell that does not have it on its path."""

import sys

from pytest_repro.cli import main

sys.exit(main())
