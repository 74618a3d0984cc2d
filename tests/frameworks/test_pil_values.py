"""Capture of Pillow's images."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_repro.capturing import capture_tree
from tests.unit.capturing.helpers import Case, assert_captures, differing

pytest.importorskip("PIL")
from PIL import Image

MODES = [
    "1",
    "L",
    "P",
    "RGB",
    "RGBA",
    "CMYK",
    "YCbCr",
    "LAB",
    "HSV",
    "I",
    "F",
    "LA",
    "PA",
    "RGBX",
    "RGBa",
    "La",
    "I;16",
]


@pytest.mark.parametrize("mode", MODES)
def test_one_pixel_of_each_mode_is_seen(mode: str) -> None:
    def change(image: Any) -> None:
        pixel = image.getpixel((1, 0))
        image.putpixel((1, 0), tuple(255 for _ in pixel) if isinstance(pixel, tuple) else 1)

    assert_captures(Case(lambda: Image.new(mode, (3, 2)), change), "result/pixels")


def test_a_size_a_mode_and_notes_are_seen() -> None:
    image = Image.new("L", (3, 2))
    assert differing(capture_tree(image), capture_tree(Image.new("L", (2, 3)))) == ["result", "result/pixels"]
    assert differing(capture_tree(image), capture_tree(Image.new("P", (3, 2)))) != []
    noted = image.copy()
    noted.info["dpi"] = (72, 72)
    assert "result/info/dpi/0" in differing(capture_tree(image), capture_tree(noted))


def test_a_palette_is_seen() -> None:
    def make(*colours: int) -> Any:
        image = Image.new("P", (3, 2))
        image.putpalette(colours)
        return image

    assert differing(capture_tree(make(1, 2, 3)), capture_tree(make(1, 2, 3))) == []
    assert differing(capture_tree(make(1, 2, 3)), capture_tree(make(1, 2, 4))) == ["result/palette"]
    other = Image.new("P", (3, 2))
    other.putpalette((1, 2, 3, 4), "RGBA")
    assert differing(capture_tree(make(1, 2, 3)), capture_tree(other)) != []


def saved(form: str, *frames: Any, **options: Any) -> Any:
    file = io.BytesIO()
    frames[0].save(file, form, save_all=len(frames) > 1, append_images=frames[1:], **options)
    return Image.open(io.BytesIO(file.getvalue()))


def test_each_frame_of_an_animation_is_seen() -> None:
    def make(last: int) -> Any:
        return saved("GIF", Image.new("L", (3, 2)), Image.new("L", (3, 2), last), duration=[10, 20])

    one = make(50)
    before = capture_tree(one)
    assert one.tell() == 0
    assert differing(before, capture_tree(make(50))) == []
    assert differing(before, capture_tree(make(90))) != []
    one.putpixel((0, 0), 1)
    assert differing(before, capture_tree(one)) == ["result/pixels"]
    assert one.getpixel((0, 0)) == 1, "the capture goes through the frames of a copy"
    one.seek(1)
    assert "result" in differing(before, capture_tree(one))


def test_a_file_is_read_and_its_format_counts() -> None:
    image = Image.new("RGB", (3, 2))
    assert differing(capture_tree(saved("PNG", image)), capture_tree(saved("PNG", image))) == []
    assert "result" in differing(capture_tree(saved("PNG", image)), capture_tree(saved("BMP", image)))


@given(st.binary(min_size=6, max_size=6), st.binary(min_size=6, max_size=6))
def test_images_are_captured_alike_exactly_if_pillow_finds_them_equal(one: bytes, other: bytes) -> None:
    images = [Image.fromarray(np.frombuffer(side, np.uint8).reshape(2, 3)) for side in (one, other)]
    assert (differing(*map(capture_tree, images)) == []) is (images[0] == images[1])
