"""What all tests share: `pytester`, which runs pytest on files that a test writes."""

from __future__ import annotations

pytest_plugins = ["pytester"]


def _keep_compiled_modules() -> None:
    """Let a session in this process leave compiled packages loaded: torch and others cannot be imported twice."""
    import sys

    from _pytest.pytester import SysModulesSnapshot

    restore = SysModulesSnapshot.restore
    packages = {
        "torch",
        "numpy",
        "scipy",
        "sklearn",
        "pandas",
        "jax",
        "jaxlib",
        "numba",
        "ml_dtypes",
        "pyarrow",
        "hypothesis",
    }

    def restore_but_keep(self: SysModulesSnapshot) -> None:
        kept = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in packages}
        restore(self)
        sys.modules.update(kept)

    SysModulesSnapshot.restore = restore_but_keep  # type: ignore[method-assign]


_keep_compiled_modules()
