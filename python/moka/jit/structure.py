"""The arguments and results of a recording, and calls of a graph that are built like them."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from .._C import Tensor
from .trees import PLAIN, ArgumentError, Tree, build, leaves, read, take, tree_of, write

__all__ = ["Arguments", "Results", "read_results"]


def _word(path: tuple[Any, ...]) -> str:
    """A path as part of a name: batch.mask, hidden.0."""
    return ".".join(str(key) for key in path)


class Arguments:
    """The arguments of a recording: which of them are inputs of the graph, and what the others must be."""

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any], parameters: Sequence[str]) -> None:
        self.tensors: list[Tensor] = []
        tree = tree_of((args, kwargs), self.tensors)
        self._set(
            tree.children[0].children, dict(zip(kwargs, tree.children[1].children, strict=True)), parameters
        )
        self.names = [self._name(path) for path, leaf in leaves(tree) if leaf.kind == "tensor"]

    def _set(self, args: tuple[Tree, ...], keywords: dict[str, Tree], parameters: Sequence[str]) -> None:
        self.args = args
        self.keywords = keywords
        self.parameters = list(parameters)
        self.flat = not keywords and all(arg.kind == "tensor" for arg in args)

    def _name(self, path: tuple[Any, ...]) -> str:
        first, *rest = path[1:]
        name = first if path[0] else self.positional(first)
        return ".".join(filter(None, (str(name), _word(tuple(rest)))))

    def positional(self, place: int) -> str:
        """The name of a positional argument."""
        return self.parameters[place] if place < len(self.parameters) else f"input{place}"

    def rebuilt(self, tensors: Sequence[Tensor]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments with other tensors."""
        args = tuple(build(arg, tensors) for arg in self.args)
        return args, {name: build(arg, tensors) for name, arg in self.keywords.items()}

    def taken(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Sequence[Tensor]:
        """The tensors for the graph out of a call's arguments.

        Raises:
            ArgumentError: they are built in another way (it is a TypeError and a ValueError).
            ValueError: a value that is no tensor is not what it was.
        """
        count = len(self.args)
        if self.flat and len(args) == count and not kwargs and all(isinstance(a, Tensor) for a in args):
            return args
        given, named = list(args), dict(kwargs)
        while len(given) < count and self.positional(len(given)) in named:
            given.append(named.pop(self.positional(len(given))))
        # What was recorded by name may come by its place.
        for name in self.parameters[count : len(given)]:
            if name in self.keywords and name not in named:
                named[name] = given.pop(count)
        tensors: list[Tensor] = []
        right = len(given) == count and named.keys() == self.keywords.keys()
        right = right and all(
            take(tree, value, tensors) for tree, value in zip(self.args, given, strict=True)
        )
        right = right and all(take(tree, named[name], tensors) for name, tree in self.keywords.items())
        if not right:
            raise ArgumentError(
                f"the recorded program takes {self.described()}, but {_described(args, kwargs)} came"
            )
        return tensors

    def described(self) -> str:
        """What a call must give, in words."""
        parts = [_tree_kind(tree) for tree in self.args]
        parts += [f"{name}={_tree_kind(tree)}" for name, tree in self.keywords.items()]
        return f"({', '.join(parts)})"

    def text(self) -> str:
        """As it stands in a package."""
        keywords = [[name, write(tree)] for name, tree in self.keywords.items()]
        args = [write(tree) for tree in self.args]
        return json.dumps({"args": args, "keywords": keywords, "parameters": self.parameters})

    @classmethod
    def from_text(cls, text: str, count: int) -> Arguments:
        """What `text` gave, for a graph of `count` inputs.

        Raises:
            ValueError: it describes other arguments.
        """
        self = cls.__new__(cls)
        self.tensors, self.names = [], []
        try:
            form = json.loads(text)
            parameters = [str(name) for name in form["parameters"]]
            args = tuple(read(arg, count) for arg in form["args"])
            self._set(args, {str(name): read(arg, count) for name, arg in form["keywords"]}, parameters)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise ValueError(
                f"the package describes its arguments as {text[:60]!r}, which is no form: {error}"
            ) from error
        places = [
            leaf.value
            for tree in (*self.args, *self.keywords.values())
            for _, leaf in leaves(tree)
            if leaf.kind == "tensor"
        ]
        if places != list(range(count)):
            raise ValueError(f"the package describes {len(places)} tensors, but its graph takes {count}")
        return self


def _described(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    parts = [_kind(a) for a in args] + [f"{name}={_kind(a)}" for name, a in kwargs.items()]
    return f"({', '.join(parts)})"


def _kind(value: Any) -> str:
    return _tree_kind(tree_of(value, []))


def _tree_kind(tree: Tree) -> str:
    inner = [_tree_kind(child) for child in tree.children]
    pairs = list(zip(tree.keys, inner, strict=True)) if tree.keys else []
    if tree.kind == "tensor":
        return "Tensor"
    if tree.kind in ("dict", "ordereddict"):
        return "{" + ", ".join(f"{key!r}: {kind}" for key, kind in pairs) + "}"
    if tree.kind in ("list", "tuple"):
        return f"[{', '.join(inner)}]" if tree.kind == "list" else f"({', '.join(inner)})"
    if tree.kind in ("namedtuple", "dataclass"):
        name = tree.cls.rpartition(":")[2] if isinstance(tree.cls, str) else tree.cls.__name__
        return f"{name}({', '.join(f'{key}={kind}' for key, kind in pairs)})"
    if tree.kind == "custom":
        return f"{tree.cls.__name__}({', '.join(inner)})"
    if tree.kind == "opaque":
        return str(tree.cls)
    return repr(tree.value) if isinstance(tree.value, PLAIN) else type(tree.value).__name__


class Results:
    """The result of a recording: which parts of it are results of the graph."""

    def __init__(self, result: Any) -> None:
        self.tensors: list[Tensor] = []
        self.written: list[Tensor] = []  # what the program left in inputs that it wrote
        self.tree = tree_of(result, self.tensors)
        found = list(leaves(self.tree))
        for i, (path, leaf) in enumerate(found):
            if leaf.kind == "value" and not isinstance(leaf.value, PLAIN):
                raise TypeError(
                    f"trace: result {_word(path) or i} is {type(leaf.value).__name__}; a recorded "
                    "program gives tensors and plain values, in tuples, lists, dictionaries, named tuples "
                    "and dataclasses"
                )
        self.single = self.tree.kind == "tensor"
        named = self.tree.kind in ("dict", "ordereddict", "dataclass")
        paths = [path for path, leaf in found if leaf.kind == "tensor"]
        self.names = [
            "output" if self.single else _word(path) if named else f"output{i}"
            for i, path in enumerate(paths)
        ]

    def check_some(self) -> None:
        """TypeError where a graph would give nothing."""
        if not self.tensors and not self.written:
            raise TypeError(
                f"trace: the function gave {_tree_kind(self.tree)}; a graph gives at least one tensor"
            )

    def text(self) -> str:
        """As it stands in a package."""
        return json.dumps(write(self.tree))


def read_results(text: str | None, count: int) -> Tree | None:
    """The form of results that a package names; "one" and "several" are words of its first version.

    Raises:
        ValueError: it is none for `count` results.
    """
    if text in (None, "one"):
        return None
    if text == "several":
        return Tree("tuple", children=tuple(Tree("tensor", i) for i in range(count)))
    try:
        return read(json.loads(text), count)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"the package describes its {count} results as {text[:60]!r}, which is no form: {error}"
        ) from error
