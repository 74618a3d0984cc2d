"""The condition of a run, and its artifacts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

JSON = None | bool | int | float | str | list["JSON"] | dict[str, "JSON"]

#: The seed control's entry in a condition. Neither an axis nor a name that an argument of a test could have.
ANOTHER_SEED = "another seed"
#: The entry of the run that computes run 1 in float64, for an automatic tolerance. Not an axis either.
REFERENCE = "float64 reference"


@dataclass(frozen=True, slots=True)
class Condition:
    """The differences between a run's condition and the baseline's: axis -> value, empty for a plain repeat."""

    values: tuple[tuple[str, JSON], ...] = ()

    def __iter__(self) -> Iterator[tuple[str, JSON]]:
        return iter(self.values)

    def as_dict(self) -> dict[str, JSON]:
        """Return the condition as an object of JSON."""
        return dict(self.values)

    def describe(self) -> str:
        """Return a phrase: ``threads=3, hash_seed=1``, or ``same condition``."""
        return ", ".join(f"{axis}={value}" for axis, value in self.values) or "same condition"


@dataclass(slots=True, eq=False)
class Leaf:
    """One named value of a run, in a form that needs no framework to compare.

    Attributes
    ----------
    form : {"array", "value", "node"}
        ``array``: `data` is an ndarray of a simple dtype, with any strides or byte order. A dtype that
        NumPy lacks travels in an unsigned carrier of its width (bfloat16 in uint16), or as a framework's own
        tensor when it is on another device.
        ``value``: `data` is a Python int, float, complex, bool, str, bytes or None.
        ``node``: a container; `data` is None, its children are the leaves below its path.
    type_name : str
        The type as the user knows it: ``ndarray``, ``Tensor``, ``float``, ``dict``, ``LinearRegression``.
    dtype : str
        Logical dtype (``float32``, ``bfloat16``, ``>f4``, ``datetime64[ns]``; for a value ``float``, ``int`` ...).
    shape : tuple of int
    traits : tuple of (name, value)
        Other properties that must match: ``("device", "cuda:0")``, ``("requires_grad", "True")``, ``("layout", ...)``.
    """

    form: Literal["array", "value", "node"]
    data: Any
    type_name: str
    dtype: str = ""
    shape: tuple[int, ...] = ()
    traits: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class NotCompared:
    """A value that a run gave and that is not compared.

    Attributes
    ----------
    name : str
        Its path among the artifacts.
    type_name : str
        Its type, with the module that defines it.
    reason : str
        Why, and how to have it compared where that is possible.
    is_state : bool
        Whether it may hold a part of the result, so that the rest alone proves nothing.
    """

    name: str
    type_name: str
    reason: str
    is_state: bool = False


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a call of one of this package's assertions found.

    Attributes
    ----------
    assertion : str
        Name of the function.
    verdict : str
        ``passed``, or the verdict's value where the assertion returns one; ``error`` if it raised another error than
        its own.
    message : str
        First line of what it raised.
    """

    assertion: str
    verdict: str
    message: str = ""

    @property
    def has_passed(self) -> bool:
        """Whether nothing speaks against the code under test."""
        return self.verdict in ("passed", "identical", "within_tolerance")


@dataclass(frozen=True, slots=True)
class Reached:
    """Something that a run was seen to reach, and the user's line that reached it, as text."""

    kind: str
    place: str


@dataclass(slots=True, eq=False)
class Artifacts:
    """All artifacts of one run: path -> leaf, in the order of capture. The root's path is the empty string."""

    leaves: dict[str, Leaf] = field(default_factory=dict)
    #: What the run gave beside them.
    not_compared: list[NotCompared] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """Paths of all leaves that can be compared, without containers."""
        return [path for path, leaf in self.leaves.items() if leaf.form != "node"]

    def __len__(self) -> int:
        return sum(leaf.form != "node" for leaf in self.leaves.values())
