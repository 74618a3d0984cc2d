"""Words of the causes that equivalence assertions name, for the one catalogue of causes.

An assertion may know more in its place, and give a meaning or a fix of its own.
"""

from __future__ import annotations

from pytest_repro.model import CauseWords

_ALLOW_ROUNDING = "allow it (norm=1e-6 for float32)"
_BRANCHES = "look for branches on values and Python state (traced once, then fixed)"

CAUSES: dict[str, CauseWords] = {
    "accumulation.rounding": CauseWords(
        "the cut into parts changes the result, by no more than rounding",
        f"{_ALLOW_ROUNDING}, or accumulate in float64",
    ),
    "accumulation.zeroed": CauseWords(
        "only the last part counts", "zero the gradients once before the first part, not before each"
    ),
    "accumulation.scale": CauseWords(
        "the result is a multiple of the whole batch's",
        "divide each part's loss by the number of parts, once; or by the whole batch's number of samples or tokens",
    ),
    "accumulation.unequal": CauseWords(
        "parts of unequal size have equal weight",
        "weight each part's mean loss by its size divided by the batch's: a mean of means is not the mean",
    ),
    "accumulation.weights": CauseWords(
        "each part is weighted by its rows; its loss averages over another count, such as tokens",
        "add up the parts' sums and divide by the whole batch's count, or weight each mean by its own count (tokens "
        "that are no padding)",
    ),
    "accumulation.other": CauseWords(
        "the parts do not add up to the batch, by more than rounding and not by one factor",
        "look for BatchNorm in training mode, dropout, clipping or an optimizer step for each part, and losses that do "
        "not average over samples",
    ),
    "batch.random": CauseWords(
        "predictions depend on random numbers, which a batch of another size or order draws differently",
        "switch dropout and sampling off: model.eval(); or draw from one generator per sample",
    ),
    "batch.rows": CauseWords(
        "a smaller batch returns no prediction of their own for some samples",
        "predict the last partial batch too (drop_last=False), and keep the axis of a batch of one (no squeeze())",
    ),
    "batch.statistics": CauseWords(
        "a prediction uses the values of the other samples",
        "use statistics fixed in training, not the batch's own (in torch call eval() before predicting)",
    ),
    "batch.padding": CauseWords(
        "a prediction depends on the padding of its batch",
        "mask the padding wherever values are summed, averaged, normalised or attended to; divide by the true length",
    ),
    "batch.kernel": CauseWords(
        "the size of a batch or the position in it changes a prediction, by no more than another kernel's rounding",
        f"{_ALLOW_ROUNDING}, predict in batches of one fixed size, or row by row",
    ),
    "batch.size": CauseWords(
        "a prediction depends on the batch's size or the sample's position by more than rounding",
        "look for a sum or mean over the batch axis, for state kept between calls, for indices of positions, and "
        "for random numbers from a generator that is seeded again for each batch",
    ),
    "compile.random": CauseWords(
        "the function draws random numbers, and compiled code draws others from the same seed",
        "model.eval(), or pass the random numbers in; torch._inductor.config.fallback_random makes them identical",
    ),
    "compile.rounding": CauseWords(
        "compiling changes the result, by no more than the rounding of other kernels",
        f"{_ALLOW_ROUNDING}, or judge it against float64 with Tolerance.auto",
    ),
    "compile.semantics": CauseWords(
        "compiled code computes something else, by more than rounding",
        f"{_BRANCHES}, in-place changes of inputs, another dtype, and modules in training mode",
    ),
    "estimator.random_state": CauseWords(
        "a part draws from a global generator, or the fit does not repeat",
        "use check_random_state(self.random_state) everywhere, and pass it to every part",
    ),
    "estimator.clone": CauseWords(
        "a clone differs from the estimator", "set parameters unchanged in __init__, nowhere else"
    ),
    "estimator.layout": CauseWords(
        "everything fitted is the same, but has another memory layout, so other kernels compute",
        "make fitted arrays contiguous in fit(), or compare predictions of models that were all loaded",
    ),
    "estimator.pickle": CauseWords("the estimator loses state", "keep fitted state in attributes"),
    "estimator.n_jobs": CauseWords("the result depends on the number of jobs", "draw a seed for each task beforehand"),
    "estimator.row_order": CauseWords("a prediction depends on the other rows", "use what was fitted, not the batch"),
    "estimator.race": CauseWords(
        "the result depends on the order in which threads write",
        "fit on one thread: n_jobs=1, and where the estimator has no such parameter threadpool_limits(1)",
    ),
    "estimator.global_seed": CauseWords(
        "something draws entropy of its own",
        "set random_state to an integer: the global seed does not reach all of it",
    ),
    "estimator.fit_twice": CauseWords("the second fit uses state of the first", "reset all state in fit()"),
    "estimator.float32": CauseWords("single precision changes the result", "convert in fit(), or scale the data first"),
    "estimator.threads": CauseWords(
        "threads change the fit",
        "limit threads where results are compared: threadpoolctl.threadpool_limits(1), or OMP_NUM_THREADS=1",
    ),
    "order.rounding": CauseWords(
        "another order changes the result, by no more than the rounding of a sum",
        "allow it (norm=1e-6 for float32, 1e-14 for float64), or sum exactly: math.fsum, or sorted and in float64",
    ),
    "order.dependence": CauseWords(
        "the result depends on the order itself, by more than rounding",
        "sort the items by a key of their own, break ties by that key, and keep no state from item to item",
    ),
    "resume.save": CauseWords(
        "saving itself changes the training state",
        "let save() work on copies: no in-place cast, no draw from a generator, no change of mode",
    ),
    "resume.unseen": CauseWords(
        "everything that could be compared was loaded as it was saved, and training continues differently: something "
        "outside the compared state was lost",
        "check iterators, loaders, module globals and files, and make them part of the checkpoint",
    ),
    "resume.weights": CauseWords(
        "weights that were not restored",
        "save and load every parameter and buffer in its own dtype: model.state_dict()",
    ),
    "resume.half_checkpoint": CauseWords(
        "weights that were saved in less precision",
        "save weights in the dtype they are trained in; half precision is for inference only",
    ),
    "resume.optimizer": CauseWords(
        "the optimizer's state, which was not restored",
        "save optimizer.state_dict() and load it: moments and step counts belong to the training",
    ),
    "resume.scheduler": CauseWords(
        "the scheduler's state, which was not restored",
        "save scheduler.state_dict() and load it: its count of steps decides the next learning rate",
    ),
    "resume.scaler": CauseWords(
        "the gradient scaler's state, which was not restored",
        "save scaler.state_dict() and load it: the scale and its growth counter decide which steps are skipped",
    ),
    "resume.ema": CauseWords(
        "averages of weights that were not restored",
        "save the averaged weights together with the model's, and load them",
    ),
    "resume.torch_rng": CauseWords(
        "torch's generator, which was not restored",
        "save torch.get_rng_state() (and torch.cuda.get_rng_state_all()) and set it after everything is built",
    ),
    "resume.numpy_rng": CauseWords(
        "NumPy's generator, which was not restored",
        "save rng.bit_generator.state (np.random.get_state() for the global one) and set it after loading",
    ),
    "resume.python_rng": CauseWords(
        "Python's generator, which was not restored",
        "save random.getstate() and call random.setstate() after loading",
    ),
    "resume.jax_key": CauseWords(
        "JAX's key, which was not restored", "save jax.random.key_data(key), and wrap it again after loading"
    ),
    "resume.mode": CauseWords(
        "the training mode, which was not restored",
        "call model.train() after loading, and keep which layers are in training mode",
    ),
    "resume.frozen": CauseWords(
        "which parameters require gradients, which was not restored",
        "save which parameters require gradients, and set it after loading",
    ),
    "resume.data_order": CauseWords(
        "the order of the data, which was not restored",
        "save the order (or the seed of the epoch) and the position in it, and continue from there",
    ),
    # Any other part of a training is named after its variable.
    "resume.*": CauseWords("a part of the training state, which was not restored", "save it and load it"),
    "roundtrip.training": CauseWords(
        "the module was exported in training mode, whose results a file does not reproduce",
        "model.eval() before exporting",
    ),
    "roundtrip.kernels": CauseWords(
        "the weights are the same, and what ONNX Runtime computes differs by no more than rounding",
        "allow it for what is computed (norm=1e-6 for float32); the weights must still match to the bit",
    ),
    "roundtrip.computation": CauseWords(
        "the weights are the same, and the file computes something else with them",
        f"{_BRANCHES}, and for random numbers",
    ),
    "roundtrip.lost": CauseWords(
        "artifacts are missing after loading, or were added",
        "save every buffer and attribute that a prediction reads; buffers made with persistent=False are not saved",
    ),
    "roundtrip.dtype": CauseWords(
        "the dtype changed", "choose a format that holds the dtype, or cast before saving and document it"
    ),
    "roundtrip.precision": CauseWords("values were rounded", "save in the dtype in which they are computed"),
    "roundtrip.layout": CauseWords(
        "the same values came back in another order",
        "np.ascontiguousarray (or tensor.contiguous()) before saving: the format writes the memory as it is",
    ),
    "roundtrip.values": CauseWords(
        "values changed between saving and loading", "choose a format that stores the values to the bit"
    ),
    "threads.race": CauseWords(
        "runs with the same number of threads differ",
        "use deterministic kernels (pytest_repro.deterministic()), one thread, or a sum in a fixed order",
    ),
    "threads.split": CauseWords(
        "the number of threads changes the result, by no more than the rounding of sums that are split differently",
        f"fix the number of threads where results are compared, or {_ALLOW_ROUNDING}",
    ),
    "threads.amplified": CauseWords(
        "the number of threads changes the result by more than the rounding of one sum",
        "an iteration, a tie or a sign amplified it: fix the number of threads, or use one generator per task",
    ),
    "workers.duplicated": CauseWords(
        "every worker yields the samples of all",
        "let an iterable dataset read torch.utils.data.get_worker_info() and yield only its own share",
    ),
    "workers.order": CauseWords(
        "the order of samples depends on the workers",
        "keep in_order=True, and give the sampler a generator of its own",
    ),
    "workers.augmentation": CauseWords(
        "the content of samples depends on the workers",
        "draw for each sample from a generator seeded with (seed, epoch, index), not from a global one, of which "
        "every worker has its own",
    ),
    "world_size.replicas": CauseWords(
        "the ranks of one world differ from each other",
        "reduce gradients over all ranks before each step, and broadcast weights and buffers once at the start",
    ),
    "world_size.scale": CauseWords(
        "the result is a multiple of that with another number of processes",
        "divide a sum over ranks by their number (ReduceOp.AVG), once, and weight shards of unequal size",
    ),
    "world_size.rounding": CauseWords(
        "the number of processes changes the result, by no more than rounding",
        f"{_ALLOW_ROUNDING}, or reduce in float64",
    ),
    "world_size.other": CauseWords(
        "the result depends on the number of processes by more than rounding",
        "look for shards of unequal size, a sampler that pads (DistributedSampler), BatchNorm for each rank, "
        "dropout drawn for each rank, and learning rates scaled by the number of ranks",
    ),
}
