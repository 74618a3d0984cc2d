"""Diagnosis of a C library that reads the clock and starts threads, with the causes that Python code would get."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys

import pytest

from tests.plugin.helpers import Sessions

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64") or shutil.which("cc") is None,
    reason="reads ELF tables; needs a compiler",
)

LIBRARY = r"""
#include <pthread.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static double total;

long seed(void) { return (long)time(0) / 86400 * 48271; }

static void *add(void *part) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    usleep(now.tv_nsec / 1000 % 3000);
    pthread_mutex_lock(&lock);
    total = total / 3 + (double)(long)part;
    pthread_mutex_unlock(&lock);
    return 0;
}

double sum(int n) {
    pthread_t threads[16];
    total = 0;
    for (long i = 0; i < n; i++) pthread_create(&threads[i], 0, add, (void *)i);
    for (int i = 0; i < n; i++) pthread_join(threads[i], 0);
    return total;
}
"""

TESTS = """
    import ctypes
    from pathlib import Path
    import pytest

    library = ctypes.CDLL(str(Path(__file__).parent / "planted.so"))
    library.seed.restype, library.sum.restype = ctypes.c_long, ctypes.c_double

    @pytest.mark.reproducible(across={"clock": [0, 864000]})
    def test_clock():
        return library.seed()

    @pytest.mark.reproducible(runs=5)
    def test_threads():
        return library.sum(16)
"""


@pytest.fixture
def planted(sessions: Sessions) -> Sessions:
    """Sessions with the compiled library next to the test."""
    (sessions.folder / "planted.c").write_text(LIBRARY, encoding="utf-8")
    command = ["cc", "-shared", "-fPIC", "-pthread", "-o", "planted.so", "planted.c"]
    subprocess.run(command, cwd=sessions.folder, check=True)
    return sessions


def test_a_clock_that_c_code_reads_is_named_as_the_cause(planted: Sessions):
    session = planted.run(TESTS, "--repro-diagnose", "-k", "clock", apart=True)
    (cause,) = session.test("test_clock")["diagnosis"]["causes"]
    assert cause["code"].startswith("time.")
    assert "planted" in cause["evidence"]
    assert cause["location"]["source"] == "return library.seed()"


def test_threads_that_c_code_starts_are_named_with_the_line_that_called_it(planted: Sessions):
    session = planted.run(TESTS, "--repro-diagnose", "-k", "threads", apart=True)
    (cause,) = session.test("test_threads")["diagnosis"]["causes"]
    assert (cause["code"], cause["confidence"]) == ("race.threads", "probed")
    assert "planted" in cause["fix"]
    assert cause["location"]["source"] == "return library.sum(16)"
