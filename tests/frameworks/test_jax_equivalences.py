"""Equivalences of JAX: pytrees that are resumed, functions that are jitted."""

from __future__ import annotations

import numpy as np
import pytest

jax = pytest.importorskip("jax")

import jax.numpy as jnp

from pytest_repro import DivergenceError, assert_batch_invariant, assert_compile_equivalent, assert_resume_equivalent


def make() -> dict[str, jax.Array]:
    return {"w": jnp.ones(3), "momentum": jnp.zeros(3), "key": jax.random.key_data(jax.random.key(0))}


def step(state, i):
    key, drawn = jax.random.split(jax.random.wrap_key_data(state["key"]))
    momentum = 0.9 * state["momentum"] + jax.random.normal(drawn, (3,))
    return {"w": state["w"] - 0.1 * momentum, "momentum": momentum, "key": jax.random.key_data(key)}


def save(state, path):
    with path.open("wb") as file:
        np.savez(file, **state)


def load(state, path):
    with np.load(path) as archive:
        return {name: jnp.asarray(archive[name]) for name in archive.files}


def load_without_key(state, path):
    return {**load(state, path), "key": state["key"]}


def test_a_pytree_resumes_and_a_lost_key_is_named():
    functions = {"steps": 4, "step": step, "save": save}
    assert assert_resume_equivalent(make, load=load, **functions).verdict == "identical"
    with pytest.raises(DivergenceError, match=r"cause +resume\.jax_key"):
        assert_resume_equivalent(make, load=load_without_key, process="same", **functions)


def test_jit_matches_within_rounding():
    x = jnp.linspace(0.0, 1.0, 64)
    assert assert_compile_equivalent(lambda a: jnp.tanh(a) * 2, x, norm=1e-6)


def test_a_branch_on_being_traced_is_named():
    def traced(x):
        return x + (1 if isinstance(x, jax.core.Tracer) else 0)

    with pytest.raises(DivergenceError, match=r"cause +compile\.semantics"):
        assert_compile_equivalent(traced, jnp.ones(3))


def test_statistics_of_a_batch_are_named():
    x = jnp.asarray(np.random.default_rng(0).standard_normal((8, 3)), jnp.float32)
    with pytest.raises(DivergenceError, match=r"cause +batch\.statistics"):
        assert_batch_invariant(lambda b: b - b.mean(0), x)
    assert assert_batch_invariant(lambda b: b * 2, x).verdict == "identical"
