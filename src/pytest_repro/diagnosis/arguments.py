"""Causes of a result that depends on an argument of the test.

They follow from the effects of the argument that two runs show, never from its name alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pytest_repro.diagnosis.added_draws import AddedDraw
from pytest_repro.diagnosis.batch_statistics import Neighbours
from pytest_repro.diagnosis.catalogue import fix_of, meaning_of
from pytest_repro.diagnosis.places import choose_place, code_in, location_at
from pytest_repro.diagnosis.resumption import OPTIMIZERS, SCHEDULERS, STATES, Unrestored
from pytest_repro.diagnosis.trace_statements import is_elementwise
from pytest_repro.model import Cause, Location
from pytest_repro.numerics.array_digest import FORTRAN, STRIDED
from pytest_repro.sources.base import Observation, Sighting
from pytest_repro.sources.compilers import Compilers
from pytest_repro.sources.inline_tasks import InlineTasks
from pytest_repro.sources.isolated_draws import IsolatedDraws
from pytest_repro.sources.precision import Precision
from pytest_repro.sources.sightings import AT
from pytest_repro.tracing.statements import read_source

#: Largest difference [relative, by norm] that rounding alone explains in float32.
ROUNDING = 1e-4
#: Confidence of a cause that an experiment could not show.
SUSPECTED = "suspected"
#: Parts of a training that a run restores, most specific last.
_RESTORED = ("optimizer", "scheduler", "torch_rng", "python_rng")
#: A generator, as a trace describes it next to the value that was drawn from it.
_NUMPY_GENERATOR = re.compile(r"(\w+)(?:\.state)? = (?:Generator|RandomState|PCG64|MT19937)\b")
#: Description of a value in a trace -> the part that was not restored.
_KINDS = (
    (re.compile(rf"\b{OPTIMIZERS} #"), "resume.optimizer"),
    (re.compile(rf"{SCHEDULERS} #"), "resume.scheduler"),
    (re.compile(r"(list|tuple|dict) of \d+: \S*(Tensor|ndarray)"), "resume.ema"),
    (re.compile(r"list of \d+: \d+|list of \d+: int|\[\d+, \d+"), "resume.data_order"),
)
_INTEGER = re.compile(r"-?\d+")
#: Statement that draws its value -> the part that was not restored.
_DRAWS = (
    (re.compile(r"\bnext\(|^for\b.+\bin\b.*(loader|sampler|batches|order|perm|shuffle)", re.IGNORECASE),
     "resume.data_order"),
    (re.compile(r"\btorch\.(rand\w*|normal|bernoulli|multinomial|poisson)\(|generator=|drop(out)?\w*\("
                r"|\.(normal|uniform|bernoulli|random)_\(", re.IGNORECASE), "resume.torch_rng"),
    (re.compile(r"\b\w*rng\.\w+\(|\bnp\.random\.|\bnumpy\.random\."), "resume.numpy_rng"),
    (re.compile(r"\brandom\.(random|shuffle|sample|choices?|gauss|uniform|randint|randrange)\("), "resume.python_rng"),
)  # fmt: skip
_RESUMES = re.compile(r"resum|restart|restore|restoring|restoration|interrupt|crash|preempt|reload", re.IGNORECASE)
#: Also used for trainings that end early, and for words.
_STOPS = re.compile(r"stop|continu", re.IGNORECASE)
_BATCHES = re.compile(r"batch|chunk|\bbs\b|bsz", re.IGNORECASE)
_WORKERS = re.compile(r"workers|jobs|procs|process|threads|n_parts|pool|chunks", re.IGNORECASE)
#: Statement that uses the longest row.
_LENGTHS = re.compile(r"pad|\bmax\(\s*(len\b|map\(len|\[?\w+\.shape)", re.IGNORECASE)
_PARTS = re.compile(r"accum|micro", re.IGNORECASE)
_WORLDS = re.compile(r"world|ranks?\b|replicas|shards", re.IGNORECASE)


@dataclass(slots=True)
class Traced:
    """Effects of one argument that the traces of two runs show beyond their first difference.

    Attributes
    ----------
    row : str
        All that the statement of the first difference changed.
    unrestored : sequence of Unrestored
        State that statements of one run alone have changed and not restored.
    neighbours : Neighbours
        Statements by which a row's result depends on the other rows of its batch.
    compiled : Location or None
        Where only one run takes a compiled function.
    cut : str
        How the argument cuts data: into pieces of that "size", or into so many "parts".
    added : AddedDraw or None
        The call by which one run draws more from a generator that both share.
    restarted : Location or None
        A loop that the second run starts anew.
    """

    row: str = ""
    unrestored: Sequence[Unrestored] = ()
    neighbours: Neighbours = field(default_factory=Neighbours)
    compiled: Location | None = None
    cut: str = ""
    added: AddedDraw | None = None
    restarted: Location | None = None


@dataclass(slots=True)
class ArgumentEvidence:
    """Two runs that differ in one argument.

    Attributes
    ----------
    name : str
        Of the argument.
    base, varied : Observation
        The baseline's run and the one that differs.
    first : FirstDivergence or None
    place : Location or None
    size : float or None
        Largest relative difference of an artifact, by norm. None if one artifact has no such number.
    are_identical : callable (pin) -> bool
        Executes both runs with a source pinned, and returns whether they are identical.
    traced : Traced
    """

    name: str
    base: Observation
    varied: Observation
    first: Any
    place: Location | None
    size: float | None
    are_identical: Callable[[str], bool]
    traced: Traced = field(default_factory=Traced)

    def only_varied(self, kind: str) -> list[Sighting]:
        """Return the sightings of a kind that only the varied run has."""
        before = {entry["detail"] for entry in self.base.sightings(kind)}
        return [entry for entry in self.varied.sightings(kind) if entry["detail"] not in before]

    def counts(self, kind: str) -> tuple[int, int]:
        """Count the calls of a kind in either run."""
        one, other = (sum(int(entry["count"]) for entry in run.sightings(kind)) for run in (self.base, self.varied))
        return one, other

    @property
    def is_rounding(self) -> bool:
        """Whether rounding alone explains the difference."""
        return self.size is not None and self.size < ROUNDING


def name_argument(seen: ArgumentEvidence) -> list[Cause]:
    """Return the cause that the evidence shows, if there is one."""
    for step in (_resume, _workers, _added_draw, _switches, _accumulation, _world, _layout, _batch, _parts):
        cause = step(seen)
        if cause is not None:
            return [cause]
    return []


def _cause(
    seen: ArgumentEvidence, code: str, evidence: str, sightings: Sequence[Sighting] = (), *, probed: bool = False
) -> Cause:
    place = choose_place(list(sightings), seen.place)
    text = f"{evidence}: {meaning_of(code)}"
    return Cause(code, seen.name, text, fix_of(code), "probed" if probed else "seen", place)


def _resume(seen: ArgumentEvidence) -> Cause | None:
    """Name the state that a run saves and does not load, where the other run continues with it."""
    if not _is_resumed(seen):
        return None
    if rounded := seen.varied.sightings("rounded"):
        text = "the weights that the run loads are those that it saved, rounded to 16 bits"
        return _cause(seen, "resume.half_checkpoint", text, rounded)
    saved = {entry["detail"] for entry in seen.varied.sightings("saves")}
    loaded = {entry["detail"] for entry in seen.varied.sightings("loads")}
    missing = [kind for kind in _RESTORED if kind in saved and kind not in loaded]
    if missing and loaded:
        text = f"the run saves {', '.join(sorted(saved))} and loads {', '.join(sorted(loaded))}"
        return _cause(seen, f"resume.{missing[0]}", text)
    return _unrestored(seen) or _restarted_loop(seen) or _unrestored_variable(seen)


def _is_resumed(seen: ArgumentEvidence) -> bool:
    """Return whether only one run loads a state, or the argument says that it stops and continues."""
    if seen.only_varied("loads"):
        return True
    if seen.traced.unrestored:
        is_resumed = any(each.is_resumed for each in seen.traced.unrestored)
        return is_resumed or bool(_RESUMES.search(seen.name) or _STOPS.search(seen.name))
    return bool(_RESUMES.search(seen.name) and not seen.varied.sightings("loads"))


def _unrestored(seen: ArgumentEvidence) -> Cause | None:
    """Name a variable whose value after the run was resumed is not that from before."""
    source = str(getattr(seen.first, "source", ""))
    # An array of unknown purpose is an average of restored weights, or similar.
    arrays = [each._replace(code="resume.ema") for each in seen.traced.unrestored if not each.code and _is_array(each)]
    named = [each for each in seen.traced.unrestored if each.code] or arrays
    # Prefer state that was not seen to be loaded, and that the statement of the first difference reads.
    loaded = {f"resume.{entry['detail']}" for entry in seen.varied.sightings("loads")}
    named.sort(key=lambda each: (each.code in loaded, each.root not in re.findall(r"\w+", source)))
    if not named:
        return None
    lost = named[0]
    text = f"`{lost.name}` held {lost.before} when the run was stopped, and {lost.after} when it continued"
    if lost.before == lost.after:
        text = f"`{lost.name}` has not the content that it had when the run was stopped"
    place = location_at(lost.file, lost.line, lost.function.rpartition(".")[2])
    return replace(_cause(seen, lost.code, text), location=place)


def _restarted_loop(seen: ArgumentEvidence) -> Cause | None:
    """Name the order of the data, where a loop of the resumed run takes the values of its beginning once more."""
    loop = seen.traced.restarted
    if loop is None:
        return None
    text = f"after the stop `{code_in(loop.source)}` takes the values of its beginning again, and without a stop others"
    return replace(_cause(seen, "resume.data_order", text), location=loop)


def _unrestored_variable(seen: ArgumentEvidence) -> Cause | None:
    """Name a state that no call loads, by the first value that differs in the resumed run."""
    if seen.first is None:
        return None
    name, value = str(seen.first.name), f"{seen.first.expected} {seen.first.actual}"
    text = f"`{name}` is the first value that differs in the resumed run, and everything that was loaded is identical"
    loaded = {f"resume.{entry['detail']}" for entry in seen.varied.sightings("loads")}
    if name in STATES:
        return _cause(seen, STATES[name], text)
    if generator := _NUMPY_GENERATOR.search(seen.traced.row):
        drawn = f"{text}; it is drawn from `{generator[1]}`"
        return _cause(seen, "resume.numpy_rng", drawn)
    for pattern, code in _KINDS:
        # A part that was loaded differs because of something else, such as the batch that it was updated with.
        if pattern.search(value) and code not in loaded:
            return _cause(seen, code, text)
    source = code_in(str(seen.first.source))
    if source.startswith("for ") and _INTEGER.fullmatch(str(seen.first.expected)):
        return _cause(seen, "resume.data_order", f"{text}; its loop continues elsewhere")
    for pattern, code in _DRAWS:
        if pattern.search(source):
            return _cause(seen, code, f"{text}; `{source.splitlines()[0]}` draws it")
    return None


def _is_array(each: Unrestored) -> bool:
    return all(re.match(r"(ndarray|Tensor) (b?float|complex)", text) for text in (each.before, each.after))


def _workers(seen: ArgumentEvidence) -> Cause | None:
    loaders = seen.only_varied("loader")
    if not loaders or not seen.are_identical(InlineTasks.name):
        return _streams(seen)
    text = "with the loader's samples made in this process, whatever num_workers says, both runs were identical"
    return _cause(seen, "workers.rng_stream", text, loaders, probed=True)


def _streams(seen: ArgumentEvidence) -> Cause | None:
    """Name tasks that each draw from a generator of their own, of which another number draws other numbers."""
    before, after = seen.counts("seeding")
    if not _WORKERS.search(seen.name) or before == after or seen.is_rounding:
        return None
    text = f"one run seeds generators {before} times and the other {after} times, one for each part of the work"
    return _cause(seen, "workers.rng_stream", text, seen.only_varied("seeding"))


def _added_draw(seen: ArgumentEvidence) -> Cause | None:
    """Name a call that one value of the argument adds, and that draws from the generator that the rest uses."""
    added = seen.traced.added
    if added is None:
        return None
    place = location_at(added.file, added.line, added.function.rpartition(".")[2])
    run = "the second" if added.is_second else "the first"
    later = code_in(read_source(added.later.frame.code.file, added.later.line))
    text = f"only {run} run makes the call in `{code_in(place.source)}`, which draws from {added.generator}"
    text += (
        "; before it nothing differed on which the result depends, and the first value that did is drawn from it in "
    )
    text += f"`{later}`"
    if not seen.are_identical(f"{IsolatedDraws.name}{AT}{added.file}:{added.line}"):
        return replace(_cause(seen, IsolatedDraws.code, text), location=place, confidence=SUSPECTED)
    text += f"; {IsolatedDraws.pinned}, both runs were identical"
    return replace(_cause(seen, IsolatedDraws.code, text, probed=True), location=place)


def _switches(seen: ArgumentEvidence) -> Cause | None:
    """Name calls that switch the precision or a compiler, which only one run makes."""
    for source in (Precision, Compilers):
        found = seen.only_varied(source.kinds[0])
        if found and seen.are_identical(source.name):
            text = f"without the call of {found[0]['detail']}, which only one run makes, both runs were identical"
            return _cause(seen, source.code, text, found, probed=True)
    if seen.traced.compiled is not None and seen.is_rounding:
        text = f"one run takes a compiled function in `{seen.traced.compiled.source}`, and the difference is rounding"
        return replace(_cause(seen, Compilers.code, text), location=seen.traced.compiled)
    return None


def _accumulation(seen: ArgumentEvidence) -> Cause | None:
    """Name gradients that are summed in another number of parts."""
    before, after = seen.counts("backward")
    if before == after or not before or not after:
        return None
    if not seen.is_rounding and not _PARTS.search(seen.name):
        return None  # perhaps more steps, which rightly have another result
    size = "by rounding" if seen.is_rounding else "by more than rounding"
    text = f"one run calls backward() {before} times and the other {after} times, and the results differ {size}"
    code = "distributed.world_size" if _WORLDS.search(seen.name) else "distributed.accumulation"
    return _cause(seen, code, text, seen.varied.sightings("backward"))


def _world(seen: ArgumentEvidence) -> Cause | None:
    """Name another number of parts in a sum that no gradient of torch's shows."""
    is_world = bool(_WORLDS.search(seen.name))
    if not (is_world or seen.traced.cut == "parts") or seen.first is None or not seen.is_rounding:
        return None
    text = f"with another {seen.name} the results for the same data differ by rounding, first in `{seen.first.name}`"
    return _cause(seen, "distributed.world_size" if is_world else "distributed.accumulation", text)


def _parts(seen: ArgumentEvidence) -> Cause | None:
    """Name more than rounding, where the argument is the number of parts of the work."""
    is_world = bool(_WORLDS.search(seen.name))
    if seen.first is None or seen.is_rounding or not (is_world or _PARTS.search(seen.name)):
        return None
    before, after = seen.counts("backward")
    if before == after > 0:
        return None  # not divided
    code = "distributed.world_size" if is_world else "distributed.accumulation"
    text = (
        f"with another {seen.name} the results for the same data differ by more than rounding, first in "
        f"`{seen.first.name}`"
    )
    fix = "weight each part by its share of the data, and draw its random numbers for each sample"
    return replace(_cause(seen, code, text), fix=fix)


def _layout(seen: ArgumentEvidence) -> Cause | None:
    """Name another layout of an array in memory."""
    found = seen.only_varied("layout")
    if not seen.is_rounding:
        return None
    if seen.first is not None and _has_other_layout(str(seen.first.expected), str(seen.first.actual)):
        text = f"`{seen.first.name}` has another layout in memory, and the difference is rounding"
        return _cause(seen, "memory.layout", text)
    if not found:
        return None
    text = f"only one run calls {found[0]['detail']}, and the difference is rounding"
    return _cause(seen, "memory.layout", text, found)


def _has_other_layout(expected: str, actual: str) -> bool:
    """Return whether the descriptions of two arrays differ only in their layout in memory."""
    one, other = (re.sub(f"{FORTRAN}|{STRIDED}", "", text) for text in (expected, actual))
    return expected != actual and one == other


def _batch(seen: ArgumentEvidence) -> Cause | None:
    """Name the dependence of a row's result on the size of its batch."""
    if not (_BATCHES.search(seen.name) or seen.traced.cut == "size") or seen.first is None:
        return None
    text = f"with another {seen.name} the results for the same rows differ by"
    if (statistics := seen.varied.sightings("statistics")) and not seen.is_rounding:
        text += " more than rounding, and batch_norm takes its statistics from the batch"
        return _cause(seen, "batch.statistics", text, statistics)
    if seen.is_rounding:
        op = str(seen.first.op)
        if op and is_elementwise(op):
            return _cause(seen, "batch.simd_tail", f"{text} rounding, in {op}")
        return _cause(seen, "batch.kernel", f"{text} rounding{f', first in {op}' if op else ''}")
    return _neighbours(seen, f"{text} more than rounding")


def _neighbours(seen: ArgumentEvidence, text: str) -> Cause | None:
    """Name more than rounding: padding, a statistic over all rows, a comparison of rows, or a length that differs."""
    if padded := seen.varied.sightings("padding"):
        does = f"{padded[0]['detail']} pads each row to the longest of its batch"
        return _cause(seen, "batch.padding", f"{text}, and {does}", padded)
    source = f"{code_in(seen.first.source)} {seen.first.name}"
    neighbours = seen.traced.neighbours
    statistic = None if _LENGTHS.search(source) else neighbours.statistic
    for place, code, does in (
        (neighbours.crossed, "batch.statistics", "compares each row of a batch with each"),
        (neighbours.longest, "batch.padding", "takes the longest row of a batch"),
        (statistic, "batch.statistics", "takes a statistic over its rows"),
    ):
        if place is not None:
            return replace(_cause(seen, code, f"{text}, and `{place.source}` {does}"), location=place)
    if re.search(r"\bmax\b|pad|/\s*(\w+|len\(.*\))\s*[)\]]*\s*$", source):
        return _cause(seen, "batch.padding", f"{text}, first in `{seen.first.name}`, which depends on the longest row")
    return None
