"""Compilation and reduced precision during a diagnosis: recorded, and disabled if pinned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pytest_repro import seeding
from pytest_repro.sources.pins import patched_sources


def total(values: Any) -> Any:
    return sum(values)


@pytest.mark.parametrize("name", ["jax.jit", "numba.jit", "numba.njit", "numba.vectorize", "torch.compile"])
def test_compilation_is_recorded_and_disabled_if_pinned(seen: Callable[[], Any], name: str) -> None:
    package, _, function = name.partition(".")
    module = pytest.importorskip(package)
    real = getattr(module, function)
    with patched_sources(["compile"]):
        assert getattr(module, function)(total) is total
    assert seen() == [("compile", name)]
    with patched_sources():
        assert getattr(module, function)(total) is not total
    assert getattr(module, function) is real


@pytest.mark.parametrize("name", ["jax.jit", "numba.njit"])
def test_a_decorator_with_options_is_disabled_too(name: str) -> None:
    package, _, function = name.partition(".")
    module = pytest.importorskip(package)
    options = {"numba.njit": {"fastmath": True}, "jax.jit": {"static_argnums": ()}}[name]
    with patched_sources(["compile"]):
        assert getattr(module, function)(**options)(total) is total
    with patched_sources():
        assert getattr(module, function)(**options)(total) is not total


@pytest.mark.parametrize(("name", "argument"), [("jax.jit", "fun"), ("torch.compile", "model")])
def test_a_function_passed_by_keyword_is_returned_unchanged(name: str, argument: str) -> None:
    package, _, function = name.partition(".")
    module = pytest.importorskip(package)
    with patched_sources(["compile"]):
        assert getattr(module, function)(**{argument: total}) is total


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("set_default_dtype", "float64", "get_default_dtype"),
        ("set_float32_matmul_precision", "medium", "get_float32_matmul_precision"),
    ],
)
def test_a_setting_of_precision_is_recorded_and_disabled_if_pinned(
    seen: Callable[[], Any], name: str, value: str, read: str
) -> None:
    torch = pytest.importorskip("torch")
    given, before, state = getattr(torch, value, value), getattr(torch, read)(), seeding.save_state()
    with patched_sources(["precision"]):
        getattr(torch, name)(given)
        assert getattr(torch, read)() == before
    assert seen() == [("precision", f"torch.{name}({given!r})")]
    try:
        with patched_sources():
            getattr(torch, name)(given)
        assert getattr(torch, read)() == given
    finally:
        seeding.restore_state(state)  # the setter of a precision leaves more than it found


def test_autocast_is_recorded_and_has_no_effect_if_pinned(seen: Callable[[], Any]) -> None:
    torch = pytest.importorskip("torch")
    left = torch.ones(4, 4)
    for pins, dtype in ((["precision"], torch.float32), ([], torch.bfloat16)):
        with patched_sources(pins), torch.autocast("cpu", dtype=torch.bfloat16):
            assert (left @ left).dtype == dtype
    assert seen() == [("precision", "torch.autocast('cpu', torch.bfloat16)")]


def test_a_setting_of_jaxs_precision_is_recorded_and_disabled_if_pinned(seen: Callable[[], Any]) -> None:
    jax = pytest.importorskip("jax")
    was = jax.config.jax_enable_x64
    try:
        with patched_sources(["precision"]):
            jax.config.update("jax_enable_x64", not was)
            assert jax.config.jax_enable_x64 is was
            jax.config.update("jax_debug_nans", False)
        assert seen() == [("precision", f"jax.config.update('jax_enable_x64', {not was})")]
        with patched_sources():
            jax.config.update("jax_enable_x64", not was)
        assert jax.config.jax_enable_x64 is not was
    finally:
        jax.config.update("jax_enable_x64", was)
