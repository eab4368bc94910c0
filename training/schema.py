# Copyright 2026 MAHMR maintainers
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""Dataclasses from plain values (YAML, command line), strictly: unknown keys are errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, MISSING
import difflib
import types
from typing import Any, get_args, get_origin, get_type_hints, Literal, TypeVar, Union

from mahmr_model.errors import UserError

T = TypeVar('T')


def build(cls: type[T], values: Any, where: str = '') -> T:
    """
    Make a dataclass of nested mappings; `where` is the key that holds them, for errors.

    Raises UserError that names the key: one that is unknown (with the nearest known one), one
    that is missing, or one whose value has another type.
    """
    if not isinstance(values, Mapping):
        raise UserError(
            f'{where.rstrip(".") or "The configuration"} should be a group of keys, '
            f'not {values!r}.'
        )
    hints = get_type_hints(cls)
    names = [field.name for field in fields(cls)]  # type: ignore[arg-type]
    for key in values:
        if key not in names:
            raise unknown_key(f'{where}{key}', names, str(key))
    for field in fields(cls):  # type: ignore[arg-type]
        needed = field.default is MISSING and field.default_factory is MISSING
        if needed and field.name not in values:
            raise UserError(f'The configuration lacks the key {where + field.name!r}; add it.')
    return cls(
        **{key: convert(hints[key], value, f'{where}{key}') for key, value in values.items()}
    )


def unknown_key(shown: str, known: Sequence[str], key: str) -> UserError:
    """Return the error for a key that does not exist."""
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    hint = f'did you mean {near[0]!r}?' if near else f'known are {", ".join(known)}.'
    return UserError(f'Unknown key {shown!r} in the configuration; {hint}')


def convert(hint: Any, value: Any, where: str) -> Any:
    """Return `value` as the type `hint` says; a tuple may be given as a single value."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        if value is None:
            return None
        return convert(next(t for t in inner if t is not type(None)), value, where)
    if origin is Literal:
        value = _unquoted(value)
        if value not in inner:
            raise _wrong(where, ' or '.join(map(str, inner)), value)
        return value
    if origin is tuple:
        return _tuple(inner, value, where)
    if origin is dict:
        if not isinstance(value, Mapping):
            raise _wrong(where, 'a group of keys', value)
        return {str(k): convert(inner[1], v, f'{where}.{k}') for k, v in value.items()}
    if is_dataclass(hint):
        return build(hint, value, f'{where}.')  # type: ignore[arg-type]
    return _scalar(hint, value, where)


def as_plain(value: Any) -> Any:
    """Return a dataclass as mappings, lists and scalars, the reverse of `build`."""
    if is_dataclass(value):
        return {field.name: as_plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple):
        return [as_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: as_plain(item) for key, item in value.items()}
    return value


def _tuple(inner: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if value is None:
        return ()
    items = list(value) if isinstance(value, list | tuple) else [value]
    if inner[-1] is not Ellipsis:
        if len(items) != len(inner):
            raise _wrong(where, f'{len(inner)} values', value)
        return tuple(convert(t, item, where) for t, item in zip(inner, items, strict=True))
    return tuple(convert(inner[0], item, f'{where}[{i}]') for i, item in enumerate(items))


def _scalar(hint: type, value: Any, where: str) -> Any:
    if hint is str and isinstance(value, str | int):
        return str(value)
    if hint is bool and isinstance(value, bool):
        return value
    if hint is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if hint is float and not isinstance(value, bool):
        try:  # YAML 1.1 takes 1e-5 for text
            return float(value)
        except (TypeError, ValueError):
            pass
    names = {int: 'a whole number', float: 'a number', bool: 'true or false', str: 'text'}
    raise _wrong(where, names.get(hint, hint.__name__), value)


def _unquoted(value: Any) -> Any:
    """Undo YAML 1.1, for which a bare `no` is false."""
    return 'no' if value is False else value


def _wrong(where: str, expected: str, value: Any) -> UserError:
    return UserError(
        f'The key {where!r} in the configuration should be {expected}, not {value!r}.'
    )
