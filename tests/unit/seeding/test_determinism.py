"""Deterministic mode: switched on, verified, with warnings where it fails, and switched off."""

from __future__ import annotations

import os
import sys
from typing import Any

import pytest

from pytest_repro import ReproWarning, UsageError, deterministic, seeding
from tests.unit.seeding.helpers import run_python

torch = pytest.importorskip("torch")

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


@pytest.fixture(autouse=True)
def no_workspace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the variable, which the machine may set."""
    monkeypatch.delenv(WORKSPACE, raising=False)


def test_a_block_is_deterministic_and_restores_the_settings() -> None:
    before, finders = seeding.read_settings(), list(sys.meta_path)
    torch.backends.cudnn.benchmark = True
    with deterministic() as mode:
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.is_deterministic_algorithms_warn_only_enabled()
        assert torch.backends.cudnn.deterministic is True
        assert torch.backends.cudnn.benchmark is False
        assert torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction is False
        assert torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction is False
        assert os.environ[WORKSPACE] == ":4096:8"
        assert torch.isnan(torch.empty(3)).all()
        assert [setting.name for setting in mode.settings if not setting.took_effect] == []
        assert seeding.Setting("torch.cudnn_benchmark", False, False, True) in mode.settings
    assert torch.backends.cudnn.benchmark is True
    torch.backends.cudnn.benchmark = False
    assert seeding.read_settings() == before
    assert WORKSPACE not in os.environ
    assert sys.meta_path == finders


def test_a_block_that_raises_restores_the_settings() -> None:
    before = seeding.read_settings()
    with pytest.raises(ZeroDivisionError), deterministic():
        raise ZeroDivisionError
    assert seeding.read_settings() == before


def test_a_plain_call_stays_on_until_it_is_closed() -> None:
    mode = deterministic()
    assert torch.are_deterministic_algorithms_enabled()
    mode.close()
    assert not torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    mode.close()  # a second call does nothing
    assert torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(False)


def test_blocks_nest() -> None:
    with deterministic():
        with deterministic(warn_only=True):
            assert torch.is_deterministic_algorithms_warn_only_enabled()
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.is_deterministic_algorithms_warn_only_enabled()
    assert not torch.are_deterministic_algorithms_enabled()


def test_filling_uninitialised_memory_can_be_switched_off() -> None:
    with deterministic(fill_uninitialized=False):
        assert torch.utils.deterministic.fill_uninitialized_memory is False
    assert torch.utils.deterministic.fill_uninitialized_memory is True


@pytest.mark.parametrize("arguments", [{"warn_only": 1}, {"fill_uninitialized": None}, {"warn_only": "no"}])
def test_an_argument_that_is_not_a_bool_is_rejected_and_nothing_is_switched(arguments: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="must be True or False"):
        deterministic(**arguments)
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize("value", [":4096:8", ":16:8"])
def test_a_deterministic_workspace_set_by_the_user_is_kept(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WORKSPACE, value)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    with deterministic() as mode:
        assert os.environ[WORKSPACE] == value
        assert mode.settings[0] == seeding.Setting(f"environ.{WORKSPACE}", ":4096:8", value, True)
    assert os.environ[WORKSPACE] == value


def test_a_workspace_set_too_late_for_cuda_gives_a_warning_with_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    with pytest.warns(
        ReproWarning, match=r"did not take effect: CUDA is already initialised.*in the environment"
    ) as warned:
        mode = deterministic()
    mode.close()
    assert warned[0].filename == __file__
    assert [setting.name for setting in mode.settings if not setting.took_effect] == [f"environ.{WORKSPACE}"]


def test_a_setting_without_effect_gives_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "use_deterministic_algorithms", lambda mode, *, warn_only: None)
    with pytest.warns(ReproWarning, match=r"torch.deterministic_algorithms=on did not take effect: its value is off"):
        deterministic().close()


def test_a_setting_that_raises_gives_a_warning_and_the_others_are_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(mode: bool, *, warn_only: bool) -> None:
        raise OSError("no such switch")

    monkeypatch.setattr(torch, "use_deterministic_algorithms", fail)
    with pytest.warns(ReproWarning, match="OSError: no such switch"), deterministic():
        assert torch.backends.cudnn.deterministic is True
    assert torch.backends.cudnn.deterministic is False


@pytest.mark.filterwarnings("error")
def test_a_warning_turned_into_an_error_leaves_no_setting_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    before, finders = seeding.read_settings(), list(sys.meta_path)
    monkeypatch.setattr(torch, "use_deterministic_algorithms", lambda mode, *, warn_only: None)
    with pytest.raises(ReproWarning):
        deterministic()
    assert seeding.read_settings() == before
    assert WORKSPACE not in os.environ
    assert sys.meta_path == finders


def test_an_operation_without_a_deterministic_version_raises_or_warns_as_requested() -> None:
    def scatter() -> None:
        torch.zeros(3).put_(torch.tensor([0, 0]), torch.ones(2), accumulate=False)

    with deterministic(), pytest.raises(RuntimeError, match="deterministic"):
        scatter()
    with deterministic(warn_only=True), pytest.warns(UserWarning, match="deterministic"):
        scatter()


def test_a_script_can_call_it_once_before_importing_torch() -> None:
    code = """
        import os
        from pytest_repro import deterministic
        mode = deterministic()
        print(mode.settings, os.environ.get("CUBLAS_WORKSPACE_CONFIG"))
        import torch
        print(os.environ["CUBLAS_WORKSPACE_CONFIG"], torch.are_deterministic_algorithms_enabled())
        print(len(mode.settings) > 5, all(setting.took_effect for setting in mode.settings))
    """
    assert run_python(code).splitlines() == ["[] None", ":4096:8 True", "True True"]
