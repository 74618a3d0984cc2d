"""OmegaConf's configurations, as Hydra composes them: by their values, with interpolations resolved."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import InterpolationToMissingValueError, OmegaConfBaseException

from pytest_repro.frameworks.base_values import Branch, Captured, Handler, NotComparableError, Omitted
from pytest_repro.frameworks.stdlib_values import capture_mapping
from pytest_repro.model import Leaf

_MISSING = Omitted("it is missing (???) in the configuration", is_state=False, type_name="missing value")


def capture_dict(config: Any) -> Captured:
    """Capture a mapping by its entries. A missing value is listed as not compared."""
    if config._is_missing():
        return _MISSING
    if config._is_none():
        return Leaf("value", None, type(config).__name__)
    branch = capture_mapping({key: _read(config, key) for key in config.keys()})  # noqa: SIM118
    branch.type_name = type(config).__name__
    kind = OmegaConf.get_type(config)
    if kind is not dict:  # a structured configuration, which a dataclass describes
        branch.traits = (*branch.traits, ("schema", f"{kind.__module__}.{kind.__qualname__}"))
    return branch


def capture_list(config: Any) -> Captured:
    """Capture a list by its elements. A missing value is listed as not compared."""
    if config._is_missing():
        return _MISSING
    if config._is_none():
        return Leaf("value", None, type(config).__name__)
    children = [(str(number), _read(config, number)) for number in range(len(config))]
    return Branch(type(config).__name__, children, whole=False)


def _read(config: Any, key: Any) -> Any:
    if OmegaConf.is_missing(config, key):
        return _MISSING
    try:
        return config[key]
    except InterpolationToMissingValueError:
        return _MISSING
    except OmegaConfBaseException as error:
        reason = str(error).partition("\n")[0]
        raise NotComparableError(
            f"its value {str(key)[:100]!r} cannot be resolved: {reason[:200]}; set what it refers to"
        ) from None


HANDLERS: dict[type, Handler] = {DictConfig: capture_dict, ListConfig: capture_list}
