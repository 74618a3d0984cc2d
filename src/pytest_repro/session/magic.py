"""``%load_ext pytest_repro``: the cell magic ``%%reproducible``. Imports IPython, which calls it."""

from __future__ import annotations

import argparse
import shlex
import textwrap
from typing import Any, NoReturn

from pytest_repro.axes import Axis, parse_across_option
from pytest_repro.errors import ReproError, UsageError
from pytest_repro.session.cells import WIDTH, Cell, CellRequest, examine_cell
from pytest_repro.session.standalone import Examination

NAME = "%%reproducible"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        usage = " ".join(self.format_usage().split())
        raise UsageError(f"{NAME}: {message}. {usage[0].upper()}{usage[1:]}")


def register(shell: Any) -> None:
    """Register the magic in an IPython shell."""

    def reproducible(line: str, cell: str) -> Examination:
        """Run the cell several times, seeded alike, and compare the variables that it assigns.

        Options: names of variables to compare, --runs, --across, --seed, --max-ulp, --rtol, --atol, --no-diagnose.
        The variables have the values of run 1 afterwards.
        """
        __tracebackhide__ = True
        from IPython.core.error import UsageError as ShortError

        try:
            return run_magic(shell, line, cell)
        except ReproError as error:
            raise ShortError("\n".join(_wrapped(str(error)))) from None  # IPython shows it without a traceback

    shell.register_magic_function(reproducible, magic_kind="cell")


def run_magic(shell: Any, line: str, cell: str) -> Examination:
    """Examine a cell as the options in its first line say.

    Raises
    ------
    UsageError
        If an option is wrong.
    """
    __tracebackhide__ = True
    from IPython.display import display
    from IPython.utils.capture import capture_output

    given = _parse(line)
    names = [name for entry in given.names for name in entry.split(",") if name]
    if wrong := [name for name in names if not name.isidentifier()]:
        raise UsageError(f"{NAME}: {wrong[0]!r} is not the name of a variable")
    bounds = {"max_ulp": given.max_ulp, "rtol": given.rtol, "atol": given.atol}
    across = _parse_axes(given.across)
    request = CellRequest(given.runs, given.seed, across, names, not given.no_diagnose, bounds)
    text = shell.transform_cell(cell)
    is_shown = not cell.rstrip().endswith(";")
    return examine_cell(
        Cell.parse(text, shell.compile.cache(text)),
        shell.user_ns,
        request,
        show=display if is_shown else lambda _: None,
        silenced=capture_output,
    )


def _wrapped(text: str) -> list[str]:
    """Return the lines of a message, none too long for a cell's output."""
    return [part for line in text.splitlines() for part in textwrap.wrap(line, WIDTH) or [""]]


def _parse(line: str) -> argparse.Namespace:
    parser = _Parser(prog=NAME, add_help=False)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--across", default="")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-ulp", type=int, default=0)
    parser.add_argument("--rtol", type=float, default=0.0)
    parser.add_argument("--atol", type=float, default=0.0)
    parser.add_argument("--no-diagnose", action="store_true")
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise UsageError(f"{NAME}: {error}") from None
    return parser.parse_intermixed_args(words)


def _parse_axes(text: str) -> dict[str, Any] | None:
    if not text:
        return None
    requests = parse_across_option(text)
    if arguments := [request.name for request in requests if request.kind == "argument"]:
        raise UsageError(f"{NAME}: {arguments[0]!r} is not an axis, and a cell has no arguments")
    return {request.name: Axis(request.values) for request in requests}
