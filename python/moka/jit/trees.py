"""What a recorded program takes and gives: tensors of a graph inside containers, beside values that stay
what they were; also as text in packages.
"""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import dataclasses
import json
import sys
from collections import OrderedDict, defaultdict, namedtuple
from collections.abc import Callable, Iterator
from keyword import iskeyword
from typing import Any, NamedTuple

from .. import _C
from .._C import Tensor
from ..utils import pytree
from .numbers import SizeNumber

__all__ = ["ArgumentError", "Tree", "build", "leaves", "read", "take", "tree_of", "write"]

PLAIN = (type(None), bool, int, float, str)
_MAPPINGS = {"dict": dict, "ordereddict": OrderedDict}
_NAMED = ("namedtuple", "dataclass")


class ArgumentError(TypeError, ValueError):
    """Arguments that are built in another way than those of the recording."""


class Tree(NamedTuple):
    """A container, a tensor or a value.

    `kind` is "tensor" (`value` says which one; a size that a recording follows is one too), "value", "opaque"
    (a value that a file only names), "list", "tuple", "dict", "ordereddict", "namedtuple", "dataclass" or
    "custom" (registered with pytree; `value` is its context). `keys` are those of a dictionary or the
    fields; `cls` is the class or, from a file, its name.
    """

    kind: str
    value: Any = None
    keys: tuple[Any, ...] = ()
    children: tuple[Tree, ...] = ()
    cls: Any = None


def class_name(cls: Any) -> str:
    """module:Name, by which packages know a class."""
    return cls if isinstance(cls, str) else f"{cls.__module__}:{cls.__qualname__}"


def is_dataclass(value: Any) -> bool:
    """Whether it is an instance of a dataclass."""
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def _fields(value: Any) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(value) if field.init)


def _is_named(value: Any) -> bool:
    return isinstance(value, tuple) and (hasattr(value, "_fields") or hasattr(type(value), "n_fields"))


def _names(cls: type) -> tuple[str, ...]:
    """The fields of a named tuple, or of what moka.max gives."""
    return tuple(getattr(cls, "_fields", None) or cls.__match_args__)  # type: ignore[attr-defined]


def tree_of(value: Any, tensors: list[Tensor]) -> Tree:
    """The containers of a value; its tensors are appended to `tensors`."""
    kind = type(value)
    if isinstance(value, Tensor):
        tensors.append(value)
        return Tree("tensor", len(tensors) - 1)
    if kind is SizeNumber and value.value is not None:
        tensors.append(value)
        return Tree("tensor", len(tensors) - 1)
    if kind in (list, tuple, _C.Size):
        children = tuple(tree_of(item, tensors) for item in value)
        return Tree("list" if kind is list else "tuple", children=children)
    if kind in (dict, OrderedDict, defaultdict):
        name = "ordereddict" if kind is OrderedDict else "dict"
        return Tree(name, None, tuple(value), tuple(tree_of(item, tensors) for item in value.values()))
    if kind in pytree.SUPPORTED_NODES and not is_dataclass(value):
        parts, context = pytree.SUPPORTED_NODES[kind].flatten_fn(value)
        return Tree("custom", context, (), tuple(tree_of(part, tensors) for part in parts), kind)
    if _is_named(value):
        children = tuple(tree_of(item, tensors) for item in value)
        return Tree("namedtuple", None, _names(kind), children, kind)
    if is_dataclass(value):
        keys = _fields(value)
        inside: list[Tensor] = []
        for key in keys:
            tree_of(getattr(value, key), inside)
        if inside:
            children = tuple(tree_of(getattr(value, key), tensors) for key in keys)
            return Tree("dataclass", None, keys, children, kind)
    return Tree("value", value)


def leaves(tree: Tree, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Tree]]:
    """Every tensor and value with the way to it."""
    if tree.kind in ("tensor", "value", "opaque"):
        yield path, tree
        return
    for key, child in zip(tree.keys or range(len(tree.children)), tree.children, strict=True):
        yield from leaves(child, (*path, key))


def build(tree: Tree, tensors: Any) -> Any:
    """The containers around other tensors."""
    kind = tree.kind
    if kind == "tensor":
        return tensors[tree.value]
    if kind in ("value", "opaque"):
        return tree.value
    parts = [build(child, tensors) for child in tree.children]
    if kind == "list":
        return parts
    if kind == "tuple":
        return tuple(parts)
    if kind in _MAPPINGS:
        return _MAPPINGS[kind](zip(tree.keys, parts, strict=True))
    if kind == "custom":
        return pytree.SUPPORTED_NODES[tree.cls].unflatten_fn(parts, tree.value)
    cls = found_class(tree)
    if kind == "namedtuple":
        return cls(*parts) if hasattr(cls, "_fields") else cls(parts)
    return cls(**dict(zip(tree.keys, parts, strict=True)))


def take(tree: Tree, value: Any, tensors: list[Any]) -> bool:
    """Whether `value` is built as `tree` says; its tensors are appended in the tree's order.

    Raises:
        ValueError: a value that is no tensor is not what it was in the recording.
    """
    kind = tree.kind
    if kind == "tensor":
        tensors.append(value)
        return isinstance(value, Tensor)
    if kind == "opaque":
        return type(value).__name__ == tree.cls
    if kind == "value":
        if isinstance(value, Tensor):
            return False
        if value is not tree.value and value != tree.value:
            raise ValueError(
                f"argument value {tree.value!r} was recorded as it was, but {value!r} came; record "
                "the program again with it, or make it a tensor"
            )
        return True
    items = _parts(tree, value)
    if items is None or len(items) != len(tree.children):
        return False
    return all(take(child, item, tensors) for child, item in zip(tree.children, items, strict=True))


def _parts(tree: Tree, value: Any) -> list[Any] | None:
    """The parts of a value that is the container that a tree describes."""
    kind = tree.kind
    if kind in ("list", "tuple"):
        fits = type(value) is list if kind == "list" else type(value) in (tuple, _C.Size)
        return list(value) if fits else None
    if kind in _MAPPINGS:
        same = isinstance(value, dict) and value.keys() == set(tree.keys)
        return [value[key] for key in tree.keys] if same else None
    if kind == "custom":
        if type(value) is not tree.cls:
            return None
        parts, context = pytree.SUPPORTED_NODES[tree.cls].flatten_fn(value)
        return list(parts) if context == tree.value else None
    right = _is_named(value) if kind == "namedtuple" else is_dataclass(value)
    if not right or not _same_class(type(value), tree.cls):
        return None
    return list(value) if kind == "namedtuple" else [getattr(value, key, None) for key in tree.keys]


def _same_class(cls: type, wanted: Any) -> bool:
    return cls is wanted or (isinstance(wanted, str) and class_name(cls) == wanted)


_registered: dict[str, type] = {}  # dataclasses that packages may make
_stand_ins: dict[tuple[str, str, tuple[str, ...]], type] = {}


def register(cls: type) -> None:
    """Let packages make instances of a dataclass."""
    _registered[class_name(cls)] = cls


def found_class(tree: Tree) -> Any:
    """The class of a named tuple or dataclass. One that a file names is looked for among what is imported;
    where there is none, one with the same fields stands in.
    """
    if isinstance(tree.cls, type):
        return tree.cls
    if tree.kind == "dataclass":
        known = _registered.get(tree.cls)
        if known is not None and tuple(f.name for f in dataclasses.fields(known) if f.init) == tree.keys:
            return known
    else:
        module, _, name = tree.cls.partition(":")
        place: Any = sys.modules.get(module)
        for part in name.split("."):
            place = getattr(place, "__dict__", {}).get(part)
        if isinstance(place, type) and issubclass(place, tuple) and vars(place).get("_fields") == tree.keys:
            return place
    key = (tree.kind, tree.cls, tree.keys)
    if key not in _stand_ins:
        name = tree.cls.rpartition(":")[2].rpartition(".")[2]
        fields = list(tree.keys)
        make: Callable[..., type] = namedtuple if tree.kind == "namedtuple" else dataclasses.make_dataclass  # type: ignore[assignment]
        _stand_ins[key] = make(name, fields)
    return _stand_ins[key]


# ---- text


def write(tree: Tree) -> Any:
    """A tree as it stands in a package, for JSON."""
    kind, value = tree.kind, tree.value
    if kind == "tensor":
        return {"result": value}
    if kind in ("value", "opaque"):
        if isinstance(value, PLAIN) and kind == "value":
            return {"value": value}
        if isinstance(value, _C.dtype):
            return {"dtype": str(value).rpartition(".")[2]}
        return {"opaque": tree.cls if kind == "opaque" else type(value).__name__}
    items = [write(child) for child in tree.children]
    if kind in ("list", "tuple"):
        return {kind: items}
    if kind in _MAPPINGS:
        wrong = [key for key in tree.keys if not isinstance(key, PLAIN)]
        if wrong:
            raise TypeError(f"save: a package holds no dictionary with keys of {type(wrong[0]).__name__}")
        return {kind: [list(pair) for pair in zip(tree.keys, items, strict=True)]}
    if kind == "custom":
        raise TypeError(
            f"save: a package does not know the container {tree.cls.__name__}; take and give dictionaries, "
            "tuples, lists, named tuples or dataclasses"
        )
    pairs = [list(pair) for pair in zip(tree.keys, items, strict=True)]
    return {kind: {"class": class_name(tree.cls), "fields": pairs}}


def read(form: Any, count: int) -> Tree:
    """The tree of a package's JSON around `count` tensors.

    Raises:
        ValueError: it is none.
    """
    try:
        return _read(form, count)
    except (ValueError, TypeError, AttributeError, KeyError, IndexError, RecursionError) as error:
        text = json.dumps(form)[:60] if not isinstance(error, RecursionError) else "too deep"
        raise ValueError(f"{text!r} is no form of {count} tensors: {error}") from error


def _read(form: Any, count: int) -> Tree:
    ((kind, value),) = form.items()
    if kind == "result":
        if type(value) is not int or not 0 <= value < count:
            raise ValueError(f"there is no tensor {value!r}")
        return Tree("tensor", value)
    if kind == "value":
        if not isinstance(value, PLAIN):
            raise ValueError(f"{value!r:.20} is no plain value")
        return Tree("value", value)
    if kind == "dtype":
        dtype = getattr(_C, value) if isinstance(value, str) else None
        if not isinstance(dtype, _C.dtype):
            raise ValueError(f"{value!r:.20} is no dtype")
        return Tree("value", dtype)
    if kind == "opaque":
        return Tree("opaque", None, cls=str(value))
    if kind in ("list", "tuple"):
        return Tree(kind, children=tuple(_read(item, count) for item in value))
    if kind in _NAMED:
        cls, value = value["class"], value["fields"]
    elif kind in _MAPPINGS:
        cls = None
    else:
        raise ValueError(f"there is no container {kind!r:.20}")
    keys = tuple(key for key, _ in value)
    if kind in _NAMED:
        words = [*keys, cls.rpartition(":")[2].rpartition(".")[2]]
        if any(not isinstance(w, str) or not w.isidentifier() or iskeyword(w) for w in words):
            raise ValueError("fields of classes are words")
        if any(w.startswith("_") for w in keys) or len(set(keys)) != len(keys):
            raise ValueError("fields of classes have different names that begin with a letter")
    return Tree(kind, None, keys, tuple(_read(item, count) for _, item in value), cls)
