"""Tests of trainings: by hand, with pytest-repro, and with a fault that only the latter sees."""

import copy
import hashlib
import itertools
import re
from functools import partial

import numpy as np
import pytest
import torch

from pytest_repro import DivergenceError, assert_reproducible, assert_resume_equivalent

# --- The code under test. `fault=True` plants one fault in it.


def make_model(fault=False):
    generator = torch.Generator().manual_seed(0)
    if fault:
        generator.seed()  # from the system's entropy
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 1))
    with torch.no_grad():
        for parameter in [*model[0].parameters(), *model[2].parameters()]:
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return model


def make_batches(count=6):
    rows = torch.randn(count, 8, 4, generator=torch.Generator().manual_seed(1))
    return [(batch, batch.sum(dim=1, keepdim=True)) for batch in rows]


def train(model, batches, lr=0.1, last_step=True):
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    losses = []
    for number, (inputs, targets) in enumerate(batches):
        loss = torch.nn.functional.mse_loss(model(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        if last_step or number < len(batches) - 1:
            optimizer.step()
        losses.append(loss.detach())
    return losses


def train_by_library(model, batches, fault=False):
    model[1].momentum = 0.0 if fault else model[1].momentum  # the running statistics stay as they were
    return train(model, batches)


def train_by_trainer(model, batches, fault=False):
    return train(model, batches, last_step=not fault)


def train_after_change(model, batches, fault=False):
    return train(model, batches, lr=0.1 * (1 + 1e-6) if fault else 0.1)


#: The training loops that the tests compare, by name.
LOOPS = {"plain": train, "library": train_by_library, "trainer": train_by_trainer, "changed": train_after_change}


# --- 1. accelerate, training_check: a library trains as a plain loop does.


def check_training_by_hand(other):
    old, new = make_model(), make_model()
    train(old, make_batches())
    other(new, make_batches())
    for name, weight in new.named_parameters():
        torch.testing.assert_close(weight, dict(old.named_parameters())[name], atol=1e-6, rtol=1e-6)


@pytest.mark.reproducible(across={"loop": ["plain", "library"]})
def test_the_library_trains_as_the_plain_loop(loop):
    model = make_model()
    losses = LOOPS[loop](model, make_batches())
    return {"model": model, "losses": losses}


def test_statistics_that_the_library_does_not_update(monkeypatch):
    broken = partial(train_by_library, fault=True)
    check_training_by_hand(broken)
    monkeypatch.setitem(LOOPS, "library", broken)
    with pytest.raises(DivergenceError, match=r"model/1\.running_mean"):
        assert_reproducible(test_the_library_trains_as_the_plain_loop, across={"loop": ["plain", "library"]})


# --- 2. accelerate, test_can_resume_training: a stopped training ends as one without a stop.


class Loop:
    saves_statistics = True

    def __init__(self):
        self.model = make_model()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=0.01)
        self.batches = make_batches()

    def step(self, number):
        inputs, targets = self.batches[number]
        loss = torch.nn.functional.mse_loss(self.model(inputs), targets)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def save(self, path):
        weights = self.model.state_dict() if self.saves_statistics else dict(self.model.named_parameters())
        torch.save({"model": weights, "optimizer": self.optimizer.state_dict()}, path)

    def load(self, path):
        found = torch.load(path)
        self.model.load_state_dict(found["model"], strict=self.saves_statistics)
        self.optimizer.load_state_dict(found["optimizer"])


class ForgetfulLoop(Loop):
    saves_statistics = False


def check_resuming_by_hand(make, path):
    straight = make()
    for number in range(6):
        straight.step(number)
    first, resumed = make(), make()
    for number in range(3):
        first.step(number)
    first.save(path)
    resumed.load(path)
    for number in range(3, 6):
        resumed.step(number)
    for one, other in zip(straight.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(one, other)
    states = [loop.optimizer.state_dict()["state"] for loop in (straight, resumed)]
    for key, values in states[0].items():
        assert all(torch.equal(value, states[1][key][name]) for name, value in values.items())


def test_a_stopped_training_ends_as_one_without_a_stop():
    assert_resume_equivalent(Loop, steps=6, process="fork")


def test_statistics_that_the_checkpoint_lacks(tmp_path):
    check_resuming_by_hand(ForgetfulLoop, tmp_path / "checkpoint")
    with pytest.raises(DivergenceError, match="running_mean"):
        assert_resume_equivalent(ForgetfulLoop, steps=6, process="fork")


# --- 3. Lightning, test_pytorch_parity: the trainer's loss is the plain loop's.


def check_parity_by_hand(other):
    plain, trained = train(make_model(), make_batches()), other(make_model(), make_batches())
    np.testing.assert_almost_equal(float(trained[-1]), float(plain[-1]), 5)


@pytest.mark.reproducible(across={"loop": ["plain", "trainer"]})
def test_the_trainer_trains_as_the_plain_loop(repro, loop):
    model = make_model()
    for number, loss in enumerate(LOOPS[loop](model, make_batches())):
        repro.step(number, loss=loss)
    repro.capture("model", model)


def test_a_last_step_that_the_trainer_leaves_out(monkeypatch):
    broken = partial(train_by_trainer, fault=True)
    check_parity_by_hand(broken)
    monkeypatch.setitem(LOOPS, "trainer", broken)
    with pytest.raises(DivergenceError, match=r"model/0\.weight"):
        assert_reproducible(test_the_trainer_trains_as_the_plain_loop, across={"loop": ["plain", "trainer"]})


# --- 4. torchtitan, test_bitwise_deterministic: two runs have the same bits.


def hash_of(tensors):
    return hashlib.sha256(b"".join(tensor.detach().numpy().tobytes() for tensor in tensors)).hexdigest()


def check_two_runs_by_hand(make):
    initial = make()
    results = []
    for _ in range(2):
        model = copy.deepcopy(initial)
        losses = train(model, make_batches())
        gradients = [parameter.grad for parameter in model.parameters()]
        results.append((losses[-1], hash_of(model.parameters()), hash_of(gradients)))
    assert torch.equal(results[0][0], results[1][0])
    assert results[0][1:] == results[1][1:]


def train_anew(make=make_model):
    model = make()
    losses = train(model, make_batches())
    return {"model": model, "losses": losses}  # with the gradients that the last step left on the model


@pytest.mark.reproducible
def test_two_runs_have_the_same_bits():
    return train_anew()


def test_first_weights_that_no_seed_reaches():
    check_two_runs_by_hand(lambda: make_model(fault=True))
    with pytest.raises(DivergenceError, match=r"model/0\.weight"):
        assert_reproducible(lambda: train_anew(lambda: make_model(fault=True)))


# --- 5. torchtitan, loss_compare: a change of the code leaves the losses as they were.


def check_logs_by_hand(other):
    logs = ["", ""]
    for number, loop in enumerate((train, other)):
        for step, loss in enumerate(loop(make_model(), make_batches())):
            logs[number] += f"step: {step}  loss: {float(loss):8.5f}\n"
    one, two = (dict(re.findall(r"step:\s*(\d+)\s*loss:\s*(\d+\.\d+)", log)) for log in logs)
    assert one
    assert one == two


@pytest.mark.reproducible(across={"loop": ["plain", "changed"]})
def test_the_change_leaves_the_losses_as_they_were(repro, loop):
    for number, loss in enumerate(LOOPS[loop](make_model(), make_batches())):
        repro.step(number, loss=loss)


def test_a_learning_rate_that_is_off_by_one_in_a_million(monkeypatch):
    broken = partial(train_after_change, fault=True)
    check_logs_by_hand(broken)
    monkeypatch.setitem(LOOPS, "changed", broken)
    with pytest.raises(DivergenceError, match="step/2/loss"):
        assert_reproducible(test_the_change_leaves_the_losses_as_they_were, across={"loop": ["plain", "changed"]})


# --- 11. stable-baselines3, test_deterministic: two trainings with one seed act alike.


def act(seed, swaps=None):
    actions = np.random.default_rng(seed).integers(0, 10, size=20)
    if swaps is not None and next(swaps) % 2:  # results of two workers that arrive in another order
        actions[[3, 4]] = actions[[4, 3]]
    return actions


def check_actions_by_hand(play):
    one, other = play(), play()
    assert sum(one) == sum(other)


@pytest.mark.reproducible
def test_two_trainings_act_alike(repro):
    return {"actions": act(repro.seed)}


def test_actions_in_another_order():
    swaps = itertools.count()
    check_actions_by_hand(lambda: act(0, swaps))
    with pytest.raises(DivergenceError, match=r"\[3\]"):
        assert_reproducible(lambda: act(0, swaps))
