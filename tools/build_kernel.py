"""Compile the comparison kernel, src/pytest_repro/numerics/_fused.c, if this machine can (docs/adr/0021).

`hatch_build.py` calls it for a wheel or an editable install; run as a script it compiles beside the source, for a
checkout that is used without being installed. The kernel is an option: where it cannot be compiled, one line says why.
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

#: The stable ABI of this release and later ones: one shared object for all of them.
LIMITED_API = (3, 11)
PYTHON_TAG = "cp311"

#: Sums may be taken in vectors, each product is rounded by itself, no arithmetic traps.
_GCC_OPTIONS = ["-std=c11", "-O3", "-fopenmp-simd", "-ffp-contract=off", "-fno-trapping-math"]
_MSVC_OPTIONS = ["/std:c11", "/O2", "/fp:precise"]

#: CFLAGS may hold them. What is linked with one switches flush-to-zero on in the process that loads it.
_REFUSED = {"-Ofast", "-ffast-math", "-funsafe-math-optimizations"}


def build(folder: Path) -> tuple[Path | None, str]:
    """Compile the kernel into a folder, in place of what may be there from another time.

    Returns
    -------
    built : Path or None
        The shared object; None if there is none.
    reason : str
        Why there is none: one line.
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
    except Exception as error:  # whatever it is: an installation must not fail for want of an option
        return None, textwrap.shorten(f"{type(error).__name__}: {error}", 200)


def _compile(folder: Path) -> Path:
    from setuptools import Distribution, Extension
    from setuptools.command.build_ext import build_ext

    class Build(build_ext):  # type: ignore[misc]  # setuptools has no types here
        def build_extensions(self) -> None:
            commands = [*self.compiler.compiler_so, *self.compiler.linker_so] if os.name != "nt" else []
            if refused := _REFUSED.intersection(commands):
                raise RuntimeError(f"{', '.join(sorted(refused))} among the compiler's options")
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
    """Compile beside the source and say what came of it."""
    built, reason = build(SOURCES)
    print(built or f"not compiled: {reason}")
    return 0 if built else 1


if __name__ == "__main__":
    sys.exit(main())
