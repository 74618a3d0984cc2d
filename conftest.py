"""Settings of all tests: `pytester`, which runs pytest on files that a test writes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from _pytest.pytester import SysModulesSnapshot

pytest_plugins = ["pytester"]

# The digests of installed files, which take seconds to compute: a session under test has a home folder of its own.
os.environ.setdefault("XDG_CACHE_HOME", str(Path("~/.cache").expanduser()))

#: Packages that a session in this process leaves imported. Compiled ones cannot be imported twice; a second import of
#: the plugin would make its types and registries twice.
KEPT_PACKAGES = {
    "hypothesis",
    "jax",
    "jaxlib",
    "ml_dtypes",
    "numba",
    "numpy",
    "pandas",
    "pyarrow",
    "pytest_repro",
    "scipy",
    "sklearn",
    "torch",
}
_restore = SysModulesSnapshot.restore


def _restore_but_keep(self: SysModulesSnapshot) -> None:
    kept = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in KEPT_PACKAGES}
    _restore(self)
    sys.modules.update(kept)


SysModulesSnapshot.restore = _restore_but_keep  # type: ignore[method-assign]
