"""Tasks in a new interpreter, a fork, or this process: the same answer, and every failure reported."""

from __future__ import annotations

import os
import sys
import time

import numpy as np
import pytest

from pytest_repro import UsageError
from pytest_repro.capturing import capture_tree
from pytest_repro.equivalences import processes
from pytest_repro.equivalences.processes import Place, choose_place, run_task, run_tasks
from pytest_repro.errors import ChildError
from tests.unit.equivalences import loops

linux = pytest.mark.skipif(sys.platform != "linux", reason="forks are used on Linux")
PLACES = [Place("fresh"), pytest.param(Place("fork"), marks=linux), Place("same")]


def work(report, *, func):
    report.write("result", capture_tree(func()))
    report.facts["pid"] = os.getpid()
    report.facts["environment"] = os.environ.get("PYTEST_REPRO_PROBE")


def die(report):
    os._exit(3)


def sleep(report):
    time.sleep(60)


def spin(report):
    while True:
        pass


@pytest.mark.parametrize("place", PLACES, ids=lambda p: p.mode)
def test_a_task_returns_the_same_in_every_kind_of_process(place, tmp_path):
    report = run_task((work, {"func": loops.sum_of_sines}, tmp_path / "t", "work"), place, timeout_s=60)
    assert np.array_equal(report.read("result").leaves["result"].data, loops.sum_of_sines())
    assert (report.facts["pid"] == os.getpid()) == (place.mode == "same")


def test_a_new_interpreter_gets_the_environment_that_it_was_given(tmp_path):
    arguments = {"func": loops.sum_of_sines}
    changes = {"PYTEST_REPRO_PROBE": "yes"}
    job = (work, arguments, tmp_path / "t", "work")
    report = run_task(job, Place("fresh"), timeout_s=60, environment=changes)
    assert report.facts["environment"] == "yes"


@pytest.mark.parametrize("place", PLACES[:2], ids=lambda p: p.mode)
def test_an_error_in_another_process_comes_with_its_traceback(place, tmp_path):
    with pytest.raises(ChildError, match=r"(?s)this work failed in another process.*ValueError: by itself"):
        run_task((work, {"func": loops.fail}, tmp_path / "t", "this work"), place, timeout_s=60)


@pytest.mark.parametrize("place", PLACES[:2], ids=lambda p: p.mode)
def test_a_process_that_dies_is_an_error(place, tmp_path):
    with pytest.raises(ChildError, match=r"exit code 3|without an answer"):
        run_task((die, {}, tmp_path / "t", "dying"), place, timeout_s=60)


@pytest.mark.parametrize("place", PLACES[:2], ids=lambda p: p.mode)
def test_a_process_that_never_ends_is_stopped(place, tmp_path):
    started = time.monotonic()
    with pytest.raises(ChildError, match="was stopped after"):
        run_task((spin, {}, tmp_path / "t", "spinning"), place, timeout_s=1.5)
    assert time.monotonic() - started < 30


@linux
def test_a_fork_that_hangs_is_replaced_by_this_process(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "IDLE_S", 0.3)
    parent = os.getpid()

    def hangs_in_a_fork(report):
        if os.getpid() != parent:
            time.sleep(60)

    jobs = [(hangs_in_a_fork, {}, tmp_path / "t", "work")]
    _, place = run_tasks(jobs, Place("fork"), timeout_s=60)
    assert place.mode == "same"
    assert "a fork of it hung" in place.note


def test_importable_functions_get_a_new_interpreter_and_others_a_fallback():
    assert choose_place("a", {"make": loops.Walk, "step": None}, None) == Place("fresh")
    place = choose_place("a", {"make": lambda: 1}, None)
    assert place.mode in ("fork", "same")
    assert "`make` is a lambda" in place.note


def test_a_process_with_a_framework_that_cannot_be_forked_is_not_forked(monkeypatch):
    monkeypatch.setitem(sys.modules, "jax", sys)
    assert choose_place("a", {"make": lambda: 1}, None).mode == "same"
    with pytest.raises(UsageError, match="jax does not survive a fork"):
        choose_place("a", {"make": loops.Walk}, "fork")
