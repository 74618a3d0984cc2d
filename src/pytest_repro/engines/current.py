"""The run in progress, which the `repro` fixture hands to the test and which collects the test's results."""

from __future__ import annotations

import itertools
import os
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_repro.errors import CaptureError, ReproError, ReproWarning
from pytest_repro.model import JSON, Artifacts, Condition, EquivalenceFinding, NotCompared
from pytest_repro.undisturbed import undisturbed

#: Longest text of a refusal [characters].
MAX_SHOWN = 500
#: Files kept of a directory that a run reads.
MAX_FILES = 500

if TYPE_CHECKING:
    import numpy as np

    from pytest_repro.capturing import Spill
    from pytest_repro.capturing.run_texts import RunTexts


class CurrentRun:
    """One run of one test while it is in progress: its seed, its condition, and the artifacts captured so far.

    A reference run computes in float64, to distinguish rounding from faults. The spill takes captured arrays beyond the
    `--repro-memory` limit. Arrays that have the baseline's bits share its memory.
    """

    def __init__(
        self,
        index: int,
        seed: int,
        condition: Condition | None = None,
        *,
        device: str = "cpu",
        is_reference: bool = False,
        spill: Spill | None = None,
        baseline: Artifacts | None = None,
    ) -> None:
        self.is_reference = is_reference
        self.index = index
        self.seed = seed
        self.condition: Condition = condition or Condition()
        self.artifacts: Artifacts = Artifacts()
        #: ``data`` and ``config``: name -> description, for records.
        self.inputs: dict[str, dict[str, JSON]] = {"data": {}, "config": {}}
        #: Findings of the equivalence assertions that the test takes as arguments.
        self.equivalences: list[EquivalenceFinding] = []
        #: Captures that raised. The test may have caught the error, and is not compared in full.
        self.refused: list[NotCompared] = []
        self.device = device
        self._locals: Artifacts | None = None
        #: Whether a fixture of the test itself, or the test function, has begun.
        self.has_begun = False
        self._spill = spill
        self._baseline = baseline
        self._is_open = True

    @undisturbed
    def capture(self, name: str, value: Any) -> None:
        """Copy `value` now, under a `name` that is used once in the run. A refusal is kept for the verdict."""
        try:
            self._capture(name, value)
        except Exception as error:
            reason = f"its capture was refused, and the test went on without it: {_shown(error)}"
            self.refused.append(NotCompared(_shown(name), type(value).__qualname__, reason, is_state=True))
            raise

    def _capture(self, name: str, value: Any) -> None:
        if not isinstance(name, str) or not name:
            raise CaptureError(f"repro.capture needs a non-empty str as name, got {name!r}")
        if not self._is_open:
            raise CaptureError(
                f"repro.capture({name!r}, ...) came after the test's call had ended; capture inside the test"
            )
        self._add(self._capture_named(name, value), f"repro.capture({name!r}, ...)")
        watcher = sys.modules.get("pytest_repro.tracing.watcher")
        if watcher is not None:  # loaded where a diagnosis watches the run
            watcher.take_captured(name, value)

    @undisturbed
    def take_returned(self, value: Any) -> None:
        """Copy the returned value. None counts as nothing."""
        if value is None:
            return
        from pytest_repro.capturing import capture_tree

        found = capture_tree(value, spill=self._spill, baseline=self._baseline, gradients=True, surroundings=True)
        self._add(found, "the returned value")

    @undisturbed
    def take_variables(self, variables: Mapping[str, object]) -> None:
        """Copy each variable that can be compared, and list the others."""
        for name, value in variables.items():
            try:
                found = self._capture_named(name, value)
            except (ReproError, RecursionError) as error:
                self.artifacts.not_compared.append(NotCompared(name, type(value).__qualname__, _shown(error)))
            else:
                self._add(found, f"the variable {name!r}")

    @undisturbed
    def take_locals(self, variables: Mapping[str, object], texts: RunTexts) -> None:
        """Copy the local variables of a call that can be compared, in place of those of an earlier call."""
        from pytest_repro.capturing import capture_locals

        self._locals = capture_locals(variables, texts=texts)

    def settle_locals(self) -> None:
        """Take the local variables for the results, since the test gave none."""
        if self._locals is not None:
            self._add(self._locals, "the local variables")

    @undisturbed
    def take_artifacts(self, name: str, artifacts: Artifacts) -> None:
        """Add the artifacts of an equivalence's baseline, under a name of their own."""
        placed = {f"{name}/{path}" if path else name: leaf for path, leaf in artifacts.leaves.items()}
        omitted = [replace(value, name=f"{name}/{value.name}".rstrip("/")) for value in artifacts.not_compared]
        self._add(Artifacts(placed, omitted), f"the argument {name!r}")

    @undisturbed
    def take_input(self, kind: str, name: str, describe: Callable[[], JSON]) -> None:
        """Keep a description of this run's data or hyperparameters, under a name that is used once in the run."""
        if not isinstance(name, str) or not name:
            raise CaptureError(f"repro.{kind} needs a non-empty str as name, got {name!r}")
        if name in self.inputs[kind]:
            raise CaptureError(f"repro.{kind}: the name {name!r} is already used in this run; use another name")
        self.inputs[kind][name] = describe()

    @undisturbed
    def take_files(self, value: Any) -> None:
        """Keep the paths of files that the run reads, if the value is a path. Evidence lists those that git lacks."""
        if not isinstance(value, (str, os.PathLike)):
            return
        path = Path(os.fspath(value)).absolute()
        files = itertools.islice((each for each in path.rglob("*") if each.is_file()), MAX_FILES)
        kept = self.inputs.setdefault("files", {})
        kept.update(dict.fromkeys(map(str, files if path.is_dir() else [path]), True))

    @undisturbed
    def close(self, base: Path | None = None) -> None:
        """End the run: a later capture would not be compared, and raises.

        The base of its temporary folders is replaced in texts: runs in other processes and sessions have others.
        """
        self._is_open = False
        if base is not None:
            self._replace_folders(base)

    def _replace_folders(self, base: Path) -> None:
        from pytest_repro.capturing.run_texts import RunTexts

        texts = RunTexts([str(base)])
        for path, leaf in self.artifacts.leaves.items():
            if leaf.form == "value" and type(leaf.data) is str:
                text = texts.replace_folders(leaf.data)
                if text != leaf.data:
                    self.artifacts.leaves[path] = replace(leaf, data=text)

    def _capture_named(self, name: str, value: Any) -> Artifacts:
        from pytest_repro.capturing import capture_tree

        return capture_tree(
            value,
            root=name,
            top_level=False,
            spill=self._spill,
            baseline=self._baseline,
            gradients=True,
            surroundings=True,
        )

    def _add(self, artifacts: Artifacts, where: str) -> None:
        from pytest_repro.capturing import merge

        merge(self.artifacts, artifacts, where=where)


def _shown(value: object) -> str:
    """Return a name or an error as text, also where its own `__str__` raises."""
    try:
        return str(value)[:MAX_SHOWN]
    except Exception:
        return f"<{type(value).__qualname__}>"


class Repro:
    """The value of the `repro` fixture.

    Attributes
    ----------
    seed : int
        The seed of this test, the same in every run. Every generator is already seeded with it.
    device : str
        Device that this run is to use: ``"cpu"`` unless the device axis says otherwise.
    run : int
        Number of this run, from 1.

    Examples
    --------
    >>> from pytest_repro import examine
    >>> def train(repro):
    ...     repro.capture("noise", repro.rng.normal(size=3))
    ...     for step in range(2):
    ...         repro.step(step, loss=1.0 / (step + 1))
    >>> examine(train).result.compared.artifacts
    3
    """

    def __init__(self, run: CurrentRun) -> None:
        self._run = run
        self._rng: np.random.Generator | None = None

    @property
    def seed(self) -> int:
        """The seed of this run."""
        return self._run.seed

    @property
    def device(self) -> str:
        """Device that this run is to compute on."""
        return self._run.device

    @property
    def is_reference(self) -> bool:
        """Whether this run computes in float64, as the reference of an automatic tolerance."""
        return self._run.is_reference

    def place(self, *values: Any) -> Any:
        """Put models and data onto this run's device, and widen them to float64 in a reference run.

        Parameters
        ----------
        *values : torch module or tensor, JAX or NumPy array, or list, tuple or mapping of them
            Made on the CPU from the run's seed, so that every device gets the same numbers.

        Returns
        -------
        object
            The placed value, or a tuple of them if several were given. A module is moved in place.

        Raises
        ------
        UsageError
            For a type that cannot be placed.
        """
        from pytest_repro.frameworks.placing import place

        placed = tuple(place(value, self.device, widens=self.is_reference) for value in values)
        return placed[0] if len(placed) == 1 else placed

    @property
    def run(self) -> int:
        """Number of this run, from 1."""
        return self._run.index

    @property
    @undisturbed
    def rng(self) -> np.random.Generator:
        """A NumPy Generator for this run alone, seeded with `seed`."""
        if self._rng is None:
            import numpy as np

            self._rng = np.random.default_rng(self._run.seed)
        return self._rng

    def begin(self, run: CurrentRun) -> None:
        """Switch to another run: under Hypothesis one fixture serves many examples and their repeats."""
        self._run = run
        self._rng = None

    def capture(self, name: str, value: Any) -> None:
        """Copy `value` now, and compare it between the runs under `name`.

        Raises
        ------
        CaptureError
            If the name is already used in this run, or the test's call has ended.
        UnsupportedTypeError
            If something in `value` cannot be compared.
        """
        self._run.capture(name, value)

    def capture_variables(self, variables: Mapping[str, object]) -> None:
        """Copy each of several values under its name, and report those that cannot be compared as not compared."""
        self._run.take_variables(variables)

    def data(self, name: str, value: Any, *, sha256: str | None = None) -> Any:
        """Describe data that this run uses, by its digest, for records.

        Parameters
        ----------
        name : str
        value : path, array, data frame, map-style dataset, or any tree of values
        sha256 : str, optional
            Expected digest of a file's or a directory's content.

        Returns
        -------
        object
            A ``pathlib.Path`` for a path, otherwise `value`.

        Raises
        ------
        DataError
            If it is missing, or differs from what `sha256`, a ``.dvc`` file or ``dvc.lock`` declares.
        """
        from pytest_repro.capturing.data import describe_data

        __tracebackhide__ = True
        self._note("data", name, lambda: describe_data(name, value, declared=sha256))
        self._run.take_files(value)
        return Path(value) if isinstance(value, str) else value

    def config(self, value: Any, *, name: str = "config") -> Any:
        """Describe the hyperparameters of this run, for records, and return them.

        Parameters
        ----------
        value : mapping, dataclass, argparse.Namespace, OmegaConf node, or path of a file
        name : str

        Raises
        ------
        UsageError
            If something in it cannot be written as JSON, or an interpolation cannot be resolved.

        Warns
        -----
        ReproWarning
            For each value that is missing (``???``) in an OmegaConf node.
        """
        from pytest_repro.capturing.config import describe_config, list_missing

        __tracebackhide__ = True
        self._note("config", name, lambda: describe_config(value))
        for place in list_missing(value):  # outside of what is undisturbed, where warnings are ignored
            warnings.warn(
                f"repro.config: {place[:200]} is missing (???), so a record does not say what the run used",
                ReproWarning,
                stacklevel=2,
            )
        self._run.take_files(value)
        return value

    def _note(self, kind: str, name: str, describe: Callable[[], JSON]) -> None:
        __tracebackhide__ = True
        try:
            self._run.take_input(kind, name, describe)
        except ReproError as error:
            # The traceback ends at the user's line: the plugin's own frames are of no use to a reader.
            raise error.with_traceback(None) from None

    @undisturbed
    def step(self, index: int, **values: Any) -> None:
        """Capture values of one training step, as ``step/<index>/<name>``."""
        if isinstance(index, bool) or not isinstance(index, int) or index < 0:
            raise CaptureError(f"repro.step needs a step number >= 0, got {index!r}")
        if not values:
            raise CaptureError(
                f"repro.step({index}) was given nothing to compare; write repro.step({index}, loss=loss)"
            )
        for name, value in values.items():
            self._run.capture(f"step/{index}/{name}", value)
        watcher = sys.modules.get("pytest_repro.tracing.watcher")
        if watcher is not None:  # loaded where a diagnosis watches the run
            watcher.end_step(index)


class RunHolder:
    """Holds a test's run in progress where the fixtures find it: in the item's stash.

    Attributes
    ----------
    run : CurrentRun
    """

    def __init__(self, run: CurrentRun) -> None:
        self.run: CurrentRun = run
        self._repro: Repro | None = None

    def begin(self, run: CurrentRun) -> None:
        """Switch to another run, also for a fixture that is already set up."""
        self.run = run
        if self._repro is not None:
            self._repro.begin(run)

    def make_repro(self) -> Repro:
        """Return the value of the `repro` fixture for the run in progress."""
        self._repro = Repro(self.run)
        return self._repro


#: Key of a test's RunHolder in its item's stash.
HOLDER_KEY = pytest.StashKey[RunHolder]()
