"""Text for one value or one array element, exact enough that different values give different texts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_repro.model.redaction import redact
from pytest_repro.model.text import escape
from pytest_repro.numerics.formats import FloatFormat, code_table, format_of

__all__ = ["MAX_TEXT", "describe_element", "describe_value", "escape", "shorten"]

#: Longest text of a value in a report [characters], since a string may have a megabyte.
MAX_TEXT = 60
#: Characters at either end of a long text that are read: a secret there is found whole.
_MAX_READ = 2000


def shorten(text: str, limit: int = MAX_TEXT) -> str:
    """Replace the middle of a text that is too long by "..."."""
    if len(text) <= limit:
        return text
    text = redact(text)  # the halves of a secret would not be found
    if len(text) <= limit:
        return text
    head = (limit - 3) // 2
    return f"{text[:head]}...{text[len(text) - (limit - 3 - head) :]}"


def describe_value(value: Any) -> str:
    """Return a Python value as text, with the bits of a NaN."""
    if isinstance(value, float):
        return f"nan (0x{np.float64(value).view(np.uint64):016x})" if math.isnan(value) else repr(value)
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 300:
        # Python does not print more than 4,300 digits, since that takes quadratic time.
        return f"{hex(value >> (value.bit_length() - 64))}... ({'-' if value < 0 else ''}{value.bit_length()} bits)"
    if isinstance(value, (str, bytes)) and len(value) > 2 * _MAX_READ:
        return shorten(escape(repr(value[:_MAX_READ])[:-1] + "..." + repr(value[-_MAX_READ:])[1:]))
    return shorten(escape(repr(value)))


def describe_element(array: Any, index: tuple[int, ...], dtype: str) -> str:
    """Return one element of an array of a logical dtype as text."""
    element = array[index]
    if not isinstance(element, (np.generic, np.ndarray)):  # a tensor on another device
        return shorten(escape(str(element.item())))
    cell: NDArray[Any] = np.asarray(element)
    cell = cell.astype(cell.dtype.newbyteorder("="), copy=False)
    fmt = format_of(dtype) or format_of(cell.dtype.name)
    if fmt and cell.dtype.kind in "uiVf":
        return _describe_float(cell.view(f"u{cell.dtype.itemsize}"), fmt)
    if cell.dtype.kind in "SUV":
        return describe_value(cell.item())
    return shorten(escape(str(cell[()])))


def _describe_float(code: NDArray[Any], fmt: FloatFormat) -> str:
    if fmt.width <= 8:
        value: Any = code_table(fmt.name).values[code[()]]
    elif fmt.name == "bfloat16":
        value = (code.astype(np.uint32) << np.uint32(16)).view(np.float32)[()]
    else:
        value = code.view(fmt.name)[()]
    if math.isnan(value):
        return f"nan (0x{int(code[()]):0{code.dtype.itemsize * 2}x})"
    return str(value)
