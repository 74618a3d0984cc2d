"""The run in progress: what the `repro` fixture talks to and what a test's results are captured into."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_repro.errors import CaptureError, ReproError
from pytest_repro.model import JSON, Artifacts, Condition, EquivalenceFinding

if TYPE_CHECKING:
    import numpy as np

    from pytest_repro.capturing import Spill


class CurrentRun:
    """One run of one test while it goes on: its seed and condition, and what it captured so far.

    Parameters
    ----------
    index : int
        1 for the baseline.
    seed : int
    condition : Condition
    device : str
        Where the run is to compute.
    is_reference : bool
        Whether it is to compute in float64, to tell rounding from faults.
    spill : Spill, optional
        Where captured arrays go beyond the `--repro-memory` limit.
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
    ) -> None:
        self.is_reference = is_reference
        self.index = index
        self.seed = seed
        self.condition = condition or Condition()
        self.artifacts = Artifacts()
        #: ``data`` and ``config``: name -> description, for records.
        self.inputs: dict[str, dict[str, JSON]] = {"data": {}, "config": {}}
        #: What the equivalence assertions found that the test took as arguments.
        self.equivalences: list[EquivalenceFinding] = []
        self.device = device
        self._spill = spill
        self._is_open = True

    def capture(self, name: str, value: Any) -> None:
        """Copy `value` now, under `name`; a name may be used once a run."""
        if not isinstance(name, str) or not name:
            raise CaptureError(f"repro.capture needs a non-empty str as name, got {name!r}")
        if not self._is_open:
            raise CaptureError(
                f"repro.capture({name!r}, ...) came after the test's call had ended; capture inside the test"
            )
        from pytest_repro.capturing import capture_tree

        self._add(capture_tree(value, root=name, top_level=False, spill=self._spill), f"repro.capture({name!r}, ...)")

    def take_returned(self, value: Any) -> None:
        """Copy what the test returned; None counts as nothing."""
        if value is None:
            return
        from pytest_repro.capturing import capture_tree

        self._add(capture_tree(value, spill=self._spill), "the returned value")

    def take_locals(self, variables: Mapping[str, object]) -> None:
        """Copy the local variables that can be compared."""
        from pytest_repro.capturing import capture_locals

        self._add(capture_locals(variables), "the local variables")

    def take_artifacts(self, name: str, artifacts: Artifacts) -> None:
        """Add what an equivalence's baseline gave, under a name of its own."""
        placed = {f"{name}/{path}" if path else name: leaf for path, leaf in artifacts.leaves.items()}
        self._add(Artifacts(placed), f"the argument {name!r}")

    def take_input(self, kind: str, name: str, describe: Callable[[], JSON]) -> None:
        """Keep what describes data or hyperparameters of this run; a name may be used once a run."""
        if not isinstance(name, str) or not name:
            raise CaptureError(f"repro.{kind} needs a non-empty str as name, got {name!r}")
        if name in self.inputs[kind]:
            raise CaptureError(f"repro.{kind}: the name {name!r} is taken already; use another name")
        self.inputs[kind][name] = describe()

    def close(self) -> None:
        """Refuse further captures: what comes now would not be compared."""
        self._is_open = False

    def _add(self, artifacts: Artifacts, where: str) -> None:
        from pytest_repro.capturing import merge

        merge(self.artifacts, artifacts, where=where)


class Repro:
    """What a test gets from the `repro` fixture.

    Attributes
    ----------
    seed : int
        The seed of this test, the same in every run; every generator was seeded with it already.
    device : str
        Device that this run is to use: ``"cpu"`` unless the device axis says otherwise.
    run : int
        Number of this run, from 1.
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
        """Whether this run is the one in float64 by which an automatic tolerance judges."""
        return self._run.is_reference

    def place(self, *values: Any) -> Any:
        """Put models and data onto this run's device, and widen them to float64 in a reference run.

        Parameters
        ----------
        *values : torch module or tensor, JAX or NumPy array, or list, tuple or mapping of them
            Made on the CPU, from the run's seed, so that every device gets the same numbers.

        Returns
        -------
        object
            The value placed, or a tuple of them where several were given. A module is moved in place.

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
    def rng(self) -> np.random.Generator:
        """A NumPy Generator of its own, seeded with `seed` when the run began."""
        if self._rng is None:
            import numpy as np

            self._rng = np.random.default_rng(self._run.seed)
        return self._rng

    def begin(self, run: CurrentRun) -> None:
        """Turn to another run: under Hypothesis one fixture serves many examples and their repeats."""
        self._run = run
        self._rng = None

    def capture(self, name: str, value: Any) -> None:
        """Compare `value` between the runs under `name`; it is copied at once.

        Raises
        ------
        CaptureError
            If the name was used in this run already, or the call has ended.
        UnsupportedTypeError
            If something in `value` cannot be compared.
        """
        self._run.capture(name, value)

    def data(self, name: str, value: Any, *, sha256: str | None = None) -> Any:
        """Note which data this run uses, by digest, for records; return it.

        Parameters
        ----------
        name : str
        value : path, array, data frame, map-style dataset, or any tree of values
        sha256 : str, optional
            What a file's or a directory's content must have.

        Returns
        -------
        object
            A ``pathlib.Path`` for a path, else `value`.

        Raises
        ------
        DataError
            If it is not there, or not what `sha256`, a ``.dvc`` file or ``dvc.lock`` declares.
        """
        from pytest_repro.capturing.data import describe_data

        __tracebackhide__ = True
        self._note("data", name, lambda: describe_data(name, value, declared=sha256))
        return Path(value) if isinstance(value, str) else value

    def config(self, value: Any, *, name: str = "config") -> Any:
        """Note the hyperparameters of this run for records; return them.

        Parameters
        ----------
        value : mapping, dataclass, argparse.Namespace, OmegaConf node, or path of a file
        name : str

        Raises
        ------
        UsageError
            If something in it has no plain form.
        """
        from pytest_repro.capturing.config import describe_config

        __tracebackhide__ = True
        self._note("config", name, lambda: describe_config(value))
        return value

    def _note(self, kind: str, name: str, describe: Callable[[], JSON]) -> None:
        __tracebackhide__ = True
        try:
            self._run.take_input(kind, name, describe)
        except ReproError as error:
            # The user's line is where it went wrong; where the plugin found out is of no use to a reader.
            raise error.with_traceback(None) from None

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
