"""What all tests share: `pytester`, which runs pytest on files that a test writes."""

from __future__ import annotations

pytest_plugins = ["pytester"]
