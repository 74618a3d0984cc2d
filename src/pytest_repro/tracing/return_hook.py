"""A function's code with a call before each of its returns, for Python 3.11, which has no `sys.monitoring`.

The code is written anew with the calls inside, so that neither a trace nor a profile function is needed: each of them
costs time at every call of the program, and the test may read which one is set.
"""

from __future__ import annotations

import dis
import opcode
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from types import CodeType
from typing import Any

#: Whether this interpreter has the instructions that are written here.
IS_SUPPORTED = sys.version_info[:2] == (3, 11)

_CACHES: list[int] = getattr(opcode, "_inline_cache_entries", [])
_RETURN, _LOAD, _JUMP = (dis.opmap[name] for name in ("RETURN_VALUE", "LOAD_CONST", "JUMP_FORWARD"))
_JUMPS = frozenset(dis.hasjrel)
#: Forms of an entry in the table of positions (CPython's Objects/locations.md).
_NO_COLUMNS, _COMPLETE, _NOTHING = 13, 14, 15
_ENTRY_UNITS = 8

Position = tuple[int | None, int | None, int | None, int | None]


@dataclass(slots=True, eq=False)
class _Instruction:
    """One instruction, without the prefixes of a large argument, and with the instruction that it jumps to."""

    opcode: int
    argument: int
    position: Position
    target: _Instruction | None = None
    prefixes: int = 0
    offset: int = field(default=0)

    @property
    def units(self) -> int:
        return self.prefixes + 1 + _CACHES[self.opcode]

    @property
    def end(self) -> int:
        return self.offset + self.units

    def encode(self) -> bytes:
        words = [(dis.EXTENDED_ARG, (self.argument >> shift) & 255) for shift in range(8 * self.prefixes, 0, -8)]
        words.append((self.opcode, self.argument & 255))
        return bytes(byte for word in words for byte in word) + bytes(2 * _CACHES[self.opcode])


def with_return_hook(code: CodeType, hook: Callable[[Any], object]) -> CodeType:
    """Return a copy of the code that calls `hook(value)` right before it returns `value`.

    The hook is called from the returning frame, which is ``sys._getframe(1)`` inside it. Lines, positions and exception
    handlers are those of the original code.
    """
    return with_calls_at_end(code, hook) or with_calls_inside(code, hook)


def with_calls_at_end(code: CodeType, hook: Callable[[Any], object]) -> CodeType | None:
    """Return the code with its calls after the last instruction, or None if a return has no room for a jump there.

    Most test functions only ``return None``, which takes two units, as a jump with a prefix does. Nothing else moves,
    so that this takes a quarter of the time, which is felt in a suite of tests of a millisecond.
    """
    raw = bytearray(code.co_code)
    operations, arguments = bytes(raw[::2]), bytes(raw[1::2])
    returns = [unit for unit, operation in enumerate(operations) if operation == _RETURN]
    if not returns or returns[0] == 0 or any(operations[unit - 1] != _LOAD for unit in returns):
        return None
    if any(unit >= 2 and operations[unit - 2] == dis.EXTENDED_ARG for unit in returns):
        return None
    if not {*returns}.isdisjoint(_find_targets(operations, arguments)):
        return None  # with a value that an earlier instruction has left
    positions = list(code.co_positions())
    line = next((first for first, *_ in reversed(positions) if first is not None), code.co_firstlineno)
    added: list[_Instruction] = []
    offset = len(operations)
    for unit in returns:
        distance = offset - (unit + 1)
        if distance >> 16:
            return None
        raw[2 * unit - 2 : 2 * unit + 2] = bytes((dis.EXTENDED_ARG, distance >> 8, _JUMP, distance & 255))
        position = positions[unit]
        value = _Instruction(_LOAD, arguments[unit - 1], position)
        for instruction in (value, *_call(len(code.co_consts), position), _Instruction(_RETURN, 0, position)):
            instruction.prefixes = _count_prefixes(instruction.argument)
            offset += instruction.units
            added.append(instruction)
    return code.replace(
        co_code=bytes(raw) + b"".join(instruction.encode() for instruction in added),
        co_consts=(*code.co_consts, hook),
        co_linetable=code.co_linetable + b"".join(_encode_positions(added, line)),
        co_stacksize=code.co_stacksize + 3,
    )


def _find_targets(operations: bytes, arguments: bytes) -> Iterator[int]:
    """Yield the units to which jumps lead."""
    for unit, operation in enumerate(operations):
        if operation in _JUMPS:
            argument, shift, prefix = arguments[unit], 8, unit - 1
            while prefix >= 0 and operations[prefix] == dis.EXTENDED_ARG:
                argument |= arguments[prefix] << shift
                shift, prefix = shift + 8, prefix - 1
            yield unit + 1 + _CACHES[operation] + (-argument if _is_backward(operation) else argument)


def with_calls_inside(code: CodeType, hook: Callable[[Any], object]) -> CodeType:
    """Return the code with each call right before its return, and all that follows moved."""
    instructions = list(_decode(code))
    starts = {instruction.offset: instruction for instruction in instructions}
    end = instructions[-1].end
    handlers = [
        (starts[first // 2], starts.get(last // 2), starts[target // 2], depth, lasti)
        for first, last, target, depth, lasti in _parse_handlers(code)
    ]
    if any(last // 2 not in starts and last // 2 != end for _, last, *_ in _parse_handlers(code)):
        raise ValueError("an exception handler ends within an instruction")
    written: list[_Instruction] = []
    moved: dict[int, _Instruction] = {}
    for instruction in instructions:
        if instruction.opcode == dis.opmap["RETURN_VALUE"]:
            call = list(_call(len(code.co_consts), instruction.position))
            # A jump to the return must make the call as well.
            moved[id(instruction)] = call[0]
            written += call
        written.append(instruction)
    for instruction in written:
        if instruction.target is not None:
            instruction.target = moved.get(id(instruction.target), instruction.target)
    _place(written)

    def offset_of(instruction: _Instruction | None) -> int:
        return written[-1].end if instruction is None else moved.get(id(instruction), instruction).offset

    return code.replace(
        co_code=b"".join(instruction.encode() for instruction in written),
        co_consts=(*code.co_consts, hook),
        co_linetable=b"".join(_encode_positions(written, code.co_firstlineno)),
        co_exceptiontable=b"".join(
            _encode_handler(offset_of(first), offset_of(last), offset_of(target), depth, lasti)
            for first, last, target, depth, lasti in handlers
        ),
        co_stacksize=code.co_stacksize + 3,
    )


def _call(constant: int, position: Position) -> Iterator[_Instruction]:
    """Yield a call of a constant with the value on top of the stack, which stays there."""
    for name, argument in (
        ("PUSH_NULL", 0),
        ("LOAD_CONST", constant),
        ("COPY", 3),
        ("PRECALL", 1),
        ("CALL", 1),
        ("POP_TOP", 0),
    ):
        yield _Instruction(dis.opmap[name], argument, position)


def _decode(code: CodeType) -> list[_Instruction]:
    raw, positions = code.co_code, list(code.co_positions())
    decoded: list[_Instruction] = []
    jumps: list[tuple[_Instruction, int]] = []
    unit, start, argument = 0, 0, 0
    while unit < len(raw) // 2:
        operation, argument = raw[2 * unit], argument << 8 | raw[2 * unit + 1]
        unit += 1
        if operation == dis.EXTENDED_ARG:
            continue
        instruction = _Instruction(operation, argument, positions[unit - 1], offset=start, prefixes=unit - 1 - start)
        unit += _CACHES[operation]
        if operation in _JUMPS:
            jumps.append((instruction, unit + (-argument if _is_backward(operation) else argument)))
        decoded.append(instruction)
        start, argument = unit, 0
    by_offset = {instruction.offset: instruction for instruction in decoded}
    for instruction, target in jumps:
        instruction.target = by_offset[target]
    return decoded


def _is_backward(operation: int) -> bool:
    return "BACKWARD" in dis.opname[operation]


def _place(instructions: list[_Instruction]) -> None:
    """Give each instruction its offset, and each jump its distance, until no argument needs another prefix."""
    for instruction in instructions:
        instruction.prefixes = _count_prefixes(instruction.argument) if instruction.target is None else 0
    while True:
        unit = 0
        for instruction in instructions:
            instruction.offset = unit
            unit = instruction.end
        is_settled = True
        for instruction in instructions:
            if instruction.target is None:
                continue
            instruction.argument = abs(instruction.target.offset - instruction.end)
            prefixes = _count_prefixes(instruction.argument)
            if prefixes > instruction.prefixes:  # never fewer again, which might go on for ever
                instruction.prefixes, is_settled = prefixes, False
        if is_settled:
            return


def _count_prefixes(argument: int) -> int:
    return max(0, (argument.bit_length() - 1) // 8)


def _parse_handlers(code: CodeType) -> list[tuple[int, int, int, int, bool]]:
    """Return the exception table as (start, end, handler, depth, lasti), with offsets in bytes."""
    parse: Any = dis._parse_exception_table  # type: ignore[attr-defined]
    return [(entry.start, entry.end, entry.target, entry.depth, entry.lasti) for entry in parse(code)]


def _encode_handler(start: int, end: int, target: int, depth: int, lasti: bool) -> bytes:
    first, *others = (start, end - start, target, depth << 1 | lasti)
    encoded = bytearray(_big_endian_varint(first))
    encoded[0] |= 0x80  # the mark of an entry's first byte
    return bytes(encoded) + b"".join(map(_big_endian_varint, others))


def _big_endian_varint(value: int) -> bytes:
    groups = [value & 63]
    while value := value >> 6:
        groups.append(value & 63 | 64)
    return bytes(reversed(groups))


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 63:
        encoded.append(value & 63 | 64)
        value >>= 6
    encoded.append(value)
    return bytes(encoded)


def _signed_varint(value: int) -> bytes:
    return _varint(-value << 1 | 1 if value < 0 else value << 1)


def _encode_positions(instructions: Iterable[_Instruction], line: int) -> Iterator[bytes]:
    for instruction in instructions:
        first, last, column, end_column = instruction.position
        units = instruction.units
        while units:
            size = min(units, _ENTRY_UNITS)
            units -= size
            if first is None:
                yield _head(_NOTHING, size)
                continue
            step, line = first - line, first
            if last is None or column is None or end_column is None:
                yield _head(_NO_COLUMNS, size) + _signed_varint(step)
            else:
                columns = _varint(last - first) + _varint(column + 1) + _varint(end_column + 1)
                yield _head(_COMPLETE, size) + _signed_varint(step) + columns


def _head(form: int, units: int) -> bytes:
    return bytes([0x80 | form << 3 | units - 1])
