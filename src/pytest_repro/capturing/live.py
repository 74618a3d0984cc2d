"""Digests of values that the code under test goes on using.

One walk serves every such digest. A :class:`View` gives it a reader for each type and its bounds. :data:`LIVE` is the
view of a watched run: equal values of equal types have equal digests in every process, and nothing of the test's code
is called. Built-in types and those of known frameworks are read by their own methods, an object of another class
through its ``__dict__`` and slots, and an object of an unknown library only for the arrays and generators in it.
Types are checked by ``issubclass(type(x), ...)``, because ``isinstance`` asks the object for its ``__class__``.
"""

from __future__ import annotations

import array
import hashlib
import struct
import sys
import types
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from pytest_repro.capturing import registry
from pytest_repro.frameworks.attributes import name_of, origin_of, read_attributes, read_dict, slots_of
from pytest_repro.frameworks.base_values import SCALAR_ENCODERS, Node, Pairs, Parts, Reader
from pytest_repro.frameworks.stdlib_values import normalise
from pytest_repro.numerics.array_digest import feed_bytes

#: Parts of an object that are digested one by one, so that the one that differs can be named.
MAX_PARTS = 64
MAX_ELEMENTS = 2000
#: The one part of a set: its elements in any order. Its digest begins with how they are hashed, "address" or "value".
ELEMENTS = "(elements)"

_pack_length = struct.Struct("<Q").pack
_SCALARS = frozenset(map(id, SCALAR_ENCODERS))
_NUMBERS = frozenset(SCALAR_ENCODERS) - {str}
_NUMBER_IDS = frozenset(map(id, _NUMBERS))
_TYPE_CODES = {float: "d", int: "q"}
#: Builtins such as iterators, which only using them would reveal.
_HIDDEN = Reader(lambda value: None, is_complete=True)


class KnownType(NamedTuple):
    """Reader of one type in a view, with all that is worked out once."""

    read: Callable[[Any], Node]
    tag: bytes
    reader: Reader
    is_scalar: bool
    #: Removes the entry when the type dies, which the view does not prevent.
    alive: weakref.ref[type]


class View:
    """A way to read values: a reader for each type, found once, and the bounds of a walk.

    Parameters
    ----------
    find : callable
        Returns the reader of a type.
    max_depth : int
        Levels of containers and objects below the value that are read.
    max_nodes : int, optional
        Values that are read in total. The digest has a mark for the rest, the same in every run.
    """

    def __init__(self, find: Callable[[type], Reader], *, max_depth: int, max_nodes: int = sys.maxsize) -> None:
        self._find = find
        self.max_depth: int = max_depth
        self.max_nodes: int = max_nodes
        #: By id: looking a type up calls its metaclass, which may be the test's own.
        self.known: dict[int, KnownType] = {}

    def of(self, kind: type) -> KnownType:
        """Return the reader of a type."""
        key = id(kind)
        if (known := self.known.get(key)) is None:
            reader = self._find(kind)
            tag = f"<{name_of(kind)}>".encode()
            alive = weakref.ref(kind, lambda _: self.known.pop(key, None))
            known = self.known[key] = KnownType(reader.read, tag, reader, key in _SCALARS, alive)
        return known

    def digest(self, value: object) -> str:
        """Digest a value."""
        return _Walk(self).digest(value)


class Digest(NamedTuple):
    """A value's digest, those of its parts by name if it has any, and the number of values read for it."""

    whole: str
    parts: dict[str, str]
    work: int


def digest_value(value: object) -> Digest:
    """Digest a value of a watched run and, if it is a container or an object, its parts."""
    known = LIVE.of(type(value))
    node = _read(known, value)
    if type(node) is bytes:
        return Digest(_hash(known.tag, _pack_length(len(node)), node), {}, 1)
    walk = _Walk(LIVE)
    named = _name_pairs(node) if type(node) is Pairs else node
    if type(named) is not Parts:
        whole = walk.digest_node(known, node, value)
        if issubclass(type(value), (set, frozenset)):
            return Digest(whole, walk.digest_elements(node), walk.work)
        # 64 KiB of an array take about as long to read as one value.
        size = node.nbytes >> 16 if type(node) is np.ndarray else 0
        return Digest(whole, {}, walk.work + size)
    parts: dict[str, str] = {}
    hasher = hashlib.sha1(known.tag, usedforsecurity=False)
    for count, (name, part) in enumerate(named):
        digest = walk.digest(part, depth=1)
        hasher.update(f"{name}={digest};".encode("utf-8", "surrogatepass"))
        if count < MAX_PARTS:
            parts[name] = digest
    return Digest(hasher.hexdigest()[:16], parts, walk.work)


def parts_of(value: object) -> Parts:
    """Return a value's parts by name. A value without such parts has none."""
    node = _read(LIVE.of(type(value)), value)
    named = _name_pairs(node) if type(node) is Pairs else node
    return named if type(named) is Parts else Parts()


def _read(known: KnownType, value: object) -> Any:
    try:
        return known.read(value)
    except Exception:  # a half-initialised object, for which a watched run must not fail
        return b"unreadable"


def _hash(*blocks: bytes) -> str:
    return hashlib.sha1(b"".join(blocks), usedforsecurity=False).hexdigest()[:16]


def _name_pairs(node: Pairs) -> Parts | None:
    if len(node.keys) > MAX_PARTS or any(type(key) not in (str, int) for key in node.keys):
        return None
    names = [f"[{normalise(key)!r}]" if type(key) is str else f"[{key}]" for key in node.keys]
    return Parts(zip(names, node.values, strict=False))  # another thread may have changed the mapping in between


def is_scalar(value: object) -> bool:
    """Return whether a value is None, a number, a text or bytes, and not of a subclass."""
    return id(type(value)) in _SCALARS


def hashes_by_address(value: Any, depth: int = 0) -> bool:
    """Return whether a value's hash is made from an address, its own or that of something in it."""
    kind = type(value)
    if value is None:
        return sys.version_info < (3, 12)
    if kind is float:
        return bool(value != value)  # each NaN is a key of its own
    if kind is tuple or kind is frozenset:
        elements: Any = kind.__iter__(value)
        return depth < LIVE.max_depth and any(hashes_by_address(element, depth + 1) for element in elements)
    if id(kind) in _SCALARS:
        return False
    function: Any = kind.__hash__
    if function is object.__hash__ or issubclass(kind, types.BuiltinFunctionType):
        return True
    # As torch's tensors do.
    return "id" in getattr(getattr(function, "__code__", None), "co_names", ())


class _Walk:
    """One walk over a value, which counts the values that it reads."""

    def __init__(self, view: View) -> None:
        self._known, self._find = view.known, view.of
        self._max_depth = view.max_depth
        self._max_nodes = self._left = view.max_nodes

    @property
    def work(self) -> int:
        return self._max_nodes - self._left

    def digest(self, value: object, depth: int = 0) -> str:
        hasher = hashlib.sha1(usedforsecurity=False)
        self._feed(hasher, value, depth, ())
        return hasher.hexdigest()[:16]

    def digest_node(self, known: KnownType, node: Any, value: object) -> str:
        """Digest a value that has been read already."""
        self._left -= 1
        hasher = hashlib.sha1(known.tag, usedforsecurity=False)
        self._feed_node(hasher, node, 0, (id(value),))
        return hasher.hexdigest()[:16]

    def digest_elements(self, elements: list[Any]) -> dict[str, str]:
        """Digest a set's elements in any order, and say whether their own order depends on addresses."""
        if len(elements) > MAX_ELEMENTS:
            return {}
        digests = sorted(self.digest(element, depth=1) for element in elements)
        hashed = "address" if any(map(hashes_by_address, elements)) else "value"
        return {ELEMENTS: f"{hashed}:{_hash(''.join(digests).encode())}"}

    def _feed(self, hasher: Any, value: Any, depth: int, above: tuple[int, ...]) -> None:
        self._left -= 1
        if self._left < 0 or depth > self._max_depth or id(value) in above:
            hasher.update(b"<above>" if id(value) in above else b"<more>")
            return
        kind = type(value)
        known = self._known.get(id(kind)) or self._find(kind)
        node = _read(known, value)
        hasher.update(known.tag)
        if type(node) is bytes:
            hasher.update(_pack_length(len(node)))
            hasher.update(node)
            return
        self._feed_node(hasher, node, depth, (*above, id(value)))

    def _feed_node(self, hasher: Any, node: Any, depth: int, above: tuple[int, ...]) -> None:
        form = type(node)
        if form is np.ndarray:
            self._feed_array(hasher, node, depth, above)
        elif form is list:
            self._feed_items(hasher, node, depth, above)
        elif form is Pairs:
            self._feed_items(hasher, node.keys, depth, above)
            self._feed_items(hasher, node.values, depth, above)
        elif form is Parts:
            for name, part in node:
                hasher.update(f"{name}=".encode("utf-8", "surrogatepass"))
                self._feed(hasher, part, depth + 1, above)
        hasher.update(b";")

    def _feed_array(self, hasher: Any, array: np.ndarray[Any, Any], depth: int, above: tuple[int, ...]) -> None:
        # The layout too: a product sums the elements in the order of memory.
        flags = array.flags
        layout = f"{array.dtype.str}{array.shape}{int(flags.c_contiguous)}{int(flags.f_contiguous)}"
        hasher.update(layout.encode())
        if array.dtype.hasobject:
            self._feed_items(hasher, array.ravel().tolist(), depth, above)
        else:
            feed_bytes(hasher, array)

    def _feed_items(self, hasher: Any, items: list[Any], depth: int, above: tuple[int, ...]) -> None:
        hasher.update(_pack_length(len(items)))
        if items and (packed := _pack_numbers(items)) is not None:
            hasher.update(packed)
            return
        find, update, can_inline, depth = self._known.get, hasher.update, depth < self._max_depth, depth + 1
        for item in items:
            if self._left < 0:
                update(b"<more>")
                return
            known = find(id(type(item)))
            # Scalars in line: most items are, and the call costs more than reading them.
            if known is not None and known.is_scalar and can_inline:
                self._left -= 1
                node: Any = known.read(item)
                update(known.tag)
                update(_pack_length(len(node)))
                update(node)
            else:
                self._feed(hasher, item, depth, above)


def _pack_numbers(items: list[Any]) -> bytes | None:
    """Encode a list of numbers at once, or return None if it has other items."""
    if id(type(items[0])) not in _NUMBER_IDS:
        return None
    try:
        kinds = set(map(type, items))
    except TypeError:  # a class without a hash
        return None
    if len(kinds) == 1 and (code := _TYPE_CODES.get(type(items[0]))) is not None:
        try:
            return code.encode() + array.array(code, items).tobytes()  # keeps every bit
        except OverflowError:  # an integer of more than 64 bits
            pass
    return repr(items).encode() if kinds <= _NUMBERS else None


_user_files: Callable[[str], bool] | None = None


def set_user_files(is_user: Callable[[str], bool] | None) -> None:
    """Set the check for a file of the test's code, or None to read every object by its attributes."""
    global _user_files
    _user_files = is_user
    LIVE.known.clear()


def is_readable(kind: type) -> bool:
    """Return whether a class belongs to the test's code, or to a library whose attributes are its state."""
    origin = origin_of(kind)
    if registry.is_readable_library(origin):
        return True
    file = getattr(sys.modules.get(origin), "__file__", None) or ""
    return bool(file) and (_user_files is None or _user_files(file))


def _find_reader(kind: type) -> Reader:
    registry.refresh()
    if (reader := registry.find_reader(kind)) is not None:
        return reader
    if origin_of(kind) == "builtins":
        return _HIDDEN
    # Without slots in the reader: they would keep the class alive.
    read = read_attributes if slots_of(kind) else read_dict
    if is_readable(kind):
        return Reader(read, is_complete=True)
    # An unknown library's numbers and texts may be its timings and its paths.
    return Reader(lambda value: Parts((name, part) for name, part in read(value) if _is_data(part)))


def _is_data(value: object) -> bool:
    return LIVE.of(type(value)).reader.is_data


LIVE = View(_find_reader, max_depth=7, max_nodes=20_000)
registry.on_load.append(LIVE.known.clear)
