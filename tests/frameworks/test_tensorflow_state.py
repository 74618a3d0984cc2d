"""TensorFlow's seeds and switches. Skipped where it is not installed."""

from __future__ import annotations

import pytest

from pytest_repro import seeding

tf = pytest.importorskip("tensorflow")


def draw() -> list[float]:
    return [float(tf.random.uniform(())) for _ in range(3)]


def test_one_seed_gives_the_same_draws_twice() -> None:
    with seeding.seeded(3):
        first = draw()
    with seeding.seeded(3):
        assert draw() == first
    with seeding.seeded(4):
        assert draw() != first


def test_the_stream_goes_on_after_the_block_as_if_it_had_not_been() -> None:
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


def test_switches_left_changed_are_told_and_put_back() -> None:
    state = seeding.save_state()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    tf.config.run_functions_eagerly(True)
    assert seeding.restore_state(state) == [
        "tensorflow tensor float 32 was left at False; restored to True",
        "tensorflow functions run eagerly was left at True; restored to False",
    ]


def test_deterministic_mode_is_read_back_and_ends() -> None:
    before = seeding.read_settings()
    with seeding.deterministic() as mode:
        assert {s.name: s.took_effect for s in mode.settings if s.name.startswith("tensorflow")} == {
            "tensorflow.op_determinism": True,
            "tensorflow.tensor_float_32": True,
        }
        assert seeding.read_settings()["tensorflow.op_determinism"] is True
    assert seeding.read_settings() == before
