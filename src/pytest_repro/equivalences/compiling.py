"""assert_compile_equivalent: a compiled or exported function returns the same as in eager mode."""

from __future__ import annotations

import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_repro import seeding
from pytest_repro.capturing import capture_tree
from pytest_repro.comparing.judgements import judged
from pytest_repro.comparing.live import AnyTolerance
from pytest_repro.equivalences.arguments import check_callable, check_choice, require_package
from pytest_repro.equivalences.draws import explain_draws, note_draws
from pytest_repro.equivalences.experiment import Deviation, Equivalence, Experiment, Explanation, scratch_folder
from pytest_repro.equivalences.magnitude import is_rounding
from pytest_repro.errors import UsageError
from pytest_repro.model import Artifacts, Verdict

_NAME = "assert_compile_equivalent"
#: Backend -> package that it needs, which is also the name of the extra.
_PACKAGES = {"torch.compile": "torch", "torch.export": "torch", "onnxruntime": "torch", "jax.jit": "jax"}


@judged
def assert_compile_equivalent(
    func: Callable[..., Any],
    *inputs: Any,
    backends: str | Sequence[str] | None = None,
    seed: int = 0,
    tolerance: AnyTolerance = None,
    **bounds: Any,
) -> Equivalence:
    """Assert that a compiled or exported function returns the same as in eager mode.

    Parameters
    ----------
    func : callable ``(*inputs) -> tree``
        A torch module or function, or a JAX function.
    *inputs : tensors or arrays
    backends : str or sequence of str, optional
        ``"torch.compile"`` (``"torch.compile:aot_eager"`` for one of its backends), ``"torch.export"``,
        ``"onnxruntime"``, ``"jax.jit"``. By default torch.compile or jax.jit, depending on the type of the inputs.
    seed : int
        Seeds all generators before each call.
    tolerance, max_ulp, rtol, atol, norm
        Differences to allow. Fused kernels seldom meet the default of none: float32 needs ``norm=1e-6`` or so.

    Returns
    -------
    Equivalence

    Raises
    ------
    DivergenceError
        The message distinguishes rounding, random numbers and other results.
    MissingExtraError
        If a backend's package is not installed.
    InconclusiveError
        If the eager result differs when it is repeated, or nothing was compared.
    UsageError

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> print(assert_compile_equivalent(jnp.square, jnp.arange(3.0)).verdict)
    identical
    """
    __tracebackhide__ = True
    experiment = Experiment.begin(_NAME, tolerance, bounds)
    check_callable(_NAME, "func", func)
    names = [backends] if isinstance(backends, str) else list(backends or _guess(inputs))
    for name in names:
        family = "torch.compile" if isinstance(name, str) and name.startswith("torch.compile:") else name
        check_choice(_NAME, "backend", family, _PACKAGES)
        require_package(f"{_NAME}: {name}", _PACKAGES[family], _PACKAGES[family])
    eager = "jax, operation by operation" if "jax.jit" in names else "eager"
    draws: dict[str, set[str]] = defaultdict(set)
    with scratch_folder("compile") as folder:

        def compute(backend: str, *, other_seed: bool = False, eager_draws: bool = False) -> Artifacts:
            seeding.seed_everything(seed + 1 if other_seed else seed)
            with note_draws(draws[backend]):
                result = _run(backend, func, inputs, Path(tempfile.mkdtemp(dir=folder)), eager_draws=eager_draws)
            return capture_tree(result)

        def explain(deviations: Sequence[Deviation]) -> Explanation:
            if not draws[eager]:
                return _by_magnitude(deviations)
            first = compute(eager)
            if experiment.compare(compute(eager, other_seed=True), first, exactly=True):
                return _by_magnitude(deviations)  # the random numbers do not reach the result
            shown = deviations[0]
            places, fix = explain_draws(func)
            evidence = f"another seed gives another result of {eager}"
            if not shown.varied.startswith("torch.compile"):
                return _suspect_draws(deviations, evidence, *places, fix=fix)
            again = experiment.compare(compute(shown.varied, eager_draws=True), first)
            if again.verdict is Verdict.DIVERGED and not is_rounding(again):
                return Explanation.of(
                    "compile.semantics", shown.describe(), "with the random numbers of eager mode (fallback_random) too"
                )
            held = "with the random numbers of eager mode (fallback_random) the compiled result matches"
            held += " except for rounding" if again.verdict is Verdict.DIVERGED else ""
            return Explanation.of("compile.random", evidence, held, *places, shown.describe(), fix=fix)

        return experiment.vary(
            compute,
            (eager, eager),
            [(name, name) for name in names],
            explain,
            keeps_unstable_variants=True,
            what="the eager result",
            fix="seed it, or reset the state that it keeps",
        )


def _guess(inputs: Sequence[Any]) -> list[str]:
    if "torch" in sys.modules:
        from pytest_repro.frameworks import torch_compile

        if torch_compile.holds_tensors(inputs):
            return ["torch.compile"]
    if "jax" in sys.modules:
        from pytest_repro.frameworks import jax_functions

        if jax_functions.holds_arrays(inputs):
            return ["jax.jit"]
    raise UsageError(
        f"{_NAME}: the inputs contain neither tensors nor JAX arrays; name the backends: {', '.join(_PACKAGES)}"
    )


def _run(
    backend: str, func: Callable[..., Any], inputs: Sequence[Any], folder: Path, *, eager_draws: bool = False
) -> Any:
    if backend == "eager":
        return func(*inputs)
    if backend.startswith("jax"):
        from pytest_repro.frameworks import jax_functions

        return (jax_functions.run_jitted if backend == "jax.jit" else jax_functions.run_eagerly)(func, inputs)
    from pytest_repro.frameworks import torch_compile

    if backend == "torch.export":
        return torch_compile.export_and_run(func, inputs)
    if backend == "onnxruntime":
        return torch_compile.run_in_onnxruntime(func, inputs, folder)
    return torch_compile.compile_and_run(func, inputs, backend.partition(":")[2], eager_draws=eager_draws)


def _by_magnitude(deviations: Sequence[Deviation]) -> Explanation:
    return Explanation.by_magnitude(deviations, rounding="compile.rounding", other="compile.semantics")


def _suspect_draws(deviations: Sequence[Deviation], *evidence: str, fix: str = "") -> Explanation:
    """Suspect random numbers, where no run with the same ones in compiled code was possible or matched."""
    suspect = Explanation.of("compile.random", *evidence, deviations[0].describe(), fix=fix)
    return replace(suspect, cause="", suspected=suspect.cause)
