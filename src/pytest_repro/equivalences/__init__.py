"""Assertions that a result is the same when it is resumed, batched, reordered, split, compiled or stored."""

from __future__ import annotations

from pytest_repro.equivalences.accumulation import assert_accumulation_equivalent
from pytest_repro.equivalences.batch import assert_batch_invariant
from pytest_repro.equivalences.compiling import assert_compile_equivalent
from pytest_repro.equivalences.estimator_checks import reproducible_estimator_checks
from pytest_repro.equivalences.experiment import Equivalence
from pytest_repro.equivalences.order import assert_order_invariant
from pytest_repro.equivalences.resume import assert_resume_equivalent
from pytest_repro.equivalences.roundtrip import assert_roundtrip
from pytest_repro.equivalences.threads import assert_thread_invariant
from pytest_repro.equivalences.workers import assert_workers_equivalent
from pytest_repro.equivalences.world_size import assert_world_size_invariant

__all__ = [
    "Equivalence",
    "assert_accumulation_equivalent",
    "assert_batch_invariant",
    "assert_compile_equivalent",
    "assert_order_invariant",
    "assert_resume_equivalent",
    "assert_roundtrip",
    "assert_thread_invariant",
    "assert_workers_equivalent",
    "assert_world_size_invariant",
    "reproducible_estimator_checks",
]
