"""Why a result hangs on an argument of the test: by what the argument was seen to do, never by its name alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pytest_repro.diagnosis.batch_statistics import Beside
from pytest_repro.diagnosis.catalogue import fix_of, meaning_of
from pytest_repro.diagnosis.places import choose_place, code_in, location_at
from pytest_repro.diagnosis.resumption import OPTIMIZERS, SCHEDULERS, STATES, Unrestored
from pytest_repro.diagnosis.trace_statements import is_elementwise
from pytest_repro.model import Cause, Location
from pytest_repro.numerics.array_digest import FORTRAN, STRIDED
from pytest_repro.sources.base import Observation

#: Differences [relative, by norm] that rounding alone explains in float32.
ROUNDING = 1e-4
#: What a run restores, most specific last.
_RESTORED = ("optimizer", "scheduler", "torch_rng", "python_rng")
#: What the watch shows of a generator beside the value that was drawn from it.
_NUMPY_GENERATOR = re.compile(r"(\w+)(?:\.state)? = (?:Generator|RandomState|PCG64|MT19937)\b")
#: How the watch describes a value -> what was not restored.
_KINDS = (
    (re.compile(rf"\b{OPTIMIZERS} #"), "resume.optimizer"),
    (re.compile(rf"{SCHEDULERS} #"), "resume.scheduler"),
    (re.compile(r"(list|tuple|dict) of \d+: \S*(Tensor|ndarray)"), "resume.ema"),
    (re.compile(r"list of \d+: \d+|list of \d+: int|\[\d+, \d+"), "resume.data_order"),
)
_INTEGER = re.compile(r"-?\d+")
#: What a statement draws its value from, which the run that was resumed did not restore.
_DRAWS = (
    (re.compile(r"\bnext\("), "resume.data_order"),
    (re.compile(r"\btorch\.(rand\w*|normal|bernoulli|multinomial|poisson)\(|generator=|drop(out)?\w*\("
                r"|\.(normal|uniform|bernoulli|random)_\(", re.IGNORECASE), "resume.torch_rng"),
    (re.compile(r"\b\w*rng\.\w+\(|\bnp\.random\.|\bnumpy\.random\."), "resume.numpy_rng"),
    (re.compile(r"\brandom\.(random|shuffle|sample|choices?|gauss|uniform|randint|randrange)\("), "resume.python_rng"),
)  # fmt: skip
_RESUMES = re.compile(r"resum|restart|restore|restoring|restoration|interrupt|crash|preempt|reload", re.IGNORECASE)
#: Said of a training that ends early, and of words, too.
_STOPS = re.compile(r"stop|continu", re.IGNORECASE)
_BATCHES = re.compile(r"batch|chunk|\bbs\b|bsz", re.IGNORECASE)
_WORKERS = re.compile(r"workers|jobs|procs|process|threads|n_parts|pool|chunks", re.IGNORECASE)
#: A statement that asks for the longest row.
_LENGTHS = re.compile(r"pad|\bmax\(\s*(len\b|map\(len|\[?\w+\.shape)", re.IGNORECASE)
_PARTS = re.compile(r"accum|micro", re.IGNORECASE)
_WORLDS = re.compile(r"world|ranks?\b|replicas|shards", re.IGNORECASE)


@dataclass(slots=True)
class Traced:
    """What the traces of two runs show that differ in one argument.

    Attributes
    ----------
    row : str
        All that the statement of the first difference changed.
    unrestored : sequence of Unrestored
        What the statements that one run alone has left otherwise than they found it.
    beside : Beside
        Where a row's result comes to hang on those beside it.
    compiled : Location or None
        Where one run takes a compiled function and the other does not.
    cut : str
        What data are cut into by the argument: pieces of that "size", or so many "parts".
    """

    row: str = ""
    unrestored: Sequence[Unrestored] = ()
    beside: Beside = field(default_factory=Beside)
    compiled: Location | None = None
    cut: str = ""


class ArgumentEvidence:
    """What two runs showed that differ in one argument.

    Parameters
    ----------
    name : str
        Of the argument.
    base, varied : Observation
        The baseline's run and the one that differs.
    first : FirstDivergence or None
        As :mod:`pytest_repro.diagnosis.first_divergence` found it; read by its attributes alone.
    place : Location or None
    size : float or None
        Largest relative difference of an artifact, by norm; None where it is no number.
    agrees : callable (pin) -> bool
        Makes both runs with something left out or held still, and tells whether they agree.
    traced : Traced
        What the traces of the two runs show beyond their first difference.
    """

    def __init__(
        self,
        name: str,
        base: Observation,
        varied: Observation,
        first: Any,
        place: Location | None,
        size: float | None,
        agrees: Callable[[str], bool],
        traced: Traced | None = None,
    ) -> None:
        self.name, self.base, self.varied = name, base, varied
        self.first, self.place, self.size, self.agrees = first, place, size, agrees
        self.traced = traced or Traced()

    def only_varied(self, kind: str) -> list[dict[str, Any]]:
        """Return what the varied run alone was seen to do."""
        before = {entry["detail"] for entry in self.base.sightings(kind)}
        return [entry for entry in self.varied.sightings(kind) if entry["detail"] not in before]

    def count(self, observation: Observation, kind: str) -> int:
        """Count calls of a kind."""
        return sum(int(entry["count"]) for entry in observation.sightings(kind))


def name_argument(seen: ArgumentEvidence) -> list[Cause]:
    """Return the cause that the evidence shows; none where it shows none."""
    for step in (_resume, _workers, _switches, _accumulation, _world, _layout, _batch, _parts):
        cause = step(seen)
        if cause is not None:
            return [cause]
    return []


def _cause(seen: ArgumentEvidence, code: str, evidence: str, sightings: list[dict[str, Any]], *, probed: bool) -> Cause:
    place = choose_place(sightings, seen.place) if sightings else seen.place
    text = f"{evidence}: {meaning_of(code)}"
    return Cause(code, seen.name, text, fix_of(code), "probed" if probed else "seen", place)


def _resume(seen: ArgumentEvidence) -> Cause | None:
    """A run that loads what it saved, where the other goes on: what was saved, or lives on there, and is not loaded."""
    if not _is_resumed(seen):
        return None
    if rounded := seen.varied.sightings("rounded"):
        text = "the weights that the run loads are those it saved, rounded to 16 bits"
        return _cause(seen, "resume.half_checkpoint", text, rounded, probed=False)
    saved = {entry["detail"] for entry in seen.varied.sightings("saves")}
    loaded = {entry["detail"] for entry in seen.varied.sightings("loads")}
    missing = [kind for kind in _RESTORED if kind in saved and kind not in loaded]
    if missing and loaded:
        text = f"the run saves {', '.join(sorted(saved))} and loads {', '.join(sorted(loaded))}"
        return _cause(seen, f"resume.{missing[0]}", text, [], probed=False)
    return _unrestored(seen) or _unrestored_variable(seen)


def _is_resumed(seen: ArgumentEvidence) -> bool:
    """One run alone loads, or the argument says that it stops and goes on."""
    if seen.only_varied("loads"):
        return True
    if seen.traced.unrestored:
        is_taken_up = any(each.is_taken_up for each in seen.traced.unrestored)
        return is_taken_up or bool(_RESUMES.search(seen.name) or _STOPS.search(seen.name))
    return bool(_RESUMES.search(seen.name) and not seen.varied.sightings("loads"))


def _unrestored(seen: ArgumentEvidence) -> Cause | None:
    """What a variable held when the run was stopped is not what it holds after."""
    source = str(getattr(seen.first, "source", ""))
    # An array of which nothing tells what it is for is an average of what was restored, or like one.
    arrays = [each._replace(code="resume.ema") for each in seen.traced.unrestored if not each.code and _is_array(each)]
    named = [each for each in seen.traced.unrestored if each.code] or arrays
    # Of several, what was not seen to be loaded, and what the statement that first gives something else reads.
    loaded = {f"resume.{entry['detail']}" for entry in seen.varied.sightings("loads")}
    named.sort(key=lambda each: (each.code in loaded, each.root not in re.findall(r"\w+", source)))
    if not named:
        return None
    lost = named[0]
    text = f"`{lost.name}` held {lost.before} when the run was stopped, and {lost.after} when it went on"
    if lost.before == lost.after:
        text = f"`{lost.name}` is not what it was when the run was stopped"
    place = location_at(lost.file, lost.line, lost.function.rpartition(".")[2])
    return replace(_cause(seen, lost.code, text, [], probed=False), location=place)


def _unrestored_variable(seen: ArgumentEvidence) -> Cause | None:
    """All that is known by its calls was loaded: what differs first in the run that was resumed tells the rest."""
    if seen.first is None:
        return None
    name, value = str(seen.first.name), f"{seen.first.expected} {seen.first.actual}"
    text = f"`{name}` is the first value that differs in the run that was resumed, and all that was loaded agrees"
    if name in STATES:
        return _cause(seen, STATES[name], text, [], probed=False)
    if generator := _NUMPY_GENERATOR.search(seen.traced.row):
        drawn = f"{text}; it is made where `{generator[1]}` is drawn from"
        return _cause(seen, "resume.numpy_rng", drawn, [], probed=False)
    for pattern, code in _KINDS:
        if pattern.search(value):
            return _cause(seen, code, text, [], probed=False)
    source = code_in(str(seen.first.source))
    if source.startswith("for ") and _INTEGER.fullmatch(str(seen.first.expected)):
        return _cause(seen, "resume.data_order", f"{text}; its loop goes on elsewhere", [], probed=False)
    for pattern, code in _DRAWS:
        if pattern.search(source):
            return _cause(seen, code, f"{text}; `{source.splitlines()[0]}` makes it", [], probed=False)
    return None


def _is_array(each: Unrestored) -> bool:
    return all(re.match(r"(ndarray|Tensor) (b?float|complex)", text) for text in (each.before, each.after))


def _workers(seen: ArgumentEvidence) -> Cause | None:
    loaders = seen.only_varied("loader")
    if not loaders or not seen.agrees("inline"):
        return _streams(seen)
    text = "with the loader's samples made in this process, whatever num_workers says, both runs agree"
    return _cause(seen, "workers.rng_stream", text, loaders, probed=True)


def _streams(seen: ArgumentEvidence) -> Cause | None:
    """Tasks that each draw from a generator of their own: with another number of them, other numbers are drawn."""
    before, after = (seen.count(observation, "seeding") for observation in (seen.base, seen.varied))
    if not _WORKERS.search(seen.name) or before == after or _is_rounding(seen):
        return None
    text = f"one run seeds generators {before} times and the other {after} times, one for each part of the work"
    return _cause(seen, "workers.rng_stream", text, seen.only_varied("seeding"), probed=False)


def _switches(seen: ArgumentEvidence) -> Cause | None:
    for kind, code in (("precision", "precision.flag"), ("compile", "compile.jit")):
        found = seen.only_varied(kind)
        if found and seen.agrees(kind):
            text = f"without the call of {found[0]['detail']}, which one run alone makes, both agree"
            return _cause(seen, code, text, found, probed=True)
    if seen.traced.compiled is not None and _is_rounding(seen):
        text = f"one run takes a compiled function in `{seen.traced.compiled.source}`, and what differs is rounding"
        return replace(_cause(seen, "compile.jit", text, [], probed=False), location=seen.traced.compiled)
    return None


def _accumulation(seen: ArgumentEvidence) -> Cause | None:
    before, after = seen.count(seen.base, "backward"), seen.count(seen.varied, "backward")
    if before == after or not before or not after:
        return None
    if not _is_rounding(seen) and not _PARTS.search(seen.name):
        return None  # more steps, perhaps: another result is what was asked for
    size = "what differs by rounding" if _is_rounding(seen) else "what differs by more than rounding"
    text = f"one run calls backward() {before} times and the other {after} times for {size}"
    code = "distributed.world_size" if _WORLDS.search(seen.name) else "distributed.accumulation"
    return _cause(seen, code, text, seen.varied.sightings("backward"), probed=False)


def _world(seen: ArgumentEvidence) -> Cause | None:
    """Parts that are added in another number, where no gradient of torch's tells of it."""
    is_world = bool(_WORLDS.search(seen.name))
    if not (is_world or seen.traced.cut == "parts") or seen.first is None or not _is_rounding(seen):
        return None
    text = f"with another {seen.name} the same data give what differs by rounding, first in `{seen.first.name}`"
    return _cause(seen, "distributed.world_size" if is_world else "distributed.accumulation", text, [], probed=False)


def _parts(seen: ArgumentEvidence) -> Cause | None:
    """More than rounding, where the argument says into how many parts the work is divided."""
    code = "distributed.world_size" if _WORLDS.search(seen.name) else "distributed.accumulation"
    if seen.first is None or _is_rounding(seen) or not (_WORLDS.search(seen.name) or _PARTS.search(seen.name)):
        return None
    if seen.count(seen.base, "backward") == seen.count(seen.varied, "backward") > 0:
        return None  # not divided
    text = f"with another {seen.name} the same data give another result, by more than rounding, first in"
    cause = _cause(seen, code, f"{text} `{seen.first.name}`", [], probed=False)
    return replace(cause, fix="weight each part by its share of the data, and draw what it draws for each sample")


def _layout(seen: ArgumentEvidence) -> Cause | None:
    found = seen.only_varied("layout")
    if not _is_rounding(seen):
        return None
    if seen.first is not None and _lies_otherwise(str(seen.first.expected), str(seen.first.actual)):
        text = f"`{seen.first.name}` lies in memory in another order, and what differs is rounding"
        return _cause(seen, "memory.layout", text, [], probed=False)
    if not found:
        return None
    text = f"one run alone calls {found[0]['detail']}, and what differs is rounding"
    return _cause(seen, "memory.layout", text, found, probed=False)


def _lies_otherwise(expected: str, actual: str) -> bool:
    """Tell whether two arrays are described alike but for how they lie in memory."""
    one, other = (re.sub(f"{FORTRAN}|{STRIDED}", "", text) for text in (expected, actual))
    return expected != actual and one == other


def _batch(seen: ArgumentEvidence) -> Cause | None:
    if not (_BATCHES.search(seen.name) or seen.traced.cut == "size") or seen.first is None:
        return None
    what = f"the same rows give another result with another {seen.name}"
    if (statistics := seen.varied.sightings("statistics")) and not _is_rounding(seen):
        text = f"{what}, by more than rounding, and batch_norm takes its statistics from the batch"
        return _cause(seen, "batch.statistics", text, statistics, probed=False)
    if _is_rounding(seen):
        op = str(seen.first.op)
        if op and is_elementwise(op):
            return _cause(seen, "batch.simd_tail", f"{what}, by rounding, in {op}", [], probed=False)
        where = f", first in {op}" if op else ""
        return _cause(seen, "batch.kernel", f"{what}, by rounding{where}", [], probed=False)
    return _others_beside(seen, what)


def _others_beside(seen: ArgumentEvidence, what: str) -> Cause | None:
    """More than rounding: rows are padded to the longest beside them, normalised by a statistic over all, compared with
    each other, or a length is the first value that differs.
    """
    if padded := seen.varied.sightings("padding"):
        text = f"{what}, by more than rounding, and {padded[0]['detail']} pads each row to the longest of its batch"
        return _cause(seen, "batch.padding", text, padded, probed=False)
    source = f"{code_in(seen.first.source)} {seen.first.name}"
    statistic = None if _LENGTHS.search(source) else seen.traced.beside.statistic
    for place, code, does in (
        (seen.traced.beside.crossed, "batch.statistics", "compares each row of a batch with each"),
        (seen.traced.beside.longest, "batch.padding", "takes the longest row of a batch"),
        (statistic, "batch.statistics", "takes a statistic over its rows"),
    ):
        if place is not None:
            text = f"{what}, by more than rounding, and `{place.source}` {does}"
            return replace(_cause(seen, code, text, [], probed=False), location=place)
    if re.search(r"\bmax\b|pad|/\s*(\w+|len\(.*\))\s*[)\]]*\s*$", source):
        text = f"{what}, by more than rounding, first in `{seen.first.name}`, which hangs on the longest row"
        return _cause(seen, "batch.padding", text, [], probed=False)
    return None


def _is_rounding(seen: ArgumentEvidence) -> bool:
    return seen.size is not None and seen.size < ROUNDING
