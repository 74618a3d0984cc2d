"""Redo a recorded result from nothing, and write evidence of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from pytest_repro.errors import RecordError, UsageError
from pytest_repro.records.bundle import read_bundle
from pytest_repro.records.bundle_files import BundleFiles
from pytest_repro.records.documents import EVIDENCE, RECORD, read_session
from pytest_repro.records.evidence import (
    BUNDLE_FILES,
    PAGE,
    REPRODUCTION,
    SUMMARY,
    Render,
    make_bundle,
    write_bundle,
)
from pytest_repro.records.ownership import check_replaceable
from pytest_repro.reproducing.code import check_code, check_used
from pytest_repro.reproducing.data import copy_data, list_data, pull_data
from pytest_repro.reproducing.findings import Outcome, Pillar, Reproduction, TestFinding
from pytest_repro.reproducing.judging import (
    check_configuration,
    check_data,
    check_environment,
    judge_tests,
    read_entries,
)
from pytest_repro.reproducing.plan import Plan
from pytest_repro.reproducing.requirements import find_sources
from pytest_repro.reproducing.running import EVIDENCE_FOLDER, find_environment, run_session
from pytest_repro.reproducing.subject import mapping
from pytest_repro.reproducing.workspace import (
    apply_patch,
    fetch_submodules,
    find_project,
    has_commit,
    is_url,
    list_files,
    open_checkout,
    open_repository,
    open_workspace,
)


@dataclass(slots=True)
class _Pillars:
    code: Pillar = field(default_factory=lambda: Pillar("code"))
    data: Pillar = field(default_factory=lambda: Pillar("data"))
    environment: Pillar = field(default_factory=lambda: Pillar("environment"))
    configuration: Pillar = field(default_factory=lambda: Pillar("configuration"))
    result: Pillar = field(default_factory=lambda: Pillar("result"))

    @property
    def can_run(self) -> bool:
        """Whether nothing is missing so far."""
        return not any(pillar.missing for pillar in self.all)

    @property
    def all(self) -> tuple[Pillar, ...]:
        """All of them, in the order of a report."""
        return self.code, self.data, self.environment, self.configuration, self.result


class Reproducer:
    """Makes one reproduction.

    Parameters
    ----------
    plan : Plan
    texts : mapping
        Renders the texts of a bundle.
    announce : callable
        Is told what takes long.
    """

    def __init__(self, plan: Plan, texts: Mapping[str, Render], announce: Callable[[str], object]) -> None:
        self._plan, self._texts, self._announce = plan, texts, announce
        self._pillars = _Pillars()
        self._tests: list[TestFinding] = []
        #: Whether there is a bundle: without a test that ran, there is nothing to give evidence of.
        self.has_written: bool = False

    def reproduce(self) -> Reproduction:
        """Redo the result, and write the bundle if the tests ran.

        Raises
        ------
        RecordError
            If the record's patch does not fit, or the bundle cannot be written.
        UsageError
            If there is no such repository or environment.
        """
        self._pillars.code.missing += self._plan.missing
        if self._pillars.can_run:
            with ExitStack() as stack:
                workspace = stack.enter_context(open_workspace())
                repository = stack.enter_context(open_repository(self._plan.request.repository, workspace))
                self._check_out(stack, repository, workspace)
        return self._conclude()

    def _conclude(self) -> Reproduction:
        if not self._tests:
            reason = "it was not run"
            self._tests = [TestFinding(each.nodeid, Outcome.INCOMPLETE, reason) for each in self._plan.subject.tests]
        return Reproduction(self._plan.subject.original, self._pillars.all, tuple(self._tests))

    def _check_out(self, stack: ExitStack, repository: Path, workspace: Path) -> None:
        subject, code = self._plan.subject, self._pillars.code
        commit = subject.commit
        assert commit is not None
        if not has_commit(repository, commit):
            where = self._plan.request.repository
            code.missing.append(f"the commit {commit[:12]}: {where} does not have it; fetch it, or name another --repo")
            return
        self._announce(f"checking out {commit[:12]}")
        checkout = stack.enter_context(open_checkout(repository, commit, workspace))
        fetch_submodules(checkout, mapping(subject.code.get("submodules")))
        if subject.patch:  # of a clean checkout, it has the used files that git ignores
            apply_patch(checkout, subject.patch, workspace)
        self._pillars.code = check_code(subject, checkout)
        if self._pillars.can_run:
            self._provide(repository, checkout, workspace)

    def _provide(self, repository: Path, checkout: Path, workspace: Path) -> None:
        """Provide data, packages and the project's folder, and run the tests if all could be had."""
        plan, pillars = self._plan, self._pillars
        files = list_files(checkout)
        nodeids = [test.nodeid for test in plan.subject.tests]
        project = find_project(nodeids, files, plan.subject.code.get("project"))
        if project is None:
            pillars.code.missing.append("the files of the tests: no single folder of the commit has all of them")
            return
        sources, unknown = find_sources(checkout, plan.requirements.local, files)
        if plan.request.environment is None:
            lacking = (*plan.requirements.elsewhere, *unknown)
            pillars.environment.missing += [
                f"the package {name}: it was installed from a directory" for name in lacking
            ]
        if pillars.can_run:
            self._announce("finding or making the environment")
            environment, missing = find_environment(plan, repository, workspace)
            pillars.environment.missing += missing
        if not pillars.can_run:
            return
        assert environment is not None
        if failed := pull_data(checkout):
            pillars.data.differing.append(failed)
        if (wanted := list_data(plan.subject.tests)) and not is_url(plan.request.repository):
            copy_data(wanted, repository, checkout)
        count = len(plan.subject.tests)
        self._announce(f"running {count} test{'s' * (count != 1)}")
        started = run_session(plan, environment, checkout / project, workspace, sources)
        self._read_evidence(workspace / EVIDENCE_FOLDER, started.describe())

    def _read_evidence(self, folder: Path, ending: str) -> None:
        """Compare what the session left with the record, and write it as a bundle that names what it reproduces."""
        plan, pillars = self._plan, self._pillars
        try:
            files = BundleFiles(folder)
            bundle = read_bundle(files)
            session, context = read_session(files.read(RECORD), files.read(EVIDENCE))
        except RecordError:
            pillars.result.missing.append(f"the session left no evidence; {ending}")
            return
        if not session.is_finished:
            pillars.result.missing.append(f"the session did not come to its end; {ending}")
            return
        document, here = read_entries(files.read(RECORD))
        if mapping(document.get("code")).get("commit") != plan.subject.commit:
            pillars.code.missing.append("the commit: the session ran in another checkout")
        check_used(pillars.code, plan.subject, mapping(document.get("code")).get("used"), plan.requirements.local)
        check_data(plan.subject.tests, here, pillars.data)
        circumstances = check_environment(plan, mapping(document.get("environment")), pillars.environment)
        check_configuration(plan, here, pillars.configuration)
        changes_bits = any(each.changes_bits for each in circumstances)
        self._tests = judge_tests(plan.subject.tests, session, changes_bits=changes_bits)
        if not here:
            pillars.result.missing.append(f"no test ran; {ending}")
        for finding in self._tests:
            column = pillars.result.same if finding.outcome is Outcome.BITS else pillars.result.differing
            column.append(f"{finding.nodeid}{f': {finding.reason}' if finding.reason else ''}")
        own = {RECORD, EVIDENCE, SUMMARY, PAGE}
        attached = {name: files.read(name) for name in bundle.subjects if name not in own}
        found = json.dumps(self._conclude().to_json(), indent=1, ensure_ascii=True) + "\n"
        attached[REPRODUCTION] = found.encode()
        context = replace(context, bundle=str(plan.request.output), reproduces=plan.subject.original)
        write_bundle(plan.request.output, make_bundle(session, context, self._texts, attached=attached))
        self.has_written = True


def check_output(output: Path, original: Path) -> None:
    """Refuse a folder for the bundle that holds something else, or what is to be reproduced.

    Raises
    ------
    RecordError, UsageError
    """
    places = output.resolve(), original.resolve()
    if places[0] == places[1] or places[0].is_relative_to(places[1]) or places[1].is_relative_to(places[0]):
        raise UsageError("--output must be another folder than that of the evidence that is reproduced")
    check_replaceable(output, BUNDLE_FILES)
