"""Watch the code under test during a run, and leave a trace of the values that each statement changed."""

from __future__ import annotations

from pytest_repro.tracing.trace_file import TraceError, read_trace
from pytest_repro.tracing.watching import watched

__all__ = ["TraceError", "read_trace", "watched"]
