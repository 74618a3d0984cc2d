"""Names that each line of a source file mentions and may change, from the file's syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

#: Of a larger file, which is generated code, all variables of a frame are watched at every line.
MAX_SOURCE_BYTES = 4 * 2**20
MAX_STATEMENT_TEXT = 2000

#: Names of functions that write a file, which shows in no variable.
FILE_WRITERS = frozenset({
    "dump", "dump_svmlight_file", "save", "save_file", "save_model", "save_pretrained", "savetxt", "savez",
    "savez_compressed", "to_csv", "to_feather", "to_json", "to_parquet", "to_pickle", "tofile", "write", "write_bytes",
    "write_csv", "write_parquet", "write_text", "writelines", "writerow", "writerows",
})  # fmt: skip

_BLOCKS = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.TryStar, ast.Match)
_LOOPS = (ast.For, ast.AsyncFor, ast.While)
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
_BRANCHES = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.Match)


@dataclass(slots=True)
class Statement:
    """The statements that share a first line.

    Attributes
    ----------
    line, end : int
        First and last line; of a compound statement those of its header.
    chains : dict of tuple of str -> bool
        ``("self", "w")`` for ``self.w``: whether the statement rebinds it or could change the object. Arithmetic
        cannot change its operands.
    targets : set of tuple of str
        The chains that it binds.
    block_end : int
        Last line of the blocks below its header.
    is_branch, is_return, has_call : bool
    writes : bool
        Whether it calls a function that writes a file, or computes gradients, which shows in no variable.
    loop : int
        First line of the outermost loop around it in its function, which may be its own; 0 outside loops.
    """

    line: int
    end: int
    chains: dict[tuple[str, ...], bool] = field(default_factory=dict)
    targets: set[tuple[str, ...]] = field(default_factory=set)
    block_end: int = 0
    is_branch: bool = False
    is_loop: bool = False
    is_return: bool = False
    has_call: bool = False
    writes: bool = False
    loop: int = 0

    @property
    def reads(self) -> list[str]:
        """Names of the variables that it mentions."""
        return list(dict.fromkeys(chain[0] for chain in self.chains))


def parse_statements(source: str) -> dict[int, Statement]:
    """Map each line of a source text to the innermost statement around it.

    Raises
    ------
    SyntaxError
    """
    found: dict[int, Statement] = {}
    _visit(ast.parse(source).body, 0, found)
    return found


@lru_cache(maxsize=256)
def read_statements(path: str) -> dict[int, Statement]:
    """Map each line of a file to its statement. A file that cannot be read has none."""
    try:
        file = Path(path)
        if file.stat().st_size > MAX_SOURCE_BYTES:
            return {}
        return parse_statements(file.read_bytes().decode("utf-8"))
    except (OSError, ValueError, SyntaxError, RecursionError):
        return {}


def _visit(body: list[ast.stmt], loop: int, found: dict[int, Statement]) -> None:
    for node in body:
        is_loop = isinstance(node, _LOOPS)
        around = loop or (node.lineno if is_loop else 0)
        _add(node, around, found)
        inner = 0 if isinstance(node, _SCOPES) else around
        for block in blocks_of(node):
            _visit(block, inner, found)


def blocks_of(node: ast.stmt) -> Iterator[list[ast.stmt]]:
    """Yield the blocks of statements inside a statement."""
    for name in ("body", "orelse", "finalbody"):
        if isinstance(block := getattr(node, name, None), list):
            yield block
    for handler in getattr(node, "handlers", []):
        yield handler.body
    for case in getattr(node, "cases", []):
        yield case.body


def _add(node: ast.stmt, loop: int, found: dict[int, Statement]) -> None:
    line, end = node.lineno, node.end_lineno or node.lineno
    if isinstance(node, (*_BLOCKS, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        first = next((block[0].lineno for block in blocks_of(node) if block), end + 1)
        end = max(line, first - 1)
    statement = found.get(line)
    if statement is None or statement.line != line:
        statement = Statement(line, end, loop=loop)
    statement.end = max(statement.end, end)
    statement.block_end = max(statement.block_end, node.end_lineno or end)
    statement.is_branch |= isinstance(node, _BRANCHES)
    statement.is_loop |= isinstance(node, _LOOPS)
    statement.is_return |= isinstance(node, ast.Return)
    for part in _header(node):
        _collect(part, statement, may_change=True)
    for number in range(line, end + 1):
        found[number] = statement


def _header(node: ast.stmt) -> Iterator[ast.AST]:
    """Yield the expressions that a statement evaluates itself, without those of its blocks."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield ast.Name(node.name, ast.Store())
        return
    for name, value in ast.iter_fields(node):
        if name in ("body", "orelse", "finalbody", "handlers", "cases"):
            continue
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, ast.AST):
                yield item


def _collect(node: ast.AST, statement: Statement, *, may_change: bool) -> None:
    """Record every chain of names in an expression, and whether its object could be changed there."""
    if isinstance(node, ast.Lambda):
        return
    if isinstance(node, (ast.Name, ast.Attribute, ast.Subscript, ast.Starred)):
        _collect_chain(node, statement, may_change=may_change)
        return
    statement.has_call |= isinstance(node, (ast.Call, ast.Await))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        statement.writes |= node.func.attr in FILE_WRITERS or node.func.attr == "backward"
    pure = isinstance(node, (ast.BinOp, ast.UnaryOp, ast.Compare, ast.JoinedStr, ast.FormattedValue))
    for child in ast.iter_child_nodes(node):
        _collect(child, statement, may_change=not pure)


def _collect_chain(node: ast.expr, statement: Statement, *, may_change: bool) -> None:
    names: list[str] = []
    is_bound = isinstance(getattr(node, "ctx", None), (ast.Store, ast.Del))
    may_change |= is_bound
    while True:
        if isinstance(node, ast.Attribute):
            names.insert(0, node.attr)
            node = node.value
        elif isinstance(node, ast.Subscript):
            _collect(node.slice, statement, may_change=False)
            names.clear()
            node = node.value
        elif isinstance(node, ast.Starred):
            node = node.value
        else:
            break
    if isinstance(node, ast.Name):
        chain = (node.id, *names)
        statement.chains[chain] = statement.chains.get(chain, False) or may_change
        if is_bound:
            statement.targets.add(chain)
    else:
        _collect(node, statement, may_change=True)


def read_source(path: str, line: int) -> str:
    """Return the text of the statement that covers a line, at most 2,000 characters, if it can be read."""
    statement = read_statements(path).get(line)
    try:
        lines = Path(path).read_bytes().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    first, last = (statement.line, statement.end) if statement is not None else (line, line)
    return "\n".join(lines[first - 1 : last]).strip()[:MAX_STATEMENT_TEXT]
