"""Hypothesis' settings for tests/unit and tests/properties: no limits of time, which a busy machine would exceed."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")
