"""Nested containers of tensors: taken apart into a list of leaves and put together again."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import functools
from collections import OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

__all__ = [
    "GetAttrKey",
    "LeafSpec",
    "MappingKey",
    "SequenceKey",
    "PyTree",
    "TreeSpec",
    "register_pytree_node",
    "tree_all",
    "tree_all_only",
    "tree_any",
    "tree_any_only",
    "tree_flatten",
    "tree_flatten_with_path",
    "tree_iter",
    "tree_leaves",
    "tree_map",
    "tree_map_",
    "tree_map_only",
    "tree_map_with_path",
    "tree_map_only_",
    "tree_structure",
    "tree_unflatten",
]

Context = Any
PyTree = Any
FlattenFunc = Callable[[Any], tuple[list[Any], Any]]
UnflattenFunc = Callable[[Iterable[Any], Any], Any]


class SequenceKey(NamedTuple):
    """A place in a list or tuple."""

    idx: int

    def __str__(self) -> str:
        return f"[{self.idx!r}]"


class MappingKey(NamedTuple):
    """A key of a dictionary."""

    key: Any

    def __str__(self) -> str:
        return f"[{self.key!r}]"


class GetAttrKey(NamedTuple):
    """An attribute's name."""

    name: str

    def __str__(self) -> str:
        return f".{self.name}"


KeyEntry = Any
KeyPath = tuple[Any, ...]


def keystr(kp: KeyPath) -> str:
    """A path as it is written in Python."""
    return "".join(str(key) for key in kp)


class NodeDef(NamedTuple):
    """How one type of container is taken apart and put together."""

    type: Any
    flatten_fn: FlattenFunc
    unflatten_fn: UnflattenFunc


class TreeSpec(NamedTuple):
    """The containers around the leaves: `type` is None for a leaf, `context` holds the keys of a
    dictionary.
    """

    type: Any
    context: Any
    children_specs: list[TreeSpec]

    @property
    def num_leaves(self) -> int:
        """How many leaves lie inside."""
        return 1 if self.type is None else sum(child.num_leaves for child in self.children_specs)

    @property
    def num_nodes(self) -> int:
        """Leaves and containers together."""
        return 1 + sum(child.num_nodes for child in self.children_specs)

    @property
    def num_children(self) -> int:
        """How many parts the outermost container has."""
        return len(self.children_specs)

    def is_leaf(self) -> bool:
        """Whether there is no container."""
        return self.type is None

    def __hash__(self) -> int:
        return hash((self.type, self.num_leaves))


def LeafSpec() -> TreeSpec:
    """The spec of a leaf."""
    return _LEAF


_LEAF = TreeSpec(None, None, [])


def _named(value: Any) -> bool:
    return isinstance(value, tuple) and hasattr(value, "_fields")


def _flatten_default(value: defaultdict[Any, Any]) -> tuple[list[Any], Any]:
    return list(value.values()), (value.default_factory, list(value))


def _unflatten_default(values: Iterable[Any], context: Any) -> defaultdict[Any, Any]:
    return defaultdict(context[0], zip(context[1], values, strict=True))


SUPPORTED_NODES: dict[Any, NodeDef] = {
    kind: NodeDef(kind, take, put)
    for kind, take, put in (
        (dict, lambda d: (list(d.values()), list(d)), lambda v, keys: dict(zip(keys, v, strict=True))),
        (list, lambda d: (list(d), None), lambda v, _: list(v)),
        (tuple, lambda d: (list(d), None), lambda v, _: tuple(v)),
        (namedtuple, lambda d: (list(d), type(d)), lambda v, kind: kind(*v)),
        (
            OrderedDict,
            lambda d: (list(d.values()), list(d)),
            lambda v, keys: OrderedDict(zip(keys, v, strict=True)),
        ),
        (defaultdict, _flatten_default, _unflatten_default),
        (deque, lambda d: (list(d), d.maxlen), lambda v, longest: deque(v, maxlen=longest)),
    )
}


def register_pytree_node(
    cls: type,
    flatten_fn: FlattenFunc,
    unflatten_fn: UnflattenFunc,
    *,
    serialized_type_name: str | None = None,
    to_dumpable_context: Any = None,
    from_dumpable_context: Any = None,
    flatten_with_keys_fn: Any = None,
) -> None:
    """Make a type a container: `flatten_fn(value)` gives (parts, context), `unflatten_fn(parts, context)` a
    value.

    Raises:
        ValueError: the type is a container already.
    """
    if cls in SUPPORTED_NODES:
        raise ValueError(f"{cls} is already registered as pytree node.")
    _register_pytree_node(cls, flatten_fn, unflatten_fn, flatten_with_keys_fn=flatten_with_keys_fn)


def _register_pytree_node(
    cls: type,
    flatten_fn: FlattenFunc,
    unflatten_fn: UnflattenFunc,
    *,
    flatten_with_keys_fn: Any = None,
    **_: Any,
) -> None:
    SUPPORTED_NODES[cls] = NodeDef(cls, flatten_fn, unflatten_fn)
    if flatten_with_keys_fn is not None:
        _keyed[cls] = flatten_with_keys_fn


_private_register_pytree_node = _register_pytree_node
# type -> function giving ([(key, part), ...], context)
_keyed: dict[Any, Callable[[Any], Any]] = {}


def _dict_flatten(d: dict[Any, Any]) -> tuple[list[Any], Any]:
    return list(d.values()), list(d)


def _dict_unflatten(values: Iterable[Any], context: Any) -> dict[Any, Any]:
    return dict(zip(context, values, strict=True))


def _dict_flatten_with_keys(d: dict[Any, Any]) -> tuple[list[Any], Any]:
    return [(MappingKey(key), value) for key, value in d.items()], list(d)


def _list_flatten_with_keys(d: list[Any]) -> tuple[list[Any], Any]:
    return [(SequenceKey(i), value) for i, value in enumerate(d)], None


def _register_results(kind: Any) -> None:
    """Named results of operators, such as those of max."""
    SUPPORTED_NODES[kind] = NodeDef(kind, lambda d: (list(d), None), lambda values, _: kind(tuple(values)))
    _keyed[kind] = _list_flatten_with_keys


def _get_node_type(tree: Any) -> Any:
    if isinstance(tree, tuple) and type(tree) not in SUPPORTED_NODES and hasattr(type(tree), "n_fields"):
        _register_results(type(tree))
    return namedtuple if _named(tree) and type(tree) not in SUPPORTED_NODES else type(tree)


def _is_leaf(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> bool:
    return (is_leaf is not None and is_leaf(tree)) or _get_node_type(tree) not in SUPPORTED_NODES


def tree_flatten(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> tuple[list[Any], TreeSpec]:
    """The leaves in order, and what `tree_unflatten` needs to put them back.

    Args:
        is_leaf: containers for which it says so are leaves.
    """
    if _is_leaf(tree, is_leaf):
        return [tree], _LEAF
    kind = _get_node_type(tree)
    values, context = SUPPORTED_NODES[kind].flatten_fn(tree)
    leaves: list[Any] = []
    specs = []
    for value in values:
        found, spec = tree_flatten(value, is_leaf)
        leaves += found
        specs.append(spec)
    return leaves, TreeSpec(kind, context, specs)


def tree_flatten_with_path(
    tree: Any, is_leaf: Callable[[Any], bool] | None = None
) -> tuple[list[tuple[KeyPath, Any]], TreeSpec]:
    """tree_flatten with the path to every leaf."""
    found: list[tuple[KeyPath, Any]] = []

    def walk(value: Any, path: KeyPath) -> TreeSpec:
        if _is_leaf(value, is_leaf):
            found.append((path, value))
            return _LEAF
        kind = _get_node_type(value)
        values, context = SUPPORTED_NODES[kind].flatten_fn(value)
        with_keys = _keyed.get(kind)
        if with_keys is not None:
            keys: list[Any] = [key for key, _ in with_keys(value)[0]]
        elif kind in (dict, OrderedDict, defaultdict):
            keys = [MappingKey(key) for key in value]
        elif kind is namedtuple:
            keys = [GetAttrKey(name) for name in value._fields]
        else:
            keys = [SequenceKey(i) for i in range(len(values))]
        children = [walk(one, (*path, key)) for key, one in zip(keys, values, strict=True)]
        return TreeSpec(kind, context, children)

    spec = walk(tree, ())
    return found, spec


def tree_map_with_path(
    func: Callable[..., Any], tree: Any, *rests: Any, is_leaf: Callable[[Any], bool] | None = None
) -> Any:
    """tree_map whose function gets the path to the leaf first."""
    found, spec = tree_flatten_with_path(tree, is_leaf)
    others = [tree_leaves(other, is_leaf) for other in rests]
    values = [func(path, leaf, *more) for (path, leaf), *more in zip(found, *others, strict=True)]
    return tree_unflatten(values, spec)


def tree_unflatten(leaves: Iterable[Any], treespec: TreeSpec) -> Any:
    """The containers of `treespec` around other leaves, one for each of its own."""
    if isinstance(leaves, TreeSpec):
        leaves, treespec = treespec, leaves  # type: ignore[assignment]
    given = list(leaves)
    if len(given) != treespec.num_leaves:
        raise ValueError(
            f"tree_unflatten: {len(given)} leaves were given for a tree of {treespec.num_leaves}"
        )
    return _build(iter(given), treespec)


def _build(leaves: Iterator[Any], spec: TreeSpec) -> Any:
    if spec.type is None:
        return next(leaves)
    values = [_build(leaves, child) for child in spec.children_specs]
    return SUPPORTED_NODES[spec.type].unflatten_fn(values, spec.context)


def tree_leaves(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> list[Any]:
    """The leaves alone."""
    return tree_flatten(tree, is_leaf)[0]


def tree_iter(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> Iterator[Any]:
    """The leaves, one after the other."""
    return iter(tree_leaves(tree, is_leaf))


def tree_structure(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> TreeSpec:
    """The containers alone."""
    return tree_flatten(tree, is_leaf)[1]


def tree_map(
    func: Callable[..., Any], tree: Any, *rests: Any, is_leaf: Callable[[Any], bool] | None = None
) -> Any:
    """`func` of every leaf of `tree` and of those in the same places of `rests`."""
    leaves, spec = tree_flatten(tree, is_leaf)
    others = []
    for other in rests:
        found, other_spec = tree_flatten(other, is_leaf)
        if other_spec != spec:
            raise ValueError("tree_map: the trees do not have the same containers")
        others.append(found)
    return tree_unflatten([func(*values) for values in zip(leaves, *others, strict=True)], spec)


def tree_map_(
    func: Callable[..., Any], tree: Any, *rests: Any, is_leaf: Callable[[Any], bool] | None = None
) -> Any:
    """tree_map for a function that changes the leaves; gives back `tree`."""
    tree_map(func, tree, *rests, is_leaf=is_leaf)
    return tree


def _only(kinds: Any, func: Callable[[Any], Any], otherwise: Callable[[Any], Any]) -> Callable[[Any], Any]:
    picks = kinds if callable(kinds) and not isinstance(kinds, type) else None

    @functools.wraps(func)
    def chosen(leaf: Any) -> Any:
        return func(leaf) if (picks(leaf) if picks else isinstance(leaf, kinds)) else otherwise(leaf)

    return chosen


def tree_map_only(
    type_or_types: Any,
    func: Callable[[Any], Any],
    tree: Any,
    is_leaf: Callable[[Any], bool] | None = None,
) -> Any:
    """`func` of the leaves of these types (or that a function picks); the others stay."""
    return tree_map(_only(type_or_types, func, lambda leaf: leaf), tree, is_leaf=is_leaf)


def tree_map_only_(
    type_or_types: Any,
    func: Callable[[Any], Any],
    tree: Any,
    is_leaf: Callable[[Any], bool] | None = None,
) -> Any:
    """tree_map_only for a function that changes the leaves; gives back `tree`."""
    tree_map_only(type_or_types, func, tree, is_leaf)
    return tree


def tree_all(pred: Callable[[Any], bool], tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> bool:
    """Whether it holds for every leaf."""
    return all(map(pred, tree_iter(tree, is_leaf)))


def tree_any(pred: Callable[[Any], bool], tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> bool:
    """Whether it holds for some leaf."""
    return any(map(pred, tree_iter(tree, is_leaf)))


def tree_all_only(
    type_or_types: Any,
    pred: Callable[[Any], bool],
    tree: Any,
    is_leaf: Callable[[Any], bool] | None = None,
) -> bool:
    """Whether it holds for every leaf of these types."""
    return all(pred(leaf) for leaf in tree_iter(tree, is_leaf) if isinstance(leaf, type_or_types))


def tree_any_only(
    type_or_types: Any,
    pred: Callable[[Any], bool],
    tree: Any,
    is_leaf: Callable[[Any], bool] | None = None,
) -> bool:
    """Whether it holds for some leaf of these types."""
    return any(pred(leaf) for leaf in tree_iter(tree, is_leaf) if isinstance(leaf, type_or_types))


def _broadcast_to_and_flatten(
    tree: Any, treespec: TreeSpec, is_leaf: Callable[[Any], bool] | None = None
) -> list[Any] | None:
    """One value for each leaf of `treespec`: a value of `tree` stands for all leaves below its place."""
    if _is_leaf(tree, is_leaf):
        return [tree] * treespec.num_leaves
    if treespec.type is None or _get_node_type(tree) != treespec.type:
        return None
    values, context = SUPPORTED_NODES[treespec.type].flatten_fn(tree)
    if len(values) != treespec.num_children or context != treespec.context:
        return None
    result: list[Any] = []
    for value, spec in zip(values, treespec.children_specs, strict=True):
        found = _broadcast_to_and_flatten(value, spec, is_leaf)
        if found is None:
            return None
        result += found
    return result
