"""float32 precision, through both of torch's interfaces, whichever of them someone used before."""

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
    """Put precision back to how the tests found it, whatever they leave."""
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


def test_whatever_was_changed_since_every_operation_is_put_back_and_old_switches_stay_readable() -> None:
    rng = random.Random(1)
    for _ in range(1000):
        change_at_random(rng)
        saved = precision.read_precision()
        for _ in range(rng.randrange(1, 4)):
            change_at_random(rng)
        precision.write_precision(saved)
        now = precision.read_precision()
        # A switch that raised may be readable now: the hidden value that made it raise cannot be read.
        assert {name: value for name, value in now.items() if saved[name] != "mixed"} == {
            name: value for name, value in saved.items() if value != "mixed"
        }


def test_deterministic_mode_computes_float32_in_float32_from_any_setting() -> None:
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
def test_a_mixed_state_is_told_and_nothing_raises(set_precision: Callable[[], None]) -> None:
    set_precision()
    is_mixed = set_precision is set_new_interface
    settings = seeding.read_settings()["torch.float32_precision"]
    assert (settings["cudnn.allow_tf32"] == "mixed") is is_mixed  # type: ignore[index,call-overload]
    assert (settings["cuda.conv"] == "ieee") is is_mixed  # type: ignore[index,call-overload]
    with seeding.seeded(3):
        pass


def test_old_switches_are_enough_where_nobody_used_the_new_ones() -> None:
    with seeding.deterministic():
        # Readable: code that asks for them within the block must not raise.
        assert torch.backends.cudnn.allow_tf32 is False
        assert torch.backends.cuda.matmul.allow_tf32 is False
        assert torch.get_float32_matmul_precision() == "highest"
    assert torch.backends.cudnn.allow_tf32 is True
