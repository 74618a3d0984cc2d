"""What a reproduction does, before it does anything."""

from __future__ import annotations

import shlex
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_repro.errors import RecordError
from pytest_repro.reproducing.code import find_missing
from pytest_repro.reproducing.data import list_data
from pytest_repro.reproducing.requirements import Requirements, find_python, list_requirements
from pytest_repro.reproducing.subject import Subject, mapping
from pytest_repro.reproducing.variables import Variables, choose_options, choose_seed, choose_variables
from pytest_repro.reproducing.workspace import has_commit, is_url

WARNING = "Reproducing runs the recorded code, as pytest does."
#: Names that a line shows.
MAX_SHOWN = 6


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked for.

    Attributes
    ----------
    repository : str
        Folder or address.
    environment : str or None
        Name of the environment to run in. None to make one of the recorded packages.
    output : Path
        Folder of the bundle that is written.
    """

    repository: str
    environment: str | None
    output: Path


@dataclass(frozen=True, slots=True)
class Plan:
    """What is run, and with what.

    Attributes
    ----------
    python : str
        Path of the interpreter for a fresh environment. Empty for this process' own.
    options, ignored : list of str
        Recorded options of pytest that are given again, and those that are not.
    missing : list of str
        What of the code cannot be had.
    """

    subject: Subject
    request: Request
    requirements: Requirements
    python: str
    variables: Variables
    options: list[str]
    ignored: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def make_plan(subject: Subject, request: Request) -> Plan:
    """Return what would be done, without doing anything.

    Raises
    ------
    RecordError
        If the record holds what must not reach a command.
    """
    words = _split(subject.command)
    options, ignored = choose_options(words)
    if not subject.is_bundle:
        options = [f"--repro-runs={subject.runs}"]
    return Plan(
        subject,
        request,
        list_requirements(subject.packages),
        find_python(subject.environment),
        choose_variables(subject),
        [*options, *choose_seed(subject)],
        ignored,
        find_missing(subject),
    )


def _split(command: str) -> list[str]:
    try:
        return shlex.split(command)[1:]
    except ValueError:
        raise RecordError(f"the recorded command cannot be read: {command[:100]!r}") from None


def plan_lines(plan: Plan) -> list[tuple[str, str]]:
    """Return what would be done, as pairs of a pillar and a text."""
    subject, request = plan.subject, plan.request
    lines = [("reproduces", f"{subject.original.name}, sha256 {subject.original.sha256}")]
    where = request.repository
    if subject.commit is not None:
        lines.append(("code", f"check out the commit {subject.commit[:12]} of {where}"))
        is_known = is_url(where) or has_commit(Path(where), subject.commit)
        lines += [] if is_known else [("code", f"missing: {where} has no such commit")]
    if subject.patch:
        lines.append(("code", f"apply the recorded changes ({len(subject.patch):,} bytes)"))
    lines += [("code", f"missing: {text}") for text in plan.missing]
    lines += [("data", _data_line(fact)) for fact in list_data(subject.tests).values()]
    lines += [("environment", text) for text in _environment_lines(plan)]
    shown = [f"{name}={value}" for name, value in plan.variables.values.items()]
    lines += [("configuration", text) for text in (*plan.options, *shown)]
    lines += [("configuration", f"cannot be set: {text}") for text in plan.variables.not_had]
    lines += [("configuration", f"not given again: {text}") for text in plan.ignored]
    lines += [("result", f"run {test.nodeid}") for test in subject.tests]
    return [*lines, ("output", f"write a bundle to {request.output}")]


def _data_line(fact: dict[str, Any]) -> str:
    size = f"{fact['kind']}, {fact.get('size')} bytes"
    return f"{fact['name']} ({size}): from the commit, DVC or this disk, by its digest"


def _environment_lines(plan: Plan) -> list[str]:
    lines = []
    if container := mapping(plan.subject.environment.get("container")).get("digest"):
        lines.append(say_image(str(container)))
    if plan.request.environment is not None:
        return [*lines, f"run in the environment {plan.request.environment}"]
    release = mapping(plan.subject.environment.get("python")).get("version")
    lines.append(f"Python {release}, by {Path(plan.python).name if plan.python else 'this interpreter'}")
    names = plan.requirements.lines
    more = f" and {len(names) - MAX_SHOWN} more" if len(names) > MAX_SHOWN else ""
    lines.append(f"install {len(names)} packages: {', '.join(names[:MAX_SHOWN])}{more}")
    if plan.requirements.local:
        lines.append(f"from the checkout, not installed: {', '.join(plan.requirements.local)}")
    return [*lines, *(f"missing: {text}" for text in plan.requirements.elsewhere)]


def say_image(image: str) -> str:
    """Say what it takes to run in a recorded container image."""
    tool = next((name for name in ("podman", "docker") if shutil.which(name)), None)
    if tool is None:
        return f"recorded in the image {image}, which cannot be had: neither podman nor docker is here"
    return f"recorded in the image {image}: to run in it, name a `{tool} run` of it as an environment"


def plan_to_json(plan: Plan) -> dict[str, Any]:
    """Return the plan as a document."""
    return {"plan": [{"pillar": pillar, "text": text} for pillar, text in plan_lines(plan)], "warning": WARNING}
