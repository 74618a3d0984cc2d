"""What each cause means and what to change: the one table of the taxonomy's words."""

from __future__ import annotations

#: Code -> (what it is, what to change).
CATALOGUE: dict[str, tuple[str, str]] = {
    "rng.os_entropy": ("entropy of the operating system", "give the generator a seed, such as repro.seed"),
    "rng.reseeded_from_entropy": (
        "a generator seeded anew from the operating system's entropy",
        "give seed() a number, or leave the call out: it undoes the seed that was set",
    ),
    "rng.global_unseeded": ("a global generator that nothing has seeded", "seed it, or pass a generator of your own"),
    "rng.foreign_state": (
        "a generator of another library, which no seed of Python, NumPy or torch reaches",
        "seed it where it lives: np.random.seed inside the njit function, polars.set_random_seed, "
        "onnxruntime.set_seed, srand of C; SQLite's random() takes no seed, so draw from a generator of Python's",
    ),
    "rng.worker_unseeded": (
        "generators of worker processes, which start from the operating system's entropy",
        "give every task a seed or a generator of its own: SeedSequence(seed).spawn(n)",
    ),
    "hash.str_hashseed": (
        "the hashes of strings, which order sets",
        "iterate over sorted(...) where a set or its order reaches the result, or key by something stable",
    ),
    "hash.address": (
        "hashes made from addresses (None, NaN, objects, tensors, types), which order sets",
        "iterate over a list or dict, or sort by something stable; PYTHONHASHSEED does not help",
    ),
    "fs.order": ("the order in which directories are listed", "sort what is listed: sorted(os.listdir(...))"),
    "fs.mtime": ("the times at which files were written", "sort by name, not by the time of writing"),
    "time.seed": ("the clock, from which a generator is seeded", "seed with a number, such as repro.seed"),
    "time.now": ("the time of day", "pass the time in as an argument"),
    "time.budget": ("work that ends when its time is up", "do a fixed number of steps"),
    "time.autotune": ("a choice made by how long things took", "fix the choice, or decide by something else than time"),
    "env.variable": ("an environment variable", "set the variable in the test, or pass its value as an argument"),
    "env.cpu_affinity": ("the number of cores", "split work into a fixed number of parts, not one for each core"),
    "process.pid": ("the process id", "use a number of your own, such as repro.seed"),
    "process.address": ("the address of an object, as id() gives it", "number the objects yourself"),
    "race.kernel": (
        "threads inside a numerical library that add in the order in which they come",
        "one thread (n_jobs=1), an algorithm without atomic adds, or in torch use_deterministic_algorithms(True)",
    ),
    "race.threads": (
        "threads that take turns by chance",
        "give each task a generator and a result of its own, and combine the results in a fixed order",
    ),
    "race.completion_order": (
        "the order in which tasks end",
        "take results in the order of the tasks: map, imap, or the list of futures; DataLoader(in_order=True)",
    ),
    "threads.reduction_order": (
        "the number of threads, which splits sums otherwise",
        "fix the number of threads (torch.set_num_threads, threadpoolctl, OMP_NUM_THREADS), or allow the rounding with "
        "across={'threads': Axis([1, 2], norm=...)}",
    ),
    "threads.simd_tail": (
        "the number of threads, which moves the end of each chunk, where elements are computed otherwise",
        "fix the number of threads, or allow the rounding with across={'threads': Axis([1, 2], max_ulp=...)}",
    ),
    "workers.rng_stream": (
        "the workers of a loader, each of which draws from a stream of its own",
        "seed a generator for each sample, as torch.Generator().manual_seed(seed + index)",
    ),
    "distributed.accumulation": (
        "gradients summed in another number of parts",
        "keep the number of parts, or allow the rounding for this axis",
    ),
    "distributed.world_size": (
        "the number of processes that a sum is divided among",
        "add the parts in a fixed order in float64, or allow the rounding for this axis",
    ),
    "isa.numpy_sort": (
        "the processor's instructions by which NumPy sorts, which leave equal elements in another order",
        "kind='stable' where the order of equal elements reaches the result",
    ),
    "precision.env": (
        "a variable by which a library computes in less precision",
        "unset it, or compare within what the lower precision allows",
    ),
    "precision.flag": (
        "a flag by which a library computes in less precision",
        "put the flag back, or compare within what the lower precision allows",
    ),
    "compile.jit": (
        "compiled code, which computes in another order or type",
        "compare within a tolerance for this axis, or compile in both",
    ),
    "memory.uninitialised": (
        "memory that is read before it is written",
        "np.zeros or torch.zeros where the buffer is not wholly overwritten",
    ),
    "memory.stale_buffer": (
        "a buffer that keeps what the run before wrote",
        "make the buffer in the run, or clear it before use",
    ),
    "memory.layout": (
        "the layout of an array in memory",
        "np.ascontiguousarray or .contiguous() before computing, or allow the rounding for this axis",
    ),
    "batch.kernel": (
        "kernels chosen by the size of the batch",
        "compute row by row or in batches of one size, or allow the rounding for this axis",
    ),
    "batch.simd_tail": (
        "elements at the end of a vector, which are computed otherwise",
        "pad the batch to one size, or allow the rounding for this axis",
    ),
    "batch.statistics": (
        "statistics of the batch that normalise each of its rows",
        "take the statistics from the training data (in torch call eval() before predicting), and compare rows with a "
        "fixed set, not with those of their batch",
    ),
    "batch.padding": (
        "what a row is batched with: it is padded to the longest of them",
        "divide by each row's own length, and mask what is padded",
    ),
    "resume.optimizer": (
        "the optimizer's state, which was not restored",
        "save and load the optimizer's state with the weights (in torch optimizer.state_dict())",
    ),
    "resume.scheduler": (
        "the scheduler's state, which was not restored",
        "save and load the schedule's state with the weights (in torch scheduler.state_dict())",
    ),
    "resume.torch_rng": ("torch's generator, which was not restored", "save torch.get_rng_state(), and set it back"),
    "resume.numpy_rng": ("NumPy's generator, which was not restored", "save rng.bit_generator.state, and set it back"),
    "resume.python_rng": ("Python's generator, which was not restored", "save random.getstate(), and set it back"),
    "resume.ema": ("averages of weights that were not restored", "save and load them beside the weights"),
    "resume.data_order": ("the order of the data, which was not restored", "save the order, or what it is drawn from"),
    "resume.half_checkpoint": ("weights that were saved in less precision", "save them as they are"),
    "state.mutable_default": (
        "a default argument that the run before changed",
        "None as default, and make the object in the function",
    ),
    "state.mutated_data": ("data of a module that the run before changed", "copy the data before changing it"),
    "state.module_global": (
        "a global of a module that the run before changed",
        "make it in the run, by a function or a fixture, instead of once for all runs",
    ),
    "state.rng_object": (
        "a generator that lives longer than a run, and goes on where the run before ended",
        "make the generator in the run, from repro.seed",
    ),
    "state.cache": (
        "a cache that the run before filled",
        "clear the cache in a fixture, or key it by all that matters",
    ),
    "state.buffers": ("a model's buffers that the run before changed", "make the model in the run, or a copy of it"),
    "state.iterator": ("an iterator that goes on where the run before ended", "make the iterator in the run"),
    "state.framework_flag": ("a flag of a framework that the run before left changed", "put the flag back at the end"),
    "state.environ": ("an environment variable that the run before set", "monkeypatch.setenv, which puts it back"),
    "state.disk": (
        "a file that an earlier run left",
        "write into tmp_path, which is fresh for each run, or key the file by all that decides its content",
    ),
}


#: Code -> what to change where the source lies inside a library that the user's line calls.
LIBRARY_FIXES: dict[str, str] = {
    "rng.os_entropy": "pass {library} a seed (seed=, random_state=), or seed the generator that it draws from",
    "rng.foreign_state": "pass {library} a seed (seed=, random_state=), which its own generator is seeded from",
    "rng.worker_unseeded": "let {library} work in one process (workers=1, n_jobs=1), or give every task a seed",
    "time.now": "pass {library} a seed (seed=, random_state=) if it takes one from the clock, or the time itself",
    "time.seed": "pass {library} a seed (seed=, random_state=): without one it takes the clock",
    "race.threads": "let {library} work in one thread (num_threads=1, workers=1, n_jobs=1)",
    "race.completion_order": "let {library} work in one thread or process (workers=1, n_jobs=1)",
}


def fix_of(code: str, library: str = "") -> str:
    """Return what to change; inside a library, what to ask it for."""
    if library and code in LIBRARY_FIXES:
        return LIBRARY_FIXES[code].format(library=library)
    return CATALOGUE[code][1]


def meaning_of(code: str) -> str:
    """Return what a code stands for."""
    return CATALOGUE[code][0]
