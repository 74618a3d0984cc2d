"""Environment that results depend on: interpreter, packages, BLAS, processor, accelerators, container."""

from __future__ import annotations

import functools
import getpass
import hashlib
import importlib.util
import json
import locale
import os
import platform
import re
import sys
import time
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from pytest_repro.capturing.budget import Unavailable, collect, is_unavailable, run_tool
from pytest_repro.capturing.code import describe_code
from pytest_repro.capturing.git import find_root
from pytest_repro.capturing.installed_files import describe_installed
from pytest_repro.capturing.packages import describe_packages, find_editable
from pytest_repro.errors import StoreError
from pytest_repro.model import JSON
from pytest_repro.model.reading import opened
from pytest_repro.model.redaction import hidden_digest, redact
from pytest_repro.model.secret_names import is_secret_variable

#: Instruction sets for which numerical libraries have special kernels.
_SIMD = re.compile(
    r"sse\d?(_\d)?|ssse3|pni|avx\w*|fma4?|f16c|bmi[12]|amx\w*|neon|asimd\w*|sve\w*|sme(2\w*|_\w+)?|bf16|i8mm|vfp\w*"
)
#: Variables that choose kernels, threads or precision, by the names that their libraries document.
_VARIABLES = re.compile(
    r"OMP_(NUM_THREADS|SCHEDULE|DYNAMIC|PROC_BIND|PLACES|NESTED|MAX_ACTIVE_LEVELS|STACKSIZE|WAIT_POLICY|THREAD_LIMIT"
    r"|CANCELLATION|DEFAULT_DEVICE|MAX_TASK_PRIORITY|TARGET_OFFLOAD|NUM_TEAMS|TEAMS_THREAD_LIMIT|ALLOCATOR)"
    r"|GOMP_(CPU_AFFINITY|SPINCOUNT|STACKSIZE)"
    r"|KMP_(AFFINITY|ALL_THREADS|BLOCKTIME|DETERMINISTIC_REDUCTION|DUPLICATE_LIB_OK|DYNAMIC_MODE|FORCE_REDUCTION"
    r"|HW_SUBSET|INIT_AT_FORK|LIBRARY|STACKSIZE|TEAMS_THREAD_LIMIT|TOPOLOGY_METHOD)"
    r"|MKL_(CBWR|DEBUG_CPU_TYPE|DISABLE_FAST_MM|DOMAIN_NUM_THREADS|DYNAMIC|ENABLE_INSTRUCTIONS|FAST_MEMORY_LIMIT"
    r"|INTERFACE_LAYER|NUM_STRIPES|NUM_THREADS|SERVICE_FORCE_INTEL|THREADING_LAYER)"
    r"|OPENBLAS_(BLOCK_FACTOR|CORETYPE|DEFAULT_NUM_THREADS|MAIN_FREE|NUM_THREADS|THREAD_TIMEOUT)|GOTO_NUM_THREADS"
    r"|BLIS_(ARCH_TYPE|NUM_THREADS|THREAD_IMPL|JC_NT|PC_NT|IC_NT|JR_NT|IR_NT|PACK_A|PACK_B)"
    r"|VECLIB_MAXIMUM_THREADS|NUMEXPR_(MAX|NUM)_THREADS|ATEN_CPU_CAPABILITY|NPY_(DISABLE|ENABLE)_CPU_FEATURES"
    r"|(ONEDNN|DNNL)_(CPU_ISA_HINTS|DEFAULT_FPMATH_MODE|MAX_CPU_ISA|PRIMITIVE_CACHE_CAPACITY)"
    r"|NVIDIA_TF32_OVERRIDE|CUBLAS_WORKSPACE_CONFIG|CUBLASLT_WORKSPACE_SIZE"
    r"|NUMBA_(CPU_FEATURES|CPU_NAME|NUM_THREADS|THREADING_LAYER(_PRIORITY)?|FASTMATH|DISABLE_JIT|OPT|ENABLE_AVX"
    r"|LOOP_VECTORIZE|SLP_VECTORIZE)"
    r"|(TORCH|PYTORCH)_(ALLOW_TF32_CUBLAS_OVERRIDE|CUDA_ALLOC_CONF|ALLOC_CONF|COMPILE_DISABLE|NUM_THREADS"
    r"|BLAS_PREFER_CUBLASLT|BLAS_PREFER_HIPBLASLT|JIT|LINALG_PREFER_CUSOLVER|LINALG_PREFER_MAGMA"
    r"|CUDNN_V8_API_DISABLED|CUDNN_V8_API_ENABLED|DISABLE_ADDR2LINE|ENABLE_MPS_FALLBACK|NO_CUDA_MEMORY_CACHING"
    r"|MPS_FAST_MATH|MPS_HIGH_WATERMARK_RATIO|MPS_LOW_WATERMARK_RATIO|MPS_PREFER_METAL)"
    r"|TORCHINDUCTOR_(MAX_AUTOTUNE(_GEMM|_POINTWISE)?|COORDINATE_DESCENT_TUNING|FREEZING)|TORCHDYNAMO_DISABLE"
    r"|CUDA_(VISIBLE_DEVICES|LAUNCH_BLOCKING|DEVICE_ORDER|DEVICE_MAX_CONNECTIONS|MODULE_LOADING|CACHE_DISABLE)"
    r"|NCCL_(ALGO|PROTO|NTHREADS|MIN_NCHANNELS|MAX_NCHANNELS|BUFFSIZE|NVLS_ENABLE|P2P_DISABLE|SHM_DISABLE|IB_DISABLE"
    r"|COLLNET_ENABLE|LAUNCH_MODE|CROSS_NIC)"
    r"|TF_(DETERMINISTIC_OPS|CUDNN_DETERMINISTIC|ENABLE_ONEDNN_OPTS|XLA_FLAGS|NUM_(INTEROP|INTRAOP)_THREADS"
    r"|GPU_ALLOCATOR|FORCE_GPU_ALLOW_GROWTH|DISABLE_MKL|CUDNN_USE_AUTOTUNE|CUDNN_USE_FRONTEND|GPU_THREAD_COUNT"
    r"|GPU_THREAD_MODE|ENABLE_(CUBLAS|CUDNN)_TENSOR_OP_MATH_FP32|USE_CUDNN_BATCHNORM_SPATIAL_PERSISTENT)"
    r"|XLA_FLAGS|XLA_PYTHON_CLIENT_(ALLOCATOR|MEM_FRACTION|PREALLOCATE)"
    r"|JAX_(ENABLE_X64|PLATFORMS?|PLATFORM_NAME|DEFAULT_MATMUL_PRECISION|DISABLE_JIT|THREEFRY_PARTITIONABLE"
    r"|DEFAULT_PRNG_IMPL|NUMPY_DTYPE_PROMOTION|NUMPY_RANK_PROMOTION|DEBUG_NANS|DEFAULT_DTYPE_BITS|NUM_CPU_DEVICES)"
    r"|GLIBC_TUNABLES|MALLOC_PERTURB_|PYTHONOPTIMIZE"
)
#: Further variables of these libraries, known or unknown, whose values are told apart by a digest and not shown.
_OTHERS = re.compile(
    r"(OMP|GOMP|KMP|MKL|OPENBLAS|GOTO|BLIS|VECLIB|NUMEXPR|ONEDNN|DNNL|ATEN|CUBLAS|CUBLASLT|CUDNN|NPY|NUMBA_CPU|XLA"
    r"|XLA_PYTHON_CLIENT|JAX_NUMPY|TORCH_JIT|PYTORCH_JIT|TORCHINDUCTOR_MAX_AUTOTUNE)_\w+"
)
#: Of those, the ones that name places on this machine or serve only debugging, and two that scikit-learn sets when it
#: is imported: they would tell environments apart by what was imported before.
_NO_VARIABLES = re.compile(
    r"\w*(HOME|PATH|DIR|CACHE\w*|LOG\w*|VERBOSE|DEBUG|FILE|ROOT|DISPLAY_ENV|SETTINGS)"
    r"|KMP_(DUPLICATE_LIB_OK|INIT_AT_FORK)"
)
#: Time for the comparison of packages' files with their RECORD [s]: the first takes some 2 s per GB.
_FILES_S = 60.0
_NOT_COMPARED = {"unavailable": "compared only for evidence, records and collections"}
_MAX_LOCK_BYTES = 256 * 2**20
_LOCKS = ("uv.lock", "poetry.lock", "pdm.lock", "pylock.toml", "Pipfile.lock", "conda-lock.yml", "pixi.lock")
#: Set by the builder of a container to its image, which nothing inside can find out.
CONTAINER_VARIABLES = ("PYTEST_REPRO_CONTAINER", "CONTAINER_IMAGE_DIGEST", "IMAGE_DIGEST")
_CONTAINER = re.compile(r"([\w./:\-]{1,300}@)?sha256:[0-9a-f]{64}")
#: Runs in a new process: the libraries that this one has loaded depend on the tests that ran before.
_POOLS = """
import importlib.util, json
import numpy
if importlib.util.find_spec("scipy"):
    try:
        import scipy.linalg.blas
    except Exception:
        pass
import threadpoolctl
print(json.dumps(threadpoolctl.threadpool_info()))
"""


def describe_environment(root: Path, *, compares_files: bool = True) -> dict[str, JSON]:
    """Describe the environment, without times, users or names of machines.

    Parameters
    ----------
    root : Path
        Directory of lock files.
    compares_files : bool
        Whether files of packages are compared with their RECORD, which takes seconds.

    Returns
    -------
    dict
        Collector -> its answer, or ``{"unavailable": reason}``. The same environment has the same description.
    """
    return {
        "python": collect(_describe_python, 1),
        "platform": collect(_describe_platform, 1),
        "cpu": collect(_describe_cpu, 2),
        "packages": collect(functools.partial(_describe_packages, root), 30),
        "package_files": collect(_describe_package_files, _FILES_S + 10) if compares_files else dict(_NOT_COMPARED),
        "lock_files": collect(functools.partial(_digest_locks, root), 5),
        "thread_pools": collect(_describe_pools, 15),
        "accelerators": collect(_describe_accelerators, 10),
        "variables": collect(_describe_variables, 1),
        "container": collect(_read_container, 1),
        "hash_seed": os.environ.get("PYTHONHASHSEED") or "random",
        "locale": collect(_describe_locale, 1),
        "timezone": collect(_describe_timezone, 1),
    }


def _describe_packages(root: Path) -> JSON:
    """Describe the packages, and the state of the code of those that are used from another checkout than this one."""
    described: Any = describe_packages()
    for name, place in find_editable().items():
        if name in described and (code := _describe_elsewhere(root, place)) is not None:
            described[name]["code"] = code
    found: JSON = described
    return found


def _describe_elsewhere(root: Path, place: Path) -> JSON:
    try:
        if find_root(place).resolve() == find_root(root).resolve():
            return None
    except Unavailable:
        pass
    code: Any = describe_code(place)
    return code if is_unavailable(code) else {key: code[key] for key in ("commit", "diff")}


def _describe_package_files() -> JSON:
    packages: Any = describe_packages()
    names = [name for name, package in packages.items() if package["numerical"]]
    return describe_installed(distributions(), names, budget_s=_FILES_S)


def _describe_locale() -> JSON:
    return {
        "all": locale.setlocale(locale.LC_ALL, None),
        "encoding": locale.getencoding(),
        "filesystem": sys.getfilesystemencoding(),
    }


def _describe_timezone() -> JSON:
    return {"names": [*time.tzname], "offset_s": time.timezone}


def _describe_python() -> JSON:
    return {
        "implementation": platform.python_implementation(),
        "version": platform.python_version(),
        "free_threaded": not getattr(sys, "_is_gil_enabled", lambda: True)(),
    }


def _describe_platform() -> JSON:
    libc = " ".join(part for part in platform.libc_ver() if part)
    return {"system": sys.platform, "machine": platform.machine(), "libc": libc or None, "byte_order": sys.byteorder}


def _describe_cpu() -> JSON:
    if sys.platform == "linux":
        return _read_cpuinfo(Path("/proc/cpuinfo").read_text("utf-8", "replace"))
    if sys.platform == "darwin":
        model = run_tool(["sysctl", "-n", "machdep.cpu.brand_string"], timeout_s=1.5).decode("utf-8", "replace").strip()
        return {"model": model, "instruction_sets": [], "cores": os.cpu_count()}
    return {"model": platform.processor() or None, "instruction_sets": [], "cores": os.cpu_count()}


def _read_cpuinfo(text: str) -> JSON:
    """Read the first core's model, and the instruction sets that kernels are written for."""
    lines = [line.partition(":") for line in text.split("\n\n")[0].splitlines()]
    fields = {name.strip(): value.strip() for name, _, value in lines}
    arm = " ".join(fields[key] for key in ("CPU implementer", "CPU part", "CPU variant") if key in fields)
    flags = (fields.get("flags") or fields.get("Features") or "").split()
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "model": fields.get("model name") or arm or None,
        "instruction_sets": [*sorted({flag for flag in flags if _SIMD.fullmatch(flag)})],
        "cores": affinity,
    }


def _digest_lock(path: Path) -> str:
    hasher = hashlib.sha256()
    try:
        with opened(path, max_bytes=_MAX_LOCK_BYTES, follows_links=True) as file:
            for block in file.iterate():
                hasher.update(block)
    except OSError as error:
        return f"unreadable: {error.strerror or type(error).__name__}"
    except StoreError as error:
        return f"unreadable: {error}"
    return f"sha256:{hasher.hexdigest()}"


def _digest_locks(root: Path) -> JSON:
    found: dict[str, JSON] = {name: _digest_lock(root / name) for name in _LOCKS if (root / name).exists()}
    if not found:
        raise Unavailable("no lock file in the root directory")
    return found


def _describe_pools() -> JSON:
    """Return the BLAS libraries and OpenMP runtimes of NumPy and SciPy, with kernels and threads."""
    if importlib.util.find_spec("threadpoolctl") is None:
        raise Unavailable("threadpoolctl is not installed (pip install pytest-repro[records])")
    # pytest sets this variable for each test, and no library reads it.
    pools = _find_pools(tuple(sorted(item for item in os.environ.items() if item[0] != "PYTEST_CURRENT_TEST")))
    keys = ("user_api", "internal_api", "prefix", "version", "num_threads", "threading_layer", "architecture")
    kept: list[dict[str, JSON]] = [{key: pool[key] for key in keys if key in pool} for pool in pools]
    return [*sorted(kept, key=lambda pool: json.dumps(pool, sort_keys=True))]


@functools.lru_cache(maxsize=8)
def _find_pools(environment: tuple[tuple[str, str], ...]) -> list[dict[str, Any]]:
    """Return the pools of a new interpreter, which takes half a second, once for each set of variables."""
    # -P: a json.py next to the tests must not replace Python's.
    output = run_tool([sys.executable, "-P", "-c", _POOLS], timeout_s=12)
    found: list[dict[str, Any]] = json.loads(output.splitlines()[-1])
    return found


def _describe_accelerators() -> JSON:
    """Return name and driver of each GPU that NVIDIA's tool lists, without initialising a device."""
    if not Path("/proc/driver/nvidia").exists() and sys.platform == "linux":
        return []
    query = ["nvidia-smi", "--query-gpu=name,driver_version,compute_cap", "--format=csv,noheader"]
    lines = run_tool(query, timeout_s=8).decode("utf-8", "replace").strip().splitlines()
    found: list[JSON] = []
    for line in lines:
        name, driver, capability = ([part.strip() for part in line.split(",")] + ["", ""])[:3]
        found.append({"name": name, "driver": driver, "compute_capability": capability})
    return found


def _describe_variables() -> JSON:
    return {
        name: redact(text) if _VARIABLES.fullmatch(name) else hidden_digest(name, text)
        for name, text in sorted(os.environ.items())
        if is_recorded_variable(name) and not is_secret_variable(name)
    }


def is_recorded_variable(name: str) -> bool:
    """Return whether a variable is one that chooses kernels, threads or precision."""
    return bool(_VARIABLES.fullmatch(name) or (_OTHERS.fullmatch(name) and not _NO_VARIABLES.fullmatch(name)))


def _read_container() -> JSON:
    for name in CONTAINER_VARIABLES:
        value = os.environ.get(name)
        if value:
            if not _CONTAINER.fullmatch(value):
                raise Unavailable(f"{name} is not a digest (sha256:<64 hex digits>, with or without image@ before it)")
            return {"digest": value, "declared_by": name}
    raise Unavailable(f"not declared; set {CONTAINER_VARIABLES[0]} to the image's digest")


def find_user() -> str | None:
    """Return the name of the user, or None if it has none, as a user id in a container."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return None
