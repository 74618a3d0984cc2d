"""An axis as a user requests it: its name, its values, its tolerance. Standard library only."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pytest_repro.errors import UsageError
from pytest_repro.model import JSON, Tolerance, TolerancePolicy

#: Built-in axes of this version, in the order in which they are reported and isolated.
BUILT_IN_NAMES = (
    "process",
    "hash_seed",
    "threads",
    "device",
    "isa",
    "file_order",
    "clock",
    "timezone",
    "locale",
    "cwd",
    "env",
    "cpu_count",
    "memory",
    "schedule",
    "python",
    "host",
)

#: Axes whose values are environments.
ENVIRONMENT_AXES = ("python", "host")
#: Axes without default values: only the user knows which ones matter.
WITHOUT_DEFAULTS = ("env", *ENVIRONMENT_AXES)


@dataclass(frozen=True, slots=True, init=False, eq=False)
class Axis:
    """Values of one axis, with a tolerance for it.

    Parameters
    ----------
    values : list of JSON, int or None
        Values that the result must not depend on. The first is the baseline. ``None`` takes the axis' defaults.
        For ``process`` an int counts fresh processes.
    max_ulp, rtol, atol, norm
        As in :class:`~pytest_repro.Tolerance`, for this axis alone.
    tolerance : Tolerance, or mapping of artifact glob -> Tolerance
        Instead of the four bounds.
    auto : bool
        Allow differences that rounding explains. Run 1 is repeated in float64 on the CPU, with the models and data that
        the test passes through ``repro.place``, and a result may be 5 times as far from that as run 1's (10 times below
        16 elements). Globs of `tolerance` keep their bounds. The bounds, or the glob ``*``, apply to artifacts that the
        float64 run cannot judge.

    Raises
    ------
    UsageError
        If bounds and `tolerance` are both given, or a bound is negative, NaN or infinite.

    Examples
    --------
    >>> Axis([1, 2], max_ulp=64).values
    (1, 2)
    """

    values: tuple[Any, ...] | int | None
    tolerance: Tolerance | TolerancePolicy | None

    def __init__(
        self,
        values: Iterable[Any] | int | None = None,
        *,
        max_ulp: int = 0,
        rtol: float = 0.0,
        atol: float = 0.0,
        norm: float | None = None,
        tolerance: Tolerance | TolerancePolicy | Mapping[str, Tolerance] | None = None,
        auto: bool = False,
    ) -> None:
        if isinstance(values, (str, bytes, Mapping)):
            raise UsageError(f"Axis({values!r}): the values must be a list, as in Axis([{values!r}, ...])")
        if values is not None and not isinstance(values, int):
            try:
                values = tuple(values)
            except TypeError:
                raise UsageError(f"Axis({values!r}): the values must be a list of values to compare") from None
        bounds = {"max_ulp": max_ulp, "rtol": rtol, "atol": atol, "norm": norm}
        given = {name: bound for name, bound in bounds.items() if bound is not None and bound != 0}
        if given and tolerance is not None:
            raise UsageError(
                f"Axis takes tolerance= or {', '.join(given)}, not both: put the bounds into the Tolerance"
            )
        object.__setattr__(self, "values", values)
        if tolerance is None:
            # Always built, so that a bound of a wrong type is rejected even where it equals zero.
            checked = Tolerance(max_ulp=max_ulp, rtol=rtol, atol=atol, norm=norm)
            object.__setattr__(self, "tolerance", checked if given else None)
        elif isinstance(tolerance, (Tolerance, TolerancePolicy)):
            object.__setattr__(self, "tolerance", tolerance)
        else:
            object.__setattr__(self, "tolerance", TolerancePolicy.of(tolerance))
        if not isinstance(auto, bool):
            raise UsageError(f"Axis: auto must be True or False, got {auto!r}")
        if auto:
            rules = TolerancePolicy.of(self.tolerance).rules if self.tolerance is not None else ()
            object.__setattr__(self, "tolerance", TolerancePolicy(rules, auto=True))


@dataclass(frozen=True, slots=True)
class AxisRequest:
    """One axis that a test requests.

    Attributes
    ----------
    name : str
    kind : {"built_in", "argument"}
        An argument is any name other than a built-in axis: the test is called with each value.
    values : tuple of JSON, or None
        ``None``: the defaults on the machine at hand.
    tolerance : Tolerance, TolerancePolicy or None
        ``None``: the test's own.
    is_optional : bool
        Requested by ``all``: reported, and no error, where this machine cannot vary it.
    from_option : bool
        Whether it is from the command line, which also applies to tests without such an argument.
    suggestion : str
        The built-in axis that an argument's name resembles, for the message if the test has no such argument.
    """

    name: str
    kind: Literal["built_in", "argument"]
    values: tuple[JSON, ...] | None = None
    tolerance: Tolerance | TolerancePolicy | None = None
    is_optional: bool = False
    from_option: bool = False
    suggestion: str = ""


def canonical(value: JSON) -> str:
    """Return a text that is equal only for the same JSON (1, 1.0 and true differ)."""
    return json.dumps(value, sort_keys=True, allow_nan=False)


def check_json(value: Any, where: str) -> JSON:
    """Return the value if JSON can represent it exactly, as a record of the condition requires.

    Raises
    ------
    UsageError
        For any other type, a NaN or infinity, or a subclass (a NumPy float is a float, but is not read back as one).
    """
    if value is None or type(value) in (bool, int, str):
        return value  # type: ignore[no-any-return]
    if type(value) is float:
        if not math.isfinite(value):
            raise UsageError(
                f"{where}: {value!r} cannot be written down as a value of an axis; use a name for it, such as 'inf'"
            )
        return value
    if type(value) is list:
        return [check_json(item, where) for item in value]
    if type(value) is dict:
        if not all(type(key) is str for key in value):
            raise UsageError(f"{where}: the keys of {value!r} must be strings")
        return {key: check_json(item, where) for key, item in value.items()}
    fix = (
        "write a list"
        if isinstance(value, tuple)
        else "give a plain name or number, and look the object up in the test"
    )
    raise UsageError(
        f"{where}: a value must be None, bool, int, float, str, list or dict, "
        f"got {type(value).__name__} {value!r}; {fix}"
    )
