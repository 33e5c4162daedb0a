"""functional_call: a module run with other tensors in the place of its parameters and buffers."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from moka._C import Tensor

from ..module import Module

__all__ = ["functional_call"]


def _places(module: Module, tie_weights: bool) -> dict[str, list[tuple[dict[str, Any], str]]]:
    """For each dotted name where its tensor stands; with `tie_weights` everywhere that tensor stands."""
    found: dict[str, tuple[dict[str, Any], str]] = {}
    same: dict[int, list[tuple[dict[str, Any], str]]] = {}
    for prefix, owner in module.named_modules(remove_duplicate=False):
        for table in (owner._parameters, owner._buffers):
            for name, value in table.items():
                found[f"{prefix}.{name}" if prefix else name] = (table, name)
                if value is not None:
                    same.setdefault(id(value), []).append((table, name))
    return {
        full: same[id(table[name])] if tie_weights and table[name] is not None else [(table, name)]
        for full, (table, name) in found.items()
    }


def functional_call(
    module: Module,
    parameters_and_buffers: Mapping[str, Tensor] | Sequence[Mapping[str, Tensor]],
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """module(*args, **kwargs) with the given tensors in place of those of the same dotted names.

    Args:
        parameters_and_buffers: names and tensors, or several such dicts with different names.
        args: the arguments; what is no tuple is the only one.
        tie_weights: a tensor that stands in several places is replaced in all of them.
        strict: names of the module that are not given are errors too.
    """
    if isinstance(parameters_and_buffers, Mapping):
        given = dict(parameters_and_buffers)
    else:
        given = {}
        for part in parameters_and_buffers:
            twice = given.keys() & part.keys()
            if twice:
                raise ValueError(f"functional_call: {sorted(twice)} are given twice")
            given.update(part)
    places = _places(module, tie_weights)
    unknown = [name for name in given if name not in places]
    missing = [name for name in places if name not in given] if strict else []
    if unknown or missing:
        raise RuntimeError(
            f"functional_call: {type(module).__name__} does not have {unknown}, and {missing} are not given"
        )
    before: list[tuple[dict[str, Any], str, Any]] = []
    try:
        for name, value in given.items():
            for table, key in places[name]:
                before.append((table, key, table[key]))
                table[key] = value
        positional = () if args is None else args if isinstance(args, tuple) else (args,)
        return module(*positional, **(kwargs or {}))
    finally:
        for table, key, value in reversed(before):
            table[key] = value
