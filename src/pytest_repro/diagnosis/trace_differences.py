"""Values that differ at aligned statements, in the order of the run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_args

from pytest_repro.capturing.live import ELEMENTS
from pytest_repro.diagnosis.trace_alignment import AlignedThread, Pair
from pytest_repro.diagnosis.trace_reading import Event, Frame, Operation, Trace, Value
from pytest_repro.model import ValueKind
from pytest_repro.tracing.describing import IN_PART
from pytest_repro.tracing.global_state import FIRST_SEEN
from pytest_repro.tracing.watcher import RAISED

_KINDS = frozenset(get_args(ValueKind))
#: Beginnings of the texts of arrays: two with one digest are the same object, unlike two numbers.
_ARRAYS = ("ndarray ", "Tensor ", "Parameter ")
BRANCH, RETURN, YIELD = "(branch)", "(return)", "(yield)"
#: Begins the name of a value that the test gave to be compared: ``(captured loss)``.
CAPTURED = "(captured "
#: Texts of values that are too common to be recognised elsewhere: small numbers and short texts.
_COMMON = re.compile(r"-?\d{0,3}(?:\.0)?|True|False|None|'.{0,3}'")


@dataclass(frozen=True, slots=True)
class Difference:
    """One name whose value differs at one statement.

    Attributes
    ----------
    index : int
        Of the pair.
    is_ignored : bool
        Varied on purpose, or a copy of such a value, or a branch taken because of it.
    needed : frozenset of str
        The parts of it from which the result is made, where they are known.
    """

    index: int
    event: Event
    name: str
    kind: ValueKind
    expected: Value | None
    actual: Value | None
    module: str = ""
    op: str = ""
    is_ignored: bool = False
    needed: frozenset[str] = frozenset()

    @property
    def arrays(self) -> set[tuple[str, str]]:
        """Digests of the arrays in it that differ, by which an array is recognised under another name."""
        if self.expected is None or self.actual is None:
            return set()
        found = {(self.expected.digest, self.actual.digest)} if self.expected.text.startswith(_ARRAYS) else set()
        for part, (digest, text) in self.expected.parts.items():
            other = self.actual.parts.get(part)
            if other is not None and other[0] != digest and text.startswith(_ARRAYS):
                found.add((digest, other[0]))
        return found

    @property
    def pairs(self) -> set[tuple[str, str]]:
        """Digests of the value and of those parts of it that differ, without those of common values."""
        if self.expected is None or self.actual is None:
            return set()
        found: set[tuple[str, str]] = set()
        if not (_COMMON.fullmatch(self.expected.text) or _COMMON.fullmatch(self.actual.text)):
            found.add((self.expected.digest, self.actual.digest))
        for part, (digest, text) in self.expected.parts.items():
            other = self.actual.parts.get(part)
            if other is not None and other[0] != digest and part != ELEMENTS and not _COMMON.fullmatch(text):
                found.add((digest, other[0]))
        return found

    def is_seen_in(self, pair: Pair) -> bool:
        """Return whether both runs read the value at this very statement, and neither has it from an earlier one."""
        return all(event is not None and self.name in event.changes for event in pair)

    @property
    def root(self) -> str:
        """The variable that it is or belongs to."""
        return self.name.partition(".")[0]


def collect_differences(
    thread: AlignedThread, ignore: frozenset[str], readings: frozenset[str] = frozenset()
) -> tuple[list[Difference], dict[int, set[str]]]:
    """Compare all pairs of a thread.

    Returns
    -------
    differences : list of Difference
        Those made on purpose are marked. Empty without any other.
    agreed : dict of index -> names
        Variables that are equal in both runs after a statement that changed them in one or both.
    """
    collector = _Collector(thread, ignore, readings)
    found = [difference for index, pair in enumerate(thread.pairs) for difference in collector.take(index, pair)]
    return (found if any(not difference.is_ignored for difference in found) else []), collector.agreed


class _Collector:
    def __init__(self, thread: AlignedThread, ignore: frozenset[str], readings: frozenset[str]) -> None:
        self._alignment = thread.alignment
        self._traces = (thread.expected, thread.actual)
        self._ignore, self._readings = ignore, readings
        self.agreed: dict[int, set[str]] = {}
        self._told: dict[tuple[int, str], tuple[str, str]] = {}
        self._ignored_digests: set[tuple[str, str]] = set()
        self._ignored_names: set[tuple[int, str]] = set()
        #: Frames in which the runs took different branches: a value in one run alone proves nothing there.
        self._parted: set[int] = set()
        self._ends = (_last_statements(thread.expected), _last_statements(thread.actual))

    def take(self, index: int, pair: Pair) -> Iterator[Difference]:
        for event in pair:
            if event is not None:
                event.frame.latest.update({_key(name, event): value for name, value in event.changes.items()})
        one, other = pair
        if one is not None and other is not None:
            yield from self._compare(index, one, other)
        elif one is not None:
            yield from self._compare_alone(index, one, self._alignment.frames.get(one.frame.number), is_expected=True)
        elif other is not None:
            partner = self._alignment.partners.get(other.frame.number)
            yield from self._compare_alone(index, other, partner, is_expected=False)

    def _compare(self, index: int, one: Event, other: Event) -> Iterator[Difference]:
        operation, module = _first_operation(one.operations, other.operations)
        name_of_op, name_of_module = (operation.op if operation else ""), (module or operation or _NONE).module
        is_any = False
        for name in dict.fromkeys([*one.changes, *other.changes, *self._traces[0].reads(one)]):
            key = _key(name, one)
            first, second = one.frame.latest.get(key), other.frame.latest.get(key)
            if name == RAISED and (first is None or second is None):
                yield self._make(index, one, name, "branch", first, second)
            if first is None or second is None:
                continue
            if first.digest == second.digest:
                if (name in one.changes or name in other.changes) and not first.text.endswith(IN_PART):
                    self.agreed.setdefault(index, set()).add(name)
                continue
            if (
                name not in one.changes
                and name not in other.changes
                and (name in (BRANCH, RETURN, YIELD) or name.startswith(CAPTURED))
            ):
                continue
            if self._told.get((one.frame.number, key)) == (first.digest, second.digest):
                continue
            self._told[one.frame.number, key] = (first.digest, second.digest)
            is_any = True
            kind = (one.changes.get(name) or other.changes.get(name) or _FOUND).kind
            yield self._make(index, one, name, kind, first, second, name_of_module, name_of_op)
        if operation is not None and not is_any:
            yield Difference(index, one, operation.op, "operation", None, None, name_of_module, name_of_op)

    def _make(
        self,
        index: int,
        event: Event,
        name: str,
        kind: str,
        first: Value | None,
        second: Value | None,
        module: str = "",
        op: str = "",
    ) -> Difference:
        digests = (first.digest if first else "", second.digest if second else "")
        frame = event.frame
        is_varied = frame.parent is None and name in (self._ignore if event.is_call else self._readings)
        if is_varied:
            self._ignored_digests.add(digests)
        # The state of generators before the test began gives no place. A value drawn from them does.
        is_early = kind == "state" and any(
            value is not None and value.text.endswith(FIRST_SEEN) for value in (first, second)
        )
        is_ignored = is_varied or is_early or digests in self._ignored_digests
        if name == BRANCH:
            self._parted.add(frame.number)
            reads = self._traces[0].reads(event) or self._traces[1].reads(event)
            is_ignored = any((frame.number, read) in self._ignored_names for read in reads)
        if is_ignored:
            self._ignored_names.add((frame.number, name))
        known: ValueKind = kind if kind in _KINDS else "assigned"  # type: ignore[assignment]
        return Difference(index, event, name, known, first, second, module, op, is_ignored)

    def _compare_alone(
        self, index: int, event: Event, partner: Frame | None, *, is_expected: bool
    ) -> Iterator[Difference]:
        """Yield the differences at a statement that changed something in one run alone, if both runs reached it."""
        if partner is None or event.is_call:
            return
        frame = event.frame if is_expected else partner
        if (raised := event.changes.get(RAISED)) is not None:
            yield self._make(index, event, RAISED, "branch", *((raised, None) if is_expected else (None, raised)))
        if frame.number in self._parted or event.n > self._ends[1 if is_expected else 0].get(partner.number, 0):
            return
        for name, value in event.changes.items():
            before = partner.latest.get(_key(name, event))
            if name in (RETURN, YIELD, RAISED) or name.startswith(CAPTURED):
                continue
            if before is not None and before.digest == value.digest:
                if not value.text.endswith(IN_PART):
                    self.agreed.setdefault(index, set()).add(name)
                continue
            if before is None and name != BRANCH and value.kind == "found":
                continue
            sides = (value, before) if is_expected else (before, value)
            yield self._make(index, event, name, value.kind, *sides)


_FOUND = Value("found", "", "", {})
_NONE = Operation("", "", "", "", "")


def _key(name: str, event: Event) -> str:
    """Return the key of a value: a branch has one for each line, a variable one for each frame."""
    return f"{name} {event.line}" if name == BRANCH else name


def _last_statements(trace: Trace) -> dict[int, int]:
    ends: dict[int, int] = {}
    for events in trace.events.values():
        for event in events:
            ends[event.frame.number] = max(ends.get(event.frame.number, 0), event.n)
    return ends


def _first_operation(expected: list[Operation], actual: list[Operation]) -> tuple[Operation | None, Operation | None]:
    """Return the first operation and the first module with equal inputs and another output."""
    operation = module = None
    for one, other in zip(expected, actual, strict=False):
        if (one.kind, one.module, one.op) != (other.kind, other.module, other.op):
            break
        # With an input that could not be read (a storage, a handle) it is unknown whether the inputs were equal.
        if "?" not in one.inputs and one.inputs == other.inputs and one.outputs != other.outputs:
            if one.kind == "module":
                module = module or one
            else:
                operation = operation or one
    return operation, module
