"""YAML plus `key=value` overrides into frozen dataclasses; an unknown key is an error with a suggestion."""

import dataclasses
import math
import types
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from camelid.errors import UserError, suggest_name
from camelid.files.read import read_text

T = TypeVar("T")


def load_config(kind: type[T], path: str | Path, overrides: Sequence[str] = ()) -> T:
    """Read a YAML file into the frozen dataclass `kind`.

    Args:
        kind: a dataclass whose fields are scalars, `X | None`, `Literal`, tuples, dicts or dataclasses.
        path: the YAML file.
        overrides: see `read_tree`.

    Raises:
        UserError: broken YAML (file:line), an unknown or missing key, a wrong type, or whatever the
            dataclass's own `__post_init__` refuses.
    """
    return from_tree(kind, read_tree(path, overrides), str(path))


def read_tree(path: str | Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Read a YAML file of sections as nested dicts.

    Args:
        path: the YAML file.
        overrides: `"optim.lr=1e-5"` items, applied after the file; the value is parsed as YAML.

    Raises:
        UserError: broken YAML (file:line), no mapping, or an override that is none.
    """
    try:
        tree = yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise UserError(f"{path}{line}: broken YAML: {getattr(error, 'problem', error)}") from None
    tree = {} if tree is None else tree
    if not isinstance(tree, dict):
        raise UserError(f"{path}: expected a mapping of sections, found {type(tree).__name__}")
    for override in overrides:
        apply_override(tree, override)
    return tree


def to_tree(config: Any) -> dict[str, Any]:
    """The inverse of `from_tree`: plain dicts and lists that YAML and JSON can hold."""
    return {field.name: _plain(getattr(config, field.name)) for field in dataclasses.fields(config)}


def from_tree(kind: type[T], tree: object, place: str, key: str = "") -> T:
    """Build the dataclass `kind` from nested dicts; `place` and `key` name the spot in errors."""
    if not isinstance(tree, dict):
        raise UserError(f"{place}: {key or 'the file'} must be a mapping, found {tree!r}")
    hints = get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind) if field.init}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for name, value in tree.items():
        full = f"{key}.{name}" if key else str(name)
        if value is None and ":" in str(name):  # {path:x} is one key without a value
            raise UserError(f"{place}: {full!r}: YAML wants a space behind the colon")
        if name not in fields:
            raise UserError(f"{place}: unknown key {full!r}{_nearest(str(name), hints)}")
        values[name] = _convert(hints[name], value, place, full)
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in values:
            raise UserError(f"{place}: missing key {f'{key}.{name}' if key else name!r}")
    try:
        return kind(**values)
    except UserError as error:
        raise UserError(f"{place}: {error}") from None


def _nearest(name: str, hints: dict[str, Any]) -> str:
    """The key that was meant by a name that is none; a section's own keys count, too: `lr` is `optim.lr`."""
    for section, hint in hints.items():
        if name in getattr(hint, "__dataclass_fields__", ()):
            return f"; did you mean '{section}.{name}'?"
    return suggest_name(name, hints)


def apply_override(tree: dict[str, Any], override: str) -> None:
    """Set one key of nested dicts: `"optim.lr=1e-5"`, the value as YAML.

    Raises:
        UserError: it is no `key=value`, or leads into what is no section.
    """
    name, equals, text = override.partition("=")
    if not equals or not name:
        raise UserError(f"override {override!r} must look like key=value, for example optim.lr=1e-5")
    *parents, last = name.split(".")
    for parent in parents:
        child = tree.setdefault(parent, {})
        if not isinstance(child, dict):
            raise UserError(f"override {override!r}: {parent!r} is a value, not a section")
        tree = child
    try:
        tree[last] = yaml.safe_load(text)
    except yaml.YAMLError:
        raise UserError(f"override {override!r}: the value is not valid YAML") from None


def _convert(hint: Any, value: Any, place: str, key: str) -> Any:
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        kinds = [arg for arg in args if arg is not type(None)]
        return _convert(str if isinstance(value, str) and str in kinds else kinds[0], value, place, key)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return from_tree(hint, value, place, key)
    if origin is Literal:
        if value not in args:
            raise UserError(f"{place}: {key} = {value!r} is unknown{suggest_name(str(value), map(str, args))}")
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise UserError(f"{place}: {key} must be a list, found {value!r}")
        return tuple(_convert(args[0], item, place, f"{key}[{i}]") for i, item in enumerate(value))
    if origin is dict or hint is dict:
        if not isinstance(value, dict):
            raise UserError(f"{place}: {key} must be a mapping, found {value!r}")
        return dict(value)
    return _scalar(hint, value, place, key)


def _scalar(hint: Any, value: Any, place: str, key: str) -> Any:
    if hint is Any:
        return value
    if hint is float and not isinstance(value, bool):
        with suppress(TypeError, ValueError):
            value = float(value)  # YAML 1.1 reads 2e-5 as a string
        if isinstance(value, float):
            return _finite(value, place, key)
    elif hint is int and isinstance(value, int | float) and not isinstance(value, bool):
        if _finite(value, place, key) == int(value):
            return int(value)
    elif hint in (str, bool) and isinstance(value, hint):
        return value
    names = {float: "a number", int: "a whole number", str: "a string (put it in quotes)", bool: "true or false"}
    raise UserError(f"{place}: {key} must be {names.get(hint, hint)}, found {value!r}")


def _finite(value: float, place: str, key: str) -> float:
    if not math.isfinite(value):
        raise UserError(f"{place}: {key} must be a finite number, found {value!r}")
    return value


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_tree(value)
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value
