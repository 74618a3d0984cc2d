"""Run code in a fresh interpreter under a condition, as the spawn engine does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from pytest_repro.axes import Effect
from pytest_repro.engines.condition import Variation, environment_of, judge_effects, prefix_of
from pytest_repro.model import JSON, Condition

_CHILD = """
import json, pathlib, sys, tempfile
job = json.loads(sys.argv[1])
seen = {}
exec(job["before"], {"seen": seen})
from pytest_repro.model import Condition
from pytest_repro.axes import AxisContext
from pytest_repro.engines.condition import apply_condition, verify_condition
condition = Condition(tuple((name, value) for name, value in job["condition"]))
with tempfile.TemporaryDirectory() as scratch, apply_condition(condition, AxisContext(pathlib.Path(scratch))):
    exec(job["body"], {"seen": seen})
    effects = verify_condition(condition, job["axes"])
exec(job["after"], {"seen": seen})
print(json.dumps({"seen": seen, "effects": [effect.to_json() for effect in effects]}))
"""


@dataclass
class Child:
    """Values that a child wrote to `seen`, and the effects that it read back."""

    seen: dict[str, Any]
    effects: tuple[Effect, ...]

    @property
    def effect(self) -> Effect:
        return self.effects[0]


def run_child(
    condition: dict[str, JSON],
    body: str = "",
    *,
    before: str = "",
    after: str = "",
    axes: list[str] | None = None,
    env: dict[str, str] | None = None,
    unset: tuple[str, ...] = (),
) -> Child:
    """Run `before`, then `body` with the condition applied, then `after`. Each may write to `seen`."""
    complete = Condition(tuple(condition.items()))
    environment = {name: text for name, text in os.environ.items() if name not in unset} | (env or {})
    for name, text in environment_of(complete, environment).items():
        environment.pop(name, None)
        if text is not None:
            environment[name] = text
    job = {"condition": list(condition.items()), "before": before, "body": body, "after": after}
    job["axes"] = axes if axes is not None else list(condition)
    command = [*prefix_of(complete), sys.executable, "-c", _CHILD, json.dumps(job)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{done.returncode}: {done.stderr[-3000:]}"
    assert not done.stderr, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    return Child(answer["seen"], tuple(Effect.from_json(effect) for effect in answer["effects"]))


def judge(baseline: Child, other: Child, axis: str) -> Variation:
    """Return whether an axis varied between two children."""
    (variation,) = judge_effects(baseline.effects, other.effects, Condition(((axis, None),)))
    return variation
