"""Round trips through ONNX: weights are compared bit by bit, results within bounds, and every change is named."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
for package in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(package)

import onnx
from onnx import numpy_helper

from pytest_repro import DivergenceError, Tolerance, UsageError, assert_roundtrip

INPUT = torch.randn(5, 8, generator=torch.Generator().manual_seed(1))

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*:UserWarning", "ignore:.*:DeprecationWarning", "ignore:.*:FutureWarning"
)


@pytest.fixture(autouse=True)
def one_stream():
    state = torch.get_rng_state()
    torch.manual_seed(0)
    yield
    torch.set_rng_state(state)


class Net(torch.nn.Module):
    """Tied weights, a buffer that is not saved, statistics, and a layer that is never called."""

    def __init__(self) -> None:
        super().__init__()
        layers = torch.nn
        self.body = layers.Sequential(layers.Linear(8, 4), layers.BatchNorm1d(4), layers.ReLU(), layers.Dropout(0.5))
        self.there, self.back = layers.Linear(4, 4, bias=False), layers.Linear(4, 4, bias=False)
        self.back.weight = self.there.weight
        self.unused = layers.Linear(3, 3)
        self.register_buffer("mask", torch.tensor([1.0, 1.0, 0.5, 1.0]), persistent=False)

    def forward(self, x):
        hidden = self.there(self.body(x) * self.mask)
        return {"hidden": hidden, "out": self.back(hidden)}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Return a module and its file, which is exported only once because that takes seconds."""
    torch.manual_seed(0)
    net, path = Net().eval(), tmp_path_factory.mktemp("onnx") / "net"
    torch.onnx.export(net, (INPUT,), str(path), dynamo=True, verbose=False, optimize=False)
    return net, path


def changing(exported, change):
    """Return a function that saves the file of `exported` with changed initializers."""

    def save(module, path):
        model = onnx.load(str(exported[1]))
        for entry in model.graph.initializer:
            changed = change(entry.name, numpy_helper.to_array(entry))
            entry.CopyFrom(numpy_helper.from_array(changed, entry.name))
        onnx.save(model, str(path))

    return save


#: Two names of one weight, of which the file contains one.
TIED = ("there.weight", "back.weight")


def rounded(name, array):
    return array.astype("float16").astype("float32") if name in TIED else array


def scaled(name, array):
    return array * array.dtype.type(1 + 1e-6) if name == "mask" else array


def unchanged(name, array):
    return array


def test_a_round_trip_keeps_all_weights_and_the_results(exported):
    shown = assert_roundtrip(exported[0], "onnx", inputs=INPUT, norm=1e-6)
    assert shown.trials == ("exported to ONNX",)
    assert all(d.artifact.startswith("predictions/") for d in shown.comparisons[0].differences)
    # 9 weights and 2 results. num_batches_tracked and the layer that is never called are listed as missing.
    assert shown.comparisons[0].artifacts == 11
    assert "unused.weight, unused.bias, body.1.num_batches_tracked" in str(shown)
    assert assert_roundtrip(exported[0], "onnx", inputs=INPUT, save=changing(exported, unchanged), norm=1e-6)


@pytest.mark.parametrize(
    ("change", "cause", "artifact"),
    [(rounded, "roundtrip.precision: .* to float16", "there.weight"), (scaled, "roundtrip.values", "mask")],
    ids=["rounded", "scaled"],
)
def test_a_changed_weight_is_named_even_if_the_results_are_within_bounds(exported, change, cause, artifact):
    with pytest.raises(DivergenceError, match=f"cause +{cause}") as caught:
        assert_roundtrip(exported[0], "onnx", inputs=INPUT, save=changing(exported, change), norm=0.1)
    worst = [d.artifact for d in caught.value.equivalence.comparisons[0].divergences]
    assert f"initializers/{artifact}" in worst
    assert all(name.startswith("initializers/") for name in worst)


def test_a_glob_can_allow_a_changed_weight(exported):
    bounds = {"initializers/mask": Tolerance(rtol=1e-5), "*": Tolerance(norm=1e-5)}
    assert assert_roundtrip(exported[0], "onnx", inputs=INPUT, save=changing(exported, scaled), tolerance=bounds)
    with pytest.raises(DivergenceError, match=r"there\.weight"):
        assert_roundtrip(exported[0], "onnx", inputs=INPUT, save=changing(exported, rounded), tolerance=bounds)


def test_quantized_weights_are_reported_as_lost(exported):
    quantization = pytest.importorskip("onnxruntime.quantization")

    def save(module, path):
        quantization.quantize_dynamic(str(exported[1]), str(path), weight_type=quantization.QuantType.QInt8)

    with pytest.raises(DivergenceError, match=r"cause +roundtrip.lost"):
        assert_roundtrip(exported[0], "onnx", inputs=INPUT, save=save, norm=0.5)


def test_training_mode_is_named_with_the_layers():
    net = Net()
    with pytest.raises(DivergenceError, match=r"cause +roundtrip.training") as caught:
        assert_roundtrip(net, "onnx", inputs=INPUT, norm=1e-6)
    assert "body.1 (BatchNorm1d), body.3 (Dropout)" in str(caught.value)


class Traced(torch.nn.Module):
    """Module that adds a constant only while it is traced."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(8))

    def forward(self, x):
        return (x * self.weight).sum(1) + (0.001 if torch.compiler.is_compiling() else 0.0)


def test_another_computation_with_the_same_weights_is_named():
    with pytest.raises(DivergenceError, match=r"cause +roundtrip.computation"):
        assert_roundtrip(Traced(), "onnx", inputs=(INPUT,), norm=1e-6)


def test_bfloat16_weights_are_restored_bit_for_bit():
    net = torch.nn.Linear(8, 3)
    with torch.no_grad():
        net.weight.copy_(net.weight.to(torch.bfloat16))

    class Cast(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(net.weight.detach().to(torch.bfloat16))

        def forward(self, x):
            return x @ self.weight.float().T

    assert assert_roundtrip(Cast(), "onnx", inputs=INPUT, norm=1e-6)


@pytest.mark.parametrize(
    ("value", "arguments", "message"),
    [
        (torch.nn.Linear(8, 2), {}, "needs inputs="),
        (torch.sin, {"inputs": INPUT}, r"needs a torch\.nn\.Module"),
        (torch.nn.Linear(8, 2), {"inputs": INPUT, "save": lambda module, path: None}, "wrote no file"),
    ],
)
def test_wrong_arguments_are_rejected(value, arguments, message):
    with pytest.raises(UsageError, match=message):
        assert_roundtrip(value, "onnx", **arguments)


def test_inputs_are_accepted_only_for_onnx():
    with pytest.raises(UsageError, match="inputs= is for via='onnx'"):
        assert_roundtrip(torch.nn.Linear(8, 2), "state_dict", inputs=INPUT)
