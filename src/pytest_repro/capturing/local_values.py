"""The local variables of a test as artifacts. What cannot be compared is listed, and the rest beside it is compared."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from pytest_repro.capturing import registry
from pytest_repro.capturing.run_texts import RunTexts
from pytest_repro.capturing.tree import MAX_DEPTH, MAX_LEAVES, capture_tree
from pytest_repro.errors import CaptureError, ReproError
from pytest_repro.frameworks.attributes import full_name
from pytest_repro.frameworks.base_values import (
    CONVERTED,
    Branch,
    Captured,
    NotComparableError,
    Omitted,
)
from pytest_repro.frameworks.resource_values import PYTEST_PATHS, is_code_or_means
from pytest_repro.frameworks.stdlib_values import explain_refusal
from pytest_repro.model import Artifacts, Leaf, NotCompared
from pytest_repro.seeding.generator_states import is_generator

#: Reason for an object of a user's class.
AN_OBJECT = "an object, which a scan does not look into: return it, or pass it to repro.capture"
#: Names that hold the test's own object or class.
_NOT_DATA = {"self", "cls"}
_NUMBERS = (int, float, bool)
#: Kinds of arrays of text, and the largest number of elements that are normalised in one.
_TEXT_KINDS, _MAX_TEXTS = ("U", "S", "T"), 100_000


def capture_locals(variables: Mapping[str, object], *, texts: RunTexts | None = None, copy: bool = True) -> Artifacts:
    """Capture the local variables of a test.

    Parameters
    ----------
    variables : mapping of name -> value
        ``frame.f_locals``. Names from pytest's assertion rewriting (``@py_assert1``), ``self`` and ``cls`` are skipped.
    texts : RunTexts, optional
        Normalises texts, paths and bytes.
    copy : bool
        As in :func:`~pytest_repro.capturing.tree.capture_tree`.

    Returns
    -------
    Artifacts
        Numbers, texts, bytes, paths, dates, arrays, tensors, modules, estimators, frames and containers, each under its
        variable's name. An element that cannot be compared is listed, and its neighbours are captured. Functions,
        modules, classes, mocks, loggers, locks, open files and pytest's own objects hold no result and are skipped.

    Notes
    -----
    Never fails because of a value, since the test did not ask for any of them to be compared.
    """
    registry.refresh()
    found = Artifacts()
    reader = _Reader(texts or RunTexts(), found.not_compared)
    for name, value in variables.items():
        if name.startswith("@") or name in _NOT_DATA:
            continue
        leaves = _capture_variable(name, value, reader, copy=copy)
        if any(leaf.form != "node" for leaf in leaves.values()):
            found.leaves.update(leaves)
    registry.forget_made_types()
    return found


def _capture_variable(name: str, value: object, reader: _Reader, *, copy: bool) -> dict[str, Leaf]:
    listed = len(reader.not_compared)
    for reader.checks_objects in (False, True):
        del reader.not_compared[listed:]
        try:
            captured = reader.read(name, value, 0)
            found = Artifacts() if captured is None else _capture(name, captured, copy=copy)
        except (ReproError, RecursionError) as error:
            failure = error
            continue
        for leaf in found.leaves.values():
            reader.normalise(leaf)
        reader.not_compared += [replace(entry, is_state=False) for entry in found.not_compared]
        return found.leaves
    del reader.not_compared[listed:]
    reader.not_compared.append(NotCompared(name, full_name(type(value)), str(failure) or type(failure).__name__))
    return {}


def _capture(path: str, captured: object, *, copy: bool) -> Artifacts:
    return capture_tree(captured, root=path, top_level=False, copy=copy, gradients=True)


class _Reader:
    """Converts values to leaves and branches, without what cannot be compared.

    Attributes
    ----------
    checks_objects : bool
        Whether the objects of frameworks are captured one by one, to find the one that cannot be.
    """

    def __init__(self, texts: RunTexts, not_compared: list[NotCompared]) -> None:
        self.not_compared = not_compared
        self.checks_objects = False
        self._texts = texts
        self._open: set[int] = set()
        self._count = 0

    def read(self, path: str, value: Any, depth: int) -> object:
        """Return the value as the capture takes it, or None if it is left out."""
        kind = type(value)
        if kind in _NUMBERS:
            return value
        if kind not in CONVERTED and is_code_or_means(kind):
            return None
        self._count += 1
        if self._count > MAX_LEAVES:
            raise CaptureError(f"more than {MAX_LEAVES:,} values; turn lists of numbers into arrays")
        if kind.__module__ in PYTEST_PATHS and hasattr(value, "__fspath__"):
            return Leaf("value", self._texts.normalise(os.fspath(value)), kind.__name__, "str")
        if is_generator(kind):
            return self._leave_out(path, kind, "a generator of random numbers, whose state is not compared in a scan")
        if id(value) in self._open:
            return self._leave_out(path, kind, "it contains itself")
        if depth >= MAX_DEPTH:
            return self._leave_out(path, kind, f"it is nested more than {MAX_DEPTH} deep")
        try:
            captured = self._convert(value)
        except (NotComparableError, ReproError) as error:
            return self._leave_out(path, kind, str(error))
        except (MemoryError, RecursionError):
            raise
        except Exception as error:
            return self._leave_out(path, kind, f"reading it failed with {type(error).__name__}: {error}")
        if isinstance(captured, Omitted):
            return self._leave_out(path, kind, captured.reason) if captured.is_state else None
        if isinstance(captured, Leaf):
            return self.normalise(captured)
        if not isinstance(captured, Branch):
            return captured
        return self._read_parts(path, value, captured, depth) if not captured.whole else self._read_whole(path, value)

    def _convert(self, value: Any) -> Captured:
        kind = type(value)
        handler = registry.exact_data.get(kind) or registry.find_data_handler(kind)
        try:
            return handler(value)
        except NotComparableError as error:
            reason = str(error) or explain_refusal(kind)
            raise NotComparableError(AN_OBJECT if reason == explain_refusal(object) else reason) from None

    def _read_parts(self, path: str, value: object, branch: Branch, depth: int) -> Branch:
        self._open.add(id(value))
        try:
            given = list(branch.children)
            branch.children = list(self._read_children(path, branch.named, given, depth + 1))
            if len(branch.children) < len(given):
                # The rest must not hide that there were more elements, or fewer.
                branch.traits = (*branch.traits, ("elements", str(len(given))))
        finally:
            self._open.discard(id(value))
        return branch

    def _read_children(
        self, path: str, is_named: bool, children: list[tuple[str, Any]], depth: int
    ) -> Iterator[tuple[str, object]]:
        for name, child in children:
            if is_named:
                name = self._texts.normalise(name)
            captured = child if type(child) in _NUMBERS else self.read(f"{path}/{name}" if name else path, child, depth)
            if captured is not None:
                yield name, captured

    def _read_whole(self, path: str, value: object) -> object:
        """Return an object of a framework, all of which counts, or None if a part of it cannot be compared."""
        if self.checks_objects:
            try:
                _capture(path, value, copy=False)
            except ReproError as error:
                return self._leave_out(path, type(value), str(error))
        return value

    def normalise(self, leaf: Leaf) -> Leaf:
        """Normalise a leaf's text."""
        if leaf.form == "value":
            if isinstance(leaf.data, str):
                leaf.data = self._texts.normalise(leaf.data)
            elif isinstance(leaf.data, bytes):
                leaf.data = self._texts.normalise_bytes(leaf.data)
        elif leaf.form == "array":
            self._normalise_array(leaf)
        return leaf

    def _normalise_array(self, leaf: Leaf) -> None:
        kind = getattr(getattr(leaf.data, "dtype", None), "kind", "")
        if kind not in _TEXT_KINDS or leaf.data.size > _MAX_TEXTS:
            return
        elements = leaf.data.ravel().tolist()
        changed = [self._texts.normalise_bytes(e) if type(e) is bytes else self._texts.normalise(e) for e in elements]
        if changed != elements:
            leaf.data = np.array(changed, dtype=leaf.data.dtype).reshape(leaf.data.shape)

    def _leave_out(self, path: str, kind: type, reason: str) -> object:
        """List what is not compared, and return None in its place."""
        self.not_compared.append(NotCompared(path, full_name(kind), reason))
        return None
