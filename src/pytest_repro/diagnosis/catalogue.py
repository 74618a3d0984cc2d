"""The one catalogue of causes: for each code its meaning and its fix.

Assembled from the entries of the sources, of the kinds of leaked state and of the equivalences, and from those below,
which belong to axes and to arguments of a test.
"""

from __future__ import annotations

import ast
from collections.abc import Collection

from pytest_repro.diagnosis.trace_statements import calls_in
from pytest_repro.equivalences.causes import CAUSES
from pytest_repro.model import CauseWords
from pytest_repro.sources import registry, state_kinds

_OF_AXES = {
    "device.kernels": CauseWords(
        "the device",
        "make weights and data on the CPU, and compare within what rounding explains: Axis(['cpu', 'cuda'], norm=...)",
    ),
    "device.nondeterminism": CauseWords(
        "a device whose kernels differ from run to run",
        "use deterministic kernels (the fixture `deterministic`, torch.use_deterministic_algorithms) and seed "
        "what draws on the device; then compare devices",
    ),
    "env.cpu_affinity": CauseWords(
        "the number of cores", "split work into a fixed number of parts, not into one for each core"
    ),
    "env.cwd": CauseWords(
        "the current directory", "build paths from Path(__file__).parent, not from where the session is started"
    ),
    "env.locale": CauseWords(
        "the locale or the text encoding",
        "name the encoding (open(..., encoding='utf-8')); do not sort, format or choose by LANG or LC_ALL",
    ),
    "env.machine": CauseWords(
        "the machine, or what is installed there",
        "compare what differs between the two (the notes list packages; pytest-repro merge, all that is recorded), and "
        "allow the rounding of other processors with across={'host': Axis([...], rtol=...)}",
    ),
    "env.packages": CauseWords(
        "the releases of packages or of Python",
        "pin the releases that differ (the notes list them), or allow the difference with "
        "across={'python': Axis([...], rtol=...)}; pytest-repro bisect finds the release of a package",
    ),
    "env.timezone": CauseWords("the time zone", "use UTC: datetime.fromtimestamp(t, timezone.utc)"),
    "env.variable": CauseWords(
        "an environment variable", "set the variable in the test, or pass its value as an argument"
    ),
    "isa.kernels": CauseWords(
        "the processor's instructions by which libraries choose their kernels",
        "compare within a tolerance across machines: across={'isa': Axis(rtol=...)}",
    ),
    "isa.numpy_sort": CauseWords(
        "the processor's instructions by which NumPy sorts, which leave equal elements in another order",
        "kind='stable' where the order of equal elements reaches the result",
    ),
    "precision.env": CauseWords(
        "a variable by which a library computes in less precision",
        "unset it, or compare within what the lower precision allows",
    ),
    "threads.reduction_order": CauseWords(
        "the number of threads, which changes the order of the summation",
        "fix the number of threads (torch.set_num_threads, threadpoolctl, OMP_NUM_THREADS), or allow the rounding with "
        "across={'threads': Axis([1, 2], norm=...)}",
    ),
    "threads.simd_tail": CauseWords(
        "the number of threads, which moves the end of each chunk, where elements are computed differently",
        "fix the number of threads, or allow the rounding with across={'threads': Axis([1, 2], max_ulp=...)}",
    ),
}
#: Library that the axis `isa` may single out -> its name.
ISA_LIBRARIES = {
    "numpy": "NumPy", "openblas": "OpenBLAS", "aten": "torch", "mkl": "MKL", "onednn": "oneDNN",
    "libm": "the C library", "numba": "numba",
}  # fmt: skip
_OF_ISA = {
    f"isa.{library}": CauseWords(
        f"the processor's instructions by which {name} chooses its kernels", _OF_AXES["isa.kernels"].fix
    )
    for library, name in ISA_LIBRARIES.items()
}
_OF_ARGUMENTS = {
    "batch.simd_tail": CauseWords(
        "elements at the end of a vector, which are computed differently",
        "pad the batch to one size, or allow the rounding for this axis",
    ),
    "distributed.accumulation": CauseWords(
        "gradients summed in another number of parts", "keep the number of parts, or allow the rounding for this axis"
    ),
    "distributed.world_size": CauseWords(
        "the number of processes that a sum is divided among",
        "add the parts in a fixed order in float64, or allow the rounding for this axis",
    ),
    "memory.layout": CauseWords(
        "the layout of an array in memory",
        "np.ascontiguousarray or .contiguous() before computing, or allow the rounding for this axis",
    ),
    "rng.shared_generator": CauseWords(
        "a call that only one value of the argument makes, which draws from the generator that the rest uses",
        "give the call a generator of its own: np.random.default_rng(seed), torch.Generator().manual_seed(seed) or "
        "random.Random(seed)",
    ),
    "workers.rng_stream": CauseWords(
        "the workers of a loader, each of which draws from a stream of its own",
        "seed a generator for each sample, as torch.Generator().manual_seed(seed + index)",
    ),
}


def read_catalogue() -> dict[str, CauseWords]:
    """Return the words of all codes.

    Raises
    ------
    ValueError
        If two entries have one code.
    """
    found: dict[str, CauseWords] = {}
    tables = (state_kinds.WORDS, CAUSES, _OF_AXES, _OF_ISA, _OF_ARGUMENTS)
    for entries in (*(source.words for source in registry.SOURCES), *tables):
        if twice := found.keys() & entries.keys():
            raise ValueError(f"the catalogue has two entries for {', '.join(sorted(twice))}")
        found |= entries
    return found


def find_words(code: str) -> CauseWords:
    """Return the words of a code, or those of its family where it is named after a variable."""
    found = read_catalogue()
    return found.get(code) or found[f"{code.partition('.')[0]}.*"]


def meaning_of(code: str) -> str:
    """Return what a code stands for."""
    return find_words(code).meaning


def fix_of(code: str, library: str = "", statement: str = "", details: Collection[str] = ()) -> str:
    """Return the change that removes a cause, or what to pass to the library inside which it is.

    Parameters
    ----------
    code : str
    library : str
        Name, or "".
    statement : str
        Source of the statement that reaches the source.
    details : collection of str
        Of the sightings there. If one of them has no fix of its own, the statement has the general one.
    """
    words = find_words(code)
    if library and words.library_fix:
        return words.library_fix.format(library=library)
    known = dict(words.call_fixes)
    if not known.keys() >= set(details):
        return words.fix
    called = {ast.unparse(call.func) for call, _ in calls_in(statement)}
    return next((fix for name, fix in words.call_fixes if name in called or name in details), words.fix)
