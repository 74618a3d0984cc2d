"""The ways to read what an axis varies, each of which follows or is reported."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from pytest_repro.axes import Machine
from pytest_repro.axes.clock import has_time_machine
from tests.unit.axes.children import Child, judge, run_child

DAY_S = 86_400
needs_time_machine = pytest.mark.skipif(not has_time_machine(), reason="time-machine 3 or newer is not installed")
needs_unix = pytest.mark.skipif(sys.platform == "win32", reason="these are programs of Unix")

#: Expressions for the days that a clock is ahead, by the modules that they need. The names were bound before.
CLOCKS = {
    "import time": ("time.time()", "bound_time()", "time.time_ns() / 1e9", "time.clock_gettime(time.CLOCK_REALTIME)"),
    "import time, calendar": ("time.mktime(time.localtime())", "calendar.timegm(time.gmtime())"),
    "import datetime": (
        "datetime.datetime.now().timestamp()",
        "bound_datetime.now().timestamp()",
        "datetime.datetime.now(datetime.UTC).timestamp()",
        "datetime.datetime.today().timestamp()",
        "datetime.datetime.fromtimestamp(time.time()).timestamp()",
    ),
    "import logging": ("logging.LogRecord('a', 10, 'b', 1, 'c', (), None).created",),
    "import email.utils": ("email.utils.parsedate_to_datetime(email.utils.formatdate()).timestamp()",),
    "import uuid": ("(uuid.uuid1().time - 0x01b21dd213814000) / 1e7",),
    "import random, threading": ("in_thread(time.time)",),
}
BEFORE = "import sys, time, datetime; sys.bound = time.time, datetime.datetime"
IN_THREAD = """
import concurrent.futures, datetime, sys, time
bound_time, bound_datetime = sys.bound
def in_thread(function):
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()
from pytest_repro.axes.clock import read_real_time
"""


def read_clocks(expressions: dict[str, tuple[str, ...]], shift_s: int, before: str = BEFORE) -> dict[str, float]:
    """Return by how many days each expression is ahead of the C library's clock."""
    code = [IN_THREAD]
    for imports, group in expressions.items():
        code += [imports, *(f"seen[{text!r}] = ({text} - read_real_time()) / {DAY_S}" for text in group)]
    return run_child({"clock": shift_s}, "\n".join(code), before=before).seen


@needs_time_machine
def test_every_way_of_the_standard_library_to_read_the_time_follows_the_clock() -> None:
    seen = read_clocks(CLOCKS, 10 * DAY_S)
    assert seen == pytest.approx(dict.fromkeys(seen, 10.0), abs=0.01)
    assert len(seen) == 15


@needs_time_machine
def test_numpy_and_pandas_follow_the_clock() -> None:
    pytest.importorskip("pandas")
    texts = ("pandas.Timestamp.now('UTC').timestamp()", "pandas.Timestamp('now', tz='UTC').timestamp()")
    numpy = "numpy.datetime64('now', 's').astype('i8').item()"
    seen = read_clocks({"import pandas": texts, "import numpy": (numpy,)}, 10 * DAY_S, before=f"{BEFORE}\nimport numpy")
    assert seen == pytest.approx(dict.fromkeys(seen, 10.0), abs=0.01)


@needs_time_machine
def test_files_keep_the_real_time() -> None:
    text = "os.stat(open(tempfile.mkdtemp() + '/a', 'w').name).st_mtime"
    seen = read_clocks({"import os, tempfile": (text,)}, 10 * DAY_S)
    assert seen[text] == pytest.approx(0, abs=0.01)


def run_both(axis: str, values: tuple[Any, Any], body: str, **options: Any) -> tuple[Child, Child]:
    return run_child({axis: values[0]}, body, **options), run_child({axis: values[1]}, body, **options)


@needs_unix
def test_a_program_reads_the_real_time_and_is_reported() -> None:
    body = "import subprocess; seen['now'] = int(subprocess.run(['date', '+%s'], capture_output=True).stdout)"
    one, other = run_both("clock", (0, 10 * DAY_S), body)
    assert abs(one.seen["now"] - other.seen["now"]) < 60
    variation = judge(one, other, "clock")
    assert variation.status == "partly"
    assert variation.unchanged[-1] == "the programs that the run starts"
    assert "they read the real time" in variation.describe()


PYTHON = "import subprocess, sys; run = lambda code: subprocess.run([sys.executable, '-c', code], capture_output=True)"

#: Expressions for the hour of a fixed moment.
ZONES = (
    "time.localtime(moment).tm_hour",
    "int(time.strftime('%H', time.localtime(moment)))",
    "datetime.datetime.fromtimestamp(moment).hour",
    "datetime.datetime.fromtimestamp(moment, datetime.UTC).astimezone().hour",
    "int(time.ctime(moment)[11:13])",
    "int(run('import time; print(time.localtime(1_700_000_000).tm_hour)').stdout)",
    "multiprocessing.get_context('fork').Pool(1).map(time.localtime, [moment])[0].tm_hour",
)


@needs_unix
def test_every_way_to_read_a_local_time_follows_the_time_zone() -> None:
    code = ["import datetime, multiprocessing, time", PYTHON, "moment = 1_700_000_000"]
    code += [f"seen[{text!r}] = {text}" for text in ZONES]
    code += ["seen['date'] = int(subprocess.run(['date', '-d', f'@{moment}', '+%H'], capture_output=True).stdout)"]
    one, other = run_both("timezone", ("UTC0", "<+09>-9"), "\n".join(code))
    assert set(one.seen.values()) == {22}
    assert set(other.seen.values()) == {7}
    assert len(one.seen) == 8


@pytest.mark.skipif(Machine.here().cores < 2, reason="one core")
def test_every_way_to_count_cores_follows_the_number_of_cores() -> None:
    code = f"""
import concurrent.futures, multiprocessing, os
from os import cpu_count
{PYTHON}
seen['counts'] = [
    os.cpu_count(), cpu_count(), bound(), multiprocessing.cpu_count(), len(os.sched_getaffinity(0)),
    os.sysconf('SC_NPROCESSORS_ONLN'), os.sysconf('SC_NPROCESSORS_CONF'),
    getattr(os, 'process_cpu_count', cpu_count)(), int(run('import os; print(len(os.sched_getaffinity(0)))').stdout),
]
seen['page'] = os.sysconf('SC_PAGE_SIZE') > 1
"""
    before = "import builtins, os; builtins.bound = os.cpu_count"
    one, other = run_both("cpu_count", (1, 2), code, before=before)
    assert (set(one.seen["counts"]), one.seen["page"]) == ({1}, True)
    assert (set(other.seen["counts"]), other.seen["page"]) == ({2}, True)


@needs_unix
def test_every_way_to_find_the_working_directory_follows_it() -> None:
    code = f"""
import glob, multiprocessing, os, pathlib
{PYTHON}
ways = [
    os.getcwd(), str(pathlib.Path.cwd()), os.path.abspath('.'), str(pathlib.Path('.').resolve()), os.environ['PWD'],
    run('import os; print(os.getcwd())').stdout.decode().strip(),
    subprocess.run('pwd', shell=True, capture_output=True).stdout.decode().strip(),
    multiprocessing.get_context('fork').Pool(1).apply(os.getcwd),
]
seen['ways'] = [len({{os.path.realpath(way) for way in ways}}), os.path.basename(ways[0]), glob.glob('*')]
"""
    assert run_child({"cwd": "<empty>"}, code).seen["ways"] == [1, "cwd", []]


def test_interpreters_that_the_run_starts_follow_the_hash_seed() -> None:
    code = f"""
{PYTHON}
seen['hashes'] = [hash('word'), int(run("print(hash('word'))").stdout)]
"""
    one, other = run_both("hash_seed", (1, 2), code)
    assert len(set(one.seen["hashes"])) == len(set(other.seen["hashes"])) == 1
    assert one.seen != other.seen


def test_interpreters_that_the_run_starts_get_the_variables() -> None:
    code = f"""
import os
{PYTHON}
started = run("import os; print(os.environ['A_NAME'])").stdout.decode()
seen['texts'] = [os.environ['A_NAME'], os.getenv('A_NAME'), started]
"""
    assert run_child({"env": {"A_NAME": "text"}}, code).seen["texts"] == ["text", "text", "text\n"]


@pytest.mark.skipif(not Machine.here().has_glibc, reason="not glibc")
def test_programs_that_the_run_starts_get_filled_memory() -> None:
    code = f"""
{PYTHON}
seen['bytes'] = run('''
import ctypes
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
print(set(ctypes.string_at(libc.malloc(8192), 8192)) == {{0x7f}})
''').stdout.decode()
import os
seen['here'] = 'MALLOC_PERTURB_' in os.environ
"""
    child = run_child({"memory": 0x7F}, code, before="import os; os.environ.pop('MALLOC_PERTURB_', None)")
    assert child.seen == {"bytes": "True\n", "here": False}
