"""Write the reports at the end of a session: ``--repro-json``, ``--repro-html``, ``--repro-evidence``."""

from __future__ import annotations

import datetime
import os
import platform
import shlex
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from pytest_repro.capturing.budget import Unavailable, is_unavailable
from pytest_repro.capturing.code import describe_code, find_commit_time
from pytest_repro.capturing.environment import describe_environment, find_user
from pytest_repro.capturing.libraries import describe_libraries
from pytest_repro.capturing.patch import make_patch
from pytest_repro.capturing.used_files import describe_used, name_apart
from pytest_repro.model import JSON
from pytest_repro.model.accepted import KnownTally, NotChecked
from pytest_repro.model.codec import decode, encode
from pytest_repro.model.redaction import redact, redact_arguments, redact_name, redact_texts
from pytest_repro.model.release import own_version
from pytest_repro.model.reported import ReportedAssertion, ReportedSession, ReportedTest, SessionOutcome
from pytest_repro.model.secret_values import find_secrets, list_limits
from pytest_repro.records.bundle import own_release
from pytest_repro.records.evidence import (
    AUDIT_REPORT,
    PATCH,
    Context,
    explain_result,
    list_limitations,
    make_bundle,
    without_values,
    write_bundle,
)
from pytest_repro.reporting.evidence_texts import TEXTS
from pytest_repro.reporting.html import render_report
from pytest_repro.reporting.json_report import write_atomically, write_json_report
from pytest_repro.session.auditing import audit_environment, read_audit_settings
from pytest_repro.session.origin import say_time
from pytest_repro.session.record_copies import copy_records

#: Variables in which CI services give the address of the run.
_RUN_VARIABLES = ("CI_JOB_URL", "BUILD_URL", "CIRCLE_BUILD_URL")
#: Variables that are named of those whose values could not be searched for.
MAX_NAMES = 20


class SessionReports:
    """Writes the reports of a session, from facts that are collected once.

    The files that the session writes do not count as changes of the code. All others do, also those next to them.
    """

    def __init__(
        self,
        config: pytest.Config,
        tests: Sequence[ReportedTest],
        started: float,
        written: Sequence[Path],
        *,
        records: Path | None = None,
        is_finished: bool = True,
        outcome: SessionOutcome | None = None,
        assertions: Sequence[ReportedAssertion] = (),
        records_from: Path | None = None,
        files: Collection[str] = (),
        libraries: Collection[str] = (),
        compares_packages: bool = True,
        not_checked: Sequence[NotChecked] = (),
        tally: Callable[[Sequence[ReportedTest]], KnownTally | None] = lambda _: None,
    ) -> None:
        self._not_checked, self._tally = not_checked, tally
        self._tests = list(map(_redact_again, tests)) if is_finished else tests
        self._config, self._started, self._written = config, started, written
        self._records, self._is_finished = records, is_finished
        self.outcome: SessionOutcome | None = outcome
        self.assertions: tuple[ReportedAssertion, ...] = tuple(assertions)
        self._records_from = records_from
        self.files: Collection[str] = files
        self._libraries = libraries
        self._compares_packages = compares_packages

    def write_json(self, path: Path) -> None:
        """Write the document of ``--repro-json``, completely or not at all."""
        # Without tests there is nothing that the environment could explain.
        bare = ReportedSession((), is_finished=self._is_finished, pytest=self.outcome, assertions=self.assertions)
        committed = find_commit_time(self._config.rootpath, self._facts[1]) if self._tests else ""
        session = replace(
            self._session if self._tests else bare,
            not_checked=tuple(self._not_checked),
            known=self._tally(self._tests),
            started=say_time(self._started),
            tool=own_version(),
            committed=committed,
        )
        write_json_report(path, session)

    def write_evidence(self, directory: Path) -> list[str]:
        """Write the bundle, and return lines about it for the terminal."""
        # An audit asks a service, and may take minutes.
        settings = read_audit_settings(self._config) if self._is_finished else None
        audit, report = audit_environment(settings) if settings is not None else (None, None)
        context = Context(
            self._circumstances,
            bundle=str(self._config.getoption("repro_evidence")),
            limitations=(*list_limitations(audit), *_list_unhidden(), *list_limits()),
            audit=audit,
        )
        session = self._session
        if not self._config.getoption("repro_evidence_values"):
            session = replace(session, tests=tuple(map(without_values, session.tests)))
        attached, left_out = copy_records(session.tests, self._records_from)
        if report is not None:
            # An advisory service's address may have a password.
            attached[AUDIT_REPORT] = redact(report.decode("utf-8", "surrogateescape")).encode(
                "utf-8", "surrogateescape"
            )
        if self._config.getoption("repro_evidence_patch"):
            left_out += self._attach_patch(attached)
        context = replace(context, left_out=tuple(left_out))
        files = make_bundle(session, context, TEXTS, attached=attached)
        # Until this session is over, the bundle of an earlier one stays beside that of this one.
        write_bundle(directory, files, previous="remove" if self._is_finished else "keep")
        lines = audit.describe()[:1] if audit is not None else []
        result, reasons = explain_result(session)
        why = f": {'; '.join(reasons)}" if reasons else ""
        told = f"evidence in {self._config.getoption('repro_evidence')}: {result}{why}"
        return [*(f"audit of the installed packages: {line}" for line in lines), told]

    def begin_evidence(self, directory: Path) -> None:
        """Write a bundle of a session that has not run a test, without the facts that take a second to collect."""
        unknown: dict[str, Any] = {"unavailable": "it is collected when the first test has ended"}
        session = ReportedSession(tuple(self._tests), unknown, unknown, is_finished=False, pytest=self.outcome)
        context = Context(self._circumstances, str(directory), limitations=list_limitations(None))
        write_bundle(directory, make_bundle(session, context, TEXTS), previous="set")

    def _attach_patch(self, attached: dict[str, bytes]) -> list[str]:
        try:
            patch = make_patch(self._config.rootpath, self.files, excluded=self._written, records=self._records)
        except Unavailable as error:
            return [f"{PATCH}: {error}"]
        attached[PATCH] = patch.data
        return [f"{PATCH}: {note}" for note in patch.notes]

    def write_html(self, path: Path) -> None:
        """Write the page of ``--repro-html``, completely or not at all."""
        # An unfinished page is written often: without the facts that take a second to collect.
        bare = ReportedSession(
            tuple(self._tests),
            is_finished=False,
            pytest=self.outcome,
            assertions=self.assertions,
            not_checked=tuple(self._not_checked),
        )
        session = self._session if self._is_finished else bare
        write_atomically(path, render_report(session, Context(self._circumstances)))

    def collect_facts(self) -> None:
        """Collect what takes about a second: the environment, and the state of the code."""
        _ = self._facts

    @property
    def _session(self) -> ReportedSession:
        environment, code = self._facts
        return ReportedSession(
            tuple(self._tests),
            environment,
            code,
            is_finished=self._is_finished,
            pytest=self.outcome,
            assertions=self.assertions,
            not_checked=tuple(self._not_checked),
        )

    @cached_property
    def _facts(self) -> tuple[Any, Any]:
        # Once, before anything is written: it takes about a second, and all reports must hold the same facts.
        root = self._config.rootpath
        code: Any = describe_code(root, excluded=self._written, records=self._records)
        code = {**code, "used": self._describe_used(root)}
        environment = describe_environment(root, compares_files=self._compares_packages)
        return redact_texts(environment), redact_texts(code)

    def _describe_used(self, root: Path) -> JSON:
        """Describe the files that neither the commit nor an installer's RECORD vouches for."""
        used: Any = describe_used(root, self.files)
        found: Any = describe_libraries(self._libraries)
        if is_unavailable(used):
            return used  # type: ignore[no-any-return]
        if is_unavailable(found):
            return {**used, "unchecked": [found["unavailable"]]}
        return {
            "ignored": used["ignored"],
            "outside": dict(name_apart([*used["outside"].items(), *found["outside"].items()])),
            "left_out": used["left_out"] + found["left_out"],
            "unchecked": found["unchecked"],
        }

    @property
    def _circumstances(self) -> dict[str, Any]:
        now = datetime.datetime.now(datetime.UTC)
        found = {
            "started": say_time(self._started),
            "finished" if self._is_finished else "written": now.isoformat(timespec="seconds"),
            "host": platform.node(),
            "user": find_user(),
            "command": shlex.join(["pytest", *redact_arguments(map(str, self._config.invocation_params.args))]),
            "tool": own_release(),
            "pytest": pytest.__version__,
        }
        return {**found, **({"run": url} if (url := _find_run()) else {})}


def _redact_again(test: ReportedTest) -> ReportedTest:
    """Return a result without what only a later test has shown to be a secret."""
    return decode(ReportedTest, {**redact_texts(encode(test)), "nodeid": redact_name(test.nodeid)})


def _list_unhidden() -> tuple[str, ...]:
    """Say which secrets of the environment stand in no text only by luck."""
    names = find_secrets().unhidden
    if not names:
        return ()
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return (
        f"The values of {', '.join(names[:MAX_NAMES])}{more} in the environment are too short or too common to be "
        "searched for; what else is known of secrets was removed from all texts.",
    )


def _find_run() -> str | None:
    if os.environ.get("GITHUB_RUN_ID"):
        server, repository = (os.environ.get(name, "") for name in ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY"))
        return redact(f"{server}/{repository}/actions/runs/{os.environ['GITHUB_RUN_ID']}")
    return next((redact(os.environ[name]) for name in _RUN_VARIABLES if os.environ.get(name)), None)
