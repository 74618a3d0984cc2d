"""Hugging Face `transformers`: a callback for its `Trainer`, and a model's outputs for texts without their padding.

It needs ``pip install pytest-repro[transformers]``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pytest_repro.errors import UsageError
from pytest_repro.integrations.training import Recorder, explain_missing

try:
    import torch
    from transformers import TrainerCallback
except ImportError:
    raise explain_missing("transformers with torch", "transformers") from None

__all__ = ["ReproCallback", "predict_texts"]

#: Ends of the names of measured times, which differ in every run.
_TIMES = ("_runtime", "_per_second")
#: Fields of a model's output with one entry for each token, and with one for each text.
_OF_TOKENS = ("logits", "last_hidden_state", "hidden_states")
_OF_TEXTS = ("logits", "pooler_output")


class ReproCallback(TrainerCallback):  # type: ignore[misc] # its types are not read
    """Capture each step's loss, the evaluations, and the trained weights of a `Trainer`.

    The trainer logs after every step, whatever ``logging_steps`` says. That does not change the training.

    Parameters
    ----------
    repro : Repro
        The value of the `repro` fixture.
    name : str, optional
        Comes before the names of all artifacts, for a test with several trainings.
    weights_every_n_steps : int, optional
        Capture the weights after every n-th step too, which finds the step at which they begin to differ.

    Raises
    ------
    UsageError
        If an argument is wrong, or the trainer uses several processes.

    Warns
    -----
    ReproWarning
        If the seed of ``TrainingArguments`` (42 by default) replaced the test's seed, or the trainer made no step.

    Examples
    --------
    >>> @pytest.mark.reproducible
    ... def test_finetuning(repro, tmp_path):
    ...     arguments = TrainingArguments(tmp_path, seed=repro.seed, max_steps=10, report_to="none")
    ...     Trainer(make_model(), arguments, train_dataset=data, callbacks=[ReproCallback(repro)]).train()
    """

    def __init__(self, repro: Any, *, name: str = "", weights_every_n_steps: int | None = None) -> None:
        super().__init__()
        self._recorder = Recorder(repro, name, weights_every_n_steps)
        self._evaluations = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **context: Any) -> None:
        """Check the seeds and the number of processes."""
        self._recorder.begin(max(args.world_size, args.n_gpu))
        self._evaluations = 0
        advice = "pass seed=repro.seed"
        self._recorder.check_seed(args.seed, f"TrainingArguments(seed={args.seed})", advice)
        if args.data_seed is not None:
            source = f"TrainingArguments(data_seed={args.data_seed})"
            self._recorder.check_seed(args.data_seed, source, "pass data_seed=repro.seed, or leave it out")

    def on_step_end(self, args: Any, state: Any, control: Any, **context: Any) -> None:
        """Have the trainer log this step."""
        control.should_log = True

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, model: Any = None, **context: Any
    ) -> None:
        """Capture what the trainer logs of a step, or of the whole training."""
        values = _without_times(logs or {})
        if "loss" in values:
            self._recorder.take_step(state.global_step - 1, values, lambda: model)
        elif "train_loss" in values:
            self._recorder.take("metrics", values)

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: dict[str, Any] | None = None, **context: Any
    ) -> None:
        """Capture the metrics of an evaluation."""
        self._recorder.take(f"evaluation/{self._evaluations}", _without_times(metrics or {}))
        self._evaluations += 1

    def on_train_end(self, args: Any, state: Any, control: Any, model: Any = None, **context: Any) -> None:
        """Capture the trained weights."""
        self._recorder.take("weights", model)
        self._recorder.end()


def _without_times(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if not name.endswith(_TIMES)}


def predict_texts(model: Any, tokenizer: Any, texts: Sequence[str], **options: Any) -> list[dict[str, Any]]:
    """Return a model's outputs for each text, without the positions that were added as padding.

    The model computes all texts in one batch, in evaluation mode and without gradients. Its mode is restored.

    Parameters
    ----------
    model : PreTrainedModel
    tokenizer : PreTrainedTokenizerBase
    texts : sequence of str
    **options
        For the tokenizer, such as ``padding="max_length"``. By default texts are padded to the longest.

    Returns
    -------
    list of dict of str -> tensor or list of tensors
        The fields ``logits``, ``last_hidden_state``, ``hidden_states`` and ``pooler_output``, as far as the model has
        them. The cache of keys and values and the attentions are left out.

    Raises
    ------
    UsageError
        If `texts` is no sequence of str, the output has none of these fields, or its positions are not those of the
        tokens.

    Examples
    --------
    >>> assert_batch_invariant(lambda texts: predict_texts(model, tokenizer, texts), texts, norm=1e-6)
    """
    if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
        raise UsageError("predict_texts takes a sequence of str as texts")
    batch = tokenizer(list(texts), **{"padding": True, "return_tensors": "pt", **options}).to(model.device)
    if "attention_mask" not in batch:
        raise UsageError("predict_texts needs the tokenizer's attention mask, which says what is padding")
    is_training = model.training
    try:
        model.eval()
        with torch.no_grad():
            output = model(**batch)
    finally:
        model.train(is_training)
    mask = batch["attention_mask"].bool()
    _check_positions(output, mask)
    found = [dict(_fields_of(output, number, mask)) for number in range(len(texts))]
    if not all(found):
        raise UsageError(
            f"predict_texts finds none of {', '.join(dict.fromkeys(_OF_TOKENS + _OF_TEXTS))} in a "
            f"{type(output).__name__}: call the model, and return the fields that matter"
        )
    return found


def _check_positions(output: Any, mask: Any) -> None:
    for name in _OF_TOKENS:
        value = output.get(name)
        for layer in value if isinstance(value, (tuple, list)) else [value]:
            if layer is not None and layer.ndim == 3 and layer.shape[1] != mask.shape[1]:
                raise UsageError(
                    f"predict_texts cannot say which of the {layer.shape[1]} positions of {name} are padding: the "
                    f"tokenizer gave {mask.shape[1]}. Call the model, and return the positions that matter"
                )


def _fields_of(output: Any, number: int, mask: Any) -> Iterable[tuple[str, Any]]:
    for name in dict.fromkeys(_OF_TOKENS + _OF_TEXTS):
        value = output.get(name)
        if isinstance(value, (tuple, list)):
            yield name, [layer[number][mask[number]] for layer in value]
        elif value is not None and name in _OF_TOKENS and value.ndim == 3:
            yield name, value[number][mask[number]]
        elif value is not None:
            yield name, value[number]
