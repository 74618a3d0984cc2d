from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator

import pytest

from pytest_repro.engines.time_limit import RunTimeoutError, time_limit, why_unlimited

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs an interval timer")


@pytest.fixture(autouse=True)
def no_other_timer() -> Iterator[None]:
    """Stop pytest-timeout's timer meanwhile: with it, the limit under test would not apply."""
    left_s, _ = signal.setitimer(signal.ITIMER_REAL, 0)
    yield
    signal.setitimer(signal.ITIMER_REAL, left_s)


def test_a_block_that_takes_too_long_is_ended() -> None:
    with pytest.raises(RunTimeoutError, match=r"longer than its timeout of 0\.05 s"), time_limit(0.05):
        time.sleep(5)


def test_a_block_within_its_limit_is_not_interrupted_and_the_timer_is_off_afterwards() -> None:
    before = signal.getsignal(signal.SIGALRM)
    with time_limit(30):
        pass
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) is before


def test_another_timer_is_not_replaced() -> None:
    signal.setitimer(signal.ITIMER_REAL, 60)
    try:
        assert "another timer" in why_unlimited()
        with time_limit(0.001):
            time.sleep(0.02)
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 50
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def test_another_thread_cannot_be_interrupted() -> None:
    reasons: list[str] = []
    thread = threading.Thread(target=lambda: reasons.append(why_unlimited()))
    thread.start()
    thread.join()
    assert reasons == ["only the main thread can be interrupted"]
