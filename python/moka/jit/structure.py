"""What a recorded program takes and gives: tensors of a graph inside containers, beside values that stay
what they were.
"""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from .._C import Tensor
from ..utils import pytree

__all__ = ["Arguments", "Results"]

_PLAIN = (type(None), bool, int, float, str)


def _word(path: pytree.KeyPath) -> str:
    """A path as part of a name: batch.mask, hidden.0."""
    keys = (getattr(key, "key", getattr(key, "idx", getattr(key, "name", key))) for key in path)
    return ".".join(str(key) for key in keys)


class Arguments:
    """The arguments of a recording: which of them are inputs of the graph, and what the others must be."""

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any], parameters: Sequence[str]) -> None:
        self.parameters = list(parameters)
        self.count = len(args)
        self.keywords = list(kwargs)
        found, self.spec = pytree.tree_flatten_with_path((args, kwargs))
        self.tensors = [leaf for _, leaf in found if isinstance(leaf, Tensor)]
        self.fixed = {i: leaf for i, (_, leaf) in enumerate(found) if not isinstance(leaf, Tensor)}
        self.names = [self._name(path) for path, leaf in found if isinstance(leaf, Tensor)]
        self.flat = not self.fixed and not kwargs and len(self.tensors) == self.count

    def _name(self, path: pytree.KeyPath) -> str:
        first, *rest = path[1:]
        name = first.key if hasattr(first, "key") else self.positional(first.idx)
        return ".".join(filter(None, (str(name), _word(tuple(rest)))))

    def positional(self, place: int) -> str:
        """The name of a positional argument."""
        return self.parameters[place] if place < len(self.parameters) else f"input{place}"

    def rebuilt(self, tensors: Sequence[Tensor]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments with other tensors."""
        leaves = iter(tensors)
        count = self.spec.num_leaves
        return pytree.tree_unflatten(
            [self.fixed[i] if i in self.fixed else next(leaves) for i in range(count)], self.spec
        )

    def taken(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Sequence[Tensor]:
        """The tensors for the graph out of a call's arguments; TypeError where they are built in another
        way.
        """
        if self.flat and len(args) == self.count and not kwargs:
            return args
        if kwargs and len(args) < self.count:
            kwargs = dict(kwargs)
            while len(args) < self.count and self.positional(len(args)) in kwargs:
                args = (*args, kwargs.pop(self.positional(len(args))))
        ordered = {name: kwargs[name] for name in self.keywords if name in kwargs}
        ordered.update(kwargs)
        leaves, spec = pytree.tree_flatten((args, ordered))
        if spec != self.spec:
            raise TypeError(
                f"the recorded program takes {self.described()}, but {_described(args, kwargs)} came"
            )
        for i, leaf in self.fixed.items():
            if not (leaves[i] is leaf or leaves[i] == leaf):
                raise ValueError(
                    f"argument value {leaf!r} was recorded as it was, but {leaves[i]!r} came; record "
                    f"the program again "
                    "with it, or make it a tensor"
                )
        return [leaf for i, leaf in enumerate(leaves) if i not in self.fixed]

    def described(self) -> str:
        """What a call must give, in words."""
        return _described(*self.rebuilt(self.tensors))


def _described(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    parts = [_kind(a) for a in args] + [f"{name}={_kind(a)}" for name, a in kwargs.items()]
    return f"({', '.join(parts)})"


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {_kind(v)}" for key, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        inner = ", ".join(_kind(v) for v in value)
        return f"[{inner}]" if isinstance(value, list) else f"({inner})"
    if isinstance(value, Tensor):
        return "Tensor"
    return repr(value) if isinstance(value, _PLAIN) else type(value).__name__


class Results:
    """The result of a recording: which parts of it are results of the graph."""

    def __init__(self, result: Any) -> None:
        found, self.spec = pytree.tree_flatten_with_path(result)
        self.tensors = [leaf for _, leaf in found if isinstance(leaf, Tensor)]
        self.fixed = {i: leaf for i, (_, leaf) in enumerate(found) if not isinstance(leaf, Tensor)}
        for i, leaf in self.fixed.items():
            if not isinstance(leaf, _PLAIN):
                raise TypeError(
                    f"trace: result {_word(found[i][0]) or i} is {type(leaf).__name__}; a recorded "
                    f"program gives tensors "
                    "and plain values, in tuples, lists and dictionaries"
                )
        if not self.tensors:
            raise TypeError(f"trace: the function gave {_kind(result)}; a graph gives at least one tensor")
        paths = [path for path, leaf in found if isinstance(leaf, Tensor)]
        self.single = self.spec.is_leaf()
        named = isinstance(result, dict)
        self.names = [
            "output" if self.single else _word(path) if named else f"output{i}"
            for i, path in enumerate(paths)
        ]

    def rebuilt(self, tensors: Sequence[Any]) -> Any:
        """The result around the tensors that the graph gave."""
        if self.single:
            return tensors[0]
        leaves = iter(tensors)
        count = self.spec.num_leaves
        return pytree.tree_unflatten(
            [self.fixed[i] if i in self.fixed else next(leaves) for i in range(count)], self.spec
        )

    def text(self) -> str:
        """As it stands in a package."""
        places = iter(range(len(self.tensors)))
        leaves = [
            _Leaf("value", self.fixed[i]) if i in self.fixed else _Leaf("result", next(places))
            for i in range(self.spec.num_leaves)
        ]
        return json.dumps(_written(pytree.tree_unflatten(leaves, self.spec)))


class _Leaf(NamedTuple):
    """A part of a result: a plain value, or which result of the graph it is."""

    kind: str
    value: Any


def _written(tree: Any) -> Any:
    if isinstance(tree, _Leaf):
        return {tree.kind: tree.value}
    if isinstance(tree, dict):
        return {"dict": [[str(key), _written(value)] for key, value in tree.items()]}
    kind = "list" if isinstance(tree, list) else "tuple"
    return {kind: [_written(value) for value in tree]}


def rebuild_text(text: str, tensors: Sequence[Any]) -> Any:
    """The result that `Results.text` describes around other tensors."""
    return _rebuild(json.loads(text), tensors)


def _rebuild(form: Any, tensors: Sequence[Any]) -> Any:
    ((kind, value),) = form.items()
    if kind == "result":
        return tensors[value]
    if kind == "value":
        return value
    if kind == "dict":
        return {key: _rebuild(v, tensors) for key, v in value}
    items = [_rebuild(v, tensors) for v in value]
    return items if kind == "list" else tuple(items)
