"""JAX's settings and XLA_FLAGS. JAX has no global generator."""

from __future__ import annotations

import os

import pytest

from pytest_repro import seeding
from tests.unit.seeding.helpers import run_python

jax = pytest.importorskip("jax")


def test_settings_left_changed_are_reported_and_restored() -> None:
    state = seeding.save_state()
    jax.config.update("jax_enable_x64", True)
    assert seeding.restore_state(state) == ["jax enable x64 was left at True; restored to False"]
    assert jax.config.jax_enable_x64 is False


def test_seeding_initialises_no_backend() -> None:
    code = """
        import jax
        from pytest_repro import seeding
        with seeding.seeded(3), seeding.deterministic():
            seeding.read_settings()
        print(dict(jax._src.xla_bridge._backends))
    """
    assert run_python(code) == "{}"


@pytest.mark.filterwarnings("error::pytest_repro.ReproWarning")
@pytest.mark.parametrize(
    "before, during",
    [
        (None, "--xla_gpu_deterministic_ops=true"),
        ("--xla_a=1", "--xla_a=1 --xla_gpu_deterministic_ops=true"),
        ("--xla_gpu_deterministic_ops=1", "--xla_gpu_deterministic_ops=1"),
        (
            "--xla_gpu_deterministic_ops=false",
            "--xla_gpu_deterministic_ops=false --xla_gpu_deterministic_ops=true",
        ),
    ],
)
def test_the_flag_is_added_to_the_users_flags(before: str | None, during: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    if before is not None:
        monkeypatch.setenv("XLA_FLAGS", before)
    with seeding.deterministic():
        assert os.environ["XLA_FLAGS"] == during
    assert os.environ.get("XLA_FLAGS") == before


def test_xla_accepts_the_flag() -> None:
    # XLA ends the process if it does not know a flag.
    code = """
        from pytest_repro import seeding
        seeding.deterministic()
        import jax.numpy as jnp
        print(float(jnp.ones(3).sum()))
    """
    assert run_python(code, XLA_FLAGS="") == "3.0"
