"""The tokenizers of Hugging Face's library `tokenizers` by their serialised form, and what they return."""

from __future__ import annotations

from typing import Any

import tokenizers

from pytest_repro.frameworks.base_values import Branch, Handler
from pytest_repro.frameworks.columns import fresh_bytes

_PARTS = (
    "ids", "type_ids", "tokens", "word_ids", "sequence_ids", "offsets", "special_tokens_mask", "attention_mask",
    "overflowing",
)  # fmt: skip


def capture_tokenizer(tokenizer: Any) -> Branch:
    """Capture a tokenizer by the JSON that it writes: vocabulary, merges, all steps, and how it pads and truncates."""
    return Branch("Tokenizer", [("model", fresh_bytes(tokenizer.to_str().encode(), "str"))])


def capture_encoding(encoding: Any) -> Branch:
    """Capture the encoding of a text by all of its parts."""
    return Branch("Encoding", [(name, getattr(encoding, name)) for name in _PARTS])


def capture_token(token: Any) -> Branch:
    """Capture a token that was added to a vocabulary, by its text and its options."""
    return Branch("AddedToken", sorted(token.__getstate__().items()))


HANDLERS: dict[type, Handler] = {
    tokenizers.Tokenizer: capture_tokenizer,
    tokenizers.Encoding: capture_encoding,
    tokenizers.AddedToken: capture_token,
}
