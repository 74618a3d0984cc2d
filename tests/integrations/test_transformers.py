"""The callback in a real trainer of transformers, and outputs without padding."""

from __future__ import annotations

import warnings

import pytest

from pytest_repro import DivergenceError, Verdict, assert_batch_invariant, examine
from pytest_repro.errors import ReproWarning, UsageError
from tests.integrations.helpers import begin

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")
pytest.importorskip("accelerate")
from pytest_repro.integrations.transformers import ReproCallback, predict_texts

WORDS = {word: number for number, word in enumerate(["[PAD]", "[UNK]", "a", "b", "c"])}
TEXTS = ["a b c a b", "c", "b b", "a a a"]


def model(kind="BertForSequenceClassification", **options):
    size = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    return getattr(transformers, kind)(transformers.BertConfig(vocab_size=len(WORDS), **size, **options))


def tokenizer():
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(WORDS, unk_token="[UNK]"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, pad_token="[PAD]", unk_token="[UNK]")


def data():
    return [{"input_ids": [2, 3 + number % 2, 4], "labels": number % 2} for number in range(8)]


def train(callback, folder, rows=None, **options):
    given = {"max_steps": 3, "per_device_train_batch_size": 2, "use_cpu": True, "report_to": "none", **options}
    arguments = transformers.TrainingArguments(str(folder), save_strategy="no", disable_tqdm=True, **given)
    rows = rows or data()
    transformers.Trainer(model(), arguments, train_dataset=rows, eval_dataset=data(), callbacks=[callback]).train()


def test_it_captures_losses_evaluations_and_weights(tmp_path):
    repro, run = begin()
    callback = ReproCallback(repro, weights_every_n_steps=2)
    train(callback, tmp_path, seed=7, eval_strategy="steps", eval_steps=2)
    found = set(run.artifacts.leaves)
    assert {f"step/{number}/{name}" for number in range(3) for name in ("loss", "grad_norm", "learning_rate")} <= found
    assert {"evaluation/0/eval_loss", "metrics/train_loss", "weights/classifier.weight"} <= found
    assert "step/1/weights/classifier.weight" in found
    assert not [path for path in found if path.endswith(("_runtime", "_per_second"))]


def test_a_training_is_identical_when_it_is_repeated(tmp_path):
    found = examine(lambda repro: train(ReproCallback(repro), tmp_path, seed=repro.seed))
    assert found.verdict is Verdict.IDENTICAL


def test_labels_that_no_seed_reaches_are_found_in_the_first_loss(tmp_path):
    calls = iter(range(9))

    def run(repro):
        rows = [{**row, "labels": (number + first) % 2} for first in [next(calls)] for number, row in enumerate(data())]
        train(ReproCallback(repro), tmp_path, rows, seed=repro.seed)

    found = examine(run)
    assert found.verdict is Verdict.DIVERGED
    assert "step/0/loss" in found.message


def test_the_default_seed_of_the_trainer_is_reported(tmp_path):
    repro, _ = begin()
    with pytest.warns(ReproWarning, match=r"TrainingArguments\(seed=42\) replaced the test's seed 7 by 42"):
        train(ReproCallback(repro), tmp_path)


def test_another_seed_of_the_data_is_reported(tmp_path):
    repro, _ = begin()
    with pytest.warns(ReproWarning, match=r"data_seed=3\) replaced"):
        train(ReproCallback(repro), tmp_path, seed=7, data_seed=3)


def test_the_run_s_seed_is_right(tmp_path):
    repro, _ = begin()
    with warnings.catch_warnings():
        warnings.simplefilter("error", ReproWarning)
        train(ReproCallback(repro), tmp_path, seed=repro.seed)


def test_the_callback_does_not_change_the_training(tmp_path):
    weights = []
    for callback in (ReproCallback(begin()[0]), transformers.TrainerCallback()):
        begin()
        made = model()
        arguments = transformers.TrainingArguments(
            str(tmp_path), seed=7, max_steps=3, use_cpu=True, report_to="none", save_strategy="no", disable_tqdm=True
        )
        transformers.Trainer(made, arguments, train_dataset=data(), callbacks=[callback]).train()
        weights.append(made.classifier.weight)
    assert torch.equal(*weights)


def test_texts_have_no_positions_of_padding():
    torch.manual_seed(0)
    made = model("BertModel", output_hidden_states=True)
    made.train()
    found = predict_texts(made, tokenizer(), TEXTS)
    assert [entry["last_hidden_state"].shape for entry in found] == [(5, 8), (1, 8), (2, 8), (3, 8)]
    assert [[layer.shape for layer in entry["hidden_states"]] for entry in found][1] == [(1, 8), (1, 8)]
    assert found[0]["pooler_output"].shape == (8,)
    assert made.training


def test_a_model_that_reads_its_padding_is_found():
    torch.manual_seed(0)
    made = model("BertModel")
    assert_batch_invariant(lambda texts: predict_texts(made, tokenizer(), texts), TEXTS, rtol=1e-3, atol=1e-5)

    class ReadsPadding(torch.nn.Module):
        device = torch.device("cpu")

        def forward(self, input_ids, attention_mask, **others):
            return made(input_ids=input_ids, attention_mask=torch.ones_like(attention_mask), **others)

    with pytest.raises(DivergenceError):
        assert_batch_invariant(
            lambda texts: predict_texts(ReadsPadding(), tokenizer(), texts), TEXTS, rtol=1e-3, atol=1e-5
        )


def test_a_single_text_is_refused():
    with pytest.raises(UsageError, match="a sequence of str"):
        predict_texts(model(), tokenizer(), "a b")


def test_an_output_without_a_known_field_is_refused():
    class Other(torch.nn.Module):
        device = torch.device("cpu")

        def forward(self, **batch):
            return {"scores": torch.zeros(1)}

    with pytest.raises(UsageError, match="finds none of logits"):
        predict_texts(Other(), tokenizer(), ["a"])


def test_positions_that_are_not_those_of_the_tokens_are_refused():
    class Longer(torch.nn.Module):
        device = torch.device("cpu")

        def forward(self, input_ids, **batch):
            return {"logits": torch.zeros(len(input_ids), input_ids.shape[1] + 1, 2)}

    with pytest.raises(UsageError, match="which of the 4 positions of logits are padding: the tokenizer gave 3"):
        predict_texts(Longer(), tokenizer(), ["a b c", "a"])
