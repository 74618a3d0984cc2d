"""The interface of all built-in axes, and the effect that an axis reads back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from pytest_repro.axes.machine import Machine
from pytest_repro.model import JSON

EngineName = Literal["in_process", "fork", "spawn"]

#: From the weakest to the strongest. A stronger engine shows all that a weaker one does, except for leaked state.
ENGINES: tuple[EngineName, ...] = ("in_process", "fork", "spawn")

#: Reading and problem of a component in the place of which the test has put a function of its own.
REPLACED = "the test replaced it"


@dataclass(frozen=True, slots=True)
class Effect:
    """The actual effect of an axis in a run, read back from each component that obeys it.

    Attributes
    ----------
    axis : str
    value : JSON
        The requested value.
    observed : dict of component -> JSON
        Components are libraries or functions ("numpy", "openblas", "time.time"). Only those loaded are read.
    problems : tuple of (component, reason)
        Components that did not follow, as far as this run alone shows it.
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
        """Return the effect as JSON."""
        problems: list[JSON] = [[component, reason] for component, reason in self.problems]
        return {"axis": self.axis, "value": self.value, "observed": dict(self.observed), "problems": problems}

    @classmethod
    def from_json(cls, data: dict[str, JSON]) -> Effect:
        """Return an effect from its JSON."""
        observed, problems = data["observed"], data["problems"]
        assert isinstance(observed, dict)
        assert isinstance(problems, list)
        pairs = tuple((str(pair[0]), str(pair[1])) for pair in problems if isinstance(pair, list))
        return cls(str(data["axis"]), data["value"], dict(observed), pairs)


@dataclass(frozen=True, slots=True)
class AxisContext:
    """The means for applying an axis: a scratch folder of the run, which the engine removes afterwards."""

    scratch: Path


class BuiltInAxis:
    """One part of the condition, and how it is varied. A subclass overrides some of these defaults.

    A value of ``None`` always means unchanged.
    """

    name: ClassVar[str]
    #: The weakest engine that can vary it.
    needs: ClassVar[EngineName] = "in_process"
    #: Whether a value that this machine does not have is reported and omitted, instead of being an error.
    may_be_missing: ClassVar[bool] = False
    #: Traits of an artifact in which runs along the axis differ by their nature.
    ignored_traits: ClassVar[tuple[str, ...]] = ()
    #: Whether the baseline is always what the session has, so that one value suffices and all are compared with it.
    begins_here: ClassVar[bool] = False
    #: Environment variables that the axis owns. `env` may not set them at the same time.
    variables: ClassVar[tuple[str, ...]] = ()

    def default_values(self, machine: Machine) -> list[JSON]:
        """Return the default values, the baseline's first."""
        raise NotImplementedError

    def unavailable(self, machine: Machine) -> str | None:
        """Return the reason why the axis cannot be varied on this machine, or None."""
        return None

    def unavailable_value(self, value: JSON, machine: Machine) -> str | None:
        """Return the reason why this machine does not have a valid value, or None."""
        return None

    def validate(self, value: JSON) -> None:
        """Reject a value that no machine has.

        Raises
        ------
        UsageError
            With the correct form.
        """

    def split(self, text: str) -> list[str]:
        """Split the values given on the command line."""
        return text.split(":")

    def parse(self, text: str) -> JSON:
        """Parse one value of the command line."""
        return text

    def environment(self, value: JSON) -> dict[str, str | None]:
        """Return variables that a fresh interpreter needs before it starts, with None for one to unset."""
        return {}

    def command_prefix(self, value: JSON) -> list[str]:
        """Return the command through which a fresh interpreter must be started, if there is one."""
        return []

    def forks_suffice(self, value: JSON) -> bool:
        """Return whether forks of one interpreter that was started for this value vary the axis like fresh ones."""
        return True

    @contextmanager
    def apply(self, value: JSON, ctx: AxisContext) -> Iterator[None]:
        """Vary what can be varied inside the process, and undo it afterwards."""
        yield

    def verify(self, value: JSON) -> Effect:
        """Read back the effect. Call it inside :meth:`apply`, at the end of the run."""
        return Effect(self.name, value)

    def counts(self, component: str, *values: JSON) -> bool:
        """Return whether a component that was read back can show a change between these values."""
        return True

    def describe(self, value: JSON) -> str:
        """Describe the value in few words, as the matrix shows it."""
        return f"{self.name} as is" if value is None else f"{self.name}={value}"
