"""assert_compile_equivalent: a compiled or exported function gives what it gives eagerly."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pytest_repro import seeding
from pytest_repro.capturing import capture_tree
from pytest_repro.comparing.live import AnyTolerance
from pytest_repro.equivalences.findings import Deviation, Equivalence, Explanation, Inquiry, Trial, check_callable
from pytest_repro.equivalences.generators import digest_generators
from pytest_repro.equivalences.magnitude import is_rounding, tell_distance
from pytest_repro.errors import MissingExtraError, UsageError
from pytest_repro.model import Artifacts

_NAME = "assert_compile_equivalent"
#: Backend -> package that it needs, and the extra that brings it.
_NEEDS = {"torch.compile": "torch", "torch.export": "torch", "onnxruntime": "torch", "jax.jit": "jax"}


def assert_compile_equivalent(
    func: Callable[..., Any],
    *inputs: Any,
    backends: str | Sequence[str] | None = None,
    seed: int = 0,
    tolerance: AnyTolerance = None,
    **bounds: Any,
) -> Equivalence:
    """Assert that a function gives the same compiled or exported as it gives eagerly.

    Parameters
    ----------
    func : callable (*inputs) -> tree
        A torch module or function, or a JAX function.
    *inputs : tensors or arrays
    backends : str or sequence of str, optional
        ``"torch.compile"`` (``"torch.compile:aot_eager"`` for one of its backends), ``"torch.export"``,
        ``"onnxruntime"``, ``"jax.jit"``; by default torch.compile or jax.jit, by the kind of the inputs.
    seed : int
        Seeds all generators before each call.
    tolerance, max_ulp, rtol, atol, norm
        What may differ; nothing by default, which fused kernels seldom pass: float32 needs ``norm=1e-6`` or so.

    Returns
    -------
    Equivalence

    Raises
    ------
    DivergenceError
        The message tells rounding, random numbers and other results apart.
    MissingExtraError
        If a backend's package is not installed.
    InconclusiveError, UsageError
    """
    __tracebackhide__ = True
    inquiry = Inquiry.begin(_NAME, tolerance, bounds)
    check_callable(_NAME, "func", func)
    names = [backends] if isinstance(backends, str) else list(backends or _guess(inputs))
    for name in names:
        _check_backend(name)
    state = seeding.save_state()
    try:
        with tempfile.TemporaryDirectory(prefix="pytest-repro-compile-", ignore_cleanup_errors=True) as folder:
            draws: list[bool] = []

            def run(backend: str) -> Artifacts:
                seeding.seed_everything(seed)
                before = digest_generators()
                result = _run(backend, func, inputs, Path(tempfile.mkdtemp(dir=folder)))
                draws.append(digest_generators() != before)
                return capture_tree(result)

            eager = "jax, operation by operation" if "jax.jit" in names else "eager"
            baseline = Trial(eager, run(eager))
            inquiry.require_stable(baseline.artifacts, run(eager), "the eager result", "seed it, or undo its state")
            trials = [Trial(name, run(name)) for name in names]
            return inquiry.conclude(baseline, trials, lambda found: _explain(found, draws[0]))
    finally:
        seeding.restore_state(state)


def _guess(inputs: Sequence[Any]) -> list[str]:
    if "torch" in sys.modules:
        from pytest_repro.frameworks import torch_compile

        if torch_compile.holds_tensors(inputs):
            return ["torch.compile"]
    if "jax" in sys.modules:
        from pytest_repro.frameworks import jax_compile

        if jax_compile.holds_arrays(inputs):
            return ["jax.jit"]
    raise UsageError(f"{_NAME}: the inputs hold neither tensors nor JAX arrays; name the backends: {', '.join(_NEEDS)}")


def _check_backend(name: str) -> None:
    package = _NEEDS.get(name.partition(":")[0] if isinstance(name, str) else "")
    if package is None or (":" in name and not name.startswith("torch.compile:")):
        raise UsageError(f"{_NAME}: unknown backend {name!r}; the backends are {', '.join(_NEEDS)}")
    if importlib.util.find_spec(package) is None:
        raise MissingExtraError(f"{_NAME}: {name} needs {package}: pip install 'pytest-repro[{package}]'")


def _run(backend: str, func: Callable[..., Any], inputs: Sequence[Any], folder: Path) -> Any:
    if backend == "eager":
        return func(*inputs)
    if backend.startswith("jax"):
        from pytest_repro.frameworks import jax_compile

        return (jax_compile.run_jitted if backend == "jax.jit" else jax_compile.run_eagerly)(func, inputs)
    from pytest_repro.frameworks import torch_compile

    if backend == "torch.export":
        return torch_compile.export_and_run(func, inputs)
    if backend == "onnxruntime":
        return torch_compile.run_in_onnxruntime(func, inputs, folder)
    return torch_compile.compile_and_run(func, inputs, backend.partition(":")[2])


def _explain(deviations: Sequence[Deviation], draws: bool) -> Explanation:
    shown = deviations[0]
    distance = f"{shown.varied}: {tell_distance(shown.comparison)}"
    if draws:
        return Explanation(
            "compile.random: the function draws random numbers, and compiled code draws others from the same seed",
            ("the generators' states differ before and after the eager call", distance),
            "model.eval(), or pass the random numbers in; torch._inductor.config.fallback_random makes them agree",
        )
    if all(is_rounding(deviation.comparison) for deviation in deviations):
        return Explanation(
            "compile.rounding: fused or other kernels round differently",
            (distance,),
            "allow it (norm=1e-6 for float32), or judge it against float64 with Tolerance.auto",
        )
    return Explanation(
        "compile.semantics: compiled code computes something else, by more than rounding",
        (distance,),
        "look for branches on values and Python state (traced once, then fixed), in-place changes of inputs, "
        "another dtype, and modules in training mode",
    )
