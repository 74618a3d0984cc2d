"""Capture of torch's tensors, modules and optimizers."""

from __future__ import annotations

import copy
import functools
import gc
import importlib
import warnings
import weakref
from typing import Any

import numpy as np
import pytest

from pytest_repro.capturing import capture_locals, capture_tree, digest
from pytest_repro.comparing import compare
from pytest_repro.errors import UnsupportedTypeError
from pytest_repro.frameworks.base_values import Branch
from pytest_repro.model import Verdict
from tests.unit.capturing.helpers import Case, assert_captures, changed, differing

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

PLAIN = ["bool", "uint8", "int8", "int16", "int32", "int64", "uint16", "uint32", "uint64"]
PLAIN += ["float16", "float32", "float64", "complex64", "complex128"]
CARRIED = [
    "bfloat16",
    "complex32",
    "float8_e4m3fn",
    "float8_e5m2",
    "float8_e4m3fnuz",
    "float8_e5m2fnuz",
    "float8_e8m0fnu",
]


def flip(tensor: Any, index: int = 0) -> None:
    """Flip the lowest bit of an element, in place, whatever the dtype."""
    with torch.no_grad():
        tensor.detach().view(torch.uint8).view(-1)[index * tensor.element_size()] ^= 1


def tensor_of(name: str) -> Any:
    dtype = getattr(torch, name)
    raw = torch.zeros(6 * torch.empty((), dtype=dtype).element_size(), dtype=torch.uint8)
    return raw.view(dtype)


@pytest.mark.parametrize("name", PLAIN + CARRIED)
def test_one_bit_of_any_dtype_is_seen(name: str) -> None:
    if not hasattr(torch, name):
        pytest.skip("this torch has none")
    assert_captures(Case(lambda: tensor_of(name), lambda t: flip(t, 3)), "result")
    leaf = capture_tree(tensor_of(name), copy=False).leaves["result"]
    assert (leaf.type_name, leaf.dtype, leaf.shape) == ("Tensor", name, (6,))
    assert isinstance(leaf.data, np.ndarray)
    assert (leaf.data.dtype.kind == "u") == (name in CARRIED or name.startswith("uint"))


def test_without_a_copy_the_leaf_shares_the_tensors_memory() -> None:
    for tensor in (torch.zeros(3), torch.zeros(3, dtype=torch.bfloat16), torch.zeros(3, requires_grad=True)):
        assert capture_tree(tensor, copy=False).leaves["result"].data.ctypes.data == tensor.data_ptr()


VIEWS = {
    "zero dimensions": lambda t: t[0, 0],
    "transposed": lambda t: t.T,
    "every other": lambda t: t[:, ::2],
    "expanded": lambda t: t[:1].expand(3, 4),
    "flipped": lambda t: t.flip(0),
    "empty": lambda t: t[:0],
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS.keys())
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_view_is_captured_by_its_elements(view: Any, dtype: str) -> None:
    tensor = torch.arange(12.0).reshape(3, 4).to(getattr(torch, dtype))
    captured = capture_tree(view(tensor))
    assert differing(captured, capture_tree(view(tensor).contiguous())) == []
    assert captured.leaves["result"].data.shape == tuple(view(tensor).shape)


def test_conjugate_and_negative_bits_are_resolved() -> None:
    z = torch.tensor([1 + 2j, 3 - 4j])
    assert z.conj().is_conj()
    assert z.conj().imag.is_neg()
    assert capture_tree(z.conj()).leaves["result"].data.tolist() == [1 - 2j, 3 + 4j]
    assert capture_tree(z.conj().imag).leaves["result"].data.tolist() == [-2.0, 4.0]
    assert differing(capture_tree(z), capture_tree(z.conj())) == ["result"]


def test_requires_grad_and_the_kind_of_tensor_count() -> None:
    plain, needs, parameter = torch.zeros(2), torch.zeros(2, requires_grad=True), torch.nn.Parameter(torch.zeros(2))
    assert differing(capture_tree(plain), capture_tree(needs)) == ["result"]
    assert differing(capture_tree(needs), capture_tree(parameter)) == ["result"]
    assert differing(capture_tree(plain), capture_tree(plain.numpy())) == ["result"]
    assert dict(capture_tree(needs).leaves["result"].traits) == {"device": "cpu", "requires_grad": "True"}
    assert capture_tree(parameter).leaves["result"].type_name == "Parameter"


SPARSE = ["coo", "csr", "csc", "bsr", "bsc"]


def sparse(layout: str) -> Any:
    dense = torch.tensor([[1.0, 0, 0, 2], [0, 0, 3, 0], [0, 0, 0, 0], [4, 0, 0, 0]])
    if layout in ("bsr", "bsc"):
        return getattr(dense, f"to_sparse_{layout}")((2, 2))
    return dense.to_sparse() if layout == "coo" else getattr(dense, f"to_sparse_{layout}")()


def values_of(tensor: Any) -> Any:
    return tensor._values() if tensor.layout is torch.sparse_coo else tensor.values()


@pytest.mark.parametrize("layout", SPARSE)
def test_a_sparse_tensor_is_captured_as_stored(layout: str) -> None:
    assert_captures(Case(lambda: sparse(layout), lambda t: flip(values_of(t))), "result/values")
    assert dict(capture_tree(sparse(layout)).leaves["result"].traits)["layout"] == f"sparse_{layout}"


def test_sparse_tensors_of_another_layout_shape_or_state_differ() -> None:
    found = {digest(capture_tree(sparse(layout))) for layout in SPARSE}
    assert len(found) == 5
    one, other = (torch.sparse_coo_tensor([[0, 0]], [1.0, 2.0], size) for size in ((3,), (4,)))
    assert differing(capture_tree(one), capture_tree(other)) == ["result"]
    assert differing(capture_tree(one), capture_tree(one.coalesce()))[0] == "result"


def test_a_quantized_tensor_is_captured_by_its_integers_and_scheme() -> None:
    def quantized(scale: float = 0.1, zero: int = 0, dtype: Any = torch.qint8) -> Any:
        return torch.quantize_per_tensor(torch.tensor([0.1, 0.2, 0.3]), scale, zero, dtype)

    base = capture_tree(quantized())
    assert differing(base, capture_tree(quantized())) == []
    assert base.leaves["result"].dtype == "qint8"
    assert base.leaves["result"].data.tolist() == [1, 2, 3]
    for other in (
        quantized(0.10000001),
        quantized(zero=1),
        quantized(dtype=torch.quint8),
        quantized(dtype=torch.qint32),
    ):
        assert differing(base, capture_tree(other)) == ["result"]


def test_a_tensor_quantized_by_channel_has_scales_and_zero_points() -> None:
    def quantized(scale: float) -> Any:
        return torch.quantize_per_channel(
            torch.ones(2, 2), torch.tensor([0.5, scale]), torch.tensor([0, 0]), 0, torch.qint8
        )

    assert differing(capture_tree(quantized(0.25)), capture_tree(quantized(0.25))) == []
    assert "result/scales" in differing(capture_tree(quantized(0.25)), capture_tree(quantized(0.125)))


@pytest.mark.parametrize("layout", [torch.strided, torch.jagged])
def test_a_nested_tensor_is_captured_by_its_parts(layout: Any) -> None:
    def nested() -> Any:
        return torch.nested.nested_tensor([torch.arange(2.0), torch.arange(3.0)], layout=layout)

    assert_captures(Case(nested, lambda t: t.unbind()[1].__setitem__(2, 9.0)), "result/1")


def test_masked_elements_do_not_count() -> None:
    def masked() -> Any:
        return torch.masked.masked_tensor(torch.arange(3.0), torch.tensor([True, False, True]))

    def set_data(index: int) -> Any:
        return Case(masked, lambda t: t.get_data().__setitem__(index, 9.0))

    assert_captures(set_data(2), "result/data")
    assert differing(capture_tree(masked()), capture_tree(changed(set_data(1)))) == []


class Labelled(torch.Tensor):  # type: ignore[misc]
    pass


def test_a_subclass_is_captured_by_its_elements_and_its_name() -> None:
    one = torch.arange(3.0).as_subclass(Labelled)
    assert capture_tree(one).leaves["result"].type_name == "Labelled"
    assert differing(capture_tree(one), capture_tree(torch.arange(3.0))) == ["result"]
    assert_captures(Case(lambda: torch.arange(3.0).as_subclass(Labelled), flip), "result")
    assert capture_tree(torch.nn.Buffer(torch.zeros(1))).leaves["result"].type_name in ("Buffer", "Tensor")


def test_a_wrapper_is_captured_by_its_inner_tensors() -> None:
    two = pytest.importorskip("torch.testing._internal.two_tensor").TwoTensor
    one, other = two(torch.zeros(2), torch.ones(2)), two(torch.zeros(2), torch.zeros(2))
    assert differing(capture_tree(one), capture_tree(other)) == ["result/b"]


def test_tensors_without_data_are_rejected() -> None:
    fake = pytest.importorskip("torch._subclasses.fake_tensor").FakeTensorMode
    lazy = torch.nn.LazyLinear(3)
    omitted = capture_tree(lazy).not_compared
    assert [(value.name, value.is_state) for value in omitted] == [("weight", True), ("bias", True)]
    assert "run the module once" in omitted[0].reason
    with pytest.raises(UnsupportedTypeError, match="meta device has no data"):
        capture_tree({"w": torch.zeros(2, device="meta")})
    with fake():
        tensor = torch.zeros(2)
    with pytest.raises(UnsupportedTypeError, match="'result'"):
        capture_tree(tensor)


def model() -> Any:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3), torch.nn.Dropout(0.5))


def test_a_module_is_captured_by_its_named_parameters_and_buffers() -> None:
    names = ["0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var", "1.num_batches_tracked"]
    assert capture_tree(model()).names == names
    assert capture_tree({"weights": model()}).names == [f"weights/{name}" for name in names]
    assert_captures(Case(model, lambda m: flip(m[0].weight, 2)), "0.weight")

    def run(module: Any) -> None:
        module(torch.ones(2, 2))

    assert_captures(Case(model, run), *names[4:])


def test_the_mode_of_a_module_does_not_count() -> None:
    assert differing(capture_tree(model().train()), capture_tree(model().eval())) == []


class Tied(torch.nn.Module):  # type: ignore[misc]
    def __init__(self, tied: bool) -> None:
        super().__init__()
        self.one = torch.nn.Parameter(torch.zeros(2))
        self.two = self.one if tied else torch.nn.Parameter(torch.zeros(2))
        self.register_buffer("cache", torch.zeros(1), persistent=False)
        self.steps = 0

    def get_extra_state(self) -> Any:
        return {"steps": self.steps}

    def set_extra_state(self, state: Any) -> None:
        self.steps = state["steps"]


def test_tied_weights_unsaved_buffers_and_extra_state_are_captured() -> None:
    assert capture_tree(Tied(True)).names == ["one", "two", "cache", "_extra_state/steps", "steps"]
    assert_captures(Case(lambda: Tied(True), lambda m: flip(m.one)), "one", "two")
    assert_captures(Case(lambda: Tied(False), lambda m: flip(m.one)), "one")
    assert_captures(Case(lambda: Tied(True), lambda m: setattr(m, "steps", 1)), "_extra_state/steps", "steps")


OPTIMIZERS = ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "LBFGS"]


def trained(kind: str, steps: int = 2) -> Any:
    net = model()
    options = {"momentum": 0.9, "lr": 0.1} if kind == "SGD" else {}
    optimizer = getattr(torch.optim, kind)(net.parameters(), **options)

    def closure() -> Any:
        optimizer.zero_grad()
        loss = net(torch.ones(4, 2)).sum()
        loss.backward()
        return loss

    torch.manual_seed(1)
    for _ in range(steps):
        optimizer.step(closure)
    return optimizer


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_an_optimizer_is_captured_by_its_state(kind: str) -> None:
    base = capture_tree(trained(kind))
    assert differing(base, capture_tree(trained(kind))) == []
    assert differing(base, capture_tree(trained(kind, steps=1))) != []
    optimizer = trained(kind)
    kept = capture_tree(optimizer)
    for state in optimizer.state.values():
        for part in state.values():
            if isinstance(part, torch.Tensor):
                part.add_(1)
    optimizer.param_groups[0]["lr"] = 7.0
    assert differing(kept, base) == []
    assert "result/param_groups/0/lr" in differing(base, capture_tree(optimizer))


def schedulers(optimizer: Any) -> list[Any]:
    lrs = torch.optim.lr_scheduler
    return [
        lrs.StepLR(optimizer, 2),
        lrs.MultiStepLR(optimizer, [1, 3]),
        lrs.LambdaLR(optimizer, lambda epoch: 0.9**epoch),
        lrs.CosineAnnealingLR(optimizer, 5),
        lrs.OneCycleLR(optimizer, max_lr=1.0, total_steps=10),
        lrs.CyclicLR(optimizer, 0.1, 1.0),
        lrs.ReduceLROnPlateau(optimizer),
        lrs.SequentialLR(optimizer, [lrs.ConstantLR(optimizer), lrs.ExponentialLR(optimizer, 0.9)], [2]),
    ]


@pytest.mark.parametrize("index", range(8))
def test_a_scheduler_is_captured_by_its_state(index: int) -> None:
    def make() -> Any:
        return schedulers(torch.optim.SGD(model().parameters(), lr=0.1, momentum=0.9))[index]

    def step(scheduler: Any) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scheduler.step(*([1.0] if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau) else []))

    assert_captures(Case(make, step))


def test_a_generator_and_a_gradient_scaler_are_captured_by_their_state() -> None:
    def drawn(generator: Any) -> None:
        torch.rand(1, generator=generator)

    assert_captures(Case(lambda: torch.Generator().manual_seed(3), drawn), "result/state")
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    assert capture_tree(scaler).leaves["result/scale"].data == 8.0


@pytest.mark.parametrize(
    "one, other",
    [
        (torch.float32, torch.float64),
        (torch.device("cpu"), torch.device("cuda", 0)),
        (torch.Size([2, 3]), torch.Size([3, 2])),
        (torch.Size([2, 3]), (2, 3)),
        (torch.strided, torch.sparse_coo),
    ],
)
def test_dtypes_devices_and_layouts_are_captured_by_their_text(one: Any, other: Any) -> None:
    assert differing(capture_tree(one), capture_tree(copy.copy(one))) == []
    assert differing(capture_tree(one), capture_tree(other)) != []


def test_results_with_names_are_containers() -> None:
    found = torch.arange(6.0).reshape(2, 3).max(0)
    assert len(capture_tree(found)) == 2
    packed = torch.nn.utils.rnn.pack_sequence([torch.ones(2), torch.ones(1)])
    assert "data" in capture_tree(packed).names


def test_a_capture_adds_nothing_to_the_autograd_graph() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    capture_tree(weight)
    (weight * 2).sum().backward()
    assert weight.grad.tolist() == [2, 2]


class Adapter(torch.nn.Module):
    """Lists a part of its parameters, as libraries of adapters do."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.base = torch.nn.Linear(1, 1)
        torch.nn.init.constant_(self.base.weight, weight)
        torch.nn.init.zeros_(self.base.bias)

    def named_parameters(self, *arguments: Any, **options: Any) -> Any:
        return iter(())

    def named_modules(self, *arguments: Any, **options: Any) -> Any:
        yield "", self


class QuietSGD(torch.optim.SGD):
    def state_dict(self) -> Any:
        return {}


class Zeros(torch.Tensor):
    def detach(self) -> Any:
        return torch.zeros(2)


def linear() -> Any:
    made = torch.nn.Linear(1, 1)
    torch.nn.init.zeros_(made.weight)
    torch.nn.init.zeros_(made.bias)
    return made


def scaled_by_hand(factor: float) -> Any:
    made = linear()
    made.forward = lambda x: x * factor
    return made


class Scaled(torch.nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.layer, self.factor = linear(), factor

    def forward(self, x: Any) -> Any:
        return self.layer(x) * self.factor


@pytest.mark.parametrize(
    "make",
    [
        Adapter,
        lambda x: QuietSGD([torch.nn.Parameter(torch.zeros(1))], lr=x),
        lambda x: torch.full((2,), x).as_subclass(Zeros),
        lambda x: torch.nn.Sequential(linear(), torch.nn.Dropout(x)),
        lambda x: torch.nn.Sequential(linear(), torch.nn.ReLU() if x == 0.5 else torch.nn.GELU()),
        scaled_by_hand,
        lambda x: torch.fx.symbolic_trace(Scaled(x)),
        lambda x: torch.tensor([x]).untyped_storage(),
    ],
)
def test_what_a_class_overrides_or_hides_counts_all_the_same(make: Any) -> None:
    assert not differing(capture_tree({"a": make(0.5)}), capture_tree({"a": make(0.5)}))
    assert differing(capture_tree({"a": make(0.5)}), capture_tree({"a": make(0.25)}))


def with_grad(value: float) -> Any:
    parameter = torch.nn.Parameter(torch.ones(2))
    parameter.grad = torch.full((2,), value)
    return parameter


def module_with_grad(value: float) -> Any:
    model = linear()
    model.weight.grad = torch.full_like(model.weight, value)
    return model


def with_note(kind: Any, value: float) -> Any:
    made = kind(torch.ones(2))
    made.note = value
    return made


def hooked(value: float) -> Any:
    model = linear()
    model.register_forward_hook(lambda module, given, out: out * value)
    return model


def two_layers(value: float, tie: Any = None) -> Any:
    net = torch.nn.Sequential(torch.nn.BatchNorm1d(2), torch.nn.Dropout(0.5), torch.nn.BatchNorm1d(2))
    if value == 0.5:
        (tie or tie_weights)(net)
    return net


def tie_weights(net: Any) -> None:
    net[2].weight = net[0].weight


def tie_buffers(net: Any) -> None:
    net[2].running_mean = net[0].running_mean


def tie_memory(net: Any) -> None:
    net[2].weight.data = net[0].weight.data


def tied_after_training(value: float) -> Any:
    net = two_layers(value)
    net(torch.ones(4, 2)).sum().backward()
    return net.requires_grad_()


def of_one_part(value: float) -> Any:
    net = two_layers(0.0)
    part = net[0] if value == 0.5 else net[2]
    return {"net": net, "optimizer": torch.optim.SGD([part.weight], lr=0.1)}


def shared_encoder(value: float) -> Any:
    one, two = linear(), linear()
    return {"actor": torch.nn.Sequential(one), "critic": torch.nn.Sequential(one if value == 0.5 else two)}


def loose_weights(value: float) -> Any:
    one, two = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    return [one, one if value == 0.5 else two]


class ScaledBy:
    def __init__(self, factor: float) -> None:
        self.factor = factor

    def __call__(self, *given: Any) -> float:
        return self.factor


def scheduler(value: float, kind: str = "LambdaLR", function: Any = None) -> Any:
    function = function or (lambda epoch: 1.0 if epoch == 0 else value)
    schedulers = torch.optim.lr_scheduler
    sgd = torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], lr=0.1)
    if kind == "CyclicLR":
        modes = {"mode": function} if isinstance(function, str) else {"scale_fn": function}
        return schedulers.CyclicLR(sgd, 0.1, 0.2, **modes)
    if kind == "SequentialLR":
        parts = [schedulers.ConstantLR(sgd), schedulers.LambdaLR(sgd, function)]
        return schedulers.SequentialLR(sgd, parts, milestones=[1])
    if kind == "ChainedScheduler":
        return schedulers.ChainedScheduler([schedulers.LambdaLR(sgd, function)])
    return getattr(schedulers, kind)(sgd, function)


def averaged(value: float, **functions: Any) -> Any:
    swa = torch.optim.swa_utils
    if not functions:
        functions = {"multi_avg_fn": swa.get_ema_multi_avg_fn(value)}
    return swa.AveragedModel(linear(), **functions)


def hooked_weight(value: float, register: str = "register_hook") -> Any:
    weight = torch.nn.Parameter(torch.ones(2))
    getattr(weight, register)(lambda grad: grad * value)
    return weight


def hooked_subclass(value: float) -> Any:
    tensor = torch.ones(2).as_subclass(Zeros).requires_grad_()
    tensor.register_hook(lambda grad: grad * value)
    return tensor


def hooked_layer(value: float) -> Any:
    model = linear()
    model.weight.register_hook(lambda grad: grad * value)
    return model


def hooked_optimizer(value: float, register: str) -> Any:
    made = optimizer(1.0)
    getattr(made, register)(lambda *given: value)
    return made


def optimizer(value: float, **attributes: Any) -> Any:
    made = torch.optim.SGD([torch.nn.Parameter(torch.full((2,), value))], lr=0.1)
    vars(made).update(attributes)
    return made


class Scale(torch.nn.Module):
    factor = 1.0


def scaled_by_class(value: float) -> Any:
    Scale.factor = value
    return Scale()


@pytest.mark.parametrize(
    "make",
    [
        with_grad,
        module_with_grad,
        lambda x: with_note(torch.Tensor.clone, x),
        lambda x: with_note(torch.nn.Parameter, x),
        hooked,
        lambda x: two_layers(0.0).train(x == 0.5),
        lambda x: two_layers(x, lambda net: net[1].eval()),
        two_layers,
        lambda x: two_layers(x, tie_buffers),
        lambda x: two_layers(x, tie_memory),
        tied_after_training,
        of_one_part,
        shared_encoder,
        loose_weights,
        hooked_weight,
        lambda x: hooked_weight(x, "register_post_accumulate_grad_hook"),
        hooked_subclass,
        hooked_layer,
        lambda x: hooked_optimizer(x, "register_step_pre_hook"),
        lambda x: hooked_optimizer(x, "register_step_post_hook"),
        scheduler,
        lambda x: scheduler(x, "MultiplicativeLR"),
        lambda x: scheduler(x, "CyclicLR"),
        lambda x: scheduler(x, "SequentialLR"),
        lambda x: scheduler(x, "ChainedScheduler"),
        lambda x: scheduler(x, function=ScaledBy(x).__call__),
        averaged,
        lambda x: averaged(x, avg_fn=lambda kept, new, count: kept * x),
        lambda x: averaged(x, avg_fn=ScaledBy(x)),
        optimizer,
        lambda x: optimizer(1.0, note=x),
        scaled_by_class,
    ],
)
def test_what_a_run_leaves_on_tensors_and_modules_is_seen(make: Any) -> None:
    def capture(value: float) -> Any:
        return capture_tree({"a": make(value)}, gradients=True, surroundings=True)

    assert not differing(capture(0.5), capture(0.5))
    assert differing(capture(0.5), capture(0.25))


def test_a_gradient_stands_beside_its_parameter() -> None:
    leaves = capture_tree({"w": with_grad(2.0)}, gradients=True).leaves
    assert [name for name in leaves if name] == ["w", "w/grad"]
    assert leaves["w"].data.tolist() == [1, 1]


def test_a_copy_from_a_checkpoint_has_no_gradients_and_no_hooks() -> None:
    trained, loaded = module_with_grad(1.0), linear()
    trained.bias.grad = torch.zeros_like(trained.bias)
    trained.register_forward_hook(lambda module, given, out: out)
    loaded.load_state_dict(trained.state_dict())
    first, second = capture_tree({"model": trained}), capture_tree({"model": loaded})
    assert not differing(first, second)
    assert [(entry.name, entry.is_state) for entry in first.not_compared] == [
        ("model/weight/grad", False),
        ("model/forward_hooks", False),
    ]


@pytest.mark.parametrize("tie", [tie_weights, tie_buffers, tie_memory])
def test_a_copy_from_a_checkpoint_need_not_be_tied_nor_in_the_same_mode(tie: Any) -> None:
    trained, loaded = two_layers(0.5, tie), two_layers(0.0).eval()
    trained(torch.ones(4, 2)).sum().backward()
    loaded.load_state_dict(trained.state_dict())
    found = compare({"model": loaded}, {"model": trained})
    assert found.verdict is Verdict.IDENTICAL
    assert "tie" in " ".join(entry.reason for entry in found.not_compared)
    assert not compare({"model": two_layers(0.0)}, {"model": two_layers(0.0).eval()}).not_compared


class Named(torch.nn.Parameter):
    pass


def test_a_copy_of_a_parameter_with_an_attribute_needs_no_gradient() -> None:
    one, other = (Named(torch.ones(2)) for _ in range(2))
    one.tag = other.tag = "x"  # type: ignore[attr-defined]
    one.grad = torch.ones(2)
    assert compare({"w": other, "again": other}, {"w": one, "again": one}).verdict is Verdict.IDENTICAL


def test_parameters_of_optimizers_in_a_set_are_captured_by_the_name_of_their_element() -> None:
    class Step:
        def __init__(self, value: float) -> None:
            self.optimizer = torch.optim.SGD([torch.nn.Parameter(torch.full((2,), value))], lr=0.1)

    found = capture_tree({"steps": {Step(1.0), Step(2.0)}}, gradients=True)
    assert [str(name) for name in found.leaves if name.endswith("parameters/0/0")] == [
        "steps/0/optimizer/parameters/0/0",
        "steps/1/optimizer/parameters/0/0",
    ]
    assert not found.not_compared


def test_functions_and_hooks_are_listed_where_a_checkpoint_does_not_hold_them() -> None:
    for make in (hooked_layer, averaged, scheduler, lambda x: scheduler(x, "SequentialLR")):
        found = compare({"a": make(0.5)}, {"a": make(0.25)})
        assert found.verdict is Verdict.IDENTICAL
        assert {entry.is_state for entry in found.not_compared} == {False}
    weight = capture_tree({"a": hooked_weight(0.5)})
    assert [entry.name for entry in weight.not_compared] == ["a/backward_hooks"]
    assert not differing(weight, capture_tree({"a": torch.nn.Parameter(torch.ones(2))}))
    for quiet in (torch.nn.TransformerEncoderLayer(2, 1, 2), scheduler(1.0, "CyclicLR", "triangular")):
        assert not capture_tree({"a": quiet}).not_compared
    found = compare({"a": optimizer(1.0)}, {"a": hooked_optimizer(0.5, "register_step_post_hook")})
    assert found.verdict is Verdict.IDENTICAL
    assert found.not_compared


def test_ties_do_not_depend_on_the_order_of_a_set() -> None:
    def capture(is_reversed: bool) -> Any:
        encoder = linear()
        models = [torch.nn.Sequential(encoder), torch.nn.Sequential(torch.nn.Flatten(), encoder)]
        found = Branch("set", [("", each) for each in models[:: -1 if is_reversed else 1]], unordered=True)
        return capture_tree({"a": found}, gradients=True, surroundings=True)

    assert not differing(capture(False), capture(True))


def test_a_tie_names_the_first_of_the_weights() -> None:
    leaves = capture_tree({"net": two_layers(0.5)}, gradients=True).leaves
    assert leaves["net/2.weight/tied_to"].data == "net/0.weight"
    assert leaves["net/2.weight"].data.tolist() == [1, 1]
    assert [name for name in leaves if "tied" in name or "training" in name] == [
        "net/2.weight/tied_to",
        "net/training",
    ]


def test_parameters_of_an_optimizer_are_captured_once() -> None:
    model = linear()
    made = torch.optim.SGD(model.parameters(), lr=0.1)
    for tree in ({"model": model, "optimizer": made}, {"optimizer": made, "model": model}):
        assert not [name for name in capture_tree(tree).leaves if "parameters/" in name]
    alone = capture_tree({"optimizer": made}, gradients=True)
    assert [name for name in alone.leaves if "parameters/" in name] == [
        "optimizer/parameters/0/0",
        "optimizer/parameters/0/1",
    ]
    # A checkpoint of an optimizer does not hold them, but between two values at one time they are told.
    told = capture_tree({"optimizer": made})
    assert not [name for name in told.leaves if "parameters/" in name]
    assert [(entry.name, entry.is_state) for entry in told.not_compared] == [("optimizer/parameters/0/0", False)]


def test_a_scheduler_adds_nothing_to_its_optimizer() -> None:
    plain, scheduled = optimizer(1.0), optimizer(1.0)
    torch.optim.lr_scheduler.StepLR(scheduled, 1)
    scheduled.param_groups[0].pop("initial_lr")
    assert not differing(capture_tree({"a": plain}), capture_tree({"a": scheduled}))


def test_a_module_class_that_a_test_has_made_does_not_outlive_it() -> None:
    class Net(torch.nn.Module):
        pass

    model = Net()
    alive = weakref.ref(Net)
    capture_tree({"model": model}, surroundings=True)
    capture_locals({"model": model})
    del Net, model
    gc.collect()
    assert alive() is None


class TestCompiled:
    """What torch.compile makes, which numbers its wrappers and leaves notes when it first compiles."""

    @pytest.fixture(autouse=True)
    def _compile_anew(self) -> None:
        importlib.import_module("torch._dynamo").reset()

    def test_a_compiled_function_is_the_function(self) -> None:
        def function(x: Any, factor: float = 2.0) -> Any:
            return factor * x

        def other(x: Any, factor: float = 3.0) -> Any:
            return factor * x

        one, again = (torch.compile(function, backend="eager") for _ in range(2))
        again(torch.ones(2))
        assert differing(capture_tree({"f": one}), capture_tree({"f": again})) == []
        assert differing(capture_tree({"f": one}), capture_tree({"f": torch.compile(other, backend="eager")})) != []

    def test_a_wrapper_of_a_compiled_function_is_not_taken_for_it(self) -> None:
        compiled = torch.compile(torch.sin, backend="eager")

        def wrap(factor: float) -> Any:
            @functools.wraps(compiled)
            def wrapper(x: Any) -> Any:
                return factor * compiled(x)

            return wrapper

        assert differing(capture_tree({"f": wrap(2.0)}), capture_tree({"f": wrap(2.0)})) == []
        assert "f/closure/factor" in differing(capture_tree({"f": wrap(2.0)}), capture_tree({"f": wrap(3.0)}))

    def make(self, weight: float = 1.0) -> Any:
        model = torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.ReLU())
        for parameter in model.parameters():
            torch.nn.init.constant_(parameter, weight)
        return model

    def test_a_compiled_module_is_the_module(self) -> None:
        one, used = (torch.compile(self.make(), backend="eager") for _ in range(2))
        used(torch.ones(1, 2))
        assert differing(capture_tree({"m": one}), capture_tree({"m": used})) == []
        other = torch.compile(self.make(2.0), backend="eager")
        assert differing(capture_tree({"m": one}), capture_tree({"m": other})) == [
            "m/_orig_mod.0.weight",
            "m/_orig_mod.0.bias",
        ]

    def test_a_module_that_was_compiled_is_the_same_as_before(self) -> None:
        model, used = self.make(), self.make()
        torch.compile(used, backend="eager")(torch.ones(1, 2))
        assert differing(capture_tree({"m": model}), capture_tree({"m": used})) == []

    def test_attributes_of_the_user_s_on_a_compiled_model_count(self) -> None:
        one, other = self.make(), self.make()
        for model, scale in ((one, 1.0), (other, 2.0)):
            compiled = torch.compile(model, backend="eager")
            compiled.scale = scale
            model[0].weight.scale = scale
        found = differing(capture_tree({"m": one}), capture_tree({"m": other}))
        assert found == ["m/0.weight/scale", "m/scale"]
