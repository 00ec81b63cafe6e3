"""Configurations of models as plain data and back.

A configuration is a frozen dataclass of numbers, strings, booleans and other configurations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, get_type_hints

from moedsr_core.errors import InputError

T = TypeVar("T")

Scalar = bool | int | float | str
_SCALARS: tuple[type, ...] = (bool, int, float, str)


def config_to_dict(config: Any) -> dict[str, Any]:
    """Nested dictionary of a configuration, ready for JSON."""
    return {
        field.name: config_to_dict(value) if is_dataclass(value) else value
        for field in fields(config)
        for value in [getattr(config, field.name)]
    }


def config_from_dict(cls: type[T], data: Any, path: str = "") -> T:
    """Configuration of class ``cls`` from a nested dictionary.

    Fields that are missing take their defaults.

    Args:
        cls: A frozen dataclass.
        data: Values by field name, as JSON gives them.
        path: Where ``data`` stands in the whole configuration, for error messages.

    Raises:
        InputError: If a key is unknown, a value is of the wrong type, or the class refuses it.
    """
    if not isinstance(data, Mapping):
        raise InputError(f"configuration {path or cls.__name__!r} must be an object, got {data!r}")
    hints = get_type_hints(cls)
    known = [field.name for field in fields(cls)]  # type: ignore[arg-type]
    for key in data:
        if key not in known:
            raise InputError(
                f"unknown key {_join(path, key)!r} in the configuration; choose from {known}"
            )
    return cls(**{key: _value(hints[key], data[key], _join(path, key)) for key in data})


def _value(kind: Any, value: Any, path: str) -> Any:
    if is_dataclass(kind):
        return config_from_dict(kind, value, path)  # type: ignore[arg-type]
    if kind not in _SCALARS:
        raise TypeError(f"{path} is a {kind}; configurations hold scalars and configurations")
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise InputError(f"{path} must be of type {kind.__name__}, got {value!r}")
    return value


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def within(value: Scalar, allowed: tuple) -> bool:
    """Whether a value is one of the allowed ones, or lies in an allowed :class:`Interval`."""
    if isinstance(allowed, Interval):
        return isinstance(value, (int, float)) and allowed[0] <= value <= allowed[1]
    return value in allowed


class Interval(tuple):
    """Closed range of numbers, ``Interval((low, high))``."""


def check_ranges(config: Any, ranges: Mapping[str, tuple]) -> None:
    """Refuse a configuration with a value outside its allowed range.

    Args:
        config: The configuration.
        ranges: Allowed values by dotted path (``"router.phi_s"``).

    Raises:
        InputError: On the first value out of range.
    """
    for path, allowed in ranges.items():
        value = config
        for name in path.split("."):
            value = getattr(value, name)
        if not within(value, allowed):
            shape = (
                "between {} and {}".format(*allowed)
                if isinstance(allowed, Interval)
                else (f"one of {list(allowed)}")
            )
            raise InputError(
                f"{path} must be {shape} as in the paper's Table 2, got {value}; "
                "set paper_ranges to false to go beyond it"
            )
