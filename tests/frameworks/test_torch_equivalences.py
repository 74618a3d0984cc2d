"""Equivalences on torch itself: loaders, compilers, state dicts, thread races, a real process group."""

from __future__ import annotations

import re
import shutil
import sys
from functools import partial

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import torch.distributed as dist
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info

from pytest_repro import (
    DivergenceError,
    UsageError,
    assert_accumulation_equivalent,
    assert_compile_equivalent,
    assert_roundtrip,
    assert_thread_invariant,
    assert_workers_equivalent,
    assert_world_size_invariant,
)
from pytest_repro.frameworks.torch_functions import name_training_layers
from tests.plugin.helpers import unwrap


class Noisy(Dataset):
    """Samples with noise from NumPy's global generator, or from one generator per sample."""

    def __init__(self, source: str) -> None:
        self.source = source

    def __len__(self) -> int:
        return 12

    def __getitem__(self, i: int):
        own = np.random.default_rng((0, i))
        noise = {"global": lambda: np.random.random(2), "own": lambda: own.random(2)}[self.source]()
        return torch.from_numpy(noise).float() + i, i


class Many(Noisy):
    """Fetches a whole batch at once."""

    def __getitems__(self, indices):
        return [self[i] for i in indices]


class Stream(IterableDataset):
    """Yields all samples in each worker, or only its share."""

    def __init__(self, sharded: bool) -> None:
        self.sharded = sharded

    def __iter__(self):
        info = get_worker_info() if self.sharded else None
        start, step = (info.id, info.num_workers) if info else (0, 1)
        yield from (torch.full((2,), float(i)) for i in range(start, 8, step))


def load(make, **options):
    return lambda workers: DataLoader(make(), num_workers=workers, **options)


@pytest.mark.parametrize("kind", [Noisy, Many])
def test_one_generator_per_sample_passes_and_a_global_one_is_named(kind):
    shuffled = {"batch_size": 4, "shuffle": True}
    assert assert_workers_equivalent(load(lambda: kind("own"), **shuffled), epochs=2).verdict == "identical"
    with pytest.raises(DivergenceError) as caught:
        assert_workers_equivalent(load(lambda: kind("global"), **shuffled), workers=(0, 2))
    message = unwrap(str(caught.value))
    assert "cause     workers.augmentation: only the content" in message
    assert "order: the same samples in the same order" in message
    assert "numpy generator" in message


class Uneven(Noisy):
    """The first sample takes longest."""

    def __getitem__(self, i: int):
        if i == 0:
            import time

            time.sleep(0.3)
        return super().__getitem__(i)


def test_samples_out_of_order_and_changed_samples_have_different_causes():
    with pytest.raises(DivergenceError) as caught:
        assert_workers_equivalent(load(lambda: Uneven("own"), batch_size=1, in_order=False), workers=(0, 2))
    assert "cause     workers.order: only the order" in str(caught.value)
    assert "content: each sample is the same" in str(caught.value)


def test_a_stream_that_every_worker_yields_completely_is_named():
    with pytest.raises(DivergenceError, match=r"cause +workers\.duplicated"):
        assert_workers_equivalent(load(lambda: Stream(False), batch_size=None), workers=(0, 2))
    assert assert_workers_equivalent(load(lambda: Stream(True), batch_size=None), workers=(0, 1, 2))


def test_a_loader_that_ignores_its_number_of_workers_is_rejected():
    with pytest.raises(UsageError, match="num_workers=0; pass it on"):
        assert_workers_equivalent(lambda workers: DataLoader(Noisy("own")))


def model(seed: int = 0):
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(6, 6), torch.nn.BatchNorm1d(6), torch.nn.GELU()).eval()


INPUT = torch.linspace(-2, 2, 24).reshape(4, 6)


@pytest.mark.parametrize("via", ["state_dict", "safetensors"])
def test_weights_come_back_into_a_fresh_module(via):
    if via == "safetensors":
        pytest.importorskip("safetensors")
    assert assert_roundtrip(model(), via, make=lambda: model(1), predict=lambda m: m(INPUT)).verdict == "identical"


class Buffered(torch.nn.Module):
    """Reads a buffer that is not saved."""

    def __init__(self, shift: float) -> None:
        super().__init__()
        self.register_buffer("shift", torch.tensor(shift), persistent=False)
        self.scale = torch.nn.Parameter(torch.ones(1))

    def forward(self, x):
        return x * self.scale + self.shift


def test_a_buffer_that_is_not_saved_is_found():
    with pytest.raises(DivergenceError, match="shift"):
        assert_roundtrip(Buffered(2.0), "state_dict", make=lambda: Buffered(0.0))
    assert assert_roundtrip(Buffered(2.0), "state_dict", make=lambda: Buffered(2.0))


def test_safetensors_misreads_a_numpy_array_in_fortran_order():
    numpy_writer = pytest.importorskip("safetensors.numpy")
    array = np.asfortranarray(np.arange(12.0).reshape(3, 4))
    if np.array_equal(numpy_writer.load(numpy_writer.save({"w": array}))["w"], array):
        pytest.skip("this release of safetensors writes it right")
    with pytest.raises(DivergenceError, match=r"cause +roundtrip\.layout"):
        assert_roundtrip({"w": array}, "safetensors")
    assert assert_roundtrip({"w": np.ascontiguousarray(array)}, "safetensors")


def test_captured_and_exported_graphs_match_eager_mode():
    with torch.no_grad():
        shown = assert_compile_equivalent(model(), INPUT, backends=["torch.compile:eager", "torch.export"], norm=1e-6)
    assert shown.trials == ("torch.compile:eager", "torch.export")


calls: list[int] = []


def counts_its_calls(x):
    return x + len(calls) + (1 if torch.compiler.is_compiling() else 0)


def test_a_graph_that_computes_something_else_is_named():
    with pytest.raises(DivergenceError, match=r"cause +compile\.semantics"):
        assert_compile_equivalent(counts_its_calls, INPUT, backends="torch.compile:eager")


class Compiled(torch.nn.Module):
    """Computes one result that is the same everywhere, and another that compilation changes."""

    def forward(self, x):
        same = (x.sin() + x.cos()).sum(1)
        return {"same": same, "other": same * (1.001 if torch.compiler.is_compiling() else 1.0)}


def assert_only_the_other_differs(backend):
    with torch.no_grad(), pytest.raises(DivergenceError, match=r"cause +compile\.semantics") as caught:
        assert_compile_equivalent(Compiled(), INPUT, backends=backend, norm=1e-6)
    assert [d.artifact for d in caught.value.equivalence.comparisons[0].divergences] == ["other"]


@pytest.mark.skipif(shutil.which("g++") is None and shutil.which("clang++") is None, reason="needs a C++ compiler")
def test_inductor_matches_within_rounding_and_another_result_is_named():
    # The only test that compiles C++, and it does so once: that takes 20 s on a busy machine.
    assert_only_the_other_differs("torch.compile:inductor")


def test_onnx_runtime_matches_within_rounding():
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    with torch.no_grad():
        assert assert_compile_equivalent(model(), INPUT, backends="onnxruntime", norm=1e-6)
        with pytest.raises(UsageError, match=r"needs a torch\.nn\.Module"):
            assert_compile_equivalent(torch.sin, INPUT, backends="onnxruntime")
    assert_only_the_other_differs("onnxruntime")


def accumulate(indices: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    return torch.zeros(50).index_put_((indices,), values, accumulate=True)


def test_a_race_between_threads_and_a_split_sum_have_different_causes():
    generator = torch.Generator().manual_seed(0)
    indices = torch.randint(0, 50, (400_000,), generator=generator)
    values = torch.randn(400_000, generator=generator)
    with pytest.raises(DivergenceError, match=r"cause +threads\.race"):
        assert_thread_invariant(lambda: accumulate(indices, values), threads=(1, 7), repeats=10)
    with pytest.raises(DivergenceError, match=r"cause +threads\.split"):
        assert_thread_invariant(lambda: values.mean(), threads=(1, 2, 3, 5))
    assert assert_thread_invariant(lambda: values * 2, threads=(1, 3)).verdict == "identical"


def test_layers_in_training_mode_are_found_through_closures_and_methods():
    module = torch.nn.Sequential(torch.nn.BatchNorm1d(2), torch.nn.Dropout(0.1))
    for function in (module, module.forward, lambda x: module(x), partial(lambda m, x: m(x), module)):
        assert name_training_layers(function) == (["0 (BatchNorm1d)"], ["1 (Dropout)"])
    module.eval()
    assert name_training_layers(module) == ([], [])


def test_a_mean_of_unequal_parts_is_named_with_autograd():
    x = torch.linspace(-1, 1, 10).reshape(10, 1)

    def step(parts, by_size):
        linear = torch.nn.Linear(1, 1).double()
        torch.nn.init.ones_(linear.weight)
        torch.nn.init.zeros_(linear.bias)
        for part in parts:
            share = len(part) / 10 if by_size else 1 / len(parts)
            (linear(part.double()).square().mean() * share).backward()
        return {name: p.grad for name, p in linear.named_parameters()}

    with pytest.raises(DivergenceError, match=r"cause +accumulation\.unequal"):
        assert_accumulation_equivalent(partial(step, by_size=False), x, atol=1e-12)
    assert assert_accumulation_equivalent(partial(step, by_size=True), x, atol=1e-12)


def reduced_gradient(rank: int, world_size: int, average: bool = True) -> torch.Tensor:
    """Reduce a gradient whose sum is exact, so that all ranks and worlds must be identical."""
    data = torch.arange(16.0)[rank::world_size]
    gradient = data.mean().reshape(1)
    dist.all_reduce(gradient)
    return gradient / world_size if average else gradient


needs_gloo = pytest.mark.skipif(
    not (dist.is_available() and dist.is_gloo_available()) or sys.platform == "win32", reason="no gloo here"
)


@needs_gloo
def test_a_mean_over_ranks_is_identical_and_a_sum_is_named():
    assert assert_world_size_invariant(reduced_gradient).verdict == "identical"
    with pytest.raises(DivergenceError) as caught:
        assert_world_size_invariant(partial(reduced_gradient, average=False))
    assert re.search(r"cause +world_size\.scale: the result is 2 times", str(caught.value))
