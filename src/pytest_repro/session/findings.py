"""The cells of the reproducibility matrix, and the axes to blame, from the runs of one test. Pure bookkeeping."""

from __future__ import annotations

from pytest_repro.axes import ConditionPlan, Isolation
from pytest_repro.engines.base import DEVICE
from pytest_repro.engines.condition import Variation
from pytest_repro.model import Cause, Comparison, Condition, RunResult, TestResult, Verdict

#: The axis whose every value is a fresh process.
PROCESS = "process"
#: Cells beyond the verdicts of an axis.
NOT_VARIED, NOT_AVAILABLE, UNSTABLE, NOT_ISOLATED = "not_varied", "not_available", "unstable", "not_isolated"
NOT_JUDGED = "not_judged"
#: From the best to the worst. The worst result of an axis decides its cell.
RANK = (NOT_VARIED, "identical", "within_tolerance", NOT_JUDGED, NOT_ISOLATED, UNSTABLE, "diverged")


class AxisFindings:
    """Collects, run by run, which axes were varied and with which result, and fills in `matrix` and `blamed`."""

    def __init__(self, plan: ConditionPlan, result: TestResult) -> None:
        self.plan = plan
        self.result = result
        self._axes = frozenset(axis.name for axis in plan.axes)
        self._is_unstable = False
        self._unjudged: set[str] = set()
        #: Causes beyond those that an axis stands for.
        self.causes: list[Cause] = []
        self._noted: dict[str, set[str]] = {}
        self._isolations: dict[int, Isolation] = {}
        self._is_varied: dict[int, set[str]] = {}
        for axis, reason in plan.unavailable:
            result.matrix[axis] = NOT_AVAILABLE
            result.notes.append(f"axis {axis} is not available here: {reason}")
        result.notes.extend(plan.notes)

    def take_variations(self, index: int, condition: Condition, variations: tuple[Variation, ...]) -> None:
        """Note which axes of a run really differed from the baseline's run."""
        built_in = {variation.axis for variation in variations}
        # An argument of the test is varied by being passed.
        varied = {name for name, _ in condition if name not in built_in}
        for variation in variations:
            if variation.status == "not_varied":
                self._note_once(f"run {index}: {variation.describe()}", variation.axis)
            else:
                varied.add(variation.axis)
                if variation.status == "partly":
                    self._note_once(variation.describe(), variation.axis)
        self._is_varied[index] = varied

    def needs_isolation(self, condition: Condition) -> bool:
        """Return whether isolating the axes of a diverging run can show anything new."""
        names = {name for name, _ in condition if name in self._axes}
        if not names or self._is_unstable:
            return False
        # A repeat in the baseline's condition is another fresh process: it cannot be a control for that axis.
        return names != {PROCESS} and not any(set(i.axes) and set(i.axes) <= names for i in self._isolations.values())

    def take_isolation(self, index: int, isolation: Isolation) -> None:
        """Note the result of isolating the axes of a diverging run."""
        self._isolations[index] = isolation
        if isolation.status == "repeat" and PROCESS not in self._axes:
            self._is_unstable = True
        if isolation.status != "isolated":
            runs = f"{isolation.probes} extra run{'s' * (isolation.probes != 1)}"
            self.result.notes.append(f"run {index}: {runs} could not isolate the axis: {isolation.reason}")

    def take_repeat(self, condition: Condition, comparison: Comparison) -> None:
        """Note a plain repeat of run 1, which was planned, or made because a run along an axis had differed."""
        is_plain = bool(self._axes) and not any(name in self._axes for name, _ in condition)
        if is_plain and comparison.divergences and not self._is_unstable:
            self._is_unstable = True
            self.result.notes.append("a plain repeat of run 1 differs as well, so no axis is to blame")

    def needs_confirmation(self, run: RunResult) -> bool:
        """Return whether a run that diverged along one axis is to be repeated before the axis is blamed."""
        names = [name for name, _ in run.condition if name in self._axes]
        is_open = not self._is_unstable and run.index not in self._isolations
        # This process cannot stand for a fresh one, and the flow repeats the run on a device in another way.
        return is_open and len(names) == 1 and names[0] not in (PROCESS, DEVICE)

    def take_unconfirmed(self, index: int) -> None:
        """Note that a run which diverged along an axis, made again in the same condition, agrees with run 1."""
        self._is_unstable = True
        self.result.notes.append(f"run {index} differs, and its repeat does not, so no axis is to blame")

    def take_out_of_time(self, index: int, reason: str) -> None:
        """Note that the budget was spent before the axes of a diverging run were isolated."""
        if index not in self._isolations:
            self.take_isolation(index, Isolation("not_isolated", reason=reason))

    def take_device_repeat(self, device: str, comparison: Comparison) -> None:
        """Note a repeat on the device whose result had differed. A device that differs from itself is not to blame."""
        if not comparison.divergences:
            return
        self._is_unstable = True
        worst = comparison.divergences[0]
        figure = f"max abs {worst.max_abs:.2g}" if worst.max_abs is not None else worst.kind
        # Only now: the catalogue loads every source.
        from pytest_repro.diagnosis.catalogue import fix_of

        evidence = (
            f"{device} differs from itself: in a repeat there, {worst.artifact} differs ({figure}), so a difference "
            "from run 1's device cannot be judged"
        )
        code = "device.nondeterminism"
        self.causes.append(Cause(code, "device", evidence, fix_of(code)))

    def take_unjudged(self, condition: Condition) -> None:
        """Note a run whose differences no reference could judge."""
        self._unjudged |= {name for name, _ in condition if name in self._axes}

    @property
    def has_varied_nothing(self) -> bool:
        """Whether there are axes and none of them took effect in any run."""
        return bool(self.plan.axes) and not any(self._is_varied.values())

    def settle(self) -> None:
        """Fill in the cells and the axes to blame."""
        for run, comparison in self.result.comparisons:
            for name in (name for name, _ in run.condition if name in self._axes):
                self._raise_cell(name, self._cell(run, comparison, name))
            if comparison.divergences:
                self.result.blamed[run.index] = self._blame(run)
        for name in self._unjudged:
            self._raise_cell(name, NOT_JUDGED)

    def _cell(self, run: RunResult, comparison: Comparison, axis: str) -> str:
        if axis not in self._is_varied.get(run.index, set()) and not (comparison.divergences and self._blame(run)):
            return NOT_VARIED
        if not comparison.divergences:
            return comparison.verdict.value if comparison.verdict is not Verdict.INCONCLUSIVE else NOT_VARIED
        blamed = self._blame(run)
        if axis in blamed:
            return "diverged"
        if self._is_unstable or blamed == [PROCESS]:
            return UNSTABLE
        cleared = {name for isolation in self._isolations.values() for name in isolation.cleared}
        return "identical" if axis in cleared else NOT_ISOLATED

    def _blame(self, run: RunResult) -> list[str]:
        """Return the axes to blame for a diverging run. Empty where that is unknown."""
        names = [name for name, _ in run.condition if name in self._axes]
        if self._is_unstable:
            return []
        if names == [PROCESS]:
            return names
        own = self._isolations.get(run.index)
        known = [own] if own is not None else list(self._isolations.values())
        for isolation in known:
            if isolation.status == "repeat" and PROCESS in names:
                return [PROCESS]
            if isolation.axes and set(isolation.axes) <= set(names):
                return [name for name in names if name in isolation.axes or name in isolation.alone]
        return names if len(names) == 1 and own is None else []

    def _raise_cell(self, axis: str, cell: str) -> None:
        before = self.result.matrix.get(axis, NOT_VARIED)
        self.result.matrix[axis] = max(before, cell, key=RANK.index)

    def _note_once(self, text: str, axis: str) -> None:
        seen = self._noted.setdefault(axis, set())
        key = text.partition(": ")[2] or text
        if key not in seen:
            seen.add(key)
            self.result.notes.append(text)
