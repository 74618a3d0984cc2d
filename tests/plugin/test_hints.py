"""Hints after an identical verdict: what the test was seen to reach and no run varied."""

from __future__ import annotations

import pytest

from tests.plugin.helpers import Session, Sessions

PLAIN = """
    import glob
    import multiprocessing
    import os
    import subprocess
    import sys
    import threading
    from concurrent.futures import ThreadPoolExecutor
    import pytest

    pytestmark = pytest.mark.reproducible

    @pytest.fixture
    def folder(tmp_path):
        (tmp_path / "a").touch()
        return tmp_path

    def test_list(folder):
        return len(os.listdir(folder))

    def test_pathlib(folder):
        return [path.name for path in folder.iterdir()]

    def test_glob(folder):
        return len(glob.glob(str(folder / "*")))

    def test_thread():
        thread = threading.Thread(target=print)
        thread.start()
        thread.join()
        return 1

    def test_executor():
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(abs, [1, -2]))

    def test_process():
        return subprocess.run([sys.executable, "-c", "print(1)"], capture_output=True, check=True).stdout

    def test_workers():
        with multiprocessing.get_context("fork").Pool(2) as pool:
            return pool.map(abs, [1, -2])

    def test_nothing(tmp_path, tmp_path_factory):
        import wave  # which lists folders to find it
        tmp_path_factory.mktemp("other")
        return os.path.exists(tmp_path)

    def test_diverges(folder):
        return os.listdir(folder), os.urandom(8).hex()
"""
LISTS = "lists a folder, and no run varied the order: add file_order"
THREADS = "starts threads, and no run varied their order: add schedule"
PROCESSES = "starts processes, and no run varied the order in which they end: add schedule"


def hints(session: Session, name: str) -> list[str]:
    return [hint.rpartition(" (")[0] for hint in session.test(name)["hints"]]


@pytest.mark.parametrize("engine", [(), ("--repro-isolate",)])
def test_a_hint_names_what_was_reached_its_line_and_the_axis_to_add(
    sessions: Sessions, engine: tuple[str, ...]
) -> None:
    session = sessions.run(PLAIN, "--no-repro-diagnose", *engine, apart=True)
    for name in ("test_list", "test_pathlib", "test_glob"):
        assert hints(session, name) == [LISTS], name
    assert session.test("test_list")["hints"] == [f"{LISTS} (test_it.py:19)"]
    assert hints(session, "test_thread") == hints(session, "test_executor") == [THREADS]
    assert PROCESSES in hints(session, "test_workers")
    # One program ends when it ends, and no axis varies that.
    assert hints(session, "test_process") == []
    assert hints(session, "test_nothing") == []
    assert (session.verdicts["test_diverges"], hints(session, "test_diverges")) == ("diverged", [])
    assert f"test_it.py::test_list {LISTS} (test_it.py:19); so do 2 more" in session.text


def test_what_a_run_varied_is_not_hinted_at(sessions: Sessions) -> None:
    session = sessions.run(PLAIN, "--no-repro-diagnose", "--repro-across=file_order,schedule", "-ktest_list or thread")
    assert hints(session, "test_list") == hints(session, "test_thread") == []
    assert "not varied by any run" not in session.text


@pytest.mark.parametrize(("options", "ini"), [(["--no-repro-hints"], ""), ([], "repro_hints = false")])
def test_hints_can_be_switched_off(sessions: Sessions, options: list[str], ini: str) -> None:
    session = sessions.run(PLAIN, "--no-repro-diagnose", "-ktest_list", *options, ini=ini)
    assert session.test("test_list")["hints"] == []
    assert "not varied by any run" not in session.text


def test_the_command_line_overrides_the_ini_file(sessions: Sessions) -> None:
    session = sessions.run(PLAIN, "--repro-hints", "-ktest_list", ini="repro_hints = false")
    assert hints(session, "test_list") == [LISTS]


TORCH = """
    import threading
    import pytest
    import torch
    import torch.nn.functional as F

    pytestmark = pytest.mark.reproducible

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.dropout = torch.nn.Linear(4, 4), torch.nn.Dropout(0.5)

        def forward(self, x):
            return F.dropout(self.linear(x))

    class Right(Net):
        def forward(self, x):
            return F.dropout(self.linear(x), training=self.training)

    def test_draws():
        return torch.nn.Sequential(Net()).eval()(torch.ones(2, 4))

    def test_right():
        model = Right().eval()
        return model(torch.ones(2, 4)), torch.randn(3)

    def test_draws_nothing():
        model = Net().eval()
        return model.linear(torch.ones(2, 4))

    def test_trains():
        teacher, student = Net().eval(), Net()
        torch.optim.SGD(student.parameters(), lr=0.1).step()
        return student(teacher(torch.ones(2, 4)))

    def test_attention():
        class Attention(torch.nn.Module):
            def forward(self, x):
                return F.scaled_dot_product_attention(x, x, x, dropout_p=0.5)

        return Attention().eval()(torch.ones(1, 4, 4))

    def test_compiled():
        model = Right()

        @torch.compile(fullgraph=True, backend="eager")
        def predict(x):
            model.eval()
            return model(x)

        return predict(torch.ones(2, 4))

    def test_module_is_left_alone():
        return torch.jit.script(torch.nn.Linear(2, 2)).eval()(torch.ones(1, 2))
"""


@pytest.mark.needs("torch")
@pytest.mark.parametrize("engine", [(), ("--repro-isolate",)])
def test_a_model_in_eval_that_draws_is_named_with_its_method(sessions: Sessions, engine: tuple[str, ...]) -> None:
    session = sessions.run(TORCH, "--no-repro-diagnose", *engine, apart=True)
    (hint,) = session.test("test_draws")["hints"]
    assert hint.startswith("draws random numbers while every module is in eval: pass training=self.training")
    assert hint.endswith("(test_it.py:15 in F.dropout of Net.forward)")
    (hint,) = session.test("test_attention")["hints"]
    assert hint.endswith("in F.scaled_dot_product_attention of Attention.forward)")
    for name in ("test_right", "test_draws_nothing", "test_trains", "test_compiled", "test_module_is_left_alone"):
        assert session.test(name)["hints"] == [], name


JAX = """
    import random
    import time
    from datetime import datetime
    import jax
    import numpy as np
    import pytest

    pytestmark = pytest.mark.reproducible

    def now():
        return datetime.now().timestamp()

    @jax.jit
    def timed(x):
        return x + time.time()

    @jax.jit
    def dated(x):
        return x + now()

    @jax.jit
    def noisy(x):
        return x + np.random.normal()

    @jax.jit
    def plain(x):
        return x + 1

    def test_timed():
        return np.asarray(timed(1.0))

    def test_dated():
        return np.asarray(dated(1.0))

    def test_noisy():
        return np.asarray(noisy(1.0))

    def test_plain():
        random.random(), time.time()
        return np.asarray(plain(1.0))

    def test_traced_in_each_run():
        return np.asarray(jax.jit(lambda x: x + 0 * time.time())(1.0))
"""


@pytest.mark.needs("jax")
def test_a_clock_and_a_draw_that_a_trace_keeps_are_named(sessions: Sessions) -> None:
    session = sessions.run(JAX, "--no-repro-diagnose", apart=True)
    (timed,), (dated,), (noisy,) = (session.test(name)["hints"] for name in ("test_timed", "test_dated", "test_noisy"))
    assert timed.startswith("reads the clock while tracing")
    assert timed.endswith("(test_it.py:16 in timed)")
    assert dated.endswith("(test_it.py:12 in now)")
    assert noisy.startswith("draws random numbers while tracing")
    assert session.test("test_plain")["hints"] == session.test("test_traced_in_each_run")["hints"] == []
