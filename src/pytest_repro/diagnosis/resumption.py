"""State that a resumed training did not restore, by its own variables before and after.

Only one of the two runs has the statements that stop and resume. The trace has each variable that they set from before
and from after: a restored value is the same to the bit, a newly made one is not.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import NamedTuple

import numpy as np

from pytest_repro.diagnosis.trace_alignment import AlignedThread
from pytest_repro.diagnosis.trace_differences import BRANCH, RETURN
from pytest_repro.diagnosis.trace_reading import Event, Frame, Value, iterate_frames
from pytest_repro.diagnosis.trace_statements import calls_in
from pytest_repro.tracing.statements import read_source

_INIT = ".__init__"
_SELF = "self."
#: Names of the states of global generators in a trace.
STATES = {
    "state of random": "resume.python_rng",
    "state of numpy.random": "resume.numpy_rng",
    "state of torch": "resume.torch_rng",
}
#: Names of classes, as regular expressions.
OPTIMIZERS = r"(Adam\w*|NAdam|RAdam|SGD|ASGD|RMSprop|Rprop|Adagrad|Adadelta|Adamax|LBFGS)"
SCHEDULERS = r"\w*(LR|Scheduler|WarmRestarts)"
#: Type of a value or of a part -> the state that was not restored.
_TYPES = (
    (re.compile(r"(Generator|RandomState|PCG64\w*|MT19937|Philox|SFC64|SeedSequence)\b"), "resume.numpy_rng"),
    (re.compile(r"Random\b"), "resume.python_rng"),
    (re.compile(rf"{OPTIMIZERS}\b"), "resume.optimizer"),
    (re.compile(rf"{SCHEDULERS}\b"), "resume.scheduler"),
    (re.compile(r"\w*(DataLoader|Sampler|Iter)\b|\w*(generator|iterator)\b"), "resume.data_order"),
)
#: Name of a variable or of its class -> the same, where its type says nothing.
_WORDS = (
    (re.compile(r"ema\b|ema_|_ema|averag|swa\b|shadow|polyak|teacher", re.IGNORECASE), "resume.ema"),
    (re.compile(r"optim|moment|veloc|adagrad|adadelta|adam|rmsprop|sgd|exp_avg", re.IGNORECASE), "resume.optimizer"),
    (re.compile(r"sched|\blr|_lr|warm_?up|anneal|cosine|decay", re.IGNORECASE), "resume.scheduler"),
    (
        re.compile(r"order|perm|stream|loader|sampler|indices|batches|queue|cursor|epoch", re.IGNORECASE),
        "resume.data_order",
    ),
)
#: Classes that yield data in some order.
_ORDERS = re.compile(r"(\b|_)order|Order|[Ss]ampler|[Ss]tream|[Qq]ueue|[Cc]ursor")
#: Functions and methods that save a state, and that load it.
_SAVES = frozenset({
    "deepcopy", "dump", "dumps", "getstate", "get_state", "save", "savez", "savez_compressed", "state_dict",
})  # fmt: skip
_LOADS = frozenset({"load", "loads", "load_state_dict", "setstate", "set_state"})
_ARRAY = re.compile(r"(?:ndarray|Tensor|Parameter) (?:float32|float64|bfloat16) ")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")


class Unrestored(NamedTuple):
    """A variable with another value after the run was resumed than before.

    Attributes
    ----------
    name : str
        The variable, or the attribute of it that differs.
    before, after : str
        Its values, in short.
    code : str
        Of the cause. Empty where the purpose of the variable is unknown.
    file, function : str
    line : int
        Of the statement that set it last.
    is_resumed : bool
        Whether the statements that set it also save something and load something.
    """

    name: str
    before: str
    after: str
    code: str
    file: str
    line: int
    function: str
    is_resumed: bool = False

    @property
    def root(self) -> str:
        """The variable that it is or belongs to."""
        return re.split(r"[.[]", self.name, maxsplit=1)[0]


class _Held(NamedTuple):
    """A value or a part of one, the type of the whole, and the event that set it."""

    value: Value
    event: Event
    whole: str = ""


def find_unrestored(thread: AlignedThread, differing: Collection[str]) -> list[Unrestored]:
    """Return the variables that statements of one run alone have changed.

    Parameters
    ----------
    thread : AlignedThread
    differing : collection of str
        Variables, and attributes as ``self.name``, that differ between the runs where both read them. State that was
        restored in a way that no statement shows is not among them.

    Returns
    -------
    list of Unrestored
        Those with a known purpose first.
    """
    walk = _Walk(thread)
    for frame, events in _parts(thread):
        if frame is not None:
            walk.take_region(frame, events)
        else:
            walk.take(events)
    found = [each for each in walk.found if each.name in differing or each.root in differing]
    found += [each for each in walk.found_inside if f"{_SELF}{each.name.rpartition('.')[2]}" in differing]
    return sorted(found, key=lambda each: not each.code)


def _parts(thread: AlignedThread) -> Iterator[tuple[Frame | None, list[Event]]]:
    """Yield the events in order: those of one run alone together, with the frame that both runs are in meanwhile."""
    paired = (thread.alignment.frames.keys(), thread.alignment.partners.keys())
    region: list[Event] = []
    side = -1
    for expected, actual in thread.pairs:
        alone = 0 if actual is None else 1 if expected is None else -1
        if region and alone != side:
            yield common_frame(region[0], paired[side]), region
            region = []
        side = alone
        both = [event for event in (expected, actual) if event is not None]
        if alone < 0:
            yield None, both
        else:
            region += both
    if region:
        yield common_frame(region[0], paired[side]), region


def common_frame(event: Event, paired: Collection[int]) -> Frame | None:
    """Return the innermost frame of an event that both runs are in."""
    return next((frame for frame in iterate_frames(event.frame) if frame.number in paired), None)


class _Walk:
    """Values of variables, frame by frame, and of objects' attributes, class by class."""

    def __init__(self, thread: AlignedThread) -> None:
        self._is_expected = {id(event) for pair in thread.pairs if (event := pair.expected) is not None}
        self._variables: dict[tuple[bool, int], dict[str, _Held]] = {}
        self._attributes: dict[tuple[bool, str], dict[str, _Held]] = {}
        self.found: list[Unrestored] = []
        #: Attributes of objects that their own methods set.
        self.found_inside: list[Unrestored] = []

    def take(self, events: list[Event]) -> None:
        for event in events:
            side = id(event) in self._is_expected
            held = dict(_flatten(event))
            self._variables.setdefault((side, event.frame.number), {}).update(held)
            if kind := _class_of(event.frame):
                own = {name: one for name, one in held.items() if name.startswith(_SELF)}
                self._attributes.setdefault((side, kind), {}).update(own)

    def take_region(self, frame: Frame, events: list[Event]) -> None:
        """Compare the variables of the frame after these events with those before."""
        side = id(events[0]) in self._is_expected
        before = dict(self._variables.get((side, frame.number), {}))
        made: dict[str, dict[str, _Held]] = {}
        for event in events:
            kind = _class_of(event.frame)
            if event.is_call and kind and event.frame.code.function.endswith(_INIT) and kind not in made:
                made[kind] = dict(self._attributes.get((side, kind), {}))
            self.take([event])
        after = self._variables.get((side, frame.number), {})
        found = list(_compare(before, after, ""))
        inside: list[Unrestored] = []
        for kind, attributes in made.items():
            now = self._attributes.get((side, kind), {})
            inside += _compare(attributes, now, kind.rpartition(".")[2])
        if found or inside:
            is_resumed = _saves_and_loads(events)
            self.found += [each._replace(is_resumed=is_resumed) for each in found]
            self.found_inside += [each._replace(is_resumed=is_resumed) for each in inside]


def _saves_and_loads(events: list[Event]) -> bool:
    """Return whether statements save a state and load one, by the functions that they call.

    All lines from the first to the last count: a statement that changes no variable, such as one that writes a file,
    has no event.
    """
    lines: dict[tuple[str, str], list[int]] = {}
    for event in events:
        if not event.is_call:
            lines.setdefault((event.frame.code.file, event.frame.code.function), []).append(event.line)
    places = {(file, line) for (file, _), known in lines.items() for line in range(min(known), max(known) + 1)}
    called = {name for place in places for _, name in calls_in(read_source(*place))}
    return bool(called & _SAVES and called & _LOADS)


def _class_of(frame: Frame) -> str:
    """Return the qualified name of the class whose method a frame runs, or "" if its name has none."""
    owner, _, _ = frame.code.function.rpartition(".")
    return "" if not owner or owner.endswith("<locals>") else owner


def _flatten(event: Event) -> Iterator[tuple[str, _Held]]:
    """Yield the variables that a statement changed, and the changed parts of objects."""
    for name, value in event.changes.items():
        yield name, _Held(value, event)
        for part, (digest, text) in value.parts.items():
            joined = f"{name}{part}" if part.startswith("[") else f"{name}.{part}"
            yield joined, _Held(Value(value.kind, digest, text, {}), event, _type_of(value))


def _compare(before: dict[str, _Held], after: dict[str, _Held], owner: str) -> Iterator[Unrestored]:
    for name, held in after.items():
        was = before.get(name)
        if was is None or name in (BRANCH, RETURN) or was.value.digest == held.value.digest:
            continue
        if _type_of(was.value) != _type_of(held.value):
            continue  # another object under the same name
        if any(other.startswith((f"{name}.", f"{name}[")) for other in before):
            continue  # its parts say more, also where one was set by itself since
        event = held.event
        shown = f"{owner}.{name.removeprefix(_SELF)}" if owner else name
        code = _classify(name.removeprefix(_SELF), (owner, held.whole or was.whole), was.value, held.value)
        place = (event.frame.code.file, event.line, event.frame.code.function)
        yield Unrestored(shown, was.value.text, held.value.text, code, *place)


def _type_of(value: Value) -> str:
    """Return the type that a value's text begins with, or a word for the kind of a plain value."""
    if value.text in ("True", "False"):
        return "bool"
    if _NUMBER.match(value.text):
        return "number"
    return re.split(r"[^\w.]", value.text, maxsplit=1)[0]


def _classify(name: str, owners: tuple[str, ...], before: Value, after: Value) -> str:
    """Return the purpose of a variable: by its type and its owner's, else by their names."""
    if name in STATES:
        return STATES[name]
    if is_rounded_to_16_bits(before.text, after.text):
        return "resume.half_checkpoint"
    kinds = (_type_of(after), *owners)
    if any(_ORDERS.search(owner) for owner in (*owners, re.split(r"[.[]", name, maxsplit=1)[0])):
        return "resume.data_order"  # also by a generator that it draws from
    for pattern, code in _TYPES:
        if any(pattern.match(kind) for kind in kinds):
            return code
    for words, code in _WORDS:
        if any(words.search(text) for text in (name, *kinds)):
            return code
    return ""


def is_rounded_to_16_bits(before: str, after: str) -> bool:
    """Return whether an array was rounded to float16 or bfloat16 on the way, by the elements that its text shows."""
    if not (_ARRAY.match(before) and _ARRAY.match(after)):
        return False
    old, new = (np.array([float(n) for n in _NUMBER.findall(t.partition(": ")[2])][:3]) for t in (before, after))
    if not new.size or old.shape != new.shape or np.array_equal(old, new) or not np.any(old):
        return False
    with np.errstate(over="ignore"):
        half = old.astype(np.float16).astype(float)
        brain = (((old.astype(np.float32).view(np.uint32) + 0x8000) >> 16) << 16).view(np.float32).astype(float)
    # The text has nine digits.
    return any(np.allclose(new, rounded, rtol=1e-8, atol=0) for rounded in (half, brain))
