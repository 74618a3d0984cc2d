"""What every built-in axis offers, and the effect that it reads back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from pytest_repro.axes.machine import Machine
from pytest_repro.model import JSON

Engine = Literal["in_process", "fork", "spawn"]

#: From the weakest to the strongest: a run made by a stronger engine sees all that a weaker one does, but leaked state.
ENGINES: tuple[Engine, ...] = ("in_process", "fork", "spawn")


@dataclass(frozen=True, slots=True)
class Effect:
    """What was really in effect in a run, read back from each component that obeys the axis.

    Attributes
    ----------
    axis : str
    value : JSON
        What was asked for.
    observed : dict of component -> JSON
        Components are libraries or functions ("numpy", "openblas", "time.time"); only those loaded are read.
    problems : tuple of (component, reason)
        What did not follow, known without looking at another run.
    """

    axis: str
    value: JSON
    observed: dict[str, JSON] = field(default_factory=dict)
    problems: tuple[tuple[str, str], ...] = ()

    @property
    def took(self) -> bool:
        """Whether something was read back and at least one component followed."""
        return bool(set(self.observed) - {component for component, _ in self.problems})

    def to_json(self) -> dict[str, JSON]:
        """Return the effect as a child sends it."""
        problems: list[JSON] = [[component, reason] for component, reason in self.problems]
        return {"axis": self.axis, "value": self.value, "observed": dict(self.observed), "problems": problems}

    @classmethod
    def from_json(cls, data: dict[str, JSON]) -> Effect:
        """Take what :meth:`to_json` gave."""
        observed, problems = data["observed"], data["problems"]
        assert isinstance(observed, dict)
        assert isinstance(problems, list)
        pairs = tuple((str(pair[0]), str(pair[1])) for pair in problems if isinstance(pair, list))
        return cls(str(data["axis"]), data["value"], dict(observed), pairs)


@dataclass(frozen=True, slots=True)
class AxisContext:
    """What applying an axis may need: a scratch folder of the run, removed by the engine afterwards."""

    scratch: Path


class BuiltInAxis:
    """One thing in the condition, and how it is varied. A subclass overrides what differs from these defaults.

    A value of ``None`` always means: leave as it is.
    """

    name: ClassVar[str]
    #: The weakest engine that can vary it.
    needs: ClassVar[Engine] = "in_process"
    #: Whether a value that this machine lacks is told and left out, instead of being an error.
    may_be_missing: ClassVar[bool] = False
    #: Traits of an artifact in which runs along the axis differ by their nature.
    ignored_traits: ClassVar[tuple[str, ...]] = ()
    #: Environment variables that the axis owns; `env` may not set them beside it.
    variables: ClassVar[tuple[str, ...]] = ()

    def default_values(self, machine: Machine) -> list[JSON]:
        """Return the values taken where the user gives none; the first is the baseline's."""
        raise NotImplementedError

    def unavailable(self, machine: Machine) -> str | None:
        """Say why the axis cannot be varied on this machine, or None."""
        return None

    def unavailable_value(self, value: JSON, machine: Machine) -> str | None:
        """Say why this machine cannot take one valid value, or None."""
        return None

    def validate(self, value: JSON) -> None:
        """Refuse a value that no machine could take.

        Raises
        ------
        UsageError
            Saying what is wrong and what to write instead.
        """

    def split(self, text: str) -> list[str]:
        """Split the values given on the command line."""
        return text.split(":")

    def parse(self, text: str) -> JSON:
        """Read one value from the command line."""
        return text

    def environment(self, value: JSON) -> dict[str, str | None]:
        """Return variables that a fresh interpreter needs before it starts; None unsets one."""
        return {}

    def command_prefix(self, value: JSON) -> list[str]:
        """Return the command through which a fresh interpreter must be started; usually none."""
        return []

    @contextmanager
    def apply(self, value: JSON, ctx: AxisContext) -> Iterator[None]:
        """Vary what can be varied inside the process, and undo it afterwards."""
        yield

    def verify(self, value: JSON) -> Effect:
        """Read back what is in effect; call it inside :meth:`apply`, at the end of the run."""
        return Effect(self.name, value)

    def counts(self, component: str, *values: JSON) -> bool:
        """Tell whether a component that was read back says something of a change between these values."""
        return True

    def describe(self, value: JSON) -> str:
        """Say the value in few words, as the matrix shows it."""
        return f"{self.name} as is" if value is None else f"{self.name}={value}"
