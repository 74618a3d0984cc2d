"""Modules of the plugin import each other without circles. import-linter checks only the layers between packages."""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path

import pytest

PACKAGE = Path(str(files("pytest_repro")))


def imports(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yield the imports that can run, at the top or in a function: all but those for type checkers."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from imports(ast.Module(node.orelse, []))
        else:
            yield from imports(node)


def graph(sources: Mapping[str, str]) -> dict[str, set[str]]:
    """Return the modules that each module imports, of those in `sources` (module's name -> text)."""
    found: dict[str, set[str]] = {}
    for module, source in sources.items():
        named: set[str] = set()
        for node in imports(ast.parse(source)):
            if isinstance(node, ast.Import):
                named |= {alias.name for alias in node.names}
            else:
                assert node.level == 0, f"{module}: relative imports are not followed here"
                # A name in a package may be a module of its own, or be defined in the package's __init__.
                submodules = {f"{node.module}.{alias.name}" for alias in node.names}
                named |= submodules if submodules <= sources.keys() else {str(node.module), *submodules}
        found[module] = named & sources.keys() - {module}
    return found


def find_circle(sources: Mapping[str, str]) -> list[str]:
    """Return one circle of imports as a path from a module back to itself, or nothing."""
    try:
        graphlib.TopologicalSorter(graph(sources)).prepare()
    except graphlib.CycleError as error:
        return list(reversed(error.args[1]))
    return []


def test_no_modules_import_each_other_in_a_circle():
    # The compiled kernel, which imports nothing of the plugin.
    sources = {"pytest_repro.numerics._fused": ""}
    for path in PACKAGE.rglob("*.py"):
        parts = ["pytest_repro", *path.relative_to(PACKAGE).with_suffix("").parts]
        sources[".".join(parts).removesuffix(".__init__")] = path.read_text(encoding="utf-8")
    assert len(sources) > 100
    circle = find_circle(sources)
    assert not circle, " -> ".join(circle)


@pytest.mark.parametrize(
    "second",
    [
        "import p.a",
        "from p.a import x",
        "from p import a",
        "def f():\n    from p.a import x",
        "try:\n    import p.a\nexcept ImportError:\n    pass",
        "if TYPE_CHECKING:\n    import os\nelse:\n    import p.a",
    ],
)
def test_a_circle_is_found_wherever_the_import_is(second):
    circle = find_circle({"p": "", "p.a": "from p import b", "p.b": second})
    assert circle in (["p.a", "p.b", "p.a"], ["p.b", "p.a", "p.b"])


def test_a_module_and_the_init_of_its_package_can_make_a_circle():
    assert find_circle({"p": "from p.a import x", "p.a": "from p import y"})
    assert not find_circle({"p": "from p.a import x", "p.a": "import os"})


def test_an_import_for_type_checkers_makes_no_circle():
    assert find_circle({"p": "", "p.a": "from p import b", "p.b": "if TYPE_CHECKING:\n    from p.a import x"}) == []
