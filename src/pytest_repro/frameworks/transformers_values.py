"""The outputs of Hugging Face's models, and the tokenizers of `transformers`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from transformers.utils import ModelOutput

from pytest_repro.frameworks.base_values import Branch, Handler
from pytest_repro.frameworks.columns import capture_labels, fresh_bytes

#: Attributes of a tokenizer that say where it was loaded from and what it has told, or that follow from the others.
_NOT_A_RESULT = {
    "verbose", "deprecation_warnings", "name_or_path", "files_loaded", "init_inputs", "tokens_trie", "cache",
    "_in_target_context_manager", "_processor_class",
}  # fmt: skip


def capture_output(output: Any) -> Branch:
    """Capture the output of a model by its fields. Those that are None do not exist, as in its items."""
    others = {name: value for name, value in vars(output).items() if name not in output and value is not None}
    children = list(output.items())
    return Branch(type(output).__name__, [*children, ("attributes", others)] if others else children, named=True)


def capture_batch(batch: Any) -> Branch:
    """Capture the output of a tokenizer by its items, and by the encodings that its methods read."""
    children = [("data", dict(batch)), ("encodings", batch.encodings), ("n_sequences", batch.n_sequences)]
    return Branch(type(batch).__name__, children)


def capture_tokenizer(tokenizer: Any) -> Branch:
    """Capture a tokenizer by its vocabulary and all its settings, without the names of files."""
    state = {name: value for name, value in vars(tokenizer).items() if name not in _NOT_A_RESULT}
    if "init_kwargs" in state:
        given = state["init_kwargs"].items()
        state["init_kwargs"] = {name: value for name, value in given if not _names_a_file(name)}
    children = list(state.items())
    if not hasattr(tokenizer, "backend_tokenizer"):  # the other kind is captured with its vocabulary
        vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda item: (item[1], item[0]))
        ids = np.array([number for _, number in vocabulary], dtype=np.int64)
        children += [("vocabulary", capture_labels([token for token, _ in vocabulary])), ("ids", ids)]
    return Branch(type(tokenizer).__name__, children, is_object=True)


def _names_a_file(name: str) -> bool:
    return name.endswith(("_file", "_files")) or name in ("name_or_path", "tokenizer_object", "added_tokens_decoder")


def capture_config(config: Any) -> Branch:
    """Capture a configuration by the entries that it writes, without the release that writes them."""
    entries = {name: value for name, value in config.to_dict().items() if name not in ("transformers_version",)}
    return Branch(type(config).__name__, list(entries.items()), named=True, is_object=True)


def capture_cache(cache: Any) -> Branch:
    """Capture a model's cache of keys and values by its attributes."""
    return Branch(type(cache).__name__, list(vars(cache).items()), is_object=True)


def capture_sentencepiece(processor: Any) -> Branch:
    """Capture a SentencePiece model by its serialised form."""
    return Branch("SentencePieceProcessor", [("model", fresh_bytes(processor.serialized_model_proto()))])


HANDLERS: dict[type, Handler] = {ModelOutput: capture_output}

#: Types whose handler reads every attribute of a subclass too.
COMPLETE: tuple[type, ...] = (ModelOutput,)

#: By name, because importing the modules of these classes takes seconds.
_BY_NAME: dict[str, Callable[[Any], Branch]] = {
    "transformers.tokenization_utils_base.BatchEncoding": capture_batch,
    "transformers.tokenization_utils_base.PreTrainedTokenizerBase": capture_tokenizer,
    "transformers.configuration_utils.PretrainedConfig": capture_config,
    "transformers.configuration_utils.PreTrainedConfig": capture_config,
    "transformers.cache_utils.Cache": capture_cache,
    "transformers.cache_utils.CacheLayerMixin": capture_cache,
    "sentencepiece.SentencePieceProcessor": capture_sentencepiece,
}


def find_by_protocol(kind: type) -> Handler | None:
    """Find the handler of a class by the qualified names of its bases."""
    names = (f"{base.__module__}.{base.__qualname__}" for base in kind.__mro__)
    return next((_BY_NAME[name] for name in names if name in _BY_NAME), None)
