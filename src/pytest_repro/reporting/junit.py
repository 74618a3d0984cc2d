"""What a test's entry in JUnit's file carries of its verdict; values are built-in types, as execnet asks."""

from __future__ import annotations

from pytest_repro.model import TestResult


def junit_properties(result: TestResult) -> list[tuple[str, object]]:
    """Return ``repro_verdict``, ``repro_seed`` and, where run 1 gave something, the ``repro_digest`` of that."""
    digest = result.runs[0].digest if result.runs else None
    properties: list[tuple[str, object]] = [("repro_verdict", str(result.verdict)), ("repro_seed", result.seed)]
    return properties if digest is None else [*properties, ("repro_digest", digest)]
