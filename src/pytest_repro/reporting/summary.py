"""The section of the terminal summary: tests by verdict, and the largest difference that was tolerated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

#: Verdicts in the order in which a reader needs them.
ORDER = ("diverged", "error", "inconclusive", "within_tolerance", "identical")
WORDS = {"within_tolerance": "within tolerance"}


def summary_lines(tests: Sequence[dict[str, Any]], *, base_seed: int) -> list[str]:
    """Return the lines below the section's heading; `tests` are results as JSON."""
    counts = Counter(test["verdict"] for test in tests)
    parts = [f"{counts[verdict]} {WORDS.get(verdict, verdict)}" for verdict in ORDER if counts[verdict]]
    lines = [f"{', '.join(parts)} ({len(tests)} test{'' if len(tests) == 1 else 's'}, --repro-seed={base_seed})"]
    lines += [
        f"  {WORDS.get(t['verdict'], t['verdict']):<13} {t['nodeid']}" for t in tests if t["verdict"] in ORDER[:3]
    ]
    tolerated = [(test, test["largest_tolerated"]) for test in tests if test["largest_tolerated"]]
    if tolerated:
        test, largest = max(tolerated, key=lambda pair: _distance(pair[1]))
        lines.append(f"largest difference tolerated: {_figure(largest)} in {largest['artifact']} of {test['nodeid']}")
    claim = describe_claim(tests)
    if claim:
        lines.append(claim)
    return lines


def _distance(figures: dict[str, Any]) -> tuple[int, float]:
    ulp, absolute = figures["max_ulp"], figures["max_abs"]
    return (int(ulp) if ulp is not None else 0, float(absolute) if absolute is not None else 0.0)


def _figure(figures: dict[str, Any]) -> str:
    if figures["max_ulp"] is not None:
        return f"{int(figures['max_ulp']):,} ulp"
    return f"{float(figures['max_abs']):.2g} absolute" if figures["max_abs"] is not None else "a difference"


def describe_claim(tests: Sequence[dict[str, Any]]) -> str:
    """Say what so many agreeing runs can claim: 1 - 0.05**(1/(N-1)) bounds the chance of a differing one.

    The bound is one on repeats: a run under another condition (`process` apart, which alone varies nothing that a
    user sets) says that this condition makes no difference, and nothing about chance.
    """
    agreeing = [
        sum(set(run["condition"]) <= {"process"} for run in test["runs"])
        for test in tests
        if test["verdict"] in ("identical", "within_tolerance")
    ]
    repeated = [runs for runs in agreeing if runs > 1]
    if not repeated:
        return ""
    runs, once = min(repeated), len(agreeing) - len(repeated)
    bound = 1 - 0.05 ** (1 / (runs - 1))
    claim = f"{runs} agreeing runs bound the chance that a further run differs by {100 * bound:.2g} % (95 % confidence)"
    if once:
        return f"{claim}; {once} test{'' if once == 1 else 's'} ran once under each condition, which bounds no chance"
    return f"{claim}; more runs bound it closer"
