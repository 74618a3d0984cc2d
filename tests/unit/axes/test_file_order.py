"""Order of listings, through every function that lists a folder."""

from __future__ import annotations

# ruff: noqa: PTH119, PTH207, PTH208 - the test is about the functions that pathlib would replace
import glob
import os
import shutil
from collections.abc import Callable
from os import listdir as bound_before
from pathlib import Path

import pytest

from pytest_repro.axes import AxisContext, find_axis
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
}


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


@pytest.mark.parametrize("bad", ["ascending", 1, "", None, ["sorted"]])
def test_an_unknown_order_is_rejected(bad: object) -> None:
    with pytest.raises(UsageError, match="'sorted', 'reversed', 'shuffled'"):
        find_axis("file_order").validate(bad)  # type: ignore[arg-type]
