"""TensorFlow's seeds and settings. Skipped if it is not installed."""

from __future__ import annotations

import pytest

from pytest_repro import seeding
from tests.unit.seeding.helpers import assert_follows_seed

tf = pytest.importorskip("tensorflow")


def draw() -> list[float]:
    return [float(tf.random.uniform(())) for _ in range(3)]


def test_draws_follow_the_seed() -> None:
    assert_follows_seed(draw)


def test_the_stream_continues_after_a_seeded_block() -> None:
    tf.random.set_seed(1)
    expected = [*draw(), *draw()]
    tf.random.set_seed(1)
    actual = draw()
    with pytest.raises(ZeroDivisionError), seeding.seeded(3):
        assert draw() == 1 / 0
    assert [*actual, *draw()] == expected


def test_a_global_generator_is_seeded_and_restored() -> None:
    generator = tf.random.Generator.from_seed(7)
    tf.random.set_global_generator(generator)
    before = generator.state.numpy().tolist()
    with seeding.seeded(3):
        first = generator.uniform([2]).numpy().tolist()
    with seeding.seeded(3):
        assert generator.uniform([2]).numpy().tolist() == first
    assert generator.state.numpy().tolist() == before


def test_settings_left_changed_are_reported_and_restored() -> None:
    state = seeding.save_state()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    tf.config.run_functions_eagerly(True)
    assert seeding.restore_state(state) == [
        "tensorflow tensor float 32 was left at False; restored to True",
        "tensorflow functions run eagerly was left at True; restored to False",
    ]


def test_deterministic_mode_takes_effect_and_is_restored() -> None:
    before = seeding.read_settings()
    with seeding.deterministic() as mode:
        assert {s.name: s.took_effect for s in mode.settings if s.name.startswith("tensorflow")} == {
            "tensorflow.op_determinism": True,
            "tensorflow.tensor_float_32": True,
        }
        assert seeding.read_settings()["tensorflow.op_determinism"] is True
    assert seeding.read_settings() == before
