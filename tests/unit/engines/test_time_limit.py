from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from pytest_repro.engines import time_limit as time_limit_module
from pytest_repro.engines.time_limit import RunTimeoutError, time_limit, why_unlimited

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs an interval timer")


@pytest.fixture(autouse=True)
def no_other_timer() -> Iterator[None]:
    """Stop pytest-timeout's timer meanwhile: with it, the limit under test would not apply."""
    left_s, _ = signal.setitimer(signal.ITIMER_REAL, 0)
    yield
    signal.setitimer(signal.ITIMER_REAL, left_s)


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a body that goes on interrupted again at once."""
    monkeypatch.setattr(time_limit_module, "MIN_GRACE_S", 0.05)
    monkeypatch.setattr(time_limit_module, "MAX_GRACE_S", 0.05)


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
        # The limit is checked at the end.
        with pytest.raises(RunTimeoutError, match=r"it took 0\.0"), time_limit(0.001):
            time.sleep(0.02)
        with time_limit(30):
            pass
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 50
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def test_another_thread_cannot_be_interrupted() -> None:
    reasons: list[str] = []
    thread = threading.Thread(target=lambda: reasons.append(why_unlimited()))
    thread.start()
    thread.join()
    assert reasons == ["only the main thread can be interrupted"]


def catch_exception() -> None:
    while True:
        try:
            time.sleep(5)
        except Exception:
            continue


def catch_everything() -> None:
    while True:
        try:
            time.sleep(5)
        except:  # noqa: E722
            continue


def catch_in_two_loops() -> None:
    caught = 0
    while True:
        try:
            catch_everything()
        except BaseException:
            caught += 1


def suppress_everything() -> None:
    while True:
        with contextlib.suppress(BaseException):
            time.sleep(5)


def clean_up_for_ever() -> None:
    try:
        time.sleep(5)
    finally:
        time.sleep(60)


def join_a_thread() -> None:
    thread = threading.Thread(target=time.sleep, args=(60,), daemon=True)
    thread.start()
    thread.join()


def compute_for_ever() -> None:
    while True:
        pass


def skip_when_interrupted() -> None:
    try:
        time.sleep(5)
    except BaseException:
        pytest.skip("too slow")


def catch_once() -> None:
    with contextlib.suppress(BaseException):
        time.sleep(5)


def assert_when_interrupted() -> None:
    try:
        time.sleep(5)
    except BaseException as error:
        raise AssertionError("failed") from error


@pytest.mark.usefixtures("short_pauses")
@pytest.mark.parametrize(
    "body",
    [
        catch_exception,
        catch_everything,
        catch_in_two_loops,
        suppress_everything,
        clean_up_for_ever,
        join_a_thread,
        compute_for_ever,
        skip_when_interrupted,
        catch_once,
        assert_when_interrupted,
    ],
)
def test_a_body_that_goes_on_is_ended_too(body: Callable[[], None]) -> None:
    trace, started = sys.gettrace(), time.monotonic()
    with pytest.raises(RunTimeoutError, match=r"longer than its timeout of 0\.05 s"), time_limit(0.05):
        body()
    assert time.monotonic() - started < 2
    assert sys.gettrace() is trace
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_body_that_cleans_up_has_time_to_do_so() -> None:
    done = []

    def body() -> None:
        try:
            time.sleep(5)
        finally:
            time.sleep(0.5)
            done.append(True)

    with pytest.raises(RunTimeoutError), time_limit(0.05):
        body()
    assert done


def test_an_error_of_the_body_itself_is_raised_as_it_is() -> None:
    with pytest.raises(ValueError, match="mine"), time_limit(30):
        raise ValueError("mine")


def test_a_clock_that_the_body_replaces_does_not_hide_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    signal.setitimer(signal.ITIMER_REAL, 60)

    def body() -> None:
        time.sleep(0.02)
        monkeypatch.setattr(time, "monotonic", lambda: 0.0)

    with pytest.raises(RunTimeoutError, match="it took"), time_limit(0.001):
        body()
