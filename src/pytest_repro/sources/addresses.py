"""The addresses of objects: the base of the three sources that they are, and the one of fresh interpreters."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import Any, ClassVar

from pytest_repro.model import CauseWords, FirstDivergence
from pytest_repro.sources.base import EventHandler, Evidence, Pin, Source
from pytest_repro.sources.sightings import note
from pytest_repro.tracing.user_code import is_user_file

#: Source code that reads an address without a hash.
_READS_ADDRESS = re.compile(r"\bid\(|data_ptr\(|\.ctypes\.data\b|__array_interface__|\baddressof\(|\brepr\(|!r\}")
_CALLS_FOR_ADDRESS = re.compile(r"\bid\(|data_ptr\(|\baddressof\(")
_CALLS_FOR_HASH = re.compile(r"\bhash\(")
#: How the elements of a reordered set are hashed -> the verb for the value that holds them.
_REORDERED = {"address": "holds", "iteration": "takes"}
#: Starts an interpreter as ``setarch -R`` would: personality(2) with ADDR_NO_RANDOMIZE, which is kept through exec.
_CODE = "import ctypes,os,sys;ctypes.CDLL(None).personality(0x0040000);os.execvp(sys.argv[1],sys.argv[1:])"
_PREFIX = [sys.executable, "-I", "-S", "-c", _CODE] if sys.platform == "linux" else []


def _note_id(event: str, args: tuple[Any, ...]) -> None:
    # The frame below this handler and the hook that called it.
    if is_user_file(sys._getframe(2).f_code.co_filename):
        note("id", "id()")


class AddressSource(Source):
    """Addresses, which order sets by the hashes of objects, or are read as such."""

    code = "hash.address"
    places: ClassVar[tuple[str, ...]] = ("id",)

    def name_code(self, evidence: Evidence) -> str:
        """Return whether an address is read, or only orders something by its hash."""
        is_read = bool(evidence.sightings) or _READS_ADDRESS.search(evidence.statement) is not None
        return "process.address" if is_read else self.code


class Addresses(AddressSource):
    """Addresses as they differ from interpreter to interpreter."""

    name = "address"
    label = "addresses"
    pinned = "with addresses not randomised"
    words: ClassVar[Mapping[str, CauseWords]] = {
        "hash.address": CauseWords(
            "hashes made from addresses (None, NaN, objects, tensors, types), which order sets",
            "iterate over a list or dict, or sort by something stable; PYTHONHASHSEED does not help",
        ),
        "process.address": CauseWords("the address of an object, as id() returns it", "number the objects yourself"),
    }
    events: ClassVar[Mapping[str, EventHandler]] = {"builtins.id": _note_id}
    pin: ClassVar[Pin | None] = Pin("address", prefix=_PREFIX)
    # Under another hash seed, sets are in another order whatever their addresses.
    needs: ClassVar[tuple[str, ...]] = ("hash",)
    is_set_at_start = True
    fixes_addresses = True

    def show(self, first: FirstDivergence, statement: str, *, shares_hash_seed: bool) -> tuple[str, str] | None:
        """Recognise a reordered set by its elements, and a statement that reads an address or a hash."""
        if first.reordered in _REORDERED and shares_hash_seed:
            verb = _REORDERED[first.reordered]
            elements = f"{verb} the same elements in both runs in another order, with the same hash seed"
            return "hash.address", f"the first value that differs, {first.name}, {elements}"
        what = f"the statement of the first value that differs, {first.name}, reads"
        if _CALLS_FOR_ADDRESS.search(statement):
            return "process.address", f"{what} the address of an object"
        if shares_hash_seed and _CALLS_FOR_HASH.search(statement):
            return "hash.address", f"{what} a hash, which differs with the same hash seed"
        return None
