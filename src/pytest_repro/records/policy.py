"""A test's tolerances in the form that a record stores, and back: another machine compares by the same bounds."""

from __future__ import annotations

import math
from typing import Any

from pytest_repro.errors import RecordError, UsageError
from pytest_repro.model import JSON, Tolerance, TolerancePolicy
from pytest_repro.model.codec import read_float

_BOUNDS = ("rtol", "atol", "norm", "norm_cap", "factor")
_RULES = ("bounds", "per_dtype", "reference", "noise_floor")
#: Rules that need arrays which no record holds.
_NEEDS_ARRAYS = ("reference", "noise_floor")
_MAX_RULES = 10_000


def describe_policy(policy: TolerancePolicy) -> dict[str, JSON]:
    """Return a policy in built-in types, without the arrays of a reference."""
    return {"auto": policy.auto, "rules": [[glob, _describe(bound)] for glob, bound in policy.rules]}


def _describe(bound: Tolerance) -> dict[str, JSON]:
    return {
        "max_ulp": bound.max_ulp,
        **{name: None if (value := getattr(bound, name)) is None else float(value) for name in _BOUNDS},
        "rows": bound.rows,
        "rule": bound.rule,
        "by_dtype": [[name, _describe(each)] for name, each in bound.by_dtype],
    }


def read_policy(document: Any) -> TolerancePolicy:
    """Return the policy in a record's document, which is not trusted.

    Raises
    ------
    RecordError
        If it is malformed, if an older release wrote it, or if its rule needs arrays that no record holds.
    """
    if not isinstance(document, dict):
        raise RecordError("the record has no bounds of the test's tolerance: it was made by an older release")
    rules = document.get("rules")
    if not isinstance(rules, list) or len(rules) > _MAX_RULES or type(document.get("auto")) is not bool:
        raise RecordError("the record's tolerance is malformed")
    try:
        return TolerancePolicy(tuple(_read_rule(rule) for rule in rules), document["auto"])
    except (UsageError, TypeError, ValueError, KeyError) as error:
        raise RecordError(f"the record's tolerance is malformed: {str(error)[:200]}") from None


def _read_rule(rule: Any) -> tuple[str, Tolerance]:
    glob, bound = rule
    if not isinstance(glob, str):
        raise TypeError("a glob must be text")
    return glob, _read(bound, is_nested=False)


def _read(document: Any, *, is_nested: bool) -> Tolerance:
    rule = document["rule"]
    if rule not in _RULES:
        raise ValueError(f"it has the rule {str(rule)[:40]!r}")
    if rule in _NEEDS_ARRAYS:
        raise RecordError("the test's tolerance is judged against a reference, which no record holds")
    nested = document["by_dtype"]
    if is_nested and nested:
        raise ValueError("bounds of a dtype cannot have bounds by dtype")
    bounds = {name: _read_bound(document[name]) for name in _BOUNDS}
    ulp = document["max_ulp"]
    return Tolerance(
        max_ulp=int(ulp) if isinstance(ulp, str) and ulp.isdecimal() and len(ulp) < 40 else ulp,
        rows=document["rows"],
        rule=rule,
        by_dtype=tuple((str(name), _read(each, is_nested=True)) for name, each in nested),
        **{name: value for name, value in bounds.items() if value is not None},
    )


def _read_bound(value: Any) -> float | None:
    number = None if value is None else read_float(value)
    if value is not None and (number is None or not math.isfinite(number)):
        raise ValueError(f"a bound must be a number, got {str(value)[:40]!r}")
    return number
