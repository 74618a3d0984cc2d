"""Settings of the tests that draw their inputs with Hypothesis."""

from __future__ import annotations

import tests.hypothesis_profile  # noqa: F401
