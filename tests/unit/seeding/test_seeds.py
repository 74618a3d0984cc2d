"""Derivation and validation of seeds, and seeding of every generator."""

from __future__ import annotations

import random

import numpy as np
import pytest

from pytest_repro import UsageError, seeding
from tests.unit.seeding.helpers import run_python


def test_a_derived_seed_is_the_same_forever() -> None:
    # Literals, because a change of the derivation would change every seed that users have noted.
    assert seeding.derive_seed(1234, "tests/test_a.py::test_b") == 0xD2F2F0C6
    assert seeding.derive_seed(0, "") == 0xBA768B33


def test_a_derived_seed_does_not_depend_on_the_hash_seed() -> None:
    code = "from pytest_repro import seeding; print(seeding.derive_seed(7, 'test_x[é]'))"
    assert {run_python(code, PYTHONHASHSEED=value) for value in ("0", "1", "random")} == {
        str(seeding.derive_seed(7, "test_x[é]"))
    }


def test_digits_moved_between_base_and_name_change_the_seed() -> None:
    assert seeding.derive_seed(1, "2:x") != seeding.derive_seed(12, ":x")
    assert seeding.derive_seed(1, "23") != seeding.derive_seed(12, "3")


def test_a_node_id_with_a_lone_surrogate_has_a_seed() -> None:
    assert 0 <= seeding.derive_seed(1, "test_x[\udc80]") < 2**32


@pytest.mark.parametrize("seed", [-1, 2**32, True, 1.0, "1", None, np.float64(3)])
def test_an_invalid_seed_is_rejected_before_anything_is_seeded(seed: object) -> None:
    state = random.getstate()
    with pytest.raises(UsageError, match="a seed must be"):
        seeding.seed_everything(seed)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="a seed must be"), seeding.seeded(seed):  # type: ignore[arg-type]
        pass
    assert random.getstate() == state


@pytest.mark.parametrize("seed", [0, 2**32 - 1, np.int64(5), np.uint32(5)])
def test_every_seed_of_32_bits_is_accepted_and_returned_as_an_int(seed: int) -> None:
    state = seeding.save_state()
    given = seeding.seed_everything(seed)
    seeding.restore_state(state)
    assert type(given) is int
    assert given == seed


def test_seeding_imports_no_framework() -> None:
    code = """
        import sys
        from pytest_repro import seeding
        with seeding.seeded(3), seeding.deterministic():
            seeding.read_settings()
        print(sorted({"numpy", "torch", "jax", "sklearn", "tensorflow", "hypothesis"} & set(sys.modules)))
    """
    assert run_python(code) == "[]"
