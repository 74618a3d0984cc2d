"""torch's float32 precision, changed before through the old or the new interface."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest

from pytest_repro import seeding

torch = pytest.importorskip("torch")
if not hasattr(torch._C, "_get_fp32_precision_getter"):
    pytest.skip("this torch has one precision interface only", allow_module_level=True)

from pytest_repro.frameworks import torch_precision_state as precision


@pytest.fixture(autouse=True)
def kept() -> Iterator[None]:
    """Restore the precision after each test."""
    before = precision.read_precision()
    yield
    precision.write_precision(before)
    assert precision.read_precision() == before


def change_at_random(rng: random.Random) -> None:
    """Change one setting through the old interface or the new one."""
    backend, operation = rng.choice(precision._OPERATIONS)
    value = rng.choice(["none", "ieee", "tf32", *(["bf16"] if backend == "mkldnn" else [])])
    rng.choice(
        [
            lambda: setattr(torch.backends.cudnn, "allow_tf32", rng.random() < 0.5),
            lambda: setattr(torch.backends.cuda.matmul, "allow_tf32", rng.random() < 0.5),
            lambda: torch.set_float32_matmul_precision(rng.choice(["highest", "high", "medium"])),
            lambda: torch._C._set_fp32_precision_setter(backend, operation, value),
            lambda: torch._C._set_fp32_precision_setter(backend, operation, value),
        ]
    )()


def test_every_operations_precision_is_restored_and_old_settings_stay_readable() -> None:
    rng = random.Random(1)
    for _ in range(1000):
        change_at_random(rng)
        saved = precision.read_precision()
        for _ in range(rng.randrange(1, 4)):
            change_at_random(rng)
        precision.write_precision(saved)
        now = precision.read_precision()
        # A setting that raised an error may be readable now, because its hidden value cannot be read or restored.
        assert {name: value for name, value in now.items() if saved[name] != "mixed"} == {
            name: value for name, value in saved.items() if value != "mixed"
        }


def test_deterministic_mode_gives_full_float32_precision_from_any_setting() -> None:
    rng = random.Random(2)
    for _ in range(300):
        change_at_random(rng)
        before = precision.read_precision()
        with seeding.deterministic() as mode:
            now = precision.read_precision()
            reduced = [name for name, value in now.items() if name.count(".") == 1 and value in ("tf32", "bf16")]
            assert {name.partition(".")[2] for name in reduced} <= {"all"}
            assert all(setting.took_effect for setting in mode.settings)
        now = precision.read_precision()
        assert all(now[name] == value for name, value in before.items() if value != "mixed")


def set_new_interface() -> None:
    torch.backends.cudnn.conv.fp32_precision = "ieee"


@pytest.mark.parametrize("set_precision", [lambda: None, set_new_interface])
def test_a_mixed_state_is_reported_without_an_error(set_precision: Callable[[], None]) -> None:
    set_precision()
    is_mixed = set_precision is set_new_interface
    settings = seeding.read_settings()["torch.float32_precision"]
    assert (settings["cudnn.allow_tf32"] == "mixed") is is_mixed  # type: ignore[index,call-overload]
    assert (settings["cuda.conv"] == "ieee") is is_mixed  # type: ignore[index,call-overload]
    with seeding.seeded(3):
        pass


def test_old_settings_are_enough_if_the_new_ones_were_not_used() -> None:
    with seeding.deterministic():
        # Code that reads the old settings within the block must not raise an error.
        assert torch.backends.cudnn.allow_tf32 is False
        assert torch.backends.cuda.matmul.allow_tf32 is False
        assert torch.get_float32_matmul_precision() == "highest"
    assert torch.backends.cudnn.allow_tf32 is True
