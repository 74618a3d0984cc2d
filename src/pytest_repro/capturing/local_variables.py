"""A test's own local variables as artifacts: for tests that return nothing and were never asked to."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_repro.capturing import dispatch
from pytest_repro.capturing.tree import Walker, paused_collection
from pytest_repro.errors import CaptureError
from pytest_repro.model import Artifacts

_NOT_DATA = {"self", "cls"}


def capture_locals(variables: Mapping[str, object], *, copy: bool = True) -> Artifacts:
    """Capture those local variables that are data, and leave out the others.

    Parameters
    ----------
    variables : mapping of name -> value
        ``frame.f_locals``. Names that pytest's assertion rewriting made (``@py_assert1``), ``self`` and
        ``cls`` are left out.
    copy : bool
        As in :func:`capture_tree`.

    Returns
    -------
    Artifacts
        Arrays, tensors, modules, estimators, optimizers, frames, sparse matrices, numbers, and containers of
        nothing but these, each under its variable's name. A container with anything else in it (a path, a
        text, an object) is left out whole: half of it would be compared and the other half passed in silence.

    Notes
    -----
    Never fails because of a value: what cannot be read was never promised to be compared.
    """
    dispatch.refresh()
    artifacts = Artifacts()
    for name, value in variables.items():
        if name.startswith("@") or name in _NOT_DATA:
            continue
        walker = Walker(copy=copy, data_only=True)
        try:
            with paused_collection():
                walker.add_root(name, value, top_level=False)
        except (CaptureError, RecursionError):
            continue
        if any(leaf.form != "node" for leaf in walker.leaves.values()):
            artifacts.leaves.update(walker.leaves)
    return artifacts
