"""Record the results of a test, or compare them with its record, inside the test's call phase."""

from __future__ import annotations

import hashlib
import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, Literal

from pytest_repro import seeding
from pytest_repro.capturing import digest
from pytest_repro.capturing.code import describe_code
from pytest_repro.capturing.environment import describe_environment
from pytest_repro.comparing import compare_artifacts
from pytest_repro.engines.condition import hash_seed_of
from pytest_repro.errors import RecordChangedError, RecordError
from pytest_repro.model import JSON, Artifacts, Condition, Leaf, TestResult, Verdict
from pytest_repro.model.redaction import holds_secret, redact, redact_condition, redact_name, redact_texts
from pytest_repro.model.secret_names import is_secret_path
from pytest_repro.records.allowance import describe_rules, find_changed_bounds
from pytest_repro.records.checking import UPDATE, RecordCheck, check_record
from pytest_repro.records.differences import describe_circumstance
from pytest_repro.records.files import INLINE_BYTES, StoredRecord, read_record, record_path, write_record
from pytest_repro.records.policy import describe_policy
from pytest_repro.records.pruning import drop_arrays
from pytest_repro.reporting.parts import Message
from pytest_repro.reporting.record_text import describe_check, describe_overwriting, report_record
from pytest_repro.session.record_settings import RecordSettings
from pytest_repro.session.settings import TestSettings
from pytest_repro.tracing.variables import describe_variables, variables_read
from pytest_repro.undisturbed import unpatched

NO_VALUES = "the test returns and captures no values to record"
#: Hypothesis makes other examples with every release of its own, and more or fewer of them after a failure.
GIVEN_HAS_NONE = (
    "the examples of @given are different ones each time, so they are compared among the runs and not with a record; "
    "to record a test, give it its inputs by parametrize"
)
#: Elements of an array that are searched for secrets.
_MAX_TEXTS = 1_000_000
_STATUS = {
    Verdict.IDENTICAL: "verified",
    Verdict.WITHIN_TOLERANCE: "verified",
    Verdict.DIVERGED: "differs",
    Verdict.INCONCLUSIVE: "inconclusive",
}


#: Statuses of a record that the test was judged by, or that it made.
_HAVE_FILES = ("verified", "differs", "inconclusive", "recorded", "unchanged", "updated")


class RecordKeeper:
    """The directory of a session's records, and the facts about code and environment that they all hold."""

    def __init__(
        self, settings: RecordSettings, root: Any, announce: Callable[[list[str]], object] = lambda lines: None
    ) -> None:
        self.settings = settings
        self.announce = announce
        self._root = root

    @cached_property
    def facts(self) -> dict[str, Any]:
        """Environment and code, as they are before the first test, which may write files."""
        return {
            "environment": redact_texts(describe_environment(self._root)),
            "code": redact_texts(describe_code(self._root, records=self.settings.directory)),
        }

    def for_test(self, nodeid: str, settings: TestSettings, *, is_given: bool = False) -> RecordStep:
        """Return the step that records or verifies one test, which may be one of ``@given``."""
        assert self.facts
        return RecordStep(self, nodeid, settings, is_given)


class RecordStep:
    """Records one test, or compares it with its record."""

    def __init__(self, keeper: RecordKeeper, nodeid: str, settings: TestSettings, is_given: bool) -> None:
        self._keeper = keeper
        self._lacks = GIVEN_HAS_NONE if is_given else NO_VALUES
        self._options = keeper.settings
        self._nodeid = nodeid = redact_name(nodeid)
        self._settings = settings
        self._path = record_path(self._options.directory, nodeid)
        #: The failure, where the test fails by its record.
        self.failure: Message | None = None

    @property
    def is_baseline(self) -> bool:
        """Whether a single run can be compared with the record."""
        return self._options.mode == "verify"

    @unpatched
    def settle(self, result: TestResult, artifacts: Artifacts | None, condition: Condition) -> None:
        """Record or verify after the runs have been judged. The worse verdict counts.

        Sets ``result.record`` and, where the test fails by its record, the verdict, the reason and :attr:`failure`.
        """
        if not artifacts:
            self._settle_nothing(result)
            return
        if not result.verdict:
            status = "not_verified" if self._options.mode == "verify" else "not_recorded"
            self._note(result, status, reason=f"the runs among themselves are {result.verdict}")
            return
        try:
            stored = self._read(result)
            if self._options.mode == "verify":
                self._verify(result, artifacts, condition, stored)
            else:
                self._record(result, artifacts, condition, stored)
        except RecordError as error:
            result.verdict, result.reason = Verdict.ERROR, str(error)
            self._note(result, "error", reason=str(error))

    def _settle_nothing(self, result: TestResult) -> None:
        """Settle a test without values to record: it passes by its own runs, but not where it has a record."""
        if self._options.mode == "verify" and result.verdict and os.path.lexists(self._path):
            result.verdict = Verdict.INCONCLUSIVE
            result.reason = f"there is a record of this test, {self._path.name}, but {self._lacks}"
            self._note(result, "inconclusive", reason=result.reason)
        else:
            self._note(result, "none", reason=self._lacks)

    def _read(self, result: TestResult) -> StoredRecord | None:
        try:
            return read_record(self._path, nodeid=self._nodeid)
        except FileNotFoundError:
            return None
        except RecordError as error:
            if self._options.mode == "record" and self._options.updates:
                result.notes.append(f"the file in the record's place was overwritten: {error}")
                return None
            raise

    def _facts(
        self, result: TestResult, condition: Condition, recorded: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        first = result.runs[0]
        facts = self._keeper.facts
        names = {*variables_read(), *first.inputs.get("variables", {}), *(recorded or {}).get("variables_read", {})}
        return {
            "environment": {**facts["environment"], "hash_seed": hash_seed_of(condition, first.engine)},
            "code": facts["code"],
            "variables_read": describe_variables(names),
            "settings": first.settings or seeding.read_settings(),
            "condition": redact_condition(condition.as_dict()),
            "data": redact_texts(first.inputs.get("data", {})),
            "config": redact_texts(first.inputs.get("config", {})),
        }

    def _verify(
        self, result: TestResult, artifacts: Artifacts, condition: Condition, stored: StoredRecord | None
    ) -> None:
        alone = result.repeat_command
        result.repeat_command = f"{alone} {shlex.quote(f'--repro-verify={self._options.shown}')}"
        if stored is None:
            command = f"{alone} {shlex.quote(f'--repro-record={self._options.shown}')}"
            result.verdict = Verdict.INCONCLUSIVE
            result.reason = f"{self._options.shown} holds no record of this test; make it with: {command}"
            self._note(result, "missing", reason=result.reason)
            return
        check = check_record(
            stored,
            artifacts,
            result.runs[0].digest or digest(artifacts),
            seed=result.seed,
            facts=self._facts(result, condition, stored.record.facts),
            policy=self._settings.policy,
            demands_bits=self._settings.tier == "bits",
            repeats_bits=result.verdict is Verdict.IDENTICAL,
        )
        self._note(result, _STATUS[check.verdict], check=check)
        if check.verdict is Verdict.INCONCLUSIVE:
            result.verdict, result.reason = check.verdict, check.reason
            if stored.record.seed != result.seed:
                self._name_seed(result, stored.record.facts["policy"])
        elif check.verdict is Verdict.DIVERGED:
            result.verdict, result.reason = check.verdict, "run 1 differs from the record"
            result.reason += f": {check.reason}" if check.reason else ""
            self.failure = describe_check(
                check, record=self._path.name, seed=result.seed, command=result.repeat_command
            )
        elif check.verdict is Verdict.WITHIN_TOLERANCE:
            result.verdict = check.verdict

    def _name_seed(self, result: TestResult, recorded: Mapping[str, Any]) -> None:
        """Name the option that gives the test its record's seed, where the record has it."""
        if "base_seed" not in recorded:
            return
        own, base = f"--repro-seed={self._settings.base_seed}", recorded["base_seed"]
        if isinstance(base, (int, str)) and str(base).isdecimal():
            seed = f"--repro-seed={base}"
            result.reason += f" ({seed})"
            result.repeat_command = result.repeat_command.replace(own, seed)
        elif base is None:
            result.reason += " (the test's own, without --repro-seed)"
            result.repeat_command = result.repeat_command.replace(f" {own}", "")

    def _record(
        self, result: TestResult, artifacts: Artifacts, condition: Condition, stored: StoredRecord | None
    ) -> None:
        here = result.runs[0].digest or digest(artifacts)
        updates: list[dict[str, JSON]] = []
        text = ""
        if stored is not None:
            is_same = (stored.record.digest, stored.record.seed) == (here, result.seed)
            bounds = find_changed_bounds(stored.record.facts["policy"], self._settings.policy, self._settings.tier)
            if is_same and not (bounds and self._options.updates):
                if bounds:
                    changed = "; ".join(map(describe_circumstance, bounds))
                    result.notes.append(f"the record keeps what it allows ({changed}); {UPDATE}")
                self._note(result, "unchanged")
                return
            if self._options.mode == "collect":
                raise RecordError("the test ran twice in this session, and its results differ: neither was collected")
            if not self._options.updates:
                raise RecordError(
                    f"the record {self._path.name} has other results and was not changed. --repro-verify="
                    f"{self._options.shown} shows the differences; overwrite it with --repro-update "
                    '--repro-reason="why they changed"'
                )
            text = "\n".join([*map(describe_circumstance, bounds), self._describe_replaced(stored, artifacts)])
            updates = [
                *stored.record.updates,
                {"reason": redact(self._options.reason), "replaced": stored.record.digest},
            ]
            self._keeper.announce(describe_overwriting(self._path.name, self._nodeid, self._options.reason, text))
        policy = {
            "base_seed": self._settings.base_seed,
            "runs": len(result.runs),
            "tier": self._settings.tier,
            "tolerance": describe_rules(self._settings.policy),
            "bounds": describe_policy(self._settings.policy),
            "verdict": result.verdict.value,
        }
        _refuse_secrets(artifacts)
        facts = {**self._facts(result, condition), "policy": policy}
        limit = self._options.max_array_bytes
        inline_bytes = INLINE_BYTES if limit is None else min(limit, INLINE_BYTES)
        directory, seed = self._options.directory, result.seed
        # An unreadable file in its place is overwritten, if that was asked for.
        is_any = stored is None and self._options.updates
        older: StoredRecord | Literal["any"] | None = "any" if is_any else stored
        try:
            write_record(
                directory, self._nodeid, seed, artifacts, facts, updates, older=older, inline_bytes=inline_bytes
            )
        except RecordChangedError:
            self._settle_change(result, here)
            return
        if limit is not None:
            drop_arrays(self._path, limit)
        self._note(result, "recorded" if stored is None else "updated", text=text)

    def _settle_change(self, result: TestResult, here: str) -> None:
        """Keep the record that another session wrote while this one ran the test, and say so."""
        other = self._read(result)
        if other is None or (other.record.digest, other.record.seed) != (here, result.seed):
            raise RecordError(
                f"another session has written {self._path.name} in the meantime, with other results. Its record was "
                f"kept; --repro-verify={self._options.shown} shows the differences"
            )
        result.notes.append("another session has recorded the same results in the meantime; its record was kept")
        self._note(result, "unchanged")

    def _describe_replaced(self, stored: StoredRecord, artifacts: Artifacts) -> str:
        try:
            return str(compare_artifacts(artifacts, stored.load()))
        except RecordError as error:
            return f"no figures, since its arrays could not be read: {error}"

    def _note(
        self, result: TestResult, status: str, *, reason: str = "", check: RecordCheck | None = None, text: str = ""
    ) -> None:
        path = f"{self._options.shown.rstrip('/')}/{self._path.name}"
        found = report_record(check, status=status, path=path, reason=reason, replaced=text)
        result.record = replace(found, sha256=self._digest_file() if status in _HAVE_FILES else "")

    def _digest_file(self) -> str:
        try:
            with self._path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            return ""


def _refuse_secrets(artifacts: Artifacts) -> None:
    """Refuse to write into a record what the tool would hide in a report: records are committed to git."""
    # All names and texts at once: to collect the secrets of the environment takes longer than to search a text.
    texts = [text for path, leaf in artifacts.leaves.items() for text in _texts_of(path, leaf)]
    together = "\n".join(texts)
    has_texts = redact(together) != together
    for path, leaf in artifacts.leaves.items():
        if _is_text(leaf.data) and is_secret_path(path):
            why = "is text under the name of a secret"
        elif (has_texts and any(redact(text) != text for text in _texts_of(path, leaf))) or _is_secret(leaf.data):
            why = (
                "holds what looks like a secret (the value of an environment variable with such a name, credentials "
                "in a URL, or a token in the form of a known service)"
            )
        else:
            continue
        raise RecordError(
            f"the artifact {redact(path)[:80]!r} {why}, so no record was written: return the results without it"
        )


def _texts_of(path: str, leaf: Leaf) -> list[str]:
    traits = [text for trait in leaf.traits for text in trait]
    return [path, *traits, leaf.data] if isinstance(leaf.data, str) else [path, *traits]


def _is_text(data: Any) -> bool:
    """Return whether a value is text or bytes, or an array of either, and not empty."""
    if isinstance(data, (str, bytes, bytearray)):
        return bool(data)
    dtype = getattr(data, "dtype", None)
    kind = (getattr(dtype, "kind", ""), getattr(dtype, "itemsize", 0))
    return (kind[0] in ("U", "S") or kind == ("u", 1)) and data.size > 0


def _is_secret(data: Any) -> bool:
    """Return whether bytes, or an array of text or bytes, hold a secret."""
    if isinstance(data, (bytes, bytearray)):
        return holds_secret(bytes(data))
    kind = getattr(getattr(data, "dtype", None), "kind", "")
    if kind == "U":
        text = "\n".join(map(str, data.ravel()[:_MAX_TEXTS].tolist()))
        return redact(text) != text
    is_text = kind == "S" or (kind == "u" and data.dtype.itemsize == 1)
    return is_text and holds_secret(data.ravel()[:_MAX_TEXTS].tobytes())
