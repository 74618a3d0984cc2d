"""assert_roundtrip: what is saved and loaded again is what was there."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pytest_repro import seeding
from pytest_repro.capturing import capture_tree, merge
from pytest_repro.comparing.live import AnyTolerance
from pytest_repro.equivalences.findings import Deviation, Equivalence, Explanation, Inquiry, Trial, check_callable
from pytest_repro.equivalences.formats import FORMATS, Loaded, save_and_load
from pytest_repro.equivalences.magnitude import find_lower_precision, tell_distance
from pytest_repro.equivalences.onnx_roundtrip import ONNX, PREDICTIONS, explain_onnx, try_onnx
from pytest_repro.errors import UsageError
from pytest_repro.model import Artifacts

_NAME = "assert_roundtrip"


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
    value : module, state dict, dict of arrays, estimator, or whatever `save` takes
    via : str or sequence of str, optional
        ``"state_dict"`` (torch.save, weights_only), ``"safetensors"``, ``"joblib"``, ``"npz"`` (no pickle),
        ``"onnx"`` (a torch module: its weights, and what ONNX Runtime computes).
    save, load : callable, optional
        ``save(value, path)`` and ``load(path)``: a format of your own, in place of `via`. Beside ``via="onnx"``,
        `save` alone writes the ONNX file as you ship it, in place of torch's exporter.
    make : callable () -> module, optional
        A fresh module to load a state dict into; all of it is compared then, buffers that are not saved included.
    predict : callable (value) -> tree, optional
        What to compute with the value and with what was loaded; for ONNX by default ``module(*inputs)``.
    inputs : tensor or tuple of tensors, optional
        For ONNX: what the module is exported and called with.
    tolerance, max_ulp, rtol, atol, norm
        What may differ; nothing by default. The weights in an ONNX file may differ only by a glob of `tolerance`
        that names them (``initializers/*``), since bounds are for what is computed.

    Returns
    -------
    Equivalence

    Raises
    ------
    DivergenceError
        The message tells what was lost: precision, dtype, memory order, or whole values.
    MissingExtraError
        If a format's package is not installed.
    InconclusiveError, UsageError

    Notes
    -----
    In the ONNX file that is made here, layers are not folded into each other: every weight is found by its name.
    Parameters that the computation does not read are not in such a file, and are told. joblib unpickles what this
    function itself wrote a moment before, nothing else.
    """
    __tracebackhide__ = True
    inquiry = Inquiry.begin(_NAME, tolerance, bounds)
    formats = _choose_formats(via, save, load)
    if inputs is not None and ONNX not in formats:
        raise UsageError(f"{_NAME}: inputs= is for via='onnx', where a module is exported with them")
    for role, function in (("save", save), ("load", load), ("make", make), ("predict", predict)):
        if function is not None:
            check_callable(_NAME, role, function)
    state = seeding.save_state()
    try:
        trials = []
        for name in formats:
            with tempfile.TemporaryDirectory(prefix="pytest-repro-roundtrip-", ignore_cleanup_errors=True) as folder:
                path = Path(folder) / "saved"
                if name == ONNX:
                    trial, notes = try_onnx(
                        value, inputs, path, save=save, predict=predict, policy=inquiry.policy, state=state
                    )
                    trials.append(trial)
                    inquiry.notes += notes
                    continue
                loaded = _load_own(value, path, save, load) if save and load else save_and_load(name, value, path, make)
                seeding.restore_state(state)
                pair = [_capture(each, predict, name, state) for each in (loaded.before, loaded.after)]
            trials.append(Trial(f"saved and loaded by {name}", pair[1], expected=pair[0]))
        baseline = Trial("what was there", Artifacts())
        return inquiry.conclude(baseline, trials, lambda deviations: _explain(deviations, value))
    finally:
        seeding.restore_state(state)


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
    known = (*FORMATS, ONNX)
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise UsageError(f"{_NAME}: via must name formats ({', '.join(known)}), got {unknown[0] if unknown else via!r}")
    return names


def _load_own(value: Any, path: Path, save: Callable[[Any, Path], Any], load: Callable[[Path], Any]) -> Loaded:
    save(value, path)
    return Loaded(value, load(path))


def _capture(value: Any, predict: Callable[[Any], Any] | None, name: str, state: seeding.State) -> Artifacts:
    artifacts = capture_tree(value, root="value")
    if predict is not None:
        seeding.restore_state(state)
        merge(artifacts, capture_tree(predict(value), root=PREDICTIONS, top_level=False), where="predict(value)")
    return artifacts


def _explain(deviations: Sequence[Deviation], value: Any) -> Explanation:
    shown = deviations[0]
    if shown.trial.policy is not None:
        explanation = explain_onnx(shown, value)
        if explanation is not None:
            return explanation
    actual, expected = shown.trial.artifacts, shown.trial.expected or Artifacts()
    divergences = shown.comparison.divergences
    lost = [d.artifact for d in divergences if d.kind in ("missing", "structure", "extra")]
    if lost:
        return Explanation(
            "roundtrip.lost: what came back is not all that was there, or more",
            (f"{len(lost)} artifacts, such as {', '.join(lost[:3])}",),
            "save every buffer and attribute that a prediction reads; buffers made with persistent=False are not saved",
        )
    dtypes = [d for d in divergences if d.kind == "dtype"]
    if dtypes:
        return Explanation(
            "roundtrip.dtype: the dtype changed",
            (f"{dtypes[0].artifact}: {dtypes[0].expected} -> {dtypes[0].actual}",),
            "choose a format that holds the dtype, or cast before saving and say so",
        )
    values = [d for d in divergences if d.kind == "values" and not d.artifact.startswith(PREDICTIONS)]
    for d in values:
        lower = find_lower_precision(actual.leaves[d.artifact], expected.leaves[d.artifact])
        if lower:
            return Explanation(
                f"roundtrip.precision: values were rounded to {lower}",
                (f"{d.artifact}: {tell_distance(shown.comparison)}",),
                "save in the dtype that is computed in",
            )
        if _is_misread(actual.leaves[d.artifact].data, expected.leaves[d.artifact].data):
            return Explanation(
                "roundtrip.layout: the same bytes came back in another order",
                (f"{d.artifact}: strides {expected.leaves[d.artifact].data.strides} before saving",),
                "np.ascontiguousarray (or tensor.contiguous()) before saving: the format writes memory as it lies",
            )
    return Explanation("roundtrip.values: values changed on the way", (tell_distance(shown.comparison),), "")


def _is_misread(actual: Any, expected: Any) -> bool:
    if not isinstance(expected, np.ndarray) or not isinstance(actual, np.ndarray) or expected.flags.c_contiguous:
        return False
    return bool(np.array_equal(np.sort(actual, axis=None), np.sort(expected, axis=None)))
