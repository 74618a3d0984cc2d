"""The text of a bisection: a line for each step while it runs, then the border, the operation, and what to do."""

from __future__ import annotations

import math
from collections.abc import Iterator

from pytest_repro.bisecting.results import WITHIN, Bisected, Commit, Step
from pytest_repro.model.text import escape
from pytest_repro.reporting.failure import describe_place, indented, wrapped

WIDTH = 80
_NAME = 10
#: Packages that are named where they differ as well.
MAX_PACKAGES = 8


def describe_plan(test: str, subject: str, good: str, bad: str, members: int) -> str:
    """Describe what is going to be done."""
    noun = "commits" if subject == "commits" else "releases"
    most = 2 + (math.ceil(math.log2(members - 1)) if members > 2 else 0)
    what = "" if subject == "commits" else f"{subject} "
    return f"bisecting {what}{good} .. {bad}: {members} {noun}, at most {most} to try\n  {escape(test)}"


def describe_step(step: Step) -> str:
    """Describe a step in a line."""
    again = "again: " if step.is_repeat else ""
    line = f"  {step.name:<{_NAME}} {step.result:<8}{step.seconds:>6.1f} s {step.origin:<4}  {again}{escape(step.text)}"
    return line.rstrip() if len(line) <= WIDTH else f"{line[: WIDTH - 3].rstrip()}..."


def describe_bisected(found: Bisected) -> str:
    """Describe the finding."""
    return "\n".join(_lines(found))


def _lines(found: Bisected) -> Iterator[str]:
    yield ""
    name = "" if found.subject == "commits" else f"{found.subject} "
    if found.status == "same":
        yield f"{name}{found.good} and {found.bad} give the same result: nothing to bisect"
        yield from wrapped("result", found.summary, WIDTH)
        if found.summary.startswith(WITHIN):
            yield from wrapped("next", "--exact compares bit for bit", WIDTH)
        return
    if found.status == "found" and found.commit is not None:
        yield f"{found.first_different} is the first commit that changed the result of"
    else:
        yield f"{name}{found.last_same} -> {found.first_different} changed the result of"
    yield f"  {escape(found.test)}"
    yield ""
    yield from indented(found.table) if found.table else wrapped("result", found.summary, WIDTH)
    yield ""
    if found.status == "range":
        skipped = f"no result in {', '.join(found.skipped)}: the change may be in any of these"
        yield from wrapped("range", f"{skipped}, or in {found.first_different}", WIDTH)
    if found.commit is not None:
        yield from _commit_lines(found.commit)
    if found.first_divergence is not None:
        source = found.first_divergence.source.strip().splitlines()
        yield from wrapped("where", describe_place(found.first_divergence), WIDTH)
        yield from wrapped("line", source[0], WIDTH) if source else ()
    if found.other_packages:
        more = len(found.other_packages) - MAX_PACKAGES
        shown = ", ".join(found.other_packages[:MAX_PACKAGES]) + (f" and {more} more" if more > 0 else "")
        name, old, *_ = found.other_packages[0].split(" ")
        fix = f"Repeat with --with={name}=={old}" if old != "none" else "--with adds a package to all environments"
        what = f"the two environments differ in {shown} as well, so the change may be theirs. {fix}"
        yield from wrapped("also", what, WIDTH)
    for note in found.notes:
        yield from wrapped("note", note, WIDTH)
    yield from _next_lines(found)


def _commit_lines(commit: Commit) -> Iterator[str]:
    yield from wrapped("commit", f"{commit.name[:10]} {commit.subject}", WIDTH)
    more = f" and {commit.more_files} more" if commit.more_files else ""
    yield from wrapped("files", f"{', '.join(commit.files) or 'none'}{more}", WIDTH)
    if commit.parents > 1:
        hash_ = commit.name[:10]
        yield from wrapped("merge", f"what it merged: --commits={hash_}^..{hash_}^2", WIDTH)


def _next_lines(found: Bisected) -> Iterator[str]:
    """Yield what to do. A command is not wrapped, so that it can be copied."""
    if found.commit is not None:
        yield f"  next    git show {found.first_different}"
        return
    release = f"{found.subject} {found.first_different}"
    if found.repeat_command:
        yield from wrapped("next", f"read the release notes of {release}, and see the difference here:", WIDTH)
        yield f"          {escape(found.repeat_command)}"
    else:
        yield from wrapped("next", f"read the release notes of {release}", WIDTH)
    keep = f"keep the old result with {found.subject}<{found.first_different}, or accept the new one"
    yield from wrapped("", f"{keep}: widen the test's tolerance, or record it again", WIDTH)
