"""One catalogue with the words of every cause that is ever reported."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import pytest_repro
from pytest_repro.axes import BUILT_IN_NAMES
from pytest_repro.diagnosis.axis_causes import AXES
from pytest_repro.diagnosis.catalogue import fix_of, meaning_of, read_catalogue
from pytest_repro.sources import module_state, registry, state_kinds

CATALOGUE = read_catalogue()
PACKAGE = Path(pytest_repro.__file__).parent
CODE = re.compile(r"[a-z_]+\.[a-z_0-9]+")


def families() -> set[str]:
    return {code.partition(".")[0] for code in CATALOGUE}


def codes_in(*folders: str) -> set[str]:
    """Return the codes that stand as text in these packages, docstrings and words aside."""
    found = set()
    for file in (path for folder in folders for path in (PACKAGE / folder).glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and CODE.fullmatch(node.value):
                family, _, name = node.value.partition(".")
                # A class of torch's or a module has no code's family, and `batch.py` is a file.
                if family in families() and name != "py":
                    found.add(node.value)
    return found


@pytest.mark.parametrize("code", sorted(CATALOGUE))
def test_every_cause_has_a_meaning_and_a_fix(code: str) -> None:
    assert CODE.fullmatch(code) or code == "resume.*"
    assert meaning_of(code)
    assert fix_of(code)


def test_every_code_in_the_source_is_in_the_catalogue() -> None:
    found = codes_in("sources", "diagnosis", "session", "equivalences")
    assert len(found) > 100
    assert found <= CATALOGUE.keys()


def test_every_code_that_is_composed_is_in_the_catalogue() -> None:
    kinds = {*module_state.KINDS.values(), "framework_flag"}
    tree = ast.parse(Path(state_kinds.__file__).read_text(encoding="utf-8"))
    (kind_of,) = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "kind_of"]
    constants = [node.value for node in ast.walk(kind_of) if isinstance(node, ast.Return)]
    kinds |= {n.value for each in constants for n in ast.walk(each) if isinstance(n, ast.Constant) and n.value}
    assert len(kinds) > 8
    assert {state_kinds.code_of_state(str(kind)) for kind in kinds} <= CATALOGUE.keys()
    assert {f"isa.{library}" for library in ("numpy", "openblas", "aten", "mkl", "onednn", "libm", "numba")} < set(
        CATALOGUE
    )


def test_every_source_and_every_axis_has_a_code_in_the_catalogue() -> None:
    assert {source.code for source in registry.SOURCES} <= CATALOGUE.keys()
    assert {axis.code for axis in AXES.values()} <= CATALOGUE.keys()
    assert AXES.keys() == set(BUILT_IN_NAMES) - {"process"}


def test_a_part_of_a_training_that_is_named_after_its_variable_has_the_words_of_its_family() -> None:
    assert fix_of("resume.momentum") == CATALOGUE["resume.*"].fix
    with pytest.raises(KeyError):
        fix_of("hash.unknown")


def test_two_entries_with_one_code_are_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "SOURCES", (*registry.SOURCES, registry.SOURCES[0]))
    with pytest.raises(ValueError, match=r"two entries for rng\.os_entropy"):
        read_catalogue()


def test_every_fix_for_a_library_names_the_library() -> None:
    fixes = {code: words.library_fix for code, words in CATALOGUE.items() if words.library_fix}
    assert len(fixes) >= 7
    assert all("{library}" in fix for fix in fixes.values())
    assert all("gensim" in fix_of(code, "gensim") for code in fixes)
    assert fix_of("fs.order", "gensim") == CATALOGUE["fs.order"].fix


@pytest.mark.parametrize(
    ("code", "statement", "details", "expected"),
    [
        ("rng.os_entropy", "key = uuid.uuid4().hex", {"os.urandom"}, "uuid4() takes no seed"),
        ("rng.os_entropy", "key = uuid4()", {"os.urandom"}, "uuid4() takes no seed"),
        ("rng.os_entropy", "seed: int = field(default_factory=draw)", {"SystemRandom"}, "entropy takes no seed"),
        ("rng.os_entropy", "x = os.urandom(4)", {"os.urandom"}, "entropy takes no seed"),
        ("rng.os_entropy", "x = np.random.default_rng()", {"numpy seed sequence"}, "give the generator a seed"),
        # One of two draws in a line can be seeded.
        ("rng.os_entropy", "x = uuid4(), Random()", {"os.urandom", "random.Random()"}, "give the generator a seed"),
        ("hash.str_hashseed", "bucket = hash(token) % 8", set(), "replace hash()"),
        ("hash.str_hashseed", "for node in set(nodes):", set(), "iterate over sorted(...)"),
        ("hash.str_hashseed", "bucket = table.hash(token)", set(), "iterate over sorted(...)"),
        ("time.now", "x = uuid4(), time.time()", {"time"}, "pass the time in"),
    ],
)
def test_a_fix_suits_the_call(code: str, statement: str, details: set[str], expected: str) -> None:
    assert expected in fix_of(code, "", statement, details)


def test_the_fix_inside_of_a_library_is_what_to_pass_to_it() -> None:
    assert fix_of("rng.os_entropy", "lib", "lib.fit(uuid4())", {"os.urandom"}).startswith("pass lib a seed")
