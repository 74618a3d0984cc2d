"""Calls that only one of two runs makes, and that draw from a generator from which both runs draw later.

The first value that differs is then one that the generator gives after the call, and the call itself may change nothing
else: an evaluation every few steps that shares the training's generator.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from pytest_repro.diagnosis.resumption import STATES, common_frame
from pytest_repro.diagnosis.trace_alignment import AlignedThread, Pair
from pytest_repro.diagnosis.trace_differences import BRANCH
from pytest_repro.diagnosis.trace_reading import Event, Frame, Value, iterate_frames
from pytest_repro.tracing.global_state import FIRST_SEEN

_GENERATOR = re.compile(r"(Generator|RandomState|Random|SystemRandom|PCG64\w*|MT19937|Philox|SFC64)\b")


class AddedDraw(NamedTuple):
    """A call that only one run makes, and the later draw that both make.

    Attributes
    ----------
    file, function : str
    line : int
        Of the call, in the function in which both runs are.
    generator : str
        From which it draws.
    later : Event
        The statement of the first value that differs.
    is_second : bool
        Whether the second run makes the call.
    """

    file: str
    line: int
    function: str
    generator: str
    later: Event
    is_second: bool


def find_added_draw(thread: AlignedThread, argument: str, first: int | None = None) -> AddedDraw | None:
    """Return the call by which one run draws more from a generator, if the first difference is the generator's.

    Parameters
    ----------
    thread : AlignedThread
    argument : str
        Which was varied on purpose. Copies of its values are no differences.
    first : int, optional
        Number of the pair whose difference is the first that reaches the result. Those before it say nothing.
    """
    copies: set[tuple[str, str]] = set()
    added: dict[str, tuple[Event, list[Event]]] = {}
    region: list[Event] = []
    for index, pair in enumerate(thread.pairs):
        expected, actual = pair
        if expected is None or actual is None:
            region.append(pair.one)
            for generator in _drawn(pair.one):
                added.setdefault(generator, (pair.one, region))
            continue
        region = []
        if argument in expected.changes and argument in actual.changes:
            copies.add((expected.changes[argument].digest, actual.changes[argument].digest))
        differing = set(_differing(pair, copies))
        if not differing:
            continue
        drawn = _drawn(expected) ^ _drawn(actual)
        if differing <= drawn:  # a statement that draws in one run alone, and changes nothing else
            for generator in differing:
                one = expected if _draws(expected, generator) else actual
                added.setdefault(generator, (one, []))
            continue
        if first is not None and index < first and not differing & set(STATES):
            continue
        # The generators may have the same state again by now: how much a shuffle draws depends on what it has drawn.
        for generator in _drawn(expected) & _drawn(actual):
            found = _find_same(generator, expected, added)
            if found is not None:
                return _locate(thread, *found, generator, actual)
        return None
    return None


def _differing(pair: Pair, copies: set[tuple[str, str]]) -> Iterator[str]:
    """Yield the names whose values differ, except copies of what was varied on purpose."""
    expected, actual = pair
    if expected is None or actual is None:
        return
    for name in {**expected.changes, **actual.changes}:
        one, other = expected.changes.get(name), actual.changes.get(name)
        if name == BRANCH or (one is not None and other is not None and one.digest == other.digest):
            continue
        if one is None or other is None:
            if name in STATES or not _is_found(one or other):
                yield name
        elif (one.digest, other.digest) not in copies and not _differs_by_copies(one, other, copies):
            yield name


def _is_found(value: Value | None) -> bool:
    return value is not None and (value.kind == "found" or value.text.endswith(FIRST_SEEN))


def _differs_by_copies(one: Value, other: Value, copies: set[tuple[str, str]]) -> bool:
    """Return whether two objects differ in nothing but copies of what was varied."""
    names = one.parts.keys() | other.parts.keys()
    pairs = [(one.parts.get(name, ("", ""))[0], other.parts.get(name, ("", ""))[0]) for name in names]
    if not pairs:
        return _is_object(one) and _is_object(other)
    return all(left == right or (left, right) in copies for left, right in pairs)


def _is_object(value: Value) -> bool:
    """Return whether a text is only a class' name, so that the object's parts are seen where they are read."""
    return re.fullmatch(r"[A-Z]\w*", value.text) is not None and not _GENERATOR.match(value.text)


def _drawn(event: Event) -> set[str]:
    return {name for name in event.changes if _draws(event, name)}


def _draws(event: Event, name: str) -> bool:
    """Return whether a statement moves a generator, and does not merely get or find it."""
    value = event.changes.get(name)
    if value is None or event.is_call or _is_found(value):
        return False
    return name in STATES or bool(_GENERATOR.match(value.text))


def _find_same(
    generator: str, later: Event, added: dict[str, tuple[Event, list[Event]]]
) -> tuple[Event, list[Event]] | None:
    """Return the added draw from the same generator: by its name if it is global, else by its type."""
    if generator in STATES:
        return added.get(generator)
    kind = later.changes[generator].text
    return next(
        (found for name, found in added.items() if name not in STATES and found[0].changes[name].text == kind), None
    )


def _describe(generator: str, event: Event) -> str:
    if generator in STATES:
        return f"the generator of {generator.removeprefix('state of ')}"
    return f"`{generator}`, a {event.changes[generator].text}"


def _locate(thread: AlignedThread, draw: Event, region: list[Event], generator: str, later: Event) -> AddedDraw:
    is_second = any(pair.actual is draw for pair in thread.pairs)
    paired = (thread.alignment.partners if is_second else thread.alignment.frames).keys()
    common = common_frame(draw, paired)
    line, code = draw.line, draw.frame.code
    if common is not None and draw.frame is not common:
        frame = _below(draw.frame, common)
        call = next((event for event in region if event.is_call and event.frame is frame), None)
        if call is not None:
            line, code = call.line, common.code
    return AddedDraw(code.file, line, code.function, _describe(generator, later), later, is_second)


def _below(frame: Frame, common: Frame) -> Frame:
    """Return the frame that a common frame called on the way to another one."""
    return next(each for each in iterate_frames(frame) if each.parent is common)
