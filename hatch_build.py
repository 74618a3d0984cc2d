"""Build hook of hatchling that adds the compiled comparison kernel, if this machine can compile it."""

from __future__ import annotations

import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(Path(__file__).resolve().parent))

from tools import build_kernel


class KernelBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Hook that compiles `_fused.c` into the wheel, or next to the source of an editable install.

    If it cannot be compiled, the wheel is pure Python.
    """

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile the kernel, and if that succeeds, set the platform in the wheel's tag."""
        if version == "editable":
            built, reason = build_kernel.build(build_kernel.SOURCES)
        else:
            self._folder = tempfile.TemporaryDirectory()
            built, reason = build_kernel.build(Path(self._folder.name))
        if built is None:
            self.app.display_warning(f"comparison kernel not compiled, NumPy is used instead: {reason}")
        elif version != "editable":
            build_data["force_include"][str(built)] = f"pytest_repro/numerics/{built.name}"
            build_data["pure_python"] = False
            build_data["tag"] = f"{build_kernel.PYTHON_TAG}-abi3-{_platform()}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the temporary folder."""
        if version != "editable":
            self._folder.cleanup()


def _platform() -> str:
    """Return the platform tag of a wheel."""
    return sysconfig.get_platform().replace("-", "_").replace(".", "_")
