"""The budget of everything that follows a test's verdict: controls, repeats, the isolation of axes, the diagnosis.

CPU time is counted, and not time on the clock: on a machine that other jobs keep busy, the same search takes longer and
costs the same. A bound on the clock remains, since a run that waits uses no CPU time.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

#: CPU time for one test, and for one session [s].
DEFAULT_TEST_S, DEFAULT_SESSION_S = 30.0, 600.0
#: Bound on the clock, as a multiple of a test's CPU time. A process that shares two cores with a dozen others gets a
#: sixth of a core.
CLOCK_FACTOR = 10.0


#: One of so many tests may use what is left of a session's budget, if as many are still to come.
MAX_SHARES = 8
#: A test whose function was diagnosed with other parameters, and one whose finding is known, gets this part of a share:
#: it most likely has the same cause, which is tried first.
REPEATED = 0.25
#: A share below it brings no diagnosis to an end [s]: then what is left goes to the tests in their order.
MIN_SHARE_S = 3.0


class SessionBudget:
    """CPU time for all tests of a session together [s], or of one worker of pytest-xdist.

    Parameters
    ----------
    limit_s : float
    tests : int
        Tests of the session that may be diagnosed.
    """

    def __init__(self, limit_s: float = DEFAULT_SESSION_S, tests: int = 1) -> None:
        self.limit_s = limit_s
        self.spent_s: float = 0.0
        self._to_come = tests
        self._diagnosed = set[str]()

    def begin_test(self, function: str, *, is_known: bool = False) -> float:
        """Return the share of the next test [s], so that no single test spends what others need.

        Parameters
        ----------
        function : str
            The test without its parameters.
        is_known : bool
            Whether a file of known findings has it.
        """
        left_s = max(0.0, self.limit_s - self.spent_s)
        share_s = left_s / max(1, min(MAX_SHARES, self._to_come))
        self._to_come -= 1
        if self._to_come > 0 and (is_known or function in self._diagnosed):
            share_s *= REPEATED
        return max(share_s, min(MIN_SHARE_S, left_s))

    def end_test(self, function: str, *, is_diagnosed: bool) -> None:
        """Note that a test of a function has ended, and whether it was diagnosed."""
        if is_diagnosed:
            self._diagnosed.add(function)


class Budget:
    """The time that one test may still use.

    Parameters
    ----------
    limit_s : float
        CPU time [s].
    session : SessionBudget, optional
    share_s : float, optional
        The test's share of what is left of the session's budget [s].
    """

    def __init__(
        self,
        limit_s: float = DEFAULT_TEST_S,
        session: SessionBudget | None = None,
        *,
        share_s: float | None = None,
    ) -> None:
        self._is_shared = share_s is not None and share_s < limit_s
        self.limit_s: float = limit_s if share_s is None else min(limit_s, share_s)
        self.clock_limit_s: float = CLOCK_FACTOR * self.limit_s
        self._session = session or SessionBudget()
        self._counted_s = 0.0
        self._on_clock_s = 0.0
        self._reserved_s = 0.0
        self._begun: tuple[float, float] | None = None

    @property
    def spent_s(self) -> float:
        """CPU time used so far, by this process and by those that it started [s]."""
        return self._counted_s + self._running_s

    @property
    def clock_s(self) -> float:
        """Time on the clock used so far [s]."""
        return self._on_clock_s + (0.0 if self._begun is None else time.monotonic() - self._begun[1])

    @property
    def left_s(self) -> float:
        """CPU time that is left of the test's and of the session's [s]."""
        of_session_s = self._session.limit_s - self._session.spent_s - self._running_s
        return min(self.limit_s - self.spent_s, of_session_s) - self._reserved_s

    @property
    def clock_left_s(self) -> float:
        """Time on the clock that is left [s]."""
        return self.clock_limit_s - self.clock_s

    @property
    def is_spent(self) -> bool:
        """Whether no further run may start."""
        return self.left_s <= 0 or self.clock_left_s <= 0

    def take(self, cpu_s: float, clock_s: float = 0.0) -> None:
        """Count CPU time, such as that of a process that was started, and time on the clock outside of a block [s]."""
        self._counted_s += cpu_s
        self._on_clock_s += clock_s
        self._session.spent_s += cpu_s

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count this process' own CPU time and the clock during a block."""
        self._begun = time.process_time(), time.monotonic()
        try:
            yield
        finally:
            own_s, self._on_clock_s = self._running_s, self.clock_s
            self._begun = None
            self.take(own_s)

    @contextmanager
    def reserving(self, share: float) -> Iterator[None]:
        """Keep this share of the limit back for what comes after a block."""
        self._reserved_s += share * self.limit_s
        try:
            yield
        finally:
            self._reserved_s -= share * self.limit_s

    def describe_spent(self) -> str:
        """Return how much is spent, for the live line."""
        return f"{self.spent_s:.0f} of {self.limit_s:g} s CPU"

    @property
    def stopped_by(self) -> str:
        """The limit that was reached: ``clock``, ``session`` or ``test``."""
        # A share of the session's budget bounds the clock too: a larger budget of the session would have gone on.
        if self._is_session_spent or self._is_shared:
            return "session"
        return "clock" if self.clock_left_s <= 0 else "test"

    def describe_limit(self) -> str:
        """Return which limit was reached."""
        if self._is_session_spent:
            return f"the session's {self._session.limit_s:g} s of CPU time (--repro-budget)"
        share = f", its share of the session's {self._session.limit_s:g} s (--repro-budget)" if self._is_shared else ""
        if self.clock_left_s <= 0:
            return f"{_rounded(self.clock_limit_s)} s on the clock, {self.spent_s:.0f} s of them on a CPU{share}"
        return f"{_rounded(self.limit_s)} s of CPU time{share}"

    @property
    def _is_session_spent(self) -> bool:
        return self._session.limit_s <= self._session.spent_s + self._running_s

    @property
    def _running_s(self) -> float:
        return 0.0 if self._begun is None else time.process_time() - self._begun[0]


def _rounded(seconds: float) -> str:
    return f"{seconds:.3g}" if seconds < 1000 else f"{seconds:.0f}"
