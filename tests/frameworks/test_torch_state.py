"""torch's generators and flags."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pytest_repro import seeding
from tests.unit.seeding.helpers import run_python

torch = pytest.importorskip("torch")


def draw() -> list[float]:
    return torch.randn(20).tolist()


def test_draws_follow_the_seed_and_the_stream_continues_afterwards() -> None:
    state = torch.get_rng_state()
    expected = [draw(), draw()]
    torch.set_rng_state(state)
    actual = [draw()]
    with seeding.seeded(3):
        first = draw()
    with pytest.raises(ZeroDivisionError), seeding.seeded(3):
        assert 1 / (draw() != first)
    with seeding.seeded(4):
        assert draw() != first
    assert [*actual, draw()] == expected


def test_seeding_has_the_effect_of_manual_seed() -> None:
    with seeding.seeded(3):
        actual = draw()
    with seeding.seeded(4):
        torch.manual_seed(3)
        assert draw() == actual


CHANGES: dict[str, tuple[Callable[[], object], str]] = {
    "dtype": (
        lambda: torch.set_default_dtype(torch.float64),
        "torch default dtype was left at float64; restored to float32",
    ),
    "device": (lambda: torch.set_default_device("meta"), "torch default device was left at meta; restored to unset"),
    "threads": (
        lambda: torch.set_num_threads(torch.get_num_threads() + 1),
        f"torch num threads was left at {torch.get_num_threads() + 1}; restored to {torch.get_num_threads()}",
    ),
    "grad": (lambda: torch.set_grad_enabled(False), "torch grad enabled was left at False; restored to True"),
    "anomaly": (
        lambda: torch.autograd.set_detect_anomaly(True),
        "torch anomaly detection was left at enabled=True; restored to enabled=False",
    ),
    "denormal": (lambda: torch.set_flush_denormal(True), "torch flush denormal was left at True; restored to False"),
    "deterministic": (
        lambda: torch.use_deterministic_algorithms(True, warn_only=True),
        "torch deterministic algorithms was left at warn_only; restored to off",
    ),
    "fill": (
        lambda: setattr(torch.utils.deterministic, "fill_uninitialized_memory", False),
        "torch fill uninitialized memory was left at False; restored to True",
    ),
    "benchmark": (
        lambda: setattr(torch.backends.cudnn, "benchmark", True),
        "torch cudnn benchmark was left at True; restored to False",
    ),
    "cudnn": (
        lambda: setattr(torch.backends.cudnn, "deterministic", True),
        "torch cudnn deterministic was left at True; restored to False",
    ),
    "reduction": (
        lambda: setattr(torch.backends.cuda.matmul, "allow_fp16_reduced_precision_reduction", False),
        "torch cuda matmul allow fp16 reduced precision reduction was left at (False, True); restored to (True, True)",
    ),
    "precision": (
        lambda: torch.set_float32_matmul_precision("medium"),
        "torch float32 precision was left at cuda.matmul=tf32, mkldnn.matmul=bf16, cuda.matmul.allow_tf32=True, "
        "float32_matmul_precision=medium; restored to cuda.matmul=none, mkldnn.matmul=none, "
        "cuda.matmul.allow_tf32=False, float32_matmul_precision=highest",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_flag_left_changed_is_reported_and_restored(change: str) -> None:
    apply, sentence = CHANGES[change]
    before = seeding.read_settings()
    state = seeding.save_state()
    apply()
    assert seeding.restore_state(state) == [sentence]
    assert seeding.read_settings() == before
    assert seeding.restore_state(state) == []


def test_inference_mode_left_on_is_restored_every_time() -> None:
    for _ in range(3):
        state = seeding.save_state()
        left_on = torch.inference_mode()
        left_on.__enter__()
        assert "torch inference mode was left at True; restored to False" in seeding.restore_state(state)
        assert not torch.is_inference_mode_enabled()
        del left_on
    assert not torch.is_inference_mode_enabled()
    assert torch.ones(1, requires_grad=True).sum().requires_grad


def test_the_current_number_of_threads_is_reported() -> None:
    state = seeding.save_state()
    torch.set_num_threads(1)
    assert seeding.read_settings()["torch.num_threads"] == 1
    seeding.restore_state(state)


def test_no_accelerator_is_initialised_or_counted() -> None:
    code = """
        import torch
        from pytest_repro import seeding
        torch.cuda._lazy_init = torch.cuda.device_count = torch.xpu._lazy_init = lambda: 1 / 0
        torch.set_default_device("cuda")  # torch.get_default_device() would initialise CUDA from now on
        with seeding.seeded(3), seeding.deterministic():
            seeding.read_settings()
        print(torch.cuda.is_initialized(), torch.xpu.is_initialized())
    """
    assert run_python(code) == "False False"


class FakeAccelerator:
    """Device module like torch.cuda, so that the tests need no GPU."""

    def __init__(self, initialized: bool) -> None:
        self.initialized = initialized
        self.state = torch.tensor([41], dtype=torch.uint8)
        self.seeds: list[int] = []

    def is_initialized(self) -> bool:
        return self.initialized

    def _is_in_bad_fork(self) -> bool:
        return False

    def manual_seed_all(self, seed: int) -> None:
        self.seeds.append(seed)
        self.state = torch.tensor([seed % 256], dtype=torch.uint8)

    def get_rng_state_all(self) -> list[object]:
        assert self.initialized, "read the generators of a device that is not initialised"
        return [self.state]

    def set_rng_state_all(self, states: list[object]) -> None:
        (self.state,) = states


def fake_accelerator(monkeypatch: pytest.MonkeyPatch, *, initialized: bool) -> FakeAccelerator:
    """Replace torch.cuda within the test, because pytest-randomly seeds between a fixture's setup and the test."""
    module = FakeAccelerator(initialized)
    monkeypatch.setattr("pytest_repro.frameworks.torch_state._accelerators", lambda: [("cuda", module)])
    return module


def test_an_initialised_accelerator_is_seeded_and_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    accelerator = fake_accelerator(monkeypatch, initialized=True)
    with seeding.seeded(3):
        assert accelerator.state.item() == 3
    assert accelerator.state.item() == 41


def test_an_accelerator_initialised_within_the_run_gets_the_cpus_seed_afterwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    accelerator = fake_accelerator(monkeypatch, initialized=False)
    with seeding.seeded(9):
        with seeding.seeded(3):
            assert accelerator.seeds == [9, 3]
            accelerator.initialized = True
        assert accelerator.seeds == [9, 3, 9]
        assert torch.initial_seed() == 9
