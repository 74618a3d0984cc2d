"""Hash seeds and fresh processes, in real interpreters."""

from __future__ import annotations

from tests.unit.axes.children import judge, run_child

ORDER = "seen['order'] = list({f'word{i}' for i in range(20)})"


def test_each_hash_seed_has_an_order_of_its_own() -> None:
    zero, again, one = (run_child({"hash_seed": seed}, ORDER) for seed in (0, 0, 1))
    assert zero.seen == again.seen != one.seen
    assert judge(zero, again, "hash_seed").status == "not_varied"
    assert judge(zero, one, "hash_seed").status == "varied"


def test_two_interpreters_count_as_two_processes() -> None:
    assert judge(run_child({"process": 0}), run_child({"process": 1}), "process").status == "varied"
