"""The text of a first reproducible test: around a training function of the project, or an example that runs."""

from __future__ import annotations

from pytest_repro.adopting.training_functions import Candidate

EXAMPLE = '''"""A training that must give the same bits in every run: an example, to be replaced by yours."""

import numpy as np
import pytest


def train(data, labels, rng, steps=20):
    """Replace this by the training of your project."""
    weights = rng.normal(size=data.shape[1])
    for _ in range(steps):
        predicted = 1 / (1 + np.exp(-data @ weights))
        weights -= 0.1 * data.T @ (predicted - labels) / len(data)
    return weights


@pytest.mark.reproducible
def test_training(repro):
    data = repro.rng.normal(size=(64, 4))
    labels = (data[:, 0] > 0).astype(int)
    weights = train(data, labels, repro.rng)
    return {"weights": weights, "accuracy": float(((data @ weights > 0) == labels).mean())}
'''


def write_test(candidate: Candidate | None) -> str:
    """Return the text of the test's file."""
    return EXAMPLE if candidate is None else _write_call(candidate)


def _write_call(candidate: Candidate) -> str:
    codes = {code for _, code in candidate.arguments}
    needs_data, needs_folder = codes & {"data", "labels"}, any("tmp_path" in code for code in codes)
    fixtures = ["repro", *(["tmp_path"] if needs_folder else [])]
    lines = [
        f'"""`{candidate.name}` of {candidate.module} must give the same bits in every run."""',
        "",
        "import pytest",
        "",
        f"from {candidate.module} import {candidate.name}",
        "",
        "",
    ]
    todo = [
        *(f"the argument {name}" for name in candidate.unknown),
        *([] if candidate.returns else ["what to compare"]),
    ]
    if todo:
        lines.append(f'@pytest.mark.skip(reason="TODO: give {", ".join(todo)}, then remove this line")')
    lines += ["@pytest.mark.reproducible", f"def test_{candidate.name.strip('_')}({', '.join(fixtures)}):"]
    if needs_data:
        lines.append("    data = repro.rng.normal(size=(64, 4))")
    if "labels" in codes:
        lines.append("    labels = (data[:, 0] > 0).astype(int)")
    arguments = []
    for number, (name, code) in enumerate(candidate.arguments):
        if not code:
            lines.append(f"    {name} = ...  # TODO: a small value that trains in seconds")
        value = code or name
        arguments.append(value if number < candidate.positional else f"{name}={value}")
    call = f"{candidate.name}({', '.join(arguments)})"
    if candidate.returns:
        lines.append(f'    return {{"result": {call}}}')
    else:
        lines += [f"    {call}", "    return {}  # TODO: what it trains, such as weights and predictions"]
    return "\n".join(lines) + "\n"
