"""The scan of a project's source: its Python files, each parsed and never imported."""

from __future__ import annotations

import ast
import os
import tokenize
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pytest_repro.adopting.findings import Finding
from pytest_repro.adopting.markers import find_markers
from pytest_repro.adopting.names import find_aliases, find_parents
from pytest_repro.adopting.orders import find_orders
from pytest_repro.adopting.randomness import find_randomness
from pytest_repro.adopting.switches import find_switches

#: Bounds on the scan.
MAX_FILES, MAX_FILE_BYTES, MAX_FOLDERS = 5_000, 1_000_000, 20_000
#: Folders that hold no code of the project, or none that its tests import.
SKIPPED_FOLDERS = frozenset(
    [
        "__pycache__",
        "build",
        "dist",
        "node_modules",
        "site-packages",
        "venv",
        "env",
        "virtualenv",
        "_build",
        "vendor",
        "_vendor",
        "third_party",
    ]
)
#: Scripts of tools.
SKIPPED_FILES = frozenset(("setup.py", "noxfile.py"))
SCRIPT_FOLDERS = frozenset(
    ["doc", "docs", "example", "examples", "benchmark", "benchmarks", "asv_bench", "notebooks", "tutorials"]
)


@dataclass
class Scan:
    """What was found in a project's source.

    Attributes
    ----------
    findings : list of Finding
        In the order of files and lines.
    files : int
        Files that were read.
    unread : list of (file, reason)
        Files that could not be parsed.
    left_out : list of str
        Folders of scripts that were not scanned.
    notes : list of str
        Bounds that were reached.
    packages : set of str
        Top-level packages that the source imports.
    marked, tests : int
        Tests, and those with the marker.
    """

    findings: list[Finding] = field(default_factory=list)
    files: int = 0
    unread: list[tuple[str, str]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    packages: set[str] = field(default_factory=set)
    tests: int = 0
    marked: int = 0


def scan_project(root: Path) -> Scan:
    """Parse the Python files under a folder, or one file, and return what is to be mended in them."""
    scan = Scan()
    for number, path in enumerate(list_sources(root, scan)):
        if number >= MAX_FILES:
            scan.notes.append(f"more than {MAX_FILES:,} files: the rest was not read; name a folder")
            break
        _scan_file(path, path.name if path == root else path.relative_to(root).as_posix(), scan)
    scan.findings = sorted(set(scan.findings))  # two of a kind on a line are one
    return scan


def parse_source(path: Path) -> ast.Module:
    """Parse a Python file.

    Raises
    ------
    ValueError
        With the reason.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ValueError(f"it has more than {MAX_FILE_BYTES:,} bytes")
        with tokenize.open(path) as file:  # in the encoding that the file declares
            text = file.read(MAX_FILE_BYTES + 1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of invalid escapes in strings
            return ast.parse(text)
    except SyntaxError as error:
        raise ValueError(f"line {error.lineno}: {error.msg}" if error.lineno else str(error.msg)) from None
    except OSError as error:
        raise ValueError(error.strerror or type(error).__name__) from None
    except (UnicodeDecodeError, RecursionError, MemoryError) as error:
        raise ValueError(str(error)[:100] or type(error).__name__) from None


def list_sources(root: Path, scan: Scan) -> Iterator[Path]:
    """Yield the Python files of a project in the order of their names."""
    if root.is_file():
        yield root
        return
    for number, (folder, names, files) in enumerate(os.walk(root), 1):
        if number > MAX_FOLDERS:
            scan.notes.append(f"more than {MAX_FOLDERS:,} folders: the rest was not read; name a folder")
            return
        here = Path(folder)
        kept = []
        for name in sorted(names):
            if name in SCRIPT_FOLDERS:
                scan.left_out.append(f"{(here / name).relative_to(root).as_posix()}/")
            elif not (name in SKIPPED_FOLDERS or name.startswith(".") or name.endswith(".egg-info")):
                kept += [] if (here / name / "pyvenv.cfg").exists() else [name]
        names[:] = kept
        sources = (name for name in sorted(files) if name.endswith(".py") and name not in SKIPPED_FILES)
        yield from (here / name for name in sources if (here / name).is_file())


def _scan_file(path: Path, name: str, scan: Scan) -> None:
    try:
        tree = parse_source(path)
        aliases, parents = find_aliases(tree), find_parents(tree)
        found = [
            *find_randomness(tree, aliases, parents, name),
            *find_orders(tree, aliases, parents, name),
            *find_markers(tree, aliases, name),
            *find_switches(tree, aliases, name),
        ]
    except (ValueError, RecursionError) as error:
        scan.unread.append((name, str(error)[:200]))
        return
    scan.files += 1
    scan.findings += found
    scan.packages |= {full.partition(".")[0] for full in aliases.values()}
    tests, marked = count_tests(tree)
    scan.tests += tests
    scan.marked += marked


def count_tests(tree: ast.AST) -> tuple[int, int]:
    """Return the number of test functions, and of those with the marker on them, their class or their module."""
    tests = marked = 0

    def visit(body: list[ast.stmt], is_marked: bool) -> None:
        nonlocal tests, marked
        for node in body:
            if isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
                visit(node.body, is_marked or _has_marker(node))
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test"):
                tests += 1
                marked += is_marked or _has_marker(node)

    module = getattr(tree, "body", [])
    everywhere = any(
        isinstance(each, ast.Assign)
        and any(isinstance(target, ast.Name) and target.id == "pytestmark" for target in each.targets)
        and "mark.reproducible" in ast.unparse(each.value)
        for each in module
    )
    visit(module, everywhere)
    return tests, marked


def _has_marker(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any("mark.reproducible" in ast.unparse(each) for each in node.decorator_list)
