"""Canonical JSON (RFC 8785), written and read strictly: one document has one sequence of bytes.

A document has no floating-point number and no integer beyond 2**53, since readers of JSON round both. It has floats as
``float.hex()`` and such integers as text instead (:func:`as_document`).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from pytest_repro.errors import RecordError, StoreError
from pytest_repro.model import JSON
from pytest_repro.model.reading import MAX_DEPTH, parse_json
from pytest_repro.model.reading import measure_depth as _depth

#: A reader that has only doubles (JavaScript) rounds integers beyond it.
LARGEST_INTEGER = 2**53
#: A manifest has some 400 bytes per artifact, and arrays of up to 64 KiB.
MAX_BYTES = 256 * 2**20
#: Artifacts of one record. With their bits, a reader takes some 5 KB of memory for each.
MAX_ARTIFACTS = 500_000
ADVICE = "split the test, or return one array instead of many numbers"
_SURROGATE = re.compile("[\ud800-\udfff]")


def as_document(value: Any) -> JSON:
    """Convert plain values to a document: floats, large integers and keys become text.

    Parameters
    ----------
    value : None, bool, int, float, str, or mappings and sequences of these

    Raises
    ------
    StoreError
        If a value has another type.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value) if abs(value) < LARGEST_INTEGER else _integer_text(value)
    if isinstance(value, float):
        return float.hex(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, str):
        return escape_surrogates(str(value))
    if isinstance(value, Mapping):
        return {escape_surrogates(str(key)): as_document(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_document(item) for item in value]
    raise StoreError(f"a record cannot store a {type(value).__name__}: use numbers, text, lists or mappings of these")


def _integer_text(value: int) -> str:
    # Python refuses to write more than 4,300 decimal digits.
    return str(value) if value.bit_length() < 10_000 else hex(value)


def escape_surrogates(text: str) -> str:
    r"""Return text that is valid UTF-8: a lone surrogate (a file name's stray byte) becomes ``\udcff``."""
    return text if not _SURROGATE.search(text) else text.encode("utf-8", "backslashreplace").decode("utf-8")


def canonical_bytes(document: JSON) -> bytes:
    """Serialise by RFC 8785: keys sorted by UTF-16 code units, no white space, shortest escapes.

    Raises
    ------
    StoreError
        If the document has a float, an integer of 2**53 or more, or a lone surrogate, or is nested deeper than a
        reader accepts.
    """
    if _depth(document) > MAX_DEPTH:
        raise StoreError(f"a document nested more than {MAX_DEPTH} levels deep could not be read again")
    by_code_point = _check(document)
    if not by_code_point:
        document = _sort_by_code_unit(document)
    try:
        text = json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False, sort_keys=by_code_point)
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise StoreError(f"a text has a lone surrogate, which no JSON reader accepts: {error.object[:40]!r}") from None


def _check(document: JSON) -> bool:
    """Reject what a document cannot have, and return whether code points order its keys as UTF-16 code units do."""
    by_code_point = True
    waiting: list[Any] = [document]
    while waiting:
        value = waiting.pop()
        kind = type(value)
        if kind is str or value is None or kind is bool:
            continue
        if kind is dict:
            try:
                keys = "".join(value)
            except TypeError:
                raise StoreError("the keys of a canonical document must be text") from None
            by_code_point &= keys.isascii() or max(keys) <= "\uffff"
            waiting.extend(value.values())
        elif kind is list:
            waiting.extend(value)
        elif kind is not int:
            raise StoreError(f"a canonical document cannot have a {kind.__name__}")
        elif abs(value) >= LARGEST_INTEGER:
            raise StoreError(f"readers would round the integer {_integer_text(value)[:40]}; write it as text")
    return by_code_point


def _sort_by_code_unit(value: JSON) -> JSON:
    if isinstance(value, list):
        return [_sort_by_code_unit(item) for item in value]
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: key.encode("utf-16-be", "surrogatepass"))
        return {key: _sort_by_code_unit(value[key]) for key in keys}
    return value


def parse_strictly(data: bytes) -> JSON:
    """Read a JSON document that is not trusted.

    Raises
    ------
    StoreError
        If it is too large or too deep, is not UTF-8 or not JSON, has a key twice, or has a number that
        :func:`canonical_bytes` does not write.
    """
    document: JSON = parse_json(
        data,
        max_bytes=MAX_BYTES,
        read_integer=_read_integer,
        read_number=_refuse_number,
        refuse_constant=_refuse_number,
    )
    return document


def parse_object(data: bytes, where: str) -> dict[str, Any]:
    """Read a JSON object that is not trusted.

    Raises
    ------
    RecordError
        If it cannot be read, or is not an object. The message begins with `where`.
    """
    try:
        document = parse_strictly(data)
    except StoreError as error:
        raise RecordError(f"{where}: {error}") from None
    if not isinstance(document, dict):
        raise RecordError(f"{where} is not a JSON object")
    return document


def _refuse_number(text: str) -> Any:
    raise ValueError(f"{text[:40]} is not allowed (documents have floats as text, by float.hex())")


def _read_integer(text: str) -> int:
    if len(text) > 17 or abs(int(text)) >= LARGEST_INTEGER:
        raise ValueError(f"the integer {text[:40]} is beyond 2**53")
    return int(text)
