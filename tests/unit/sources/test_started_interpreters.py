from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_repro.sources.started_interpreters import is_python, pinned_in_started, variables_in_started
from tests.unit.sources.helpers import DRAWING


def started(code: str, *arguments: str) -> str:
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr == ""
    return done.stdout


ENTROPY = [
    "import os; print(os.urandom(8))",
    "import random; print(random.random())",
    "import random; random.seed(); print(random.random())",
    "import random; print(random.Random().random(), random.SystemRandom().random())",
    "import secrets, uuid; print(secrets.token_hex(), uuid.uuid4())",
    "import numpy; print(numpy.random.default_rng().random(), numpy.random.rand(), numpy.random.RandomState().rand())",
]


@pytest.mark.parametrize("code", ENTROPY)
def test_entropy_is_pinned_in_started_interpreters_and_only_then(code: str) -> None:
    assert started(code) != started(code)
    with pinned_in_started(["entropy"]):
        assert started(code) == started(code)
    assert started(code) != started(code)


#: What a worker of multiprocessing or joblib is started with stands among its arguments.
WORKER = "--multiprocessing-fork"


@pytest.mark.parametrize("code", ENTROPY)
def test_entropy_of_workers_is_pinned_apart_from_that_of_other_interpreters(code: str) -> None:
    with pinned_in_started(["workers"]):
        assert started(code, WORKER) == started(code, WORKER)
        assert started(code) != started(code)
    with pinned_in_started(["entropy"]):
        assert started(code, WORKER) != started(code, WORKER)


TASKS = """
import importlib, os

def task():
    return os.urandom(8), once()

def first_task():
    importlib.import_module("numpy.random").default_rng()
    return task()
"""


@pytest.fixture
def tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "their_tasks.py").write_text(DRAWING + TASKS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


@pytest.mark.usefixtures("tasks")
def test_each_task_of_a_worker_draws_the_same_whichever_it_does_first() -> None:
    code = "from their_tasks import *; print(first_task() == task() == task())"
    with pinned_in_started(["workers", "entropy"]):
        assert started(code, WORKER) == "True\n"
        assert started(code) == "False\n"


@pytest.mark.usefixtures("tasks")
def test_a_task_that_draws_until_a_number_suits_it_ends() -> None:
    code = "from their_tasks import *; a = until_it_suits(); print(len(a) == len(set(a)), a == until_it_suits())"
    with pinned_in_started(["workers"]):
        assert started(code, WORKER) == "True True\n"


def test_a_task_without_code_of_the_users_ends_too() -> None:
    code = "import secrets; print([secrets.randbelow(2**40 + 1) for _ in range(50)])"
    with pinned_in_started(["workers"]):
        assert started(code, WORKER) == started(code, WORKER)


def test_a_seed_still_decides() -> None:
    code = "import random; random.seed(5); print(random.random(), random.Random(7).random())"
    with pinned_in_started(["entropy"]):
        held = started(code)
    assert held == started(code)


@pytest.mark.parametrize(
    ("pin", "code"),
    [("time", "import time; print(time.time(), time.time_ns())"), ("pid", "import os; print(os.getpid())")],
)
def test_time_and_pid_are_pinned(pin: str, code: str) -> None:
    with pinned_in_started(["mtime"]):
        assert started(code) != started(code)
    with pinned_in_started([pin]):
        assert started(code) == started(code)


def test_pinned_time_advances() -> None:
    with pinned_in_started(["time"]):
        assert started("import time; a = time.time(); print(time.time() > a)") == "True\n"


def test_the_environment_is_as_it_was_and_ones_own_sitecustomize_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import builtins; builtins.mine = 3")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    before = dict(os.environ)
    with pinned_in_started(["entropy"]):
        found = started("import sys; print(mine, sum('started' in entry for entry in sys.path))")
    assert found == "3 0\n"
    assert dict(os.environ) == before


@pytest.mark.parametrize(
    ("executable", "arguments", "expected"),
    [
        (sys.executable, ["python", "-c", "1"], True),
        (None, ["/usr/bin/python3.11", "train.py"], True),
        (None, "python3 train.py --seed 1", True),
        (None, ["python3.13t"], True),
        ("/bin/sh", ["-c", "python train.py"], False),
        (None, ["pythonic"], False),
        (None, [b"/usr/bin/python"], True),
        (None, [], False),
        (None, None, False),
        (None, "", False),
    ],
)
def test_an_interpreter_is_recognised_by_its_name(executable: object, arguments: object, expected: bool) -> None:
    assert is_python(executable, arguments) is expected


def started_with(environment: dict[str, str], code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    ).stdout


ORDER = "print(*set('the quick brown fox jumps over the lazy dog'.split()))"


def test_programs_with_an_environment_of_their_own_are_pinned_too() -> None:
    with pinned_in_started(["entropy"]):
        assert started_with({}, ENTROPY[1]) == started_with({}, ENTROPY[1])
        assert started_with({"PYTHONPATH": "/other"}, ENTROPY[1]) == started_with({}, ENTROPY[1])
    assert started_with({}, ENTROPY[1]) != started_with({}, ENTROPY[1])
    with variables_in_started({"PYTHONHASHSEED": "0"}):
        assert len({started_with({}, ORDER) for _ in range(4)}) == 1
        # What the code sets itself is no source.
        assert started_with({"PYTHONHASHSEED": "1"}, "import os; print(os.environ['PYTHONHASHSEED'])") == "1\n"
    assert len({started_with({}, ORDER) for _ in range(4)}) > 1
