"""Comparison of a run's artifacts with a baseline's: structure first, then every leaf."""

from __future__ import annotations

import bisect
import difflib
from collections.abc import Iterable

from pytest_repro.comparing.elements import escape, shorten
from pytest_repro.comparing.leaves import compare_leaf, count_elements, extra_leaf, missing_leaf
from pytest_repro.comparing.rules import RuleBook, compare_by_dtype
from pytest_repro.comparing.unordered import compare_in_order, compare_unordered, note_reordered
from pytest_repro.errors import UsageError
from pytest_repro.model import Artifacts, Comparison, TolerancePolicy
from pytest_repro.undisturbed import undisturbed

_EXACT = TolerancePolicy()


@undisturbed
def compare_artifacts(
    actual: Artifacts,
    expected: Artifacts,
    policy: TolerancePolicy = _EXACT,
    *,
    ignored_traits: Iterable[str] = (),
) -> Comparison:
    """Compare all artifacts of one run with those of the baseline.

    Parameters
    ----------
    actual, expected : Artifacts
    policy : TolerancePolicy
        Tolerance of each artifact. By default nothing may differ.
    ignored_traits : iterable of str
        Traits that may differ because the comparison is across them: ``("device",)``.

    Returns
    -------
    Comparison
        Every artifact that differs, in the baseline's order. INCONCLUSIVE if neither side has any artifact, or if
        state was left out of one.

    Raises
    ------
    UsageError
        If a glob of the policy matches no artifact.
    """
    names = list(dict.fromkeys([*expected.names, *actual.names]))
    if names:
        check_globs(policy, names, [*expected.leaves, *actual.leaves] if policy.leaves_rows_open else [])
    ignored = frozenset(ignored_traits)
    rules = RuleBook(policy)
    unordered = compare_unordered(actual, expected, policy, ignored)
    differences = unordered.differences
    missing, extra = _Missing(expected, actual), _Missing(actual, expected)
    for path, leaf in expected.leaves.items():
        if path in unordered.done:
            continue
        other = actual.leaves.get(path)
        if other is None:
            if leaf.form != "node" or not missing.has_below(path):
                differences.append(missing_leaf(path, leaf))
            continue
        tolerance = policy.find(path)
        if tolerance.rows == "unordered":
            difference = compare_in_order(path, other, leaf, ignored)
        elif tolerance.rule == "bounds":
            difference = compare_leaf(path, other, leaf, tolerance, ignored)
        elif tolerance.rule == "per_dtype":
            difference = compare_by_dtype(path, other, leaf, tolerance, ignored)
        else:
            difference = rules.compare_leaf(path, other, leaf, tolerance, ignored)
        if difference is not None:
            differences.append(difference)
    for path, leaf in actual.leaves.items():
        if path in expected.leaves or path in unordered.done:
            continue
        if leaf.form != "node" or not extra.has_below(path):
            differences.append(extra_leaf(path, leaf))
    elements = sum(count_elements(expected.leaves.get(name) or actual.leaves[name]) for name in names)
    settled = rules.settle(differences)
    noted = note_reordered(settled, actual, expected) if settled else settled
    not_compared = tuple(dict.fromkeys([*expected.not_compared, *actual.not_compared]))
    return Comparison(tuple(noted), len(names), elements, not_compared)


def check_globs(policy: TolerancePolicy, names: list[str], containers: list[str]) -> None:
    """Reject a glob that matches no artifact, because a misspelt name would silently drop its bound."""
    unmatched = policy.unmatched(names, containers)
    if not unmatched:
        return
    pattern = unmatched[0]
    close = difflib.get_close_matches(pattern, names[:1000], n=3, cutoff=0.4) or names[:5]
    shown = ", ".join(repr(shorten(escape(name))) for name in close)
    more = f" (of {len(names):,} artifacts)" if len(names) > len(close) else ""
    raise UsageError(
        f"tolerance: the glob {pattern!r} matches no artifact; close names: {shown}{more}. Correct or remove it"
    )


class _Missing:
    """The artifacts of one side that the other lacks."""

    def __init__(self, own: Artifacts, other: Artifacts) -> None:
        self._paths = sorted(own.leaves.keys() - other.leaves.keys())

    def has_below(self, path: str) -> bool:
        """Return whether one of them is below a container, so that its report is enough.

        If none is, the container itself must be reported: ``{"a/b": 1}`` has all the paths of ``{"a": {"b": 1}}``.
        """
        prefix = f"{path}/" if path else ""
        first = bisect.bisect_left(self._paths, prefix)
        below = self._paths[first : first + 2]
        return any(child.startswith(prefix) for child in below if child != path)
