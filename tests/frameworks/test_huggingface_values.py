"""Capture of tokenizers, model outputs and datasets of Hugging Face's libraries."""

from __future__ import annotations

import sys
import types
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from pytest_repro.capturing import capture_tree
from pytest_repro.errors import UnsupportedTypeError
from tests.unit.capturing.helpers import differing

tokenizers = pytest.importorskip("tokenizers")

WORDS = {"[UNK]": 0, "a": 1, "b": 2}


def tokenizer(words: Any = WORDS) -> Any:
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(dict(words), unk_token="[UNK]"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    return made


def test_a_tokenizer_is_captured_by_its_serialised_form() -> None:
    other = tokenizer({"[UNK]": 0, "a": 2, "b": 1})
    assert differing(capture_tree(tokenizer()), capture_tree(tokenizer(reversed(WORDS.items())))) == []
    assert differing(capture_tree(tokenizer()), capture_tree(other)) == ["result/model"]
    padded = tokenizer()
    padded.enable_padding()
    assert differing(capture_tree(tokenizer()), capture_tree(padded)) == ["result/model"]


def test_an_encoding_is_captured_by_its_parts() -> None:
    one, other = tokenizer().encode("a b"), tokenizer().encode("a  b")
    assert differing(capture_tree(one), capture_tree(tokenizer().encode("a b"))) == []
    assert all(path.startswith("result/offsets/1/") for path in differing(capture_tree(one), capture_tree(other)))
    assert differing(capture_tree(one), capture_tree(other)) != []


def test_a_token_is_captured_with_its_options() -> None:
    one, other = tokenizers.AddedToken("a"), tokenizers.AddedToken("a", lstrip=True)
    assert differing(capture_tree(one), capture_tree(other)) == ["result/lstrip"]


class TestTransformers:
    """What `transformers` adds."""

    @pytest.fixture(autouse=True)
    def library(self) -> Any:
        self.lib = pytest.importorskip("transformers")

    def fast(self, **options: Any) -> Any:
        return self.lib.PreTrainedTokenizerFast(tokenizer_object=tokenizer(), unk_token="[UNK]", **options)

    def slow(self, words: Any = WORDS) -> Any:
        class Words(self.lib.PreTrainedTokenizer):  # type: ignore[misc, name-defined]
            def __init__(self, **options: Any) -> None:
                self.words = dict(words)
                super().__init__(unk_token="[UNK]", **options)

            def get_vocab(self) -> dict[str, int]:
                return dict(self.words)

            def _tokenize(self, text: str, **options: Any) -> list[str]:
                return text.split()

            def _convert_token_to_id(self, token: str) -> int:
                return self.words.get(token, 0)

        return Words()

    def test_an_output_is_captured_by_its_fields(self) -> None:
        @dataclass
        class Output(self.lib.utils.ModelOutput):  # type: ignore[misc, name-defined]
            logits: Any = None
            loss: Any = None

        one = Output(logits=np.zeros(2))
        assert differing(capture_tree(one), capture_tree(Output(logits=np.zeros(2)))) == []
        assert differing(capture_tree({"o": one}), capture_tree({"o": Output(logits=np.ones(2))})) == ["o/logits"]
        assert differing(capture_tree(one), capture_tree(Output(logits=np.zeros(2), loss=1.0))) == ["loss"]
        assert differing(capture_tree([one]), capture_tree([{"logits": np.zeros(2)}])) == ["result/0"]

    def test_a_batch_is_captured_with_its_encodings(self) -> None:
        one = self.fast()(["a b", "b"])
        assert differing(capture_tree(one), capture_tree(self.fast()(["a b", "b"]))) == []
        assert "result/encodings/0/offsets/1/0" in differing(
            capture_tree(one), capture_tree(self.fast()(["a  b", "b"]))
        )
        assert "result/data/input_ids/0/1" in differing(capture_tree(one), capture_tree(self.fast()(["a a", "b"])))

    def test_a_fast_tokenizer(self) -> None:
        assert differing(capture_tree(self.fast()), capture_tree(self.fast())) == []
        assert differing(capture_tree(self.fast()), capture_tree(self.fast(padding_side="left"))) != []
        assert differing(capture_tree(self.fast()), capture_tree(self.fast(pad_token="b"))) != []
        extended = self.fast()
        extended.add_tokens(["c"])
        assert "result/_tokenizer/model" in differing(capture_tree(self.fast()), capture_tree(extended))

    def test_a_tokenizer_is_the_same_from_another_folder(self, tmp_path: Any) -> None:
        loaded = []
        for name in ("one", "other"):
            self.fast().save_pretrained(tmp_path / name)
            loaded.append(self.lib.PreTrainedTokenizerFast.from_pretrained(tmp_path / name))
        assert differing(*map(capture_tree, loaded)) == []

    def test_a_slow_tokenizer(self) -> None:
        one = capture_tree(self.slow())
        assert differing(one, capture_tree(self.slow())) == []
        found = differing(one, capture_tree(self.slow({"[UNK]": 0, "a": 2, "b": 1})))
        assert {"result/vocabulary", "result/words/a"} <= set(found)

    def test_a_configuration(self) -> None:
        one, other = self.lib.BertConfig(hidden_size=8), self.lib.BertConfig(hidden_size=16)
        assert differing(capture_tree([one]), capture_tree([self.lib.BertConfig(hidden_size=8)])) == []
        assert differing(capture_tree([one]), capture_tree([other])) == ["result/0/hidden_size"]

    def test_a_cache_of_keys_and_values(self) -> None:
        torch = pytest.importorskip("torch")

        def make(value: float) -> Any:
            cache = self.lib.DynamicCache()
            cache.update(torch.zeros(1, 1, 2, 2), torch.full((1, 1, 2, 2), value), 0)
            return cache

        assert differing(capture_tree(make(1.0)), capture_tree(make(1.0))) == []
        assert differing(capture_tree(make(1.0)), capture_tree(make(2.0))) == ["result/layers/0/values"]


class TestDatasets:
    """Datasets over Arrow tables."""

    @pytest.fixture(autouse=True)
    def library(self) -> Any:
        self.lib = pytest.importorskip("datasets")

    def make(self, *values: int) -> Any:
        return self.lib.Dataset.from_dict({"a": values, "t": [str(value) for value in values]})

    def test_rows_are_captured_as_the_indices_order_them(self) -> None:
        one = self.make(1, 2, 3)
        picked = one.select([2, 0])
        assert differing(capture_tree(one), capture_tree(self.make(1, 2, 3))) == []
        assert differing(capture_tree(one), capture_tree(self.make(1, 2, 4))) != []
        assert differing(capture_tree(picked), capture_tree(self.make(3, 1))) == []
        assert differing(capture_tree(picked), capture_tree(one.select([0, 2]))) != []

    def test_features_and_a_format_count(self) -> None:
        one = self.make(1, 2)
        assert differing(capture_tree(one), capture_tree(one.with_format("numpy"))) == ["result/format/type"]
        narrow = one.cast_column("a", self.lib.Value("int32"))
        assert "result/features/a/dtype" in differing(capture_tree(one), capture_tree(narrow))

    def test_several_splits(self) -> None:
        one, other = ({"d": self.lib.DatasetDict(train=self.make(1), test=self.make(n))} for n in (2, 3))
        assert "d/test/table/data/a/values" in differing(capture_tree(one), capture_tree(other))

    def test_a_stream_is_rejected_with_the_fix(self) -> None:
        with pytest.raises(UnsupportedTypeError, match=r"'rows' .*list\(dataset.take\(n\)\)"):
            capture_tree({"rows": self.make(1).to_iterable_dataset()})


def test_a_module_of_the_test_that_has_the_name_of_a_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = types.ModuleType("datasets")
    monkeypatch.setitem(sys.modules, "datasets", datasets)
    datasets.Dataset = type("Dataset", (), {"__module__": "datasets"})  # type: ignore[attr-defined]
    value = datasets.Dataset()  # type: ignore[attr-defined]
    value.rows = 3
    assert capture_tree([value]).leaves["result/0/rows"].data == 3
