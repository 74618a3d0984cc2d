"""Order of listings, through every function that lists a folder."""

from __future__ import annotations

# ruff: noqa: PTH119, PTH120, PTH207, PTH208 - the test is about the functions that pathlib would replace
import glob
import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from os import listdir as bound_before
from os import scandir as scan_bound_before
from pathlib import Path
from typing import Any

import pytest

from pytest_repro.axes import AxisContext, Effect, find_axis
from pytest_repro.axes.started_programs import end_kept_workers
from pytest_repro.engines.condition import apply_condition, judge_effects, verify_condition
from pytest_repro.errors import UsageError
from pytest_repro.model import Condition

LISTERS: dict[str, Callable[[Path], list[str]]] = {
    "os.listdir": lambda folder: os.listdir(folder),
    "os.listdir of bytes": lambda folder: [os.fsdecode(name) for name in os.listdir(os.fsencode(folder))],
    "os.scandir": lambda folder: [entry.name for entry in os.scandir(folder)],
    "listdir bound before": lambda folder: bound_before(folder),
    "glob.glob": lambda folder: [os.path.basename(path) for path in glob.glob(f"{folder}/*")],
    "Path.iterdir": lambda folder: [path.name for path in folder.iterdir()],
    "Path.glob": lambda folder: [path.name for path in folder.glob("*")],
    "Path.rglob": lambda folder: [path.name for path in folder.rglob("*.npy")],
    "os.walk": lambda folder: next(iter(os.walk(folder)))[2],
    "os.fwalk": lambda folder: next(iter(os.fwalk(folder)))[2],
    "listing of a descriptor": lambda folder: list_descriptor(folder),
    "scandir bound before": lambda folder: [entry.name for entry in scan_bound_before(folder)],
    "a default argument": lambda folder: listed_by_default(folder),
    "glob.iglob": lambda folder: list(glob.iglob("*", root_dir=folder)),
    "shutil.copytree": lambda folder: copied_order(folder),
    "a fork": lambda folder: in_worker("fork", folder),
    "a spawned worker": lambda folder: in_worker("spawn", folder),
    "a worker of a fork server": lambda folder: in_worker("forkserver", folder),
    "a Python interpreter": lambda folder: started([sys.executable, "-c", PRINT], folder),
    "a Python interpreter with an environment": lambda folder: started([sys.executable, "-c", PRINT], folder, env={}),
    "a Python interpreter in a shell": lambda folder: started([f"{sys.executable} -c '{PRINT}'"], folder, shell=True),
}
if sys.version_info >= (3, 12):
    LISTERS["Path.walk"] = lambda folder: next(iter(folder.walk()))[2]
PRINT = "import os; print(*os.listdir(), sep=chr(10))"


def list_descriptor(folder: Path) -> list[str]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        return os.listdir(descriptor)
    finally:
        os.close(descriptor)


def listed_by_default(folder: Path, function: Callable[[Path], list[str]] = os.listdir) -> list[str]:
    return function(folder)


def copied_order(folder: Path) -> list[str]:
    seen: list[str] = []
    with tempfile.TemporaryDirectory() as target:
        shutil.copytree(folder, Path(target) / "copy", ignore=lambda _, names: seen.extend(names) or ())
    return seen


def in_worker(method: str, folder: Path) -> list[str]:
    end_kept_workers()
    with multiprocessing.get_context(method).Pool(1) as pool:
        (names,) = pool.map(os.listdir, [str(folder)])
    end_kept_workers()
    return names


def started(command: list[str], folder: Path, **options: Any) -> list[str]:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=60, **options)
    assert done.stderr == ""
    return done.stdout.splitlines()


def list_under(order: str | None, lister: Callable[[Path], list[str]], folder: Path) -> list[str]:
    with apply_condition(Condition((("file_order", order),)), AxisContext(folder)):
        return lister(folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b", "a", "d", "c", "\u00e4"):
        (tmp_path / f"{name}.npy").write_text("")
    return tmp_path


@pytest.mark.parametrize("lister", LISTERS.values(), ids=LISTERS)
def test_every_way_to_list_a_folder_gets_the_order(lister: Callable[[Path], list[str]], folder: Path) -> None:
    ascending = [f"{name}.npy" for name in ("a", "b", "c", "d", "\u00e4")]
    real = lister(folder)
    assert list_under("sorted", lister, folder) == ascending
    assert list_under("reversed", lister, folder) == ascending[::-1]
    shuffled = list_under("shuffled", lister, folder)
    assert sorted(shuffled) == sorted(ascending)
    assert shuffled not in (ascending, ascending[::-1])
    assert list_under(None, lister, folder) == real == lister(folder)


def test_two_entries_are_enough_for_two_orders(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    (tmp_path / "y").write_text("")
    assert list_under("sorted", lambda f: os.listdir(f), tmp_path) == ["x", "y"]
    assert list_under("reversed", lambda f: os.listdir(f), tmp_path) == ["y", "x"]


def test_a_scan_can_be_iterated_closed_and_entered_like_the_real_one(folder: Path) -> None:
    with apply_condition(Condition((("file_order", "reversed"),)), AxisContext(folder)):
        with os.scandir(folder) as entries:
            assert next(entries).is_file()
        assert list(entries) == []
        with pytest.raises(FileNotFoundError):
            os.scandir(folder / "missing")
        with pytest.raises(FileNotFoundError):
            os.listdir(folder / "missing")
        assert os.listdir() == sorted(os.listdir("."), key=os.fsencode, reverse=True)


def test_removing_a_tree_still_works(folder: Path) -> None:
    (folder / "deep" / "deeper").mkdir(parents=True)
    with apply_condition(Condition((("file_order", "shuffled"),)), AxisContext(folder)):
        shutil.rmtree(folder / "deep")
    assert not (folder / "deep").exists()


def test_a_module_imported_meanwhile_binds_the_real_functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "late_lister.py").write_text("from os import listdir, scandir\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    real = os.listdir
    with apply_condition(Condition((("file_order", "reversed"),)), AxisContext(tmp_path)):
        import late_lister  # type: ignore[import-not-found]

        assert late_lister.listdir(os.path.dirname(os.__file__))[0] > "x"
    assert late_lister.listdir is os.listdir is real is bound_before


def test_two_orders_count_as_varied_and_equal_ones_do_not(tmp_path: Path) -> None:
    effects = {}
    for order in ("sorted", "reversed", "shuffled"):
        condition = Condition((("file_order", order),))
        with apply_condition(condition, AxisContext(tmp_path)):
            effects[order] = verify_condition(condition, ["file_order"])
            assert not effects[order][0].problems
    for one, other, status in (
        ("sorted", "reversed", "varied"),
        ("reversed", "shuffled", "varied"),
        ("sorted",) * 2 + ("not_varied",),
    ):
        (variation,) = judge_effects(effects[one], effects[other], Condition((("file_order", other),)))
        assert variation.status == status


def test_the_functions_remain_the_same_objects_and_can_be_pickled(folder: Path) -> None:
    real, known = os.listdir, os.listdir in os.supports_fd
    with apply_condition(Condition((("file_order", "reversed"),)), AxisContext(folder)):
        assert os.listdir is real is bound_before
        assert pickle.loads(pickle.dumps(os.listdir)) is real
        assert os.listdir.__module__ == os.stat.__module__
        assert os.listdir in os.supports_fd
    assert (os.listdir in os.supports_fd) == known
    assert os.listdir is real


def read_effect(order: str | None, run: Callable[[], object], folder: Path) -> Effect:
    condition = Condition((("file_order", order),) if order else ())
    with apply_condition(condition, AxisContext(folder), ["file_order"]):
        run()
        (effect,) = verify_condition(condition, ["file_order"])
    return effect


def run_quietly(*command: str, **options: Any) -> Callable[[], object]:
    return lambda: subprocess.run(command, stdout=subprocess.DEVNULL, check=True, timeout=60, **options)


#: Ways out of reach, with the component under which they are reported.
UNREACHED = {
    "find": (run_quietly("find", "/etc", "-maxdepth", "1"), "the program find"),
    "find in a shell": (run_quietly("cd /etc && find . -maxdepth 1 | cat", shell=True), "the program find"),
    "ls -U": (run_quietly("ls", "-U", "/etc"), "the program ls -U"),
    "python -I": (
        run_quietly(sys.executable, "-Ic", PRINT),
        "a Python interpreter that ignores PYTHONPATH or site",
    ),
}


@pytest.mark.skipif(sys.platform == "win32", reason="these are programs of Unix")
@pytest.mark.parametrize(("run", "component"), UNREACHED.values(), ids=UNREACHED)
@pytest.mark.parametrize("baseline", ["sorted", None])
def test_a_way_out_of_reach_is_not_varied(
    baseline: str | None, run: Callable[[], object], component: str, tmp_path: Path
) -> None:
    orders = (baseline, "reversed")
    alone = [read_effect(order, run, tmp_path) for order in orders]
    (variation,) = judge_effects([alone[0]], [alone[1]], Condition((("file_order", "reversed"),)))
    assert (variation.status, variation.unchanged) == ("not_varied", (component,))
    if baseline is None:
        return
    beside = [read_effect(order, lambda: (os.listdir("/"), run()), tmp_path) for order in orders]
    (variation,) = judge_effects([beside[0]], [beside[1]], Condition((("file_order", "reversed"),)))
    assert variation.status == "partly"
    assert f"not {component}" in variation.describe()


@pytest.mark.skipif(sys.platform != "linux", reason="the calls of libraries are seen on Linux alone")
def test_a_listing_by_a_compiled_library_is_not_varied(tmp_path: Path) -> None:
    fs: Any = pytest.importorskip("pyarrow.fs")
    (tmp_path / "a").touch()

    def run() -> None:
        fs.LocalFileSystem().get_file_info(fs.FileSelector(str(tmp_path)))

    effects = [read_effect(order, run, tmp_path) for order in ("sorted", "reversed")]
    (variation,) = judge_effects(effects[:1], effects[1:], Condition((("file_order", "reversed"),)))
    assert variation.status == "not_varied"
    assert "libarrow" in variation.unchanged[0]


@pytest.mark.skipif(sys.platform == "win32", reason="these are programs of Unix")
@pytest.mark.parametrize("command", [("ls", "/"), ("date",), (sys.executable, "-c", "pass")])
def test_a_program_that_lists_nothing_or_sorted_is_not_reported(command: tuple[str, ...], tmp_path: Path) -> None:
    effect = read_effect("reversed", run_quietly(*command), tmp_path)
    assert effect.problems == ()
    assert set(effect.observed) == {"os.listdir", "os.scandir"}


@pytest.mark.parametrize("bad", ["ascending", 1, "", None, ["sorted"]])
def test_an_unknown_order_is_rejected(bad: object) -> None:
    with pytest.raises(UsageError, match="'sorted', 'reversed', 'shuffled'"):
        find_axis("file_order").validate(bad)  # type: ignore[arg-type]
