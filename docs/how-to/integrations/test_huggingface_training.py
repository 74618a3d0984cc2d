import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast, Trainer, TrainingArguments

from pytest_repro import assert_batch_invariant
from pytest_repro.integrations.transformers import ReproCallback, predict_texts

WORDS = ["[PAD]", "[UNK]", "a", "good", "bad", "film", "very"]
TEXTS = ["a good film", "a bad film", "very good", "a very very bad film"]


def make_tokenizer():
    words = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]")


def make_model():
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    return BertForSequenceClassification(config)


def make_data():
    batch = make_tokenizer()(TEXTS, padding=True)
    return [
        {"input_ids": ids, "attention_mask": mask, "labels": number % 2}
        for number, (ids, mask) in enumerate(zip(batch["input_ids"], batch["attention_mask"], strict=True))
    ]


@pytest.mark.reproducible
def test_finetuning(repro, tmp_path):
    arguments = TrainingArguments(
        tmp_path,
        seed=repro.seed,
        max_steps=4,
        per_device_train_batch_size=2,
        use_cpu=True,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
    )
    Trainer(make_model(), arguments, train_dataset=make_data(), callbacks=[ReproCallback(repro)]).train()


def test_a_prediction_does_not_depend_on_the_batch():
    torch.manual_seed(0)
    model, tokenizer = make_model(), make_tokenizer()
    assert_batch_invariant(lambda texts: predict_texts(model, tokenizer, texts), TEXTS, rtol=1e-4, atol=1e-6)
