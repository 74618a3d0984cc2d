"""Pillow's images: mode, size, pixels, palette and notes, of each frame."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

from pytest_repro.frameworks.base_values import Branch, Handler, make_fresh
from pytest_repro.frameworks.columns import fresh_bytes
from pytest_repro.frameworks.numpy_values import capture_array


def capture_image(image: Image.Image) -> Branch:
    """Capture an image as Pillow compares it: its class, mode, size, pixels, palette and `info`.

    Notes
    -----
    All frames of an animation, too, which comparing two images in Pillow leaves out.
    """
    image.load()
    traits = [("mode", image.mode), ("size", str(image.size))]
    children = _capture_frame(image)
    frames = _read_frames(image)
    if len(frames) > 1:
        traits.append(("frame", str(image.tell())))
        children.append(("frames", Branch("frames", frames)))
    return Branch(type(image).__name__, children, tuple(traits))


def _read_frames(image: Image.Image) -> list[tuple[str, Any]]:
    """Read all frames from the file, if it is open still.

    From a second image: going to another frame would undo what the test has changed in the current one.
    """
    file: Any = getattr(image, "_fp", None) or getattr(image, "fp", None)
    if not hasattr(type(image), "n_frames") or not hasattr(file, "read") or file.closed:
        return []
    position = file.tell()
    file.seek(0)
    data = file.read()
    file.seek(position)
    frames = []
    with Image.open(io.BytesIO(data)) as copy:
        for i in range(getattr(copy, "n_frames", 1)):
            copy.seek(i)
            copy.load()
            frames.append((str(i), Branch("frame", [("mode", copy.mode), *_capture_frame(copy)])))
    return frames


def _capture_frame(image: Image.Image) -> list[tuple[str, Any]]:
    children = [("pixels", _capture_pixels(image)), ("info", dict(image.info))]
    colours = image.getpalette(None)
    if colours is not None and image.palette is not None:
        children += [("palette", bytes(colours)), ("palette_mode", image.palette.mode)]
    return children


def _capture_pixels(image: Image.Image) -> Any:
    try:
        return make_fresh(capture_array(np.array(image)))
    except (TypeError, ValueError, KeyError):  # a mode without a layout in NumPy
        return fresh_bytes(image.tobytes())


HANDLERS: dict[type, Handler] = {Image.Image: capture_image}
