from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from pytest_repro.sources.heap import Heap, fresh_memory, take_free_memory
from pytest_repro.sources.shifted_addresses import shift_addresses

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.environ.get("PYTHONMALLOC", "pymalloc") != "pymalloc",
    reason="forks, and CPython's own allocator",
)


class Node:
    """Hashed by its address."""


def order_of_set() -> str:
    nodes = {Node(): number for number in range(200)}
    return ",".join(str(nodes[node]) for node in set(nodes))


def in_fork(before: Callable[[], object]) -> str:
    """Return the order in a fork in which something was made before."""
    readable, writable = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            kept = before()
            os.write(writable, order_of_set().encode())
            del kept
        finally:
            os._exit(0)
    os.close(writable)
    os.waitpid(pid, 0)
    with os.fdopen(readable) as file:
        return file.read()


def free_late(count: int) -> Callable[[], object]:
    """Free old objects once new ones go to fresh memory, as those of pytest are freed, and take the free places."""
    old = [bytes(size) for size in range(100) for _ in range(count)]

    def before() -> object:
        memory = fresh_memory()
        memory.__enter__()
        old.clear()
        Heap().begin_body()
        return memory

    return before


def main() -> None:
    """Print the orders in forks of a process that does nothing else, as a server of forks does between two."""

    def make(count: int) -> Callable[[], object]:
        return lambda: ([bytes(20) for _ in range(count)], [{number} for number in range(count)], take_free_memory())

    fresh = [in_fork(make(count)) for count in (0, 1, 7, 40)]
    # From one state, which without the shift gives one order.
    shifted = [in_fork(lambda amount=amount: (take_free_memory(), shift_addresses(amount))) for amount in range(4)]
    late = [in_fork(free_late(count)) for count in (0, 1, 20)]
    print(json.dumps([fresh, shifted, late]))


@pytest.fixture(scope="module")
def orders() -> list[list[str]]:
    done = subprocess.run([sys.executable, __file__], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_new_objects_have_the_same_addresses_whatever_was_made_before(orders: list[list[str]]) -> None:
    fresh, *_ = orders
    assert [len(order.split(",")) for order in fresh] == [200] * 4
    assert len(set(fresh)) == 1


def test_objects_freed_before_the_tests_own_code_leave_no_place_for_its_objects(orders: list[list[str]]) -> None:
    assert len(set(orders[2])) == 1


def test_new_objects_have_other_addresses_after_a_shift(orders: list[list[str]]) -> None:
    assert len(set(orders[1])) > 1


def test_a_shift_by_one_amount_is_the_same_each_time() -> None:
    assert list(map(type, shift_addresses(3))) == list(map(type, shift_addresses(3)))
    assert len(shift_addresses(3)) != len(shift_addresses(4))


if __name__ == "__main__":
    main()
