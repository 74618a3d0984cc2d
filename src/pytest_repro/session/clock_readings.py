"""Readings of the clock among the local variables of a scanned test, which are left out of its comparison."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pytest_repro.model import Artifacts, NotCompared

#: Types of readings and durations, by the name that an artifact has of them.
_TYPES = frozenset({"int", "float", "datetime", "date", "timedelta"})


def leave_out_readings(artifacts: Artifacts, variables: Mapping[str, str]) -> Artifacts:
    """Put words in the place of the values of variables that hold only readings of the clock.

    Parameters
    ----------
    artifacts : Artifacts
        Local variables, which stay as they are.
    variables : mapping of name -> what it holds

    Returns
    -------
    Artifacts
        With the same names, so that a missing element still counts, and a list of what is left out.
    """
    leaves, left_out = dict(artifacts.leaves), list(artifacts.not_compared)
    for path, leaf in artifacts.leaves.items():
        kind = variables.get(path.partition("/")[0])
        if kind is not None and leaf.form != "node" and leaf.type_name in _TYPES and not leaf.shape:
            leaves[path] = replace(leaf, form="value", data=kind, dtype="str")
            left_out.append(NotCompared(path, leaf.type_name, kind))
    return Artifacts(leaves, left_out)
