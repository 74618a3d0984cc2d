"""From an axis that was shown to be to blame to the cause that it stands for, its evidence and its fix.

An axis is blamed only after runs in which it alone was varied differed and runs in which it was not agreed: that is
the evidence. The place in the code stays open; none is guessed.
"""

from __future__ import annotations

from pytest_repro.diagnosis.catalogue import fix_of, meaning_of
from pytest_repro.model import Cause, TestResult, Verdict


def _known(code: str) -> tuple[str, str, str]:
    return code, meaning_of(code), fix_of(code)


#: Axis -> code, what it means, what to change.
_CAUSES = {
    "hash_seed": _known("hash.str_hashseed"),
    "threads": _known("threads.reduction_order"),
    "isa": (
        "isa.kernels",
        "the processor's instructions by which libraries choose their kernels",
        "compare within a tolerance across machines: across={'isa': Axis(rtol=...)}",
    ),
    "file_order": _known("fs.order"),
    "clock": (
        "time.now",
        "the time of day",
        "pass the time in as an argument; do not seed from the clock or stop by it",
    ),
    "timezone": ("env.timezone", "the time zone", "use UTC: datetime.fromtimestamp(t, timezone.utc)"),
    "locale": (
        "env.locale",
        "the locale or the text encoding",
        "name the encoding (open(..., encoding='utf-8')); sort, format and choose by nothing that LANG or LC_ALL says",
    ),
    "cwd": ("env.cwd", "the current directory", "build paths from Path(__file__).parent, not from where it is started"),
    "env": _known("env.variable"),
    "cpu_count": (
        "env.cpu_affinity",
        "the number of cores",
        "split work into a fixed number of parts, not into one for each core",
    ),
    "memory": _known("memory.uninitialised"),
    "schedule": (
        "race.threads",
        "the moments at which threads take turns",
        "give each task a generator and a result of its own, and combine results in a fixed order",
    ),
}
_DEVICE = (
    "device.kernels",
    "the device",
    "make weights and data on the CPU, and compare within what rounding explains: Axis(['cpu', 'cuda'], norm=...)",
)


def name_causes(result: TestResult) -> list[Cause]:
    """Return a cause for each axis that was shown to be to blame; none where nothing was shown."""
    if result.verdict is not Verdict.DIVERGED:
        return []
    blamed = [axis for axes in result.blamed.values() for axis in axes]
    return [cause for axis in dict.fromkeys(blamed) if (cause := _cause(axis, result)) is not None]


def _cause(axis: str, result: TestResult) -> Cause | None:
    entry = _DEVICE if axis == "device" else _CAUSES.get(axis)
    if entry is None or result.matrix.get(axis) != "diverged":
        return None
    code, what, fix = entry
    components = result.components.get(axis, [])
    if components:
        code = f"{axis}.{components[0]}"
    others = [name for name, cell in result.matrix.items() if cell in ("identical", "within_tolerance")]
    change = "changes" if len(others) == 1 else "change"
    agreeing = f", while {', '.join(others)} varied alone {change} nothing" if others else ""
    alone = f"; the kernels of {', '.join(components)} alone make them differ" if components else ""
    evidence = f"the runs agree with this fixed and differ with it varied: {what}{alone}{agreeing}"
    return Cause(code, axis, evidence, fix)
