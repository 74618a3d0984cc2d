"""Functions of a project that train something, found by their names and judged by how easily a test can call them."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

from pytest_repro.adopting.scan import Scan, list_sources, parse_source

#: Names -> how likely such a function trains a model.
_NAMES = {
    "train": 10,
    "train_model": 10,
    "run_training": 10,
    "train_and_evaluate": 10,
    "training": 8,
    "fit": 9,
    "fit_model": 9,
    "run_experiment": 6,
}
#: Parts of training, which return no model.
_PARTS = ("step", "epoch", "batch", "split", "loop", "loader", "dataset", "data", "config", "args", "parser", "one")
#: Decorators by which a function becomes a command, and takes its arguments from the command line.
_COMMANDS = ("command", "hydra.main", "click", "typer", "fixture")
_TESTS = ("tests", "test", "testing")

#: Name of a parameter -> the code of its value in the test. `data` and `labels` are made by the test.
VALUES = {
    **dict.fromkeys(("seed", "random_state", "random_seed", "rng_seed"), "repro.seed"),
    **dict.fromkeys(("rng", "generator", "random_generator"), "repro.rng"),
    "device": "repro.device",
    **dict.fromkeys(
        ("epochs", "num_epochs", "n_epochs", "max_epochs", "steps", "num_steps", "n_steps", "max_steps", "n_iter"), "2"
    ),
    **dict.fromkeys(("iterations", "num_iterations", "n_iterations", "max_iter"), "2"),
    "batch_size": "8",
    **dict.fromkeys(("lr", "learning_rate"), "0.01"),
    **dict.fromkeys(("num_workers", "n_workers"), "0"),
    **dict.fromkeys(("verbose", "progress", "show_progress"), "False"),
    **dict.fromkeys(("X", "x", "X_train", "x_train", "features", "inputs"), "data"),
    **dict.fromkeys(("y", "y_train", "labels", "targets", "target"), "labels"),
    **dict.fromkeys(("output_dir", "out_dir", "save_dir", "log_dir", "checkpoint_dir", "model_dir", "out"), "tmp_path"),
}
#: Parameters with a default that the test gives all the same: its seed, and few steps.
_GIVEN_ANYWAY = {
    name for name, value in VALUES.items() if value in ("repro.seed", "repro.rng", "repro.device", "2", "tmp_path")
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A function that seems to train something.

    Attributes
    ----------
    file : str
        Relative to the project.
    module : str
        Name by which a test imports it.
    folder : str
        The folder, relative to the project, from which that works.
    arguments : tuple of (name, code)
        Of the call. The code is empty where the value cannot be known.
    positional : int
        How many of the arguments have no name in the call.
    reasons : tuple of str
        Why it was chosen.
    """

    score: int
    file: str
    line: int
    name: str
    module: str
    folder: str
    arguments: tuple[tuple[str, str], ...]
    positional: int
    returns: bool
    reasons: tuple[str, ...]

    @property
    def unknown(self) -> tuple[str, ...]:
        """Names of the arguments whose values cannot be known."""
        return tuple(name for name, code in self.arguments if not code)


def find_candidates(root: Path) -> list[Candidate]:
    """Return the functions of a project that seem to train something, the best first."""
    found: list[Candidate] = []
    for number, path in enumerate(list_sources(root, Scan())):
        parts = path.relative_to(root).parts
        if number >= 2_000 or any(part in _TESTS for part in parts[:-1]) or parts[-1].startswith(("test_", "conftest")):
            continue
        try:
            tree = parse_source(path)
        except ValueError:
            continue
        module, folder = _module_of(path, root)
        if not module:
            continue
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and (base := _likelihood(node)):
                found.append(_judge(node, base, path.relative_to(root).as_posix(), module, folder))
    return sorted(found, key=lambda each: (-each.score, each.file, each.line))


def _likelihood(node: ast.FunctionDef) -> int:
    """Return how likely a function trains a model, by its name. 0: it does not, or no test can call it."""
    name = node.name
    is_generator = any(isinstance(each, (ast.Yield, ast.YieldFrom)) for each in ast.walk(node))
    if is_generator or node.args.posonlyargs or any(part in name.split("_") for part in _PARTS):
        return 0
    if any(command in ast.unparse(each) for each in node.decorator_list for command in _COMMANDS):
        return 0
    score = _NAMES.get(name.lstrip("_"), 0)
    if not score and name.lstrip("_").startswith(("train_", "fit_")):
        score = 7
    return max(1, score - 4) if score and name.startswith("_") else score


def _judge(node: ast.FunctionDef, base: int, file: str, module: str, folder: str) -> Candidate:
    arguments, positional = _choose_arguments(node)
    returns = any(isinstance(each, ast.Return) and each.value is not None for each in ast.walk(node))
    unknown = [name for name, code in arguments if not code]
    takes_seed = any(code in ("repro.seed", "repro.rng") for _, code in arguments)
    reasons = [f"its name is {node.name}"]
    reasons += ["it returns a value"] if returns else ["it returns nothing"]
    reasons += ["it takes a seed"] if takes_seed else []
    reasons += [f"the values of {', '.join(unknown)} are yours to give"] if unknown else ["all its arguments are known"]
    score = base + 4 * returns + 3 * takes_seed - 3 * len(unknown)
    return Candidate(
        score, file, node.lineno, node.name, module, folder, tuple(arguments), positional, returns, tuple(reasons)
    )


def _choose_arguments(node: ast.FunctionDef) -> tuple[list[tuple[str, str]], int]:
    """Return the arguments of a call, and how many of them are given by position."""
    plain = node.args.args
    required = plain[: len(plain) - len(node.args.defaults)]
    chosen = [(each.arg, _value_of(each)) for each in required]
    optional = [each for each in plain[len(required) :] if each.arg in _GIVEN_ANYWAY]
    for each, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True):
        if default is None or each.arg in _GIVEN_ANYWAY:
            optional.append(each)
    return chosen + [(each.arg, _value_of(each)) for each in optional], len(required)


def _value_of(argument: ast.arg) -> str:
    code = VALUES.get(argument.arg, "")
    if code == "tmp_path" and argument.annotation is not None and ast.unparse(argument.annotation) == "str":
        return "str(tmp_path)"
    return code


def _module_of(path: Path, root: Path) -> tuple[str, str]:
    """Return the name of a file's module, and the folder from which it can be imported; no name if it has none."""
    folder, names = path.parent, [] if path.name == "__init__.py" else [path.stem]
    while folder != root and (folder / "__init__.py").exists():
        names.insert(0, folder.name)
        folder = folder.parent
    if not names or not all(name.isidentifier() for name in names):
        return "", ""
    return ".".join(names), folder.relative_to(root).as_posix()
