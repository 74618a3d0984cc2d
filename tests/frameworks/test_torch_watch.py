"""Watched training with torch: the first statement, module and operation that differ between two runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from pytest_repro.capturing.live import digest_value
from pytest_repro.diagnosis.first_divergence import TracePair
from pytest_repro.frameworks import torch_live
from pytest_repro.model import FirstDivergence
from pytest_repro.tracing.describing import describe
from pytest_repro.tracing.statements import read_statements
from pytest_repro.tracing.watching import watched

TRAINING = """
import torch
from torch import nn
class Noise(nn.Module):
    def forward(self, x):
        return NOISE(x)
def run():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), Noise(), nn.Linear(16, 2))
    optimizer = torch.optim.Adam(model.parameters())
    x, y = torch.randn(32, 8), torch.arange(32) % 2
    for step in range(4):
        logits = model(x)
        loss = nn.functional.cross_entropy(logits, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model[0].weight.detach().clone()
"""


class Runs:
    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.patch = patch
        self.traces = (folder / "1.jsonl", folder / "2.jsonl")

    def values(self, source: str, **names: Any) -> list[Any]:
        path = self.folder / "users.py"
        path.write_text(source, encoding="utf-8")
        read_statements.cache_clear()
        module = ModuleType("users")
        module.__file__ = str(path)
        self.patch.setitem(sys.modules, "users", module)
        exec(compile(source, str(path), "exec"), module.__dict__)
        found = []
        for number, trace in enumerate(self.traces):
            module.__dict__.update({name: make(number) for name, make in names.items()})
            with watched(trace):
                found.append(module.__dict__["run"]())
        return found

    def first(self, source: str, **names: Any) -> FirstDivergence | None:
        self.values(source, **names)
        return TracePair(*self.traces, root=self.folder).find_first().first


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    return Runs(tmp_path, monkeypatch)


def noise_from(step: int) -> Any:
    """Return a factory of functions that in the second run add noise from a step on."""

    def make(number: int) -> Any:
        number = number if step < 99 else 0
        calls = iter(range(1000))
        generator = torch.Generator().manual_seed(1)

        def add(x: Any) -> Any:
            late = next(calls) >= step and number == 1
            return torch.clamp(x, min=0.0, max=0.5 if late else 1e9) + 0 * torch.rand(1, generator=generator)

        return add

    return make


def test_identical_runs_have_no_divergence(runs: Runs):
    assert runs.first(TRAINING, NOISE=noise_from(99)) is None


def test_watching_changes_no_bit_of_a_training_run(runs: Runs):
    one, other = runs.values(TRAINING, NOISE=noise_from(99))
    namespace: dict[str, Any] = {"NOISE": noise_from(99)(0), "__name__": "plain"}
    exec(compile(TRAINING, "<plain>", "exec"), namespace)
    assert torch.equal(namespace["run"](), one)
    assert torch.equal(one, other)


def test_the_step_at_which_a_layer_differs_is_named(runs: Runs):
    first = runs.first(TRAINING, NOISE=noise_from(2))
    assert first is not None
    assert (first.function, first.name, first.step) == ("noise_from.<locals>.make.<locals>.add", "late", 2)
    assert first.callers[-1] == ("users.py", 13, "run")


def test_a_dropout_from_another_state_is_traced_to_its_seed(runs: Runs):
    source = TRAINING.replace("NOISE(x)", "torch.nn.functional.dropout(x, 0.5)").replace(
        "    for step", "    torch.manual_seed(SEED)\n    for step"
    )
    first = runs.first(source, SEED=lambda number: number)
    assert first is not None
    assert (first.line, first.name) == (12, "state of torch")


def test_an_operation_with_equal_inputs_and_other_outputs_is_named(runs: Runs):
    source = "import torch\ndef run():\n    x = torch.ones(4)\n    y = torch.rand(4) * x\n    return y * 2\n"

    def seed(number: int) -> None:
        torch.manual_seed(number)

    first = runs.first(source, SEED=seed)
    assert first is not None
    assert (first.line, first.name, first.op) == (4, "y", "aten.rand.default")


def test_unwritten_memory_is_not_blamed_before_it_is_read(runs: Runs):
    source = """
import torch
def run():
    buffer = FILLED(torch.empty(50, 5))
    buffer.copy_(torch.ones(50, 5))
    other = OTHER
    return buffer.sum() + other
"""
    first = runs.first(source, FILLED=lambda number: lambda t: t.fill_(number), OTHER=lambda number: number)
    assert first is not None
    assert (first.line, first.name) == (6, "other")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "int64", "bool", "complex64"])
def test_bits_are_read_from_memory(dtype: str):
    kind = getattr(torch, dtype)
    one, other = torch.zeros(2, 3).to(kind), torch.zeros(2, 3).to(kind)
    other[1, 2] = 1
    assert digest_value(one).whole == digest_value(one.clone()).whole
    assert digest_value(one).whole != digest_value(other).whole
    assert digest_value(other.T).whole == digest_value(other.T.contiguous()).whole


def test_tensors_without_memory_have_a_digest_and_a_text():
    assert describe(torch.empty(2, device="meta")) == "Tensor float32 (2,)"
    assert digest_value(torch.empty(2, device="meta")).whole
    assert digest_value(torch.eye(2).to_sparse()).whole


def test_the_default_generator_is_not_drawn_from():
    torch.manual_seed(3)
    torch_live.default_state()
    drawn = torch.rand(2)
    torch.manual_seed(3)
    assert torch.equal(drawn, torch.rand(2))


def test_the_state_of_a_seeded_generator_does_not_depend_on_earlier_draws():
    torch.randn(3)
    torch.manual_seed(1)
    one = torch_live.default_state()
    torch.randn(40)
    torch.manual_seed(1)
    assert torch_live.default_state() == one


def test_a_parameter_changed_past_torchs_count_is_seen():
    model = torch.nn.Linear(40, 40)
    before = digest_value(model).whole
    model.weight.data.mul_(2)
    assert digest_value(model).whole != before


def test_a_generator_is_digested_by_its_state():
    one, same, other = (torch.Generator().manual_seed(seed) for seed in (1, 1, 2))
    assert digest_value(one).whole == digest_value(same).whole != digest_value(other).whole
    assert digest_value([one]).whole == digest_value([same]).whole != digest_value([other]).whole


def test_a_tensor_has_the_same_digest_as_a_part():
    tensor = torch.arange(3.0)
    assert digest_value({"w": tensor}).parts["['w']"] == digest_value(tensor).whole


def test_a_module_is_read_by_its_parameters_buffers_and_gradients():
    model = torch.nn.Sequential(torch.nn.Linear(2, 1, bias=False), torch.nn.BatchNorm1d(1))
    model[0].weight.grad = torch.ones(1, 2)
    assert {"0.weight", "0.weight.grad", "1.weight", "1.running_mean", "1.training"} <= set(digest_value(model).parts)


COMPILED = """
import sys, torch
from pytest_repro.frameworks.torch_watch import OperationWatch

seen = []
watch = OperationWatch(lambda kind, module, operation, *digests: seen.append(operation), lambda: True)
(torch.ones(3) * 2).sin()
print("torch._dynamo" in sys.modules)
torch.compile(lambda x: (x * 2).sin(), backend="eager")(torch.ones(3))
watch.close()
print(*seen)
"""


def test_watching_does_not_import_the_compiler_and_is_not_compiled_by_it() -> None:
    """The import costs seconds in each watched run. A compiled watch would record operations of its own."""
    ended = subprocess.run([sys.executable, "-c", COMPILED], capture_output=True, text=True, check=True)
    has_compiler, operations = ended.stdout.splitlines()
    assert has_compiler == "False"
    assert operations.split() == ["aten.ones.default", "aten.mul.Tensor", "aten.sin.default"] * 2
