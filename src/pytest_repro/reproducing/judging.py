"""Compare the evidence of a reproduced session with what was recorded, pillar by pillar and test by test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_repro.model import Verdict
from pytest_repro.model.reported import Circumstance, ReportedSession, ReportedTest
from pytest_repro.records.canonical import parse_object
from pytest_repro.records.differences import describe_circumstance, find_differences
from pytest_repro.records.documents import RECORD
from pytest_repro.reproducing.findings import Outcome, Pillar, TestFinding
from pytest_repro.reproducing.plan import Plan, say_image
from pytest_repro.reproducing.requirements import INSTALLER, OWN
from pytest_repro.reproducing.subject import RecordedTest, mapping

_GOOD = (Verdict.IDENTICAL.value, Verdict.WITHIN_TOLERANCE.value)
#: Parts that a report of the environment leaves to other pillars.
_NOT_ENVIRONMENT = ("lock file",)


def read_entries(record: bytes) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return the content of a session's ``record.json``, and its tests by node id."""
    document = parse_object(record, RECORD)
    tests: Any = document["tests"]
    return document, {entry["test"]: entry for entry in tests}


def check_data(tests: Sequence[RecordedTest], here: dict[str, dict[str, Any]], pillar: Pillar) -> None:
    """Compare the data that the tests named, by digest."""
    for test in tests:
        if test.nodeid not in here:
            continue
        now = mapping(here[test.nodeid].get("data"))
        for name in sorted({*test.data, *now}):
            then, found = mapping(test.data.get(name)), mapping(now.get(name))
            if not found:
                pillar.missing.append(
                    f"{name}: neither the commit nor this disk has it, as far as the test looked; its digest is "
                    f"{str(then.get('sha256'))[:12]}"
                )
            elif then.get("sha256") is None or then["sha256"] != found.get("sha256"):
                digests = [str(each.get("sha256"))[:12] for each in (then, found)]
                pillar.missing.append(f"{name}: recorded with the digest {digests[0]}, here it has {digests[1]}")
            elif name not in pillar.same:
                pillar.same.append(name)
    if not any((pillar.same, pillar.missing)):
        pillar.same.append("the tests name none")
    pillar.missing[:] = dict.fromkeys(pillar.missing)


def check_configuration(plan: Plan, here: dict[str, dict[str, Any]], pillar: Pillar) -> None:
    """Compare seeds and hyperparameters, and say which variables and options were set again."""
    tests = [test for test in plan.subject.tests if test.nodeid in here]
    for test in tests:
        entry = here[test.nodeid]
        if entry["seed"] != test.seed:
            pillar.missing.append(f"the seed of {test.nodeid}: recorded {test.seed}, here {entry['seed']}")
        if mapping(entry.get("config")) != test.config:
            names = [
                f"{each.name} {each.recorded!r} -> {each.here!r}"
                for each in find_differences({"config": test.config}, {"config": entry.get("config")})
            ]
            pillar.missing.append(f"the hyperparameters of {test.nodeid}: {', '.join(names[:5])}")
    if tests and not pillar.missing:
        pillar.same.append("the seeds of all tests")
        pillar.same += ["the hyperparameters"] * any(test.config for test in tests)
    variables = sorted(plan.variables.values)
    pillar.same += [f"the variable{'s' * (len(variables) > 1)} {', '.join(variables)}"] if variables else []
    pillar.differing += [f"not set: {text}" for text in plan.variables.not_had]
    pillar.differing += [f"not given again: {text}" for text in plan.ignored]


def check_environment(plan: Plan, here: dict[str, Any], pillar: Pillar) -> list[Circumstance]:
    """Compare the environments, and return what differs."""
    recorded = plan.subject.environment
    left = {OWN, INSTALLER, *plan.requirements.local}
    then, now = ({**side, "packages": _without(side.get("packages"), left)} for side in (recorded, here))
    found = [
        each
        for each in find_differences({"environment": then}, {"environment": now})
        if each.part not in _NOT_ENVIRONMENT
    ]
    release = mapping(recorded.get("python")).get("version")
    if release == mapping(here.get("python")).get("version"):
        pillar.same.append(f"Python {release}")
    packages = [mapping(side["packages"]) for side in (then, now)]
    equal = [name for name in packages[0] if _release(packages[0], name) == _release(packages[1], name)]
    if equal:
        pillar.same.append(f"{len(equal)} of {len(packages[0])} packages")
    if container := mapping(recorded.get("container")).get("digest"):
        if container != mapping(here.get("container")).get("digest"):
            pillar.differing.append(say_image(str(container)))
        found = [each for each in found if each.part != "container"]
    if plan.requirements.local and plan.request.environment is None:
        pillar.differing.append(f"from the checkout, not installed: {', '.join(plan.requirements.local)}")
    versions = [mapping(mapping(side.get("packages")).get(OWN)).get("version") for side in (recorded, here)]
    if versions[0] != versions[1]:
        pillar.differing.append(f"{OWN}: {versions[0]} -> {versions[1]}")
    pillar.differing += list(map(describe_circumstance, found))
    return found


def _without(packages: Any, names: set[str]) -> dict[str, Any]:
    return {name: package for name, package in mapping(packages).items() if name not in names}


def _release(packages: dict[str, Any], name: str) -> tuple[Any, Any]:
    """Return a package's version, and the digest of its list of files: a release has several builds."""
    package = mapping(packages.get(name))
    return package.get("version"), package.get("record")


def judge_tests(tests: Sequence[RecordedTest], session: ReportedSession, *, changes_bits: bool) -> list[TestFinding]:
    """Return the outcome of each recorded test.

    Parameters
    ----------
    changes_bits : bool
        Whether the environment differs in something that can change bits.
    """
    found: dict[str, ReportedTest] = {}
    for each in session.tests:
        if found.setdefault(each.nodeid, each).verdict:  # of one that ran twice, the worse counts
            found[each.nodeid] = each
    outcome = session.pytest
    skipped = set(outcome.skipped_tests) if outcome is not None else set()
    failing = set(outcome.failing_tests) if outcome is not None else set()
    findings = []
    for test in tests:
        here = found.get(test.nodeid)
        if here is None:
            reason = "it was skipped" if test.nodeid in skipped else "it did not run"
            findings.append(TestFinding(test.nodeid, Outcome.INCOMPLETE, reason))
            continue
        kind, reason = _judge(test, here, changes_bits=changes_bits)
        if kind.is_reproduced and test.nodeid in failing and here.verdict:
            kind, reason = Outcome.NOT, "its results are those of the record, and the test failed in pytest"
        findings.append(TestFinding(test.nodeid, kind, reason))
    return findings


def _judge(test: RecordedTest, here: ReportedTest, *, changes_bits: bool) -> tuple[Outcome, str]:
    first = here.runs[0] if here.runs else None
    if first is None or first.outcome == "skipped":
        return Outcome.INCOMPLETE, here.reason or "it did not run"
    if test.digest is None:
        return Outcome.INCOMPLETE, "the evidence has no result of it"
    if first.digest is None:
        return Outcome.NOT, f"it gave no result: {first.reason or here.reason or here.verdict.value}"
    is_same = first.digest == test.digest
    if not here.verdict and here.verdict.value != test.verdict and _runs_differ(here):
        return Outcome.NOT, f"its runs differ among themselves: {here.reason or here.verdict.value}"
    if test.record is None:
        return _judge_digest(here, is_same=is_same, changes_bits=changes_bits)
    return _judge_record(test, here, is_same=is_same)


def _runs_differ(here: ReportedTest) -> bool:
    return here.record is None or here.record.status in ("not_verified", "none")


def _judge_digest(here: ReportedTest, *, is_same: bool, changes_bits: bool) -> tuple[Outcome, str]:
    if is_same:
        return _grade(here)
    if changes_bits:
        return Outcome.INCOMPLETE, (
            "its results have another digest, the environment differs in what can change bits, and there is no record "
            "with arrays to measure the difference by"
        )
    return Outcome.NOT, "its results have another digest; there is no record to measure the difference by"


def _judge_record(test: RecordedTest, here: ReportedTest, *, is_same: bool) -> tuple[Outcome, str]:
    record = here.record
    if record is None or record.sha256 != test.record_sha256:
        return Outcome.INCOMPLETE, here.reason or "it was not compared with its record"
    if record.status == "verified" and here.verdict:
        if is_same:
            return _grade(here)
        return Outcome.TOLERANCE, f"within its tolerance: {_describe_largest(here)}"
    if record.status == "differs":
        return Outcome.NOT, _describe_largest(here) or here.reason
    return Outcome.INCOMPLETE, record.reason or here.reason


def _grade(here: ReportedTest) -> tuple[Outcome, str]:
    if here.verdict is Verdict.WITHIN_TOLERANCE:
        return Outcome.TOLERANCE, "run 1 has the recorded bits, and its runs differ within the tolerance"
    return Outcome.BITS, ""


def _describe_largest(here: ReportedTest) -> str:
    """Describe the difference from the record that counts most."""
    if here.record is None or not here.record.differences:
        return ""
    worst = min(here.record.differences, key=lambda each: each.rank)
    figures = [
        f"{worst.differing:,} of {worst.elements:,} elements differ" if worst.elements else worst.kind,
        f"by up to {worst.max_abs:.3g}" if worst.max_abs is not None else "",
        f"{worst.expected} -> {worst.actual}" if worst.elements == 1 and worst.expected else "",
    ]
    return f"{worst.artifact or 'the result'}: {', '.join(filter(None, figures))}"
