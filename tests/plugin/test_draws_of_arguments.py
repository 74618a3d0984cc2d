"""Arguments that add a draw from a shared generator, or stop and resume: the call, the loop and their lines."""

from __future__ import annotations

import pytest

from tests.plugin.helpers import Sessions

ADDED = """
    import random
    import uuid

    import numpy as np
    import pytest

    def evaluate(w):
        return float((w + np.random.normal(size=3)).sum())

    def validate(w, rng):
        return float(w[rng.permutation(3)[:2]].sum())

    @pytest.mark.reproducible(across={"eval_every": [0, 1]})
    def test_global(eval_every):
        np.random.seed(0)
        w, scores = np.zeros(3), []
        for step in range(4):
            w = w + np.random.normal(size=3)
            if eval_every and step % eval_every == 0:
                scores.append(evaluate(w))  # global
        return w

    @pytest.mark.reproducible(across={"eval_every": [0, 1]})
    def test_passed(eval_every):
        rng = np.random.default_rng(3)
        w = np.zeros(3)
        for step in range(4):
            batch = rng.normal(size=3)
            w += batch
            if eval_every:
                validate(w, rng)  # passed
        return w

    class Trainer:
        def __init__(self, every):
            self.every, self.rng, self.w = every, random.Random(0), 0.0

        def evaluate(self):
            return self.w + self.rng.random()

        def fit(self):
            for i in range(4):
                self.w += self.rng.random()
                if self.every and i % self.every == 0:
                    self.evaluate()  # attribute
            return self.w

    @pytest.mark.reproducible(across={"eval_every": [0, 1]})
    def test_attribute(eval_every):
        return Trainer(eval_every).fit()

    @pytest.mark.reproducible(across={"log": [False, True]})
    def test_condition(log):
        random.seed(1)
        items = list(range(10))
        for _ in range(3):
            random.shuffle(items)
            if log and random.random() < 2:  # condition
                pass
        return items

    @pytest.mark.reproducible(across={"eval_every": [0, 1]})
    def test_labelled(eval_every):
        label, tags = uuid.uuid4().hex, []
        rng, w = np.random.default_rng(3), 0.0
        for step in range(4):
            tags.append(uuid.uuid4().hex)
            w += rng.normal()
            if eval_every:
                rng.normal()  # labelled
        return w

    @pytest.mark.reproducible(across={"eval_every": [0, 1]})
    def test_twin(eval_every):
        rng, own = np.random.default_rng(3), np.random.default_rng(4)
        w = np.zeros(3)
        for step in range(4):
            w += rng.normal(size=3)
            if eval_every:
                validate(w, own)
        return w

    @pytest.mark.reproducible(across={"eval_every": [0, 1]})
    def test_decoy_of_an_unused_draw(eval_every):
        rng = np.random.default_rng(3)
        w = np.zeros(3)
        for step in range(4):
            w = w + step
            if eval_every:
                rng.normal()
                w = w * 1.5
        return w

    @pytest.mark.reproducible(across={"epochs": [2, 3]})
    def test_decoy_of_more_steps(epochs):
        rng = np.random.default_rng(0)
        w = 0.0
        for _ in range(epochs):
            w += rng.normal()
        return w

    @pytest.mark.reproducible(across={"n": [2, 3]})
    def test_decoy_of_another_size(n):
        rng = np.random.default_rng(0)
        x = rng.normal(size=n)
        return float(x.sum() + rng.normal())
"""


def test_a_call_that_one_value_adds_and_that_draws_from_the_shared_generator_is_named(sessions: Sessions) -> None:
    session = sessions.run(ADDED, "--repro-diagnose")
    lines = ADDED.splitlines()
    for name in ("global", "passed", "attribute", "condition", "labelled"):
        (cause,) = session.test(f"test_{name}")["diagnosis"]["causes"]
        assert (cause["code"], cause["confidence"]) == ("rng.shared_generator", "probed"), name
        assert "with the generators restored after the call, both runs were identical" in cause["evidence"]
        assert lines[cause["location"]["line"] - 1].endswith(f"# {name}")
        assert "give the call a generator of its own" in cause["fix"]
    assert session.test("test_twin")["verdict"] == "identical"
    for name in ("unused_draw", "more_steps", "another_size"):
        found = session.test(f"test_decoy_of_{'an_' if name == 'unused_draw' else ''}{name}")
        assert (found["verdict"], found["diagnosis"]["causes"]) == ("diverged", []), name


RESUMED = """
    import pickle

    import numpy as np
    import pytest

    class Sampler:
        def __init__(self, n, epoch=0):
            self.n, self.epoch = n, epoch

        def __iter__(self):
            return iter(np.random.default_rng(self.epoch).permutation(self.n).tolist())

    def train(epochs, load=None, save=None):
        order, w, start = np.random.default_rng(7), 0.0, 0
        if load:
            w, start = pickle.loads(load.read_bytes())
        for epoch in range(start, epochs):
            for i in order.permutation(4).tolist():  # files
                w = 0.9 * w + i
        if save:
            save.write_bytes(pickle.dumps((w, epochs)))
        return w

    @pytest.mark.reproducible(across={"resume": [False, True]})
    def test_files(resume, tmp_path):
        if not resume:
            return train(4)
        train(2, save=tmp_path / "c")
        return train(4, load=tmp_path / "c")

    @pytest.mark.reproducible(across={"resumed": [False, True]})
    def test_epoch(resumed):
        w, epoch = 0.0, 0
        for k in range(3):
            if resumed and k == 2:
                w = pickle.loads(pickle.dumps(w))
                epoch = 0  # epoch
            for i in Sampler(9, epoch):
                w = 0.9 * w + i
            epoch += 1
        return w

    @pytest.mark.reproducible(across={"resumed": [False, True]})
    def test_sampler(resumed):
        w, sampler = 0.0, np.random.default_rng(7)
        for k in range(3):
            if resumed and k == 2:
                w = pickle.loads(pickle.dumps(w))
                sampler = np.random.default_rng(7)  # sampler
            for i in sampler.permutation(5).tolist():
                w = 0.9 * w + i
        return w
"""


def test_an_order_of_data_that_starts_anew_is_named(sessions: Sessions) -> None:
    session = sessions.run(RESUMED, "--repro-diagnose")
    lines = RESUMED.splitlines()
    for name in ("files", "epoch", "sampler"):
        (cause,) = session.test(f"test_{name}")["diagnosis"]["causes"]
        assert cause["code"] == "resume.data_order", name
        assert lines[cause["location"]["line"] - 1].endswith(f"# {name}")


SUSPECTED = """
    import pytest
    from pytest_repro import assert_resume_equivalent

    class Loop:
        total = 0

        def __init__(self):
            type(self).total = 0
            self.w, self.mean = 0.0, 0.0

        def step(self, i):
            type(self).total += 1
            self.mean += i
            self.w += self.mean + type(self).total

        def save(self, path):
            path.write_text(repr(self.w))

        def load(self, path):
            self.w = float(path.read_text())

    @pytest.mark.reproducible(across={"resume": assert_resume_equivalent})
    def test_it(resume):
        resume(Loop, steps=6, process="same")
"""


def test_a_cause_that_could_not_be_tried_is_suspected_in_every_report(sessions: Sessions) -> None:
    page = sessions.folder / "report.html"
    session = sessions.run(SUSPECTED, f"--repro-html={page}")
    found = session.test("test_it")["diagnosis"]
    assert found["causes"] == []
    assert [(cause["code"], cause["confidence"], cause["axis"]) for cause in found["suspected"]] == [
        ("resume.mean", "suspected", "resume")
    ]
    assert "  suspected resume.mean: lost between save() and load()" in session.text
    assert "  cause  " not in session.text
    assert "Suspected, but not shown by a run:" in page.read_text(encoding="utf-8")


@pytest.mark.needs("torch")
def test_the_generator_of_a_loader_that_starts_anew_is_the_order_of_the_data(sessions: Sessions) -> None:
    session = sessions.run(
        """
        import pytest
        import torch
        from torch.utils.data import DataLoader, TensorDataset

        def make(data):
            torch.manual_seed(0)
            model = torch.nn.Linear(1, 1)
            opt = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9)
            generator = torch.Generator().manual_seed(3)
            return model, opt, DataLoader(data, batch_size=4, shuffle=True, generator=generator)

        @pytest.mark.reproducible(across={"resume": [False, True]})
        def test_it(resume):
            data = TensorDataset(torch.arange(12.0).reshape(12, 1))
            model, opt, loader = make(data)
            for epoch in range(3):
                if resume and epoch == 1:
                    saved = model.state_dict(), opt.state_dict()
                    model, opt, loader = make(data)
                    model.load_state_dict(saved[0])
                    opt.load_state_dict(saved[1])
                for (x,) in loader:
                    loss = ((model(x) - x) ** 2).mean()
                    opt.zero_grad()
                    loss.backward()
                    opt.step()
            return model.state_dict()
        """,
        "--repro-diagnose",
    )
    assert [cause["code"] for cause in session.test("test_it")["diagnosis"]["causes"]] == ["resume.data_order"]
