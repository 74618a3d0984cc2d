"""Settings of determinism in a module's source: flags of frameworks, variables of the environment."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from pytest_repro.adopting.findings import Finding, Weight
from pytest_repro.adopting.names import dotted_name, full_name

#: Variables that change results, or hide that they change -> what that means for the plugin.
VARIABLES = {
    "PYTHONHASHSEED": "a fixed one hides results that depend on the order of sets; the axis hash_seed varies it",
    "CUBLAS_WORKSPACE_CONFIG": "deterministic cuBLAS; needed by torch.use_deterministic_algorithms on CUDA",
    "OMP_NUM_THREADS": "the number of threads, which the axis threads varies and which changes the order of sums",
    "MKL_NUM_THREADS": "the number of threads of MKL, which the axis threads varies",
    "OPENBLAS_NUM_THREADS": "the number of threads of OpenBLAS, which the axis threads varies",
    "NUMEXPR_NUM_THREADS": "the number of threads of numexpr",
    "MKL_CBWR": "MKL's reproducible mode, which the axis isa varies",
    "OPENBLAS_CORETYPE": "the kernels of OpenBLAS, which the axis isa varies",
    "TF_DETERMINISTIC_OPS": "deterministic kernels of TensorFlow",
    "TF_CUDNN_DETERMINISTIC": "deterministic kernels of cuDNN in TensorFlow",
    "NVIDIA_TF32_OVERRIDE": "whether GPUs round to TF32",
    "XLA_FLAGS": "XLA's switches, among them those of determinism",
    "NUMBA_NUM_THREADS": "the number of threads of numba",
}
_FLAGS: dict[str, dict[bool, tuple[Weight, str, str]]] = {
    "torch.backends.cudnn.benchmark": {
        True: (
            "mend",
            "lets cuDNN choose its kernels by their speed, so that runs on a GPU may differ",
            "set it to False",
        ),
    },
    "torch.backends.cudnn.deterministic": {True: ("note", "asks cuDNN for deterministic kernels", "")},
    "torch.backends.cuda.matmul.allow_tf32": {True: ("note", "lets GPUs round products to TF32", "")},
}


def find_switches(tree: ast.AST, aliases: dict[str, str], file: str) -> Iterator[Finding]:
    """Yield settings of determinism that a module makes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target, value = node.targets[0], node.value
            known = _FLAGS.get(full_name(target, aliases), {})
            if isinstance(value, ast.Constant) and isinstance(value.value, bool) and value.value in known:
                weight, text, fix = known[value.value]
                yield Finding(
                    file, node.lineno, "setting", weight, f"{dotted_name(target)} = {value.value} {text}", fix
                )
            elif isinstance(target, ast.Subscript) and full_name(target.value, aliases) == "os.environ":
                yield from _find_variable(target.slice, node.lineno, file)
        elif isinstance(node, ast.Call):
            name = full_name(node.func, aliases)
            if name in ("os.environ.setdefault", "os.putenv") and node.args:
                yield from _find_variable(node.args[0], node.lineno, file)
            elif name == "torch.use_deterministic_algorithms" and node.args:
                is_on = ast.unparse(node.args[0])
                yield Finding(file, node.lineno, "setting", "note", f"{name}({is_on}): deterministic kernels of torch")
            elif name == "tensorflow.config.experimental.enable_op_determinism":
                yield Finding(file, node.lineno, "setting", "note", "deterministic kernels of TensorFlow")


def _find_variable(node: ast.expr, line: int, file: str) -> Iterator[Finding]:
    name = node.value if isinstance(node, ast.Constant) else None
    if not isinstance(name, str) or name not in VARIABLES:
        return
    text = f"sets {name}: {VARIABLES[name]}"
    if name == "PYTHONHASHSEED":
        text = (
            "sets PYTHONHASHSEED, which reaches only interpreters that are started later: Python reads it at its start"
        )
    yield Finding(file, line, "setting", "note", text)
