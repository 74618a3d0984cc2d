"""Leaves as JSON, restored bit for bit: without pickle, without rounding, and validated when read."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from pytest_repro.errors import StoreError
from pytest_repro.model import Leaf, NotCompared

_SURROGATE = re.compile("[\ud800-\udfff]")
_DTYPE = re.compile(r"[<>|][biufcSU]\d{1,10}|[<>][mM]8(\[\d{0,10}[a-zA-Zμ]{1,8}\])?")
_FORMS = ("array", "value", "node")
MAX_DIMENSIONS = 64

JSON = Any
ArrayReader = Callable[[dict[str, JSON], np.dtype[Any], tuple[int, ...]], np.ndarray[Any, Any]]


def encode_leaf(path: str, leaf: Leaf) -> dict[str, JSON]:
    """Describe a leaf without the bytes of an array, which are stored elsewhere."""
    entry: dict[str, JSON] = {
        "path": _encode_text(path),
        "form": leaf.form,
        "type": _encode_text(leaf.type_name),
        "dtype": _encode_text(leaf.dtype),
        "shape": list(leaf.shape),
        "traits": [[_encode_text(name), _encode_text(value)] for name, value in leaf.traits],
    }
    if leaf.form == "value":
        entry["value"] = _encode_value(leaf.data)
    elif leaf.form == "array":
        entry["stored"] = leaf.data.dtype.str
    return entry


def decode_leaf(entry: JSON, read_array: ArrayReader) -> tuple[str, Leaf]:
    """Rebuild a leaf and its path.

    Parameters
    ----------
    entry : object
        Parsed JSON, not trusted.
    read_array : callable (entry, dtype, shape) -> ndarray
        Returns an array's elements after its dtype and shape were validated.

    Raises
    ------
    StoreError
        If :func:`encode_leaf` does not write such an entry.
    """
    if not isinstance(entry, dict):
        raise StoreError(f"an entry is {_shorten(entry)}, not an object")
    form = entry.get("form")
    if form not in _FORMS:
        raise StoreError(f"an entry has the form {_shorten(form)}; known are {', '.join(_FORMS)}")
    payload = {"array": {"stored", "offset", "length"}, "value": {"value"}, "node": set()}[form]
    expected = {"path", "form", "type", "dtype", "shape", "traits"} | payload
    held, shown = entry.get("held"), entry.get("shape")
    if form == "array" and isinstance(held, list) and isinstance(shown, list) and len(held) == len(shown):
        expected.add("held")  # of a broadcast array: the shape of the part that is stored
    if set(entry) != expected:
        raise StoreError(f"an entry has the keys {_shorten(sorted(entry))}; {form} entries have {sorted(expected)}")
    path = _decode_text(entry["path"])
    shape = _decode_shape(entry["shape"])
    value: Any = None
    if form == "value":
        value = _decode_value(entry["value"])
    elif form == "array":
        value = read_array(entry, _decode_dtype(entry["stored"]), shape)
    type_name, dtype = _decode_text(entry["type"]), _decode_text(entry["dtype"])
    return path, Leaf(form, value, type_name, dtype, shape, _decode_traits(entry["traits"]))


def encode_not_compared(value: NotCompared) -> JSON:
    """Describe a value that is not compared."""
    return [*map(_encode_text, (value.name, value.type_name, value.reason)), value.is_state]


def decode_not_compared(entry: JSON) -> NotCompared:
    """Rebuild the description of a value that is not compared.

    Raises
    ------
    StoreError
        If :func:`encode_not_compared` does not write such an entry.
    """
    if not isinstance(entry, list) or len(entry) != 4 or type(entry[3]) is not bool:
        raise StoreError(f"an entry of what is not compared is {_shorten(entry)}")
    name, type_name, reason = map(_decode_text, entry[:3])
    return NotCompared(name, type_name, reason, entry[3])


def is_count(value: JSON) -> bool:
    """Return whether a JSON value is an integer >= 0 (and not `true`)."""
    return type(value) is int and value >= 0


def _encode_text(text: str) -> JSON:
    # JSON joins two lone surrogates into one character, so such text is stored as bytes.
    return {"utf8": text.encode("utf-8", "surrogatepass").hex()} if _SURROGATE.search(text) else text


def _decode_text(value: JSON) -> str:
    if isinstance(value, str) and not _SURROGATE.search(value):
        return value
    if isinstance(value, dict) and set(value) == {"utf8"} and isinstance(value["utf8"], str):
        try:
            return bytes.fromhex(value["utf8"]).decode("utf-8", "surrogatepass")
        except ValueError as error:
            raise StoreError(f"a text is not UTF-8: {error}") from None
    raise StoreError(f"expected a text, found {_shorten(value)}")


def _encode_value(value: Any) -> JSON:
    if value is None:
        return {"kind": "none"}
    if isinstance(value, bool):
        return {"kind": "bool", "text": "1" if value else "0"}
    if isinstance(value, int):
        return {"kind": "int", "text": hex(value)}  # decimal text is limited to 4,300 digits
    if isinstance(value, float):
        return {"kind": "float", "text": _float_text(value)}
    if isinstance(value, complex):
        return {"kind": "complex", "text": f"{_float_text(value.real)} {_float_text(value.imag)}"}
    if isinstance(value, str):
        return {"kind": "str", "text": _encode_text(value)}
    if isinstance(value, bytes):
        return {"kind": "bytes", "text": value.hex()}
    raise StoreError(f"a value leaf holds a {type(value).__name__}, which cannot be stored")


def _float_text(value: float) -> str:
    # float.hex() is "nan" for every NaN, but the payload is part of the bits.
    return f"nan:{np.float64(value).tobytes()[::_NATIVE_STEP].hex()}" if math.isnan(value) else value.hex()


#: Bytes of a NaN are written big-endian.
_NATIVE_STEP = -1 if np.dtype("<f8").isnative else 1


def _decode_value(value: JSON) -> Any:
    if not isinstance(value, dict) or not isinstance(kind := value.get("kind"), str) or kind not in _decoders:
        raise StoreError(f"a value is {_shorten(value)}, of no known kind")
    if set(value) != ({"kind"} if kind == "none" else {"kind", "text"}):
        raise StoreError(f"a value has the keys {_shorten(sorted(value))}")
    text = value.get("text", "")
    if kind != "str" and not isinstance(text, str):
        raise StoreError(f"a value of kind {kind} is {_shorten(text)}, not a text")
    try:
        return _decoders[kind](text)
    except (ValueError, OverflowError) as error:
        raise StoreError(f"a value of kind {kind} cannot be read: {error}") from None


def _decode_float(text: str) -> float:
    if text.startswith("nan:"):
        raw = bytes.fromhex(text[4:])
        value = float(np.frombuffer(raw[::_NATIVE_STEP], dtype=np.float64)[0]) if len(raw) == 8 else 0.0
        if not math.isnan(value):
            raise ValueError(f"{text[:40]!r} is not a NaN")
        return value
    value = float.fromhex(text)
    if math.isnan(value):
        raise ValueError("a NaN without its bits")
    return value


def _decode_complex(text: str) -> complex:
    real, _, imaginary = text.partition(" ")
    return complex(_decode_float(real), _decode_float(imaginary))


def _decode_bool(text: str) -> bool:
    if text not in ("0", "1"):
        raise ValueError(f"{text[:40]!r} is neither 0 nor 1")
    return text == "1"


def _decode_int(text: str) -> int:
    if not re.fullmatch(r"-?0x[0-9a-f]+", text):
        raise ValueError(f"{text[:40]!r} is not a hexadecimal number")
    return int(text, 16)


_decoders: dict[str, Callable[[Any], Any]] = {
    "none": lambda _: None,
    "bool": _decode_bool,
    "int": _decode_int,
    "float": _decode_float,
    "complex": _decode_complex,
    "str": _decode_text,
    "bytes": bytes.fromhex,
}


def _decode_shape(value: JSON) -> tuple[int, ...]:
    if not isinstance(value, list) or len(value) > MAX_DIMENSIONS or not all(map(is_count, value)):
        raise StoreError(f"a shape is {_shorten(value)}, not a list of at most {MAX_DIMENSIONS} integers >= 0")
    return tuple(value)


def _decode_traits(value: JSON) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in value):
        raise StoreError(f"traits are {_shorten(value)}, not a list of pairs")
    return tuple((_decode_text(name), _decode_text(text)) for name, text in value)


def _decode_dtype(value: JSON) -> np.dtype[Any]:
    if not isinstance(value, str) or not _DTYPE.fullmatch(value):
        raise StoreError(f"{_shorten(value)} is not a dtype that arrays are stored in")
    try:
        dtype = np.dtype(value)
    except (TypeError, ValueError) as error:
        raise StoreError(f"this NumPy cannot read the dtype {value!r}: {error}") from None
    if dtype.hasobject or dtype.str != value:
        raise StoreError(f"{value!r} is not a dtype that arrays are stored in")
    return dtype


def _shorten(value: JSON) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
