"""Sources are noted and pinned while modules are imported, and all of it is undone before the run."""

from __future__ import annotations

import os
import random
import textwrap
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from pytest_repro import seeding
from pytest_repro.sources.import_probe import UNSEEDED, ImportProbe


@pytest.fixture(autouse=True)
def kept_generators() -> Iterator[None]:
    state = seeding.save_state()
    yield
    seeding.restore_state(state)


def import_module(folder: Path, source: str, *pins: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    path = folder / "made.py"
    path.write_text(textwrap.dedent(source), encoding="utf-8")
    probe = ImportProbe(pins, nullcontext())
    names: dict[str, Any] = {}
    try:
        exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), names)
    finally:
        found = probe.finish()
    return names, found


def test_a_draw_of_a_module_is_noted_at_its_line_as_one_of_the_import(tmp_path: Path) -> None:
    names, found = import_module(tmp_path, "import uuid\nRUN = uuid.uuid4().hex\n")
    assert [(entry["kind"], Path(entry["file"]).name, entry["line"]) for entry in found] == [("entropy", "made.py", 2)]
    again, _ = import_module(tmp_path, "import uuid\nRUN = uuid.uuid4().hex\n")
    assert names["RUN"] != again["RUN"]


@pytest.mark.parametrize(
    "draw", ["random.random()", "random.Random().random()", "np.random.rand()", "np.random.default_rng().random()"]
)
def test_a_pinned_draw_is_the_same_in_each_interpreter(tmp_path: Path, draw: str) -> None:
    source = f"import random\nimport numpy as np\nX = {draw}\n"
    values = []
    for seed in (1, 2):
        seeding.seed_everything(seed)  # as the interpreter's own entropy would
        values.append(import_module(tmp_path, source, "entropy")[0]["X"])
    assert values[0] == values[1]


def test_a_draw_from_a_global_generator_is_noted_without_a_line(tmp_path: Path) -> None:
    _, found = import_module(tmp_path, "import random\nX = random.random()\n")
    assert [(entry["detail"], entry["file"]) for entry in found] == [(UNSEEDED, "")]
    assert not import_module(tmp_path, "X = 1\n")[1]


def test_nothing_stays_replaced(tmp_path: Path) -> None:
    before = os.urandom, random.Random.seed
    import_module(tmp_path, "X = 1\n", "entropy", "time")
    assert (os.urandom, random.Random.seed) == before
