"""An environment as a user names it, and what is known of one that was looked at."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pytest_repro.errors import ChildError, ReproError

#: Begins the names of the files with the trace of a run elsewhere, in which files are named by their paths there.
TRACE_NAME = "trace"
#: How long an environment may take to start a Python, and each run in it, unless the configuration says otherwise [s].
TIMEOUT_S = 600.0


class EnvironmentUnusableError(ReproError):
    """An environment cannot be used.

    Common causes: an unknown name, packages that cannot be installed, a Python that does not start, an import that it
    lacks.
    """


class EnvironmentRunError(ChildError):
    """A run in another environment left no result. Runs in other environments can still be made.

    Common causes: a crash or a lack of memory there, a file that is not there.
    """


class EnvironmentLostError(EnvironmentRunError):
    """An environment did not answer, or no longer does.

    Common causes: a lost connection, a killed job, a queue that never starts it.
    """


@dataclass(frozen=True, slots=True)
class Environment:
    """A Python, and how it is started where it is.

    Attributes
    ----------
    name : str
        As the user wrote it: the only text about it that a report may hold.
    python : str
        Command or path of the interpreter there.
    prefix : tuple of str
        Command through which it is started. Empty for an interpreter of this machine.
    sync : bool
        Whether the project's files must be sent, because it does not see them.
    directory : str
        The project's folder there, if it is another path than here.
    timeout_s : float
        Limit for its start, a queue's time included, and for each run [s].
    """

    name: str
    python: str
    prefix: tuple[str, ...] = ()
    sync: bool = False
    directory: str = ""
    timeout_s: float = TIMEOUT_S

    @property
    def is_local(self) -> bool:
        """Whether it is an interpreter of this machine, which sees the same files."""
        return not self.prefix


@dataclass(frozen=True, slots=True)
class EnvironmentFacts:
    """What an environment has.

    Attributes
    ----------
    python : str
        Implementation and release, as in ``CPython 3.13.5``.
    packages : dict of normalised name -> version
    plugins : tuple of str
        Names of the pytest plugins.
    missing : tuple of str
        Modules that were asked for and that it lacks.
    """

    python: str
    packages: dict[str, str] = field(default_factory=dict)
    plugins: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StartedRun:
    """What a run in an environment is started with.

    Attributes
    ----------
    folder : Path
        Of the run, here. What the run leaves there comes back into it.
    arguments : list of str
        Of the interpreter.
    prefix : list of str
        Command through which the interpreter is started, within the environment.
    variables : dict of name -> text or None
        Environment variables that are changed for it, with None for one to unset.
    mark : str
        Value of the variable by which what it starts is found.
    timeout_s : float, optional
        From when it has begun its test.
    begun : str
        Name of the file in `folder` that it then makes.
    """

    folder: Path
    arguments: list[str]
    prefix: list[str]
    variables: dict[str, str | None]
    mark: str
    timeout_s: float | None
    begun: str
