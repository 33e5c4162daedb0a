"""Nested containers of tensors: taken apart into a list of leaves and put together again."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

__all__ = ["TreeSpec", "tree_flatten", "tree_leaves", "tree_map", "tree_unflatten"]


class TreeSpec(NamedTuple):
    """The containers around the leaves: `kind` is None for a leaf, `keys` are those of a dictionary."""

    kind: Any
    keys: tuple[Any, ...]
    children: tuple[TreeSpec, ...]

    @property
    def num_leaves(self) -> int:
        return 1 if self.kind is None else sum(child.num_leaves for child in self.children)


_LEAF = TreeSpec(None, (), ())


def _is_named_tuple(value: Any) -> bool:
    return isinstance(value, tuple) and hasattr(value, "_fields")


def _children(value: Any) -> tuple[tuple[Any, ...], list[Any]] | None:
    if type(value) in (dict, OrderedDict, defaultdict):
        return tuple(value), list(value.values())
    if type(value) in (tuple, list) or _is_named_tuple(value):
        return (), list(value)
    return None


def tree_flatten(tree: Any) -> tuple[list[Any], TreeSpec]:
    """The leaves in order, and what `tree_unflatten` needs to put them back."""
    inside = _children(tree)
    if inside is None:
        return [tree], _LEAF
    keys, values = inside
    leaves: list[Any] = []
    specs = []
    for value in values:
        found, spec = tree_flatten(value)
        leaves += found
        specs.append(spec)
    return leaves, TreeSpec(type(tree), keys, tuple(specs))


def tree_unflatten(leaves: Iterable[Any], spec: TreeSpec) -> Any:
    """The containers of `spec` around other leaves, one for each of its own."""
    given = list(leaves)
    if len(given) != spec.num_leaves:
        raise ValueError(f"tree_unflatten: {len(given)} leaves were given for a tree of {spec.num_leaves}")
    return _build(iter(given), spec)


def _build(leaves: Any, spec: TreeSpec) -> Any:
    if spec.kind is None:
        return next(leaves)
    values = [_build(leaves, child) for child in spec.children]
    if spec.kind is defaultdict:
        return defaultdict(None, zip(spec.keys, values, strict=True))
    if spec.kind in (dict, OrderedDict):
        return spec.kind(zip(spec.keys, values, strict=True))
    return spec.kind(*values) if hasattr(spec.kind, "_fields") else spec.kind(values)


def tree_leaves(tree: Any) -> list[Any]:
    """The leaves alone."""
    return tree_flatten(tree)[0]


def tree_map(function: Callable[..., Any], tree: Any, *rest: Any) -> Any:
    """`function` of every leaf of `tree` and of those in the same places of `rest`."""
    leaves, spec = tree_flatten(tree)
    others = []
    for other in rest:
        found, other_spec = tree_flatten(other)
        if other_spec != spec:
            raise ValueError("tree_map: the trees do not have the same containers")
        others.append(found)
    return tree_unflatten([function(*values) for values in zip(leaves, *others, strict=True)], spec)
