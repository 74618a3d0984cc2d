"""Keys that are made while JAX traces a function, from the clock or from entropy: their line is named."""

from __future__ import annotations

import pytest

from tests.plugin.helpers import Sessions

FAULTS = """
    import time
    import jax
    import numpy as np
    import pytest

    pytestmark = pytest.mark.reproducible

    def test_clock():
        @jax.jit
        def draw(scale):
            key = jax.random.PRNGKey(time.time_ns() % 2**31)
            return jax.random.normal(key, (3,)) * scale

        return np.asarray(draw(1.0))

    def test_entropy():
        @jax.jit
        def draw(scale):
            key = jax.random.key(np.random.default_rng().integers(2**31))
            return jax.random.normal(key, (3,)) * scale

        return np.asarray(draw(1.0))

    def test_fixed():
        @jax.jit
        def draw(scale):
            return jax.random.normal(jax.random.key(0), (3,)) * scale

        time.time()
        return np.asarray(draw(1.0))
"""


@pytest.mark.needs("jax")
@pytest.mark.parametrize("engine", [(), ("--repro-isolate",)])
def test_the_line_that_makes_the_key_is_named(sessions: Sessions, engine: tuple[str, ...]) -> None:
    session = sessions.run(FAULTS, "--repro-diagnose", *engine, apart=True)
    found = {}
    for name in ("test_clock", "test_entropy"):
        (cause,) = session.test(name)["diagnosis"]["causes"]
        found[name] = cause["code"], cause["location"]["source"]
    assert found == {
        "test_clock": ("time.seed", "key = jax.random.PRNGKey(time.time_ns() % 2**31)"),
        "test_entropy": ("rng.os_entropy", "key = jax.random.key(np.random.default_rng().integers(2**31))"),
    }
    assert session.verdicts["test_fixed"] == "identical"
