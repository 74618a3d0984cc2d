"""Capture of any nesting of values as artifacts: their paths, copies, and limits."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pytest_repro.capturing import registry
from pytest_repro.capturing.digesting import digest_leaves
from pytest_repro.capturing.noted_classes import NotedClasses
from pytest_repro.errors import CaptureError, ReproError, UnsupportedTypeError
from pytest_repro.frameworks.attributes import full_name
from pytest_repro.frameworks.base_values import (
    Branch,
    Captured,
    Elsewhere,
    FreshLeaf,
    Handler,
    Held,
    Internal,
    NotComparableError,
    Omitted,
    Passing,
)
from pytest_repro.frameworks.numpy_values import capture_array
from pytest_repro.frameworks.stdlib_values import explain_refusal
from pytest_repro.model import Artifacts, Leaf, NotCompared
from pytest_repro.numerics.blocks import is_same_memory_image
from pytest_repro.numerics.sharing import copy_array, count_held_bytes
from pytest_repro.undisturbed import undisturbed

if TYPE_CHECKING:
    from pytest_repro.capturing.spill import Spill

MAX_DEPTH = 100
#: A tree that shares its branches grows exponentially in width. 5 million leaves take some 2 GB and 10 s.
MAX_LEAVES = 5_000_000
#: A part of a library's own bookkeeping may lead to all that the library holds, such as a compiler's state.
MAX_INTERNAL_LEAVES = 100_000
#: Smaller arrays are copied without a look at the baseline's: the copy costs less [bytes].
MIN_SHARED_BYTES = 64 * 1024

#: What counts between runs only (:class:`Passing`): in local variables too, or in what a test gave alone.
_OF_A_RUN, _AROUND = ("gradient", "tie", "mode", "parameter of an optimizer"), ("hook", "function")


@undisturbed
def capture_tree(
    value: Any,
    *,
    root: str = "result",
    copy: bool = True,
    limit_bytes: int | None = None,
    top_level: bool = True,
    spill: Spill | None = None,
    baseline: Artifacts | None = None,
    gradients: bool = False,
    surroundings: bool = False,
) -> Artifacts:
    """Capture any nesting of values as artifacts.

    Parameters
    ----------
    value : object
        The value that a test returned, or passed to ``repro.capture``.
    root : str
        Path of the value itself, if it is not a container.
    copy : bool
        Copy arrays, so that a later in-place update changes nothing. Without it they share the value's
        memory and must only be read while it does not change.
    limit_bytes : int, optional
        Largest amount of array data [bytes] this capture may hold, unless `spill` takes it.
    top_level : bool
        Give the children of a root with names of its own (mapping, dataclass, named tuple, module) paths
        without a prefix. Otherwise all paths begin with `root`.
    spill : Spill, optional
        Destination of arrays once its limit is reached.
    baseline : Artifacts, optional
        Artifacts of an earlier run. A large array with the same bits under the same path is not copied: the result
        has the earlier run's array.
    gradients : bool
        Capture what a run leaves on a model and a copy from a checkpoint need not have: gradients, ties between
        weights, and the mode of modules. Without it gradients and ties are listed as not compared.
    surroundings : bool
        Capture hooks, functions that a library keeps outside of its state, and the attributes of the classes of
        objects, under ``class <name>``. Only what runs gave can be compared by them: two objects at one time share
        their class.

    Returns
    -------
    Artifacts
        In the order of the tree, with a list of what is not compared: values that hold no result (locks, loggers),
        and parts of objects that could not be captured.

    Raises
    ------
    UnsupportedTypeError
        If a value cannot be compared bit for bit and is not a part of an object. The message has its path, its type
        and the fix.
    CaptureError
        If two values share one path, a container contains itself, or the tree is too deep, wide or large.
    """
    registry.refresh()
    passing = {*(_OF_A_RUN if gradients else ()), *(_AROUND if surroundings else ())}
    classes = registry.with_class_state if surroundings else set()
    walker = _Walker(
        copy=copy, limit_bytes=limit_bytes, spill=spill, passing=passing, classes=classes, baseline=baseline
    )
    try:
        with _paused_collection():
            walker.add_root(root, value, top_level=top_level)
    finally:
        registry.forget_made_types()
    return Artifacts(walker.leaves, walker.not_compared)


@contextmanager
def _paused_collection() -> Iterator[None]:
    """Pause the cyclic garbage collector, which would scan the growing leaves and find nothing."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _refusal(path: str, kind: type, reason: str) -> UnsupportedTypeError:
    return UnsupportedTypeError(f"cannot capture {path!r} (a {full_name(kind)}): {reason}", reason)


class _TooMuchInternalError(Exception):
    """There are more values in one part of a library's bookkeeping than are worth comparing."""


class _Walker:
    """One walk over one tree."""

    def __init__(
        self,
        *,
        copy: bool,
        limit_bytes: int | None,
        spill: Spill | None,
        passing: set[str],
        classes: set[type],
        baseline: Artifacts | None,
    ) -> None:
        self.leaves: dict[str, Leaf] = {}
        self._baseline = {} if baseline is None else baseline.leaves
        self.not_compared: list[NotCompared] = []
        self._copy = copy
        self._limit_bytes = limit_bytes
        self._spill = spill
        self._held_bytes = 0
        self._open: dict[int, str] = {}
        #: Objects that were captured: id -> path. They are kept, so that no other object gets their id.
        self._seen: dict[int, str] = {}
        self._kept: list[object] = []
        #: Whether the walk is inside an object, whose parts are listed where they cannot be captured.
        self._in_object = False
        #: Whether it is inside a library's own bookkeeping, and the number of leaves at which that is left.
        self._is_internal, self._internal_limit = False, 0
        #: What counts among the things that a run leaves on a value, and what of them was listed already.
        self._passing = passing
        self._told: dict[str, None] = {}
        #: Types whose classes are captured too, and those classes.
        self._with_class_state, self._classes = classes, NotedClasses()
        #: Values that other objects own, by their path, and the ids of the parameters that were captured.
        self._elsewhere: list[tuple[str, Any, bool]] = []
        self._parameters: dict[int, None] = {}
        #: The path of the first tensor of those that are one or have one memory, by its id and by that memory.
        self._held: dict[object, str] = {}
        #: Which notes about what was listed, what is held, and what stands elsewhere were made, in order.
        self._noted: list[tuple[Any, object]] = []
        self._table: dict[type, Handler] = registry.exact
        self._find: Callable[[type], Handler] = registry.find_handler

    def add_root(self, root: str, value: Any, *, top_level: bool = True) -> None:
        """Capture a tree under one path."""
        captured = self._convert(root, value)
        if isinstance(captured, Branch):
            root = "" if top_level and captured.named else root
            self._add_branch(root, value, captured, 0)
        elif isinstance(captured, Omitted):
            self._omit(root, value, captured)
        else:
            self._add(root, captured, 0)
        self._add_classes(f"{root}/" if root else "")
        self._add_elsewhere()  # last: an optimizer may be among what a class holds

    def _add_elsewhere(self) -> None:
        for path, value, is_internal in self._elsewhere:
            if id(value) not in self._parameters:
                self._add_part(path, Passing(Internal(value) if is_internal else value, "parameter of an optimizer"), 0)
            elif (holder := self._held.get(id(value))) is not None:  # which of a model's parameters it updates
                self._add_part(path, Passing(holder, "tie", is_told=False), 0)

    def _add_classes(self, prefix: str) -> None:
        """Add what the classes of the objects hold, which may refer to objects of further classes."""
        self._in_object = True
        for name, children, is_internal in self._classes.read():
            branch = Branch("class", children, is_object=True)
            self._add_part(prefix + name, Internal(branch) if is_internal else branch, 0)
        self._in_object = False

    def _convert(self, path: str, value: Any) -> Captured:
        kind = type(value)
        try:
            captured = (self._table.get(kind) or self._find(kind))(value)
            if kind in self._with_class_state:
                self._classes.note(value, kind, is_internal=self._is_internal)
            return captured
        except ReproError:
            raise
        except NotComparableError as refusal:
            raise _refusal(path, kind, str(refusal) or explain_refusal(kind)) from None
        except (MemoryError, RecursionError):
            raise
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
            reason = f"reading it failed with {problem}; return its arrays, numbers or text instead"
            raise _refusal(path, kind, reason) from error

    def _add(self, path: str, value: Any, depth: int) -> None:
        if self._is_internal and len(self.leaves) > self._internal_limit:
            raise _TooMuchInternalError
        if len(self.leaves) >= MAX_LEAVES:
            raise CaptureError(
                f"{_shorten(path)!r}: more than {MAX_LEAVES:,} values; "
                "turn lists of numbers into arrays, and do not share branches"
            )
        captured = self._convert(path, value)
        if isinstance(captured, Leaf):
            if path in self.leaves:
                raise self._collision(path, value)
            if captured.form == "array":
                self._take(path, captured)
            self.leaves[path] = captured
            if captured.form == "array" and captured.type_name == "Parameter":
                self._note_held(path, value, None, depth)
        elif isinstance(captured, Branch):
            self._add_branch(path, value, captured, depth)
        elif isinstance(captured, Omitted):
            self._omit(path, value, captured)
        elif isinstance(captured, Internal):
            self._add_internal(path, captured, depth)
        elif isinstance(captured, Elsewhere):
            self._note_elsewhere(path, captured.value, is_internal=self._is_internal)
        elif isinstance(captured, Held):
            self._add_part(path, captured.value, depth)
            self._note_held(path, captured.value, captured.memory, depth)
        elif captured.what in self._passing:
            self._add_part(path, captured.value, depth)
        elif captured.is_told and captured.what not in self._told:
            self._note(self._told, captured.what)
            reason = f"a {captured.what} is compared where a test returns the value; a checkpoint does not hold it"
            part = captured.value.value if isinstance(captured.value, Internal) else captured.value
            self.not_compared.append(NotCompared(path, full_name(type(part)), reason, is_state=False))

    def _note(self, notes: dict[Any, Any], key: object, value: object = None) -> None:
        if key not in notes:
            notes[key] = value
            self._noted.append((notes, key))

    def _note_elsewhere(self, path: str, value: Any, *, is_internal: bool) -> None:
        self._noted.append((self._elsewhere, len(self._elsewhere)))
        self._elsewhere.append((path, value, is_internal))

    def _note_held(self, path: str, value: Any, memory: tuple[str, int] | None, depth: int) -> None:
        """Note where a tensor stands, and say which earlier one it is, or whose memory it has."""
        self._kept.append(value)
        self._note(self._parameters, id(value))
        keys = [id(value)] if memory is None else [id(value), memory]
        first = next((found for key in keys if (found := self._held.get(key, path)) != path), path)
        for key in keys:
            self._note(self._held, key, path)
        if first != path and f"{path}/tied_to" not in self.leaves:
            self._add_part(f"{path}/tied_to", Passing(first, "tie"), depth)

    def _add_branch(self, path: str, value: Any, branch: Branch, depth: int) -> None:
        if path in self.leaves:
            raise self._collision(path, value)
        known = self._known_path(value, branch)
        if known is not None:
            text = f"the same object as {known!r}" if known else "the same object as the root"
            self.leaves[path] = Leaf("value", text, branch.type_name, "str")
            return
        if depth >= MAX_DEPTH:
            reason = f"it is nested more than {MAX_DEPTH} deep; return a flatter structure"
            raise CaptureError(f"{_shorten(path)!r}: {reason}", reason)
        if id(value) in self._open:
            raise CaptureError(
                f"{_shorten(path)!r} is a {branch.type_name} that contains itself; return a tree without cycles"
            )
        leaf = branch.own_leaf or Leaf("node", None, branch.type_name, traits=tuple(sorted(branch.traits)))
        if leaf.form == "array":
            self._take(path, leaf)
        self.leaves[path] = leaf
        if leaf.form == "array":
            self._note_held(path, value, None, depth)
        self._open[id(value)] = path
        if branch.is_object:
            self._seen[id(value)] = path
            self._kept.append(value)
        before = self._in_object
        self._in_object |= branch.is_object
        try:
            if branch.unordered:
                self._add_unordered(path, branch, depth + 1)
            else:
                self._add_children(f"{path}/" if path else "", branch, depth + 1)
        finally:
            self._in_object = before
            del self._open[id(value)]

    def _known_path(self, value: Any, branch: Branch) -> str | None:
        """Return where an object was captured already, or which container of an object's part contains itself."""
        if branch.own_leaf is not None and branch.own_leaf.form == "array" and id(value) not in self._open:
            return None  # an array is compared wherever it stands, with or without a gradient
        if branch.is_object:
            return self._seen.get(id(value))
        return self._open.get(id(value)) if self._in_object else None

    def _omit(self, path: str, value: Any, omitted: Omitted) -> None:
        """List a value as not compared. Its type is compared."""
        if path in self.leaves:
            raise self._collision(path, value)
        kind = type(value)
        self.leaves[path] = Leaf("node", None, omitted.type_name or kind.__name__)
        is_state = omitted.is_state and not self._is_internal
        self.not_compared.append(NotCompared(path, omitted.type_name or full_name(kind), omitted.reason, is_state))

    def _add_part(self, path: str, value: Any, depth: int) -> None:
        """Add a part of an object, or list it as not compared where it cannot be captured."""
        before = len(self.leaves), len(self._seen), len(self.not_compared), len(self._noted)
        try:
            self._add(path, value, depth)
        except CaptureError as error:
            if not error.reason:
                raise
            self._undo(before)
            if path not in self.leaves:
                self._omit(path, value, Omitted(error.reason, is_state=True))
            else:  # two parts of one name, of which the first was captured
                self.not_compared.append(NotCompared(path, full_name(type(value)), error.reason, is_state=True))

    def _add_children(self, prefix: str, branch: Branch, depth: int) -> None:
        leaves, find, copy = self.leaves, self._table.get, self._copy
        add = self._add_part if self._in_object else self._add
        is_unlimited = self._limit_bytes is None and self._spill is None and not self._baseline
        for name, child in branch.children:
            # Plain arrays in line: for thousands of small ones the calls cost more than the captures.
            if is_unlimited and find(type(child)) is capture_array:
                captured = capture_array(child)
                if type(captured) is Leaf:
                    if leaves.setdefault(prefix + name, captured) is not captured:
                        add(prefix + name, child, depth)  # which reports that two values have one path
                        continue
                    if copy:
                        captured.data = copy_array(captured.data)
                    continue
            add(prefix + name, child, depth)

    def _add_unordered(self, path: str, branch: Branch, depth: int) -> None:
        """Name a set's elements by their values, so that one more or less does not rename the others."""
        outer, seen, held, elsewhere, groups = self.leaves, self._seen, self._held, self._elsewhere, []
        provisional = f"{path}/*"
        add = self._add_part if self._in_object else self._add
        for _, child in branch.children:
            # What one element refers to must not depend on which element comes first.
            self.leaves, self._seen, self._held, self._elsewhere = {}, dict(seen), dict(held), []
            try:
                add(provisional, child, depth)
            finally:
                found, left = self.leaves, self._elsewhere
                self.leaves, self._seen, self._held, self._elsewhere = outer, seen, held, elsewhere
            groups.append((_name_element(found, provisional), digest_leaves(found), found, left))
        groups.sort(key=lambda group: group[1])
        names = [name for name, *_ in groups]
        if None in names or len(set(names)) < len(names):
            names = [str(i) for i in range(len(groups))]
        for name, (_, _, found, left) in zip(names, groups, strict=True):
            for inner, leaf in found.items():
                final = f"{path}/{name}{inner[len(provisional) :]}"
                if final in self.leaves:
                    raise self._collision(final, leaf)
                self.leaves[final] = leaf
            for inner, value, is_internal in left:
                self._note_elsewhere(f"{path}/{name}{inner[len(provisional) :]}", value, is_internal=is_internal)

    def _add_internal(self, path: str, internal: Internal, depth: int) -> None:
        if self._is_internal:
            self._add_part(path, internal.value, depth)
            return
        before = len(self.leaves), len(self._seen), len(self.not_compared), len(self._noted)
        self._is_internal, self._internal_limit = True, len(self.leaves) + MAX_INTERNAL_LEAVES
        try:
            self._add_part(path, internal.value, depth)
        except _TooMuchInternalError:
            self._undo(before)
            reason = f"a library's own bookkeeping of more than {MAX_INTERNAL_LEAVES:,} values"
            self._omit(path, internal.value, Omitted(reason, is_state=False))
        finally:
            self._is_internal = False

    def _undo(self, before: tuple[int, int, int, int]) -> None:
        """Remove what was added since there were so many leaves, objects, omitted values and notes."""
        leaves, seen, not_compared, noted = before
        for number in list(self._seen)[seen:]:
            del self._seen[number]
        for added in list(self.leaves)[leaves:]:
            del self.leaves[added]
        del self.not_compared[not_compared:]
        for notes, key in reversed(self._noted[noted:]):
            del notes[key]
        del self._noted[noted:]

    def _take(self, path: str, leaf: Leaf) -> None:
        data = leaf.data
        known = self._baseline.get(path) if data.nbytes >= MIN_SHARED_BYTES else None
        if known is not None and known.form == "array" and is_same_memory_image(data, known.data):
            leaf.data = known.data
            return
        if self._spill is not None and self._spill.wants(count_held_bytes(data)):
            leaf.data = self._spill.write(path, data)
            return
        if self._copy and type(leaf) is not FreshLeaf:
            leaf.data = copy_array(data)
        if self._limit_bytes is not None:
            self._held_bytes += count_held_bytes(leaf.data)
            if self._held_bytes > self._limit_bytes:
                raise CaptureError(
                    f"at {path!r} the captured arrays exceed {self._limit_bytes:,} bytes; "
                    "return less, or raise the limit"
                )

    def _collision(self, path: str, value: Any) -> CaptureError:
        nodes = [p for p, leaf in self.leaves.items() if leaf.form == "node"]
        holders = [p for p in nodes if p == "" or path.startswith(f"{p}/")]
        other, mine = self.leaves[path], full_name(type(value))
        ways = ", ".join(f"{path[len(p) + 1 if p else 0 :]!r} of {p or 'the root'!r}" for p in holders)
        reason = (
            f"two values share the path {path!r}: a {other.type_name} and a {mine} (keys that lead there: {ways}); "
            "rename one key, and do not mix keys such as 1 and '1', or 'a/b' and a nested 'a' -> 'b'"
        )
        return CaptureError(reason, reason)


def _name_element(found: dict[str, Leaf], path: str) -> str | None:
    leaf = found.get(path)
    if len(found) != 1 or leaf is None or leaf.form != "value":
        return None
    return repr(leaf.data) if leaf.type_name in ("str", "int", "float", "bool", "bytes", "NoneType") else str(leaf.data)


def _shorten(path: str) -> str:
    return path if len(path) <= 80 else f"{path[:40]}...{path[-30:]}"
