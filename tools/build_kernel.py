"""Compile the optional comparison kernel, src/pytest_repro/numerics/_fused.c (docs/adr/0021).

`hatch_build.py` calls it for a wheel or an editable install. Run as a script, it compiles next to the source, for a
checkout that is used without being installed. If the kernel cannot be compiled, it prints the reason in one line.
"""

from __future__ import annotations

import os
import sys
import sysconfig
import tempfile
import textwrap
from pathlib import Path

NAME = "_fused"
SOURCES = Path(__file__).resolve().parent.parent / "src" / "pytest_repro" / "numerics"

#: Stable ABI of this Python release, so that one shared object works with it and later releases.
LIMITED_API = (3, 11)
PYTHON_TAG = "cp311"

#: Loops may be vectorized, products are rounded separately from sums, and arithmetic does not trap. No debugging
#: information, which would name folders of this machine and make up most of the file.
_GCC_OPTIONS = ["-std=c11", "-O3", "-fopenmp-simd", "-ffp-contract=off", "-fno-trapping-math", "-g0"]
_MSVC_OPTIONS = ["/std:c11", "/O2", "/fp:precise"]

#: Options that CFLAGS may contain. A library linked with one switches flush-to-zero on in the process that loads it.
_FORBIDDEN = {"-Ofast", "-ffast-math", "-funsafe-math-optimizations"}


def build(folder: Path) -> tuple[Path | None, str]:
    """Compile the kernel into a folder, and remove older builds from it.

    Returns
    -------
    built : Path or None
        The shared object, or None if it could not be compiled.
    reason : str
        One line that says why not, or "".
    """
    for old in folder.glob(f"{NAME}*"):
        if old.suffix in (".so", ".pyd"):
            old.unlink()
    if os.environ.get("PYTEST_REPRO_PURE", "0") not in ("", "0"):
        return None, "PYTEST_REPRO_PURE is set"
    if sys.implementation.name != "cpython" or sysconfig.get_config_var("Py_GIL_DISABLED"):
        return None, "this Python has no stable ABI"
    try:
        return _compile(folder), ""
    except Exception as error:  # of any kind, because the kernel is optional and must not make an installation fail
        return None, textwrap.shorten(f"{type(error).__name__}: {error}", 200)


def _compile(folder: Path) -> Path:
    from setuptools import Distribution, Extension
    from setuptools.command.build_ext import build_ext

    class Build(build_ext):  # type: ignore[misc]  # setuptools has no types here
        def build_extensions(self) -> None:
            commands = [*self.compiler.compiler_so, *self.compiler.linker_so] if os.name != "nt" else []
            if forbidden := _FORBIDDEN.intersection(commands):
                raise RuntimeError(f"{', '.join(sorted(forbidden))} among the compiler's options")
            if os.name != "nt":
                # Folders of this machine that a Python was configured with. The C library would be looked for there.
                linker = [word for word in self.compiler.linker_so if not word.startswith(("-Wl,-rpath", "-Wl,-R"))]
                self.compiler.linker_so = linker
            super().build_extensions()

    extension = Extension(
        NAME,
        [str(SOURCES / f"{NAME}.c")],
        define_macros=[("Py_LIMITED_API", f"0x{LIMITED_API[0]:02X}{LIMITED_API[1]:02X}0000")],
        extra_compile_args=_MSVC_OPTIONS if os.name == "nt" else _GCC_OPTIONS,
        py_limited_api=True,
    )
    with tempfile.TemporaryDirectory() as temporary:
        command = Build(Distribution({"name": "pytest-repro", "ext_modules": [extension]}))
        command.build_lib, command.build_temp, command.force = str(folder), temporary, True
        command.ensure_finalized()
        command.run()
        return Path(command.get_ext_fullpath(NAME))


def main() -> int:
    """Compile next to the source, and print the path or the reason."""
    built, reason = build(SOURCES)
    print(built or f"not compiled: {reason}")
    return 0 if built else 1


if __name__ == "__main__":
    sys.exit(main())
