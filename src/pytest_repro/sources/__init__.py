"""Hidden conditions that hold one source still, and what is seen while they do.

No axes: a user never asks for them. They are applied in a child through the same job as an axis, under names that no
argument of a test can have.
"""

from __future__ import annotations
