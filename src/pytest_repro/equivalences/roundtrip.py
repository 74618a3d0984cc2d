"""assert_roundtrip: a value is the same after it was saved and loaded."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pytest_repro import seeding
from pytest_repro.capturing import capture_tree, merge
from pytest_repro.comparing.judgements import judged
from pytest_repro.comparing.live import AnyTolerance
from pytest_repro.equivalences.arguments import check_callable, check_choice
from pytest_repro.equivalences.experiment import (
    Deviation,
    Equivalence,
    Experiment,
    Explanation,
    Trial,
    restored_generators,
    scratch_folder,
)
from pytest_repro.equivalences.magnitude import describe_distance, find_lower_precision
from pytest_repro.equivalences.onnx_roundtrip import ONNX, PREDICTIONS, explain_onnx, try_onnx
from pytest_repro.errors import MissingExtraError, UsageError
from pytest_repro.model import Artifacts, Comparison

_NAME = "assert_roundtrip"


@judged
def assert_roundtrip(
    value: Any,
    via: str | Sequence[str] | None = None,
    *,
    save: Callable[[Any, Path], Any] | None = None,
    load: Callable[[Path], Any] | None = None,
    make: Callable[[], Any] | None = None,
    predict: Callable[[Any], Any] | None = None,
    inputs: Any = None,
    tolerance: AnyTolerance = None,
    **bounds: Any,
) -> Equivalence:
    """Assert that a value is the same after it was saved and loaded.

    Parameters
    ----------
    value : module, state dict, dict of arrays, estimator, or any value that `save` accepts
    via : str or sequence of str, optional
        ``"state_dict"`` (torch.save, weights_only), ``"safetensors"``, ``"joblib"``, ``"npz"`` (no pickle),
        ``"onnx"`` (a torch module: its weights, and what ONNX Runtime computes).
    save, load : callable, optional
        ``save(value, path)`` and ``load(path)``: a format of your own, in place of `via`. With ``via="onnx"``, `save`
        alone writes the ONNX file as you ship it, in place of torch's exporter.
    make : callable () -> module, optional
        Returns a new module to load a state dict into. The whole module is compared then, including buffers that are
        not saved.
    predict : callable (value) -> tree, optional
        Computed with the value and with the loaded one. By default ``module(*inputs)`` for ONNX.
    inputs : tensor or tuple of tensors, optional
        For ONNX: the inputs with which the module is exported and called.
    tolerance, max_ulp, rtol, atol, norm
        Differences to allow, by default none. Bounds apply to what is computed, so the weights in an ONNX file may
        differ only by a glob of `tolerance` that names them (``initializers/*``).

    Returns
    -------
    Equivalence

    Raises
    ------
    DivergenceError
        The message names what was lost: precision, dtype, memory order, or whole values.
    MissingExtraError
        If a format's package is not installed.
    InconclusiveError
        If nothing was compared.
    UsageError

    Notes
    -----
    In the ONNX file that this function writes, layers are not folded into each other, so every weight is found by its
    name. Parameters that the computation does not read are not in such a file, and are listed in the notes. joblib
    unpickles only what this function itself wrote a moment before.

    Examples
    --------
    >>> import numpy as np
    >>> print(assert_roundtrip({"w": np.arange(3.0)}, "npz").verdict)
    identical
    """
    __tracebackhide__ = True
    experiment = Experiment.begin(_NAME, tolerance, bounds)
    formats = _choose_formats(via, save, load)
    if inputs is not None and ONNX not in formats:
        raise UsageError(f"{_NAME}: inputs= is for via='onnx', which exports a module with them")
    for role, function in (("save", save), ("load", load), ("make", make), ("predict", predict)):
        if function is not None:
            check_callable(_NAME, role, function)
    trials = []

    def in_eval(state: seeding.State) -> Comparison:
        with scratch_folder("roundtrip") as folder:
            module = copy.deepcopy(value).eval()
            trial, _ = try_onnx(
                module, inputs, folder / "saved", save=save, predict=predict, policy=experiment.policy, state=state
            )
            return experiment.compare(trial.artifacts, trial.expected or Artifacts(), policy=trial.policy)

    with restored_generators() as state:
        for name in formats:
            with scratch_folder("roundtrip") as folder:
                path = folder / "saved"
                if name == ONNX:
                    trial, notes = try_onnx(
                        value, inputs, path, save=save, predict=predict, policy=experiment.policy, state=state
                    )
                    trials.append(trial)
                    experiment.notes += notes
                    continue
                if save and load:
                    save(value, path)
                    before, after = value, load(path)
                else:
                    before, after = _save_and_load(name, value, path, make)
                seeding.restore_state(state)
                expected, actual = (_capture(each, predict, state) for each in (before, after))
            trials.append(Trial(f"saved and loaded by {name}", actual, expected=expected))
        baseline = Trial("the value before saving", Artifacts())

        def explain(deviations: Sequence[Deviation]) -> Explanation:
            if predict is not None and ONNX not in formats:
                first, again = (_capture(value, predict, state) for _ in range(2))
                what, fix = "predict(value)", "seed it, or reset the state that it keeps"
                experiment.require_stable(first, again, what, fix)
            return _explain(deviations, value, lambda: in_eval(state))

        return experiment.conclude(baseline, trials, explain)


def _choose_formats(via: str | Sequence[str] | None, save: Any, load: Any) -> list[str]:
    names = [via] if isinstance(via, str) else list(via or ())
    if names == [ONNX] and load is None:
        return names
    if (save is None) != (load is None):
        raise UsageError(f"{_NAME}: save and load belong together; give both")
    if save is not None:
        if via is not None:
            raise UsageError(f"{_NAME}: give either via= or save= and load=")
        return ["save() and load()"]
    for name in names or [""]:
        check_choice(_NAME, "via", name, (*_FORMATS, "joblib", ONNX))
    return names


def _capture(value: Any, predict: Callable[[Any], Any] | None, state: seeding.State) -> Artifacts:
    artifacts = capture_tree(value, root="value")
    if predict is not None:
        seeding.restore_state(state)
        merge(artifacts, capture_tree(predict(value), root=PREDICTIONS, top_level=False), where="predict(value)")
    return artifacts


def _save_and_load(name: str, value: Any, path: Path, make: Callable[[], Any] | None) -> tuple[Any, Any]:
    """Save a value in a format and load it, and return both as values of the same type.

    Raises
    ------
    MissingExtraError
        If the format's package is not installed.
    UsageError
        If the format cannot hold such a value.
    """
    if name == "joblib":
        joblib = _import("joblib")
        joblib.dump(value, path)
        return value, joblib.load(path)
    is_module = hasattr(value, "state_dict") and hasattr(value, "load_state_dict")
    state = dict(value.state_dict()) if is_module else value
    if not isinstance(state, Mapping):
        raise UsageError(f"{name} holds a module or a dict of arrays, got {type(value).__name__}")
    loaded = _FORMATS[name](state, path)
    if not (is_module and make is not None):
        return state, loaded
    fresh = make()
    fresh.load_state_dict(loaded)
    return value, fresh


def _through_torch(state: Mapping[str, Any], path: Path) -> Any:
    torch = _import("torch")
    torch.save(dict(state), path)
    return torch.load(path, weights_only=True)


def _through_safetensors(state: Mapping[str, Any], path: Path) -> Any:
    is_numpy = all(isinstance(value, np.ndarray) for value in state.values())
    if not state:
        raise UsageError("safetensors: there is nothing to save in an empty dict")
    module = _import("safetensors.numpy" if is_numpy else "safetensors.torch")
    module.save_file(dict(state), path)
    return module.load_file(path)


def _through_npz(state: Mapping[str, Any], path: Path) -> Any:
    arrays = {name: np.asarray(value) for name, value in state.items()}
    objects = [name for name, array in arrays.items() if array.dtype.hasobject]
    if objects:
        raise UsageError(f"npz: {objects[0]!r} holds objects, which only a pickle could hold; save numbers or text")
    with path.open("wb") as file:
        save: Any = np.savez  # its stubs take the names of arrays for its own arguments
        save(file, **arrays)
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


#: Format -> function that saves a state dict and loads it.
_FORMATS: dict[str, Callable[[Mapping[str, Any], Path], Any]] = {
    "state_dict": _through_torch,
    "safetensors": _through_safetensors,
    "npz": _through_npz,
}


def _import(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise MissingExtraError(f"this format needs {package}: pip install {package}") from error


def _explain(deviations: Sequence[Deviation], value: Any, in_eval: Callable[[], Comparison]) -> Explanation:
    shown = deviations[0]
    if shown.trial.policy is not None:
        explanation = explain_onnx(shown, value, in_eval)
        if explanation is not None:
            return explanation
    actual, expected = shown.trial.artifacts.leaves, shown.expected.leaves
    divergences = shown.comparison.divergences
    lost = [d.artifact for d in divergences if d.kind in ("missing", "structure", "extra")]
    if lost:
        return Explanation.of("roundtrip.lost", f"{len(lost)} artifacts, such as {', '.join(lost[:3])}")
    dtypes = [d for d in divergences if d.kind == "dtype"]
    if dtypes:
        first = dtypes[0]
        return Explanation.of("roundtrip.dtype", f"{first.artifact}: {first.expected} -> {first.actual}")
    distance = describe_distance(shown.comparison)
    for d in divergences:
        if d.kind != "values" or d.artifact.startswith(PREDICTIONS):
            continue
        before, after = expected[d.artifact], actual[d.artifact]
        if lower := find_lower_precision(after, before):
            meaning = f"values were rounded to {lower}"
            return Explanation.of("roundtrip.precision", f"{d.artifact}: {distance}", meaning=meaning)
        if _is_misread(after.data, before.data):
            return Explanation.of("roundtrip.layout", f"{d.artifact}: strides {before.data.strides} before saving")
    return Explanation.of("roundtrip.values", distance)


def _is_misread(actual: Any, expected: Any) -> bool:
    if not isinstance(expected, np.ndarray) or not isinstance(actual, np.ndarray) or expected.flags.c_contiguous:
        return False
    return bool(np.array_equal(np.sort(actual, axis=None), np.sort(expected, axis=None)))
