"""PYTHONHASHSEED, in real interpreters."""

from __future__ import annotations

from tests.unit.axes.children import judge, run_child

ORDER = "seen['order'] = list({f'word{i}' for i in range(20)})"


def test_another_seed_gives_another_order_and_the_same_seed_the_same() -> None:
    zero, again, one = (run_child({"hash_seed": seed}, ORDER) for seed in (0, 0, 1))
    assert zero.seen == again.seen != one.seen
    assert judge(zero, again, "hash_seed").status == "not_varied"
    assert judge(zero, one, "hash_seed").status == "varied"


def test_process_varies_with_every_interpreter() -> None:
    assert judge(run_child({"process": 0}), run_child({"process": 1}), "process").status == "varied"
