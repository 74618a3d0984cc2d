"""Frameworks that are first imported within a run."""

from __future__ import annotations

import importlib
import sys

import pytest

from pytest_repro import seeding
from tests.unit.seeding.helpers import run_python


def test_numpy_first_imported_within_a_run_is_seeded() -> None:
    code = """
        import sys
        from pytest_repro import seeding
        assert "numpy" not in sys.modules
        with seeding.seeded(3):
            import numpy
            late = numpy.random.rand(3).tolist()
        with seeding.seeded(3):
            print(late == numpy.random.rand(3).tolist())
    """
    assert run_python(code) == "True"


def test_torch_first_imported_within_a_run_is_seeded_and_restored_to_its_state_after_import() -> None:
    pytest.importorskip("torch")
    code = """
        from pytest_repro import seeding
        state = seeding.save_state()
        with seeding.seeds_on_import(3):
            import torch
            late = torch.rand(3)
            torch.set_default_dtype(torch.float64)
        changes = seeding.restore_state(state)
        after = torch.initial_seed()
        with seeding.seeded(3):
            print(torch.equal(late, torch.rand(3)), after != 3, changes)
    """
    changes = "['torch default dtype was left at float64; restored to float32']"
    assert run_python(code) == f"True True {changes}"


@pytest.mark.parametrize(
    "block, seed",
    [
        ("with seeding.seeded(3):\n    seeding.seed_everything(4)\n    import numpy\n    late = draw()", 4),
        ("with seeding.seeded(3), seeding.seeded(4):\n    import numpy\n    late = draw()", 4),
        ("with seeding.seeded(3):\n    with seeding.seeded(4):\n        import numpy\n    late = draw()", 3),
        (
            "with seeding.seeded(3):\n    state = seeding.save_state()\n    seeding.seed_everything(4)\n"
            "    seeding.restore_state(state)\n    import numpy\n    late = draw()",
            3,
        ),
    ],
    ids=["seeded again", "inner block", "after an inner block", "seeded again and restored"],
)
def test_a_framework_imported_late_gets_the_seed_of_the_active_run(block: str, seed: int) -> None:
    code = f"""
import sys
from pytest_repro import seeding
draw = lambda: sys.modules["numpy"].random.rand(3).tolist()
{block}
with seeding.seeded({seed}):
    print(late == draw())
"""
    assert run_python(code) == "True"


def test_torch_first_imported_in_deterministic_mode_is_deterministic_until_restored() -> None:
    pytest.importorskip("torch")
    code = """
        from pytest_repro import seeding
        state = seeding.save_state()
        with seeding.deterministic() as mode, seeding.seeds_on_import(3):
            import torch
            print(torch.are_deterministic_algorithms_enabled(), torch.initial_seed(), len(mode.settings) > 5)
        changes = seeding.restore_state(state)
        print(torch.are_deterministic_algorithms_enabled(), changes)
    """
    assert run_python(code) == "True 3 True\nFalse []"


def test_a_late_import_leaves_no_trace_on_the_module_or_the_finders() -> None:
    code = """
        import sys
        from importlib.machinery import SourceFileLoader
        from pytest_repro import seeding
        finders = list(sys.meta_path)
        with seeding.seeded(3):
            assert sys.meta_path != finders
            import numpy
        assert sys.meta_path == finders
        assert type(numpy.__loader__) is type(numpy.__spec__.loader) is SourceFileLoader
        import importlib.resources
        print(importlib.resources.files("numpy").joinpath("__init__.py").is_file())
    """
    assert run_python(code) == "True"


def test_finders_with_only_the_old_interface_are_skipped() -> None:
    code = """
        import sys
        from pytest_repro import seeding
        class Old:
            def find_module(self, name, path=None):
                return None
        sys.meta_path.insert(0, Old())
        sys.meta_path.append(Old())
        with seeding.seeded(3):
            import numpy
            a = numpy.random.rand()
        with seeding.seeded(3):
            print(a == numpy.random.rand())
    """
    assert run_python(code) == "True"


def test_a_framework_that_is_not_installed_raises_the_usual_error() -> None:
    code = """
        import sys
        from pytest_repro import seeding
        sys.path[:] = [entry for entry in sys.path if "site-packages" not in entry]
        with seeding.seeded(3):
            try:
                import numpy
            except ModuleNotFoundError as error:
                print(error)
    """
    assert run_python(code) == "No module named 'numpy'"


def test_a_framework_whose_import_fails_raises_its_own_error_and_can_be_imported_later(tmp_path: object) -> None:
    code = f"""
        import pathlib, sys
        from pytest_repro import seeding
        broken = pathlib.Path({str(tmp_path)!r}, "sklearn.py")
        broken.write_text("1 / 0")
        sys.path.insert(0, str(broken.parent))
        with seeding.seeded(3):
            try:
                import sklearn
            except ZeroDivisionError:
                print("its own error", "sklearn" in sys.modules)
            broken.write_text("def get_config(): return {{}}")
            import sklearn
        print(sklearn.get_config())
    """
    assert run_python(code, PYTHONDONTWRITEBYTECODE="1") == "its own error False\n{}"


def test_a_framework_hidden_by_none_in_sys_modules_counts_as_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jax", None)
    monkeypatch.delitem(sys.modules, "pytest_repro.frameworks.jax_state", raising=False)
    with seeding.seeded(3), pytest.raises(ModuleNotFoundError):
        importlib.import_module("jax")


def test_listeners_are_called_once_per_first_import_and_not_on_reload() -> None:
    code = """
        import importlib
        from pytest_repro.seeding import imports
        with imports.when_imported(lambda adapter: print(adapter.__name__)):
            import numpy, decimal, random
            importlib.reload(random)
            import numpy
    """
    # numpy imports random, whose import ends first.
    assert run_python(code).split() == [f"pytest_repro.frameworks.{name}_state" for name in ("stdlib", "numpy")]
