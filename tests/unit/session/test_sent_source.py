"""The source by which another process can run a function: complete, what was executed, or refused by name."""

from __future__ import annotations

import ast
import functools
import linecache
import math
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_repro.session.sent_source import SentSource, source_of
from pytest_repro.session.written_values import NotSendableError, expression_of


def notebook(text: str, **given: Any) -> dict[str, Any]:
    """Execute a cell as IPython does: with a file name of which only the line cache has the text."""
    name = f"<ipython-input-{len(linecache.cache)}>"
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    namespace: dict[str, Any] = {"__name__": "__main__", **given}
    exec(compile(text, name, "exec"), namespace)
    return namespace


def rerun(source: SentSource, name: str, *arguments: Any) -> Any:
    """Call a function in a module that has nothing but what was sent."""
    namespace: dict[str, Any] = {"__name__": "sent", **source.arrays}
    exec(source.text, namespace)
    return namespace[name](*arguments)


def test_a_function_is_sent_with_the_imports_functions_classes_and_constants_that_it_reads() -> None:
    found = notebook(
        "import math as m\nfrom os.path import join\nSCALE = 2.5\n"
        "NAMES = {'a': (1, None), 'b': [float('inf')]}\nUNUSED = object()\n"
        "class Model:\n    def fit(self): return SCALE * m.pi\n"
        "def helper(): return join('a', 'b')\n"
        "def train(): return [Model().fit(), helper(), NAMES]\n"
    )
    source = source_of(found["train"], "train")
    assert rerun(source, "train") == [2.5 * math.pi, str(Path("a", "b")), found["NAMES"]]
    assert "UNUSED" not in source.text


def test_a_constant_has_the_value_of_now_and_a_default_that_of_its_definition() -> None:
    found = notebook("RATE = 1\ndef train(x=RATE, *, y=RATE): return x, y, RATE\nRATE = 7\n")
    assert rerun(source_of(found["train"], "train"), "train") == (1, 1, 7)


def test_a_class_has_the_attributes_of_now() -> None:
    found = notebook(
        "class Model:\n    made, names = 0, []\n    def __init__(self): type(self).made += 1\n"
        "def train(): return Model.made, Model.names, Model.added\n"
        "Model(); Model.names.append('x'); Model.added = 2.5\n"
    )
    assert rerun(source_of(found["train"], "train"), "train") == (1, ["x"], 2.5)


def test_an_array_is_sent_as_it_is() -> None:
    data = np.arange(6.0).reshape(2, 3).T
    found = notebook("def train(): return X.sum(0)\n", X=data)
    source = source_of(found["train"], "train")
    assert source.arrays == {"X": data}


def test_an_attribute_of_the_name_of_a_variable_is_not_taken_for_it() -> None:
    found = notebook("import numpy as np\nrandom = object()\ndef train(): return np.random.__name__\n")
    assert rerun(source_of(found["train"], "train"), "train") == "numpy.random"


def test_a_decorated_function_is_sent_with_its_decorator() -> None:
    found = notebook(
        "import functools\ndef twice(f):\n    @functools.wraps(f)\n    def inner(): return 2 * f()\n    return inner\n"
        "@twice\ndef train(): return 4\n"
    )
    assert rerun(source_of(found["train"], "train"), "train") == 8


@pytest.mark.parametrize("is_by_statement", [True, False])
def test_a_cell_is_known_whether_it_was_compiled_as_a_whole_or_by_statements(is_by_statement: bool) -> None:
    text = "import functools\ndef train(): return functools.reduce(max, [1, 2])\n"
    name = f"<ipython-input-{len(linecache.cache)}>"
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    tree = ast.parse(text)
    for part in [ast.Module([each], []) for each in tree.body] if is_by_statement else [tree]:
        exec(compile(part, name, "exec"), namespace)
    assert rerun(source_of(namespace["train"], "train"), "train") == 2


def changed_file(tmp_path: Path) -> Callable[..., Any]:
    path = tmp_path / "project_code.py"
    path.write_text("def train(): return 1\n", encoding="utf-8")
    module = types.ModuleType("project_code")
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), vars(module))
    path.write_text("def train(): return 2\n", encoding="utf-8")
    linecache.checkcache()
    found: Callable[..., Any] = module.train
    return found


def test_a_file_that_was_changed_after_its_import_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotSendableError, match="is not what was executed"):
        source_of(changed_file(tmp_path), "train")


def closed_over(number: int) -> Callable[[], int]:
    def train() -> int:
        return number

    return train


def counted() -> Any:
    found = notebook("def train(): return 1\ntrain.calls = 3\n")
    return found["train"]


def reads(value: Any, text: str = "def train(): return V\n") -> Any:
    return notebook(text, V=value)["train"]


SHARED = np.arange(4.0)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: lambda: 1, "a lambda has no definition"),
        (lambda: closed_over(3), r"variables of the function around it \(number\)"),
        (counted, r"has attributes \(calls\)"),
        (lambda: reads(object()), "reads 'V', a builtins.object, which cannot be sent"),
        (lambda: reads(np.array([object()])), "reads 'V', a numpy.ndarray"),
        (lambda: reads(np.arange(10.0)[::2]), "reads 'V', a numpy.ndarray"),
        (lambda: reads([1, [2, object()]]), "reads 'V', a builtins.list"),
        (lambda: reads("x" * 300_000), "too long"),
        (lambda: reads(types.ModuleType("made_here")), "which another process cannot import"),
        (lambda: reads(1, "def train(): return eval('V')\n"), "calls eval"),
        (lambda: functools.partial(closed_over, 1), "cannot be sent"),
        (lambda: notebook("def train(): return A, B\n", A=SHARED, B=SHARED[1:])["train"], "share memory"),
        (lambda: notebook("A = B = []\ndef train(): return A, B\n")["train"], "have an object in common"),
        (lambda: notebook("A = []\nB = {'a': (A,)}\ndef train(): return A, B\n")["train"], "have an object in common"),
    ],
)
def test_what_cannot_be_sent_is_refused_with_the_reason(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(NotSendableError, match=message):
        source_of(make(), "train")


@pytest.mark.parametrize(
    "value", [1, -0.0, float("nan"), 1e308, 2j, "a\n'b'", b"\x00", None, (), (1,), [[]], {"a": {1}}, frozenset({2})]
)
def test_a_constant_is_written_without_a_loss(value: Any) -> None:
    again = eval(expression_of(value, "x"))
    assert type(again) is type(value)
    assert repr(again) == repr(value)
