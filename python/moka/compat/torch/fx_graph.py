"""torch.fx: a program as a list of calls that can be read, changed and turned back into Python."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import builtins
import keyword
import math
import operator
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from moka._C import Tensor
from moka._C import device as Device
from moka._C import dtype as DType

__all__ = ["CodeGen", "Graph", "Node", "PythonCode", "map_aggregate", "map_arg"]

Argument = Any
Target = Any


def map_aggregate(a: Any, fn: Callable[[Any], Any]) -> Any:
    """The function of every value inside tuples, lists, dicts and slices."""
    if isinstance(a, tuple):
        parts = [map_aggregate(value, fn) for value in a]
        return type(a)(*parts) if hasattr(a, "_fields") else tuple(parts)
    if isinstance(a, list):
        return [map_aggregate(value, fn) for value in a]
    if isinstance(a, dict):
        return {key: map_aggregate(value, fn) for key, value in a.items()}
    if isinstance(a, slice):
        return slice(map_aggregate(a.start, fn), map_aggregate(a.stop, fn), map_aggregate(a.step, fn))
    return fn(a)


def map_arg(a: Any, fn: Callable[[Node], Any]) -> Any:
    """The function of every Node inside."""
    return map_aggregate(a, lambda value: fn(value) if isinstance(value, Node) else value)


class Node:
    """One call. `op` says of what: "placeholder", "get_attr", "call_function", "call_module", "call_method"
    or
    "output"; `target` is the function, or the name of the module, method, attribute or input.
    """

    def __init__(
        self,
        graph: Graph,
        name: str,
        op: str,
        target: Target,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        return_type: Any = None,
    ) -> None:
        self.graph, self.name, self.op, self.target, self.type = graph, name, op, target, return_type
        self.users: dict[Node, None] = {}
        self._input_nodes: dict[Node, None] = {}
        self.meta: dict[str, Any] = {}
        self.stack_trace: str | None = None
        self._args: tuple[Any, ...] = ()
        self._kwargs: dict[str, Any] = {}
        self._take(args, kwargs)

    def _take(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        for node in self._input_nodes:
            node.users.pop(self, None)
        self._args, self._kwargs = args, kwargs
        self._input_nodes = {}
        map_arg((args, kwargs), lambda node: self._input_nodes.setdefault(node))
        for node in self._input_nodes:
            node.users[self] = None

    @property
    def args(self) -> tuple[Any, ...]:
        """What is given by position."""
        return self._args

    @args.setter
    def args(self, args: tuple[Any, ...]) -> None:
        self._take(map_aggregate(tuple(args), lambda value: value), self._kwargs)

    @property
    def kwargs(self) -> dict[str, Any]:
        """What is given by name."""
        return self._kwargs

    @kwargs.setter
    def kwargs(self, kwargs: dict[str, Any]) -> None:
        self._take(self._args, dict(kwargs))

    @property
    def all_input_nodes(self) -> list[Node]:
        """The calls whose results this one needs."""
        return list(self._input_nodes)

    def _around(self) -> tuple[list[Node], int]:
        nodes = self.graph._nodes
        return nodes, nodes.index(self)

    @property
    def next(self) -> Node:
        """The call after it."""
        nodes, place = self._around()
        return nodes[place + 1] if place + 1 < len(nodes) else self.graph._root

    @property
    def prev(self) -> Node:
        """The call before it."""
        nodes, place = self._around()
        return nodes[place - 1] if place else self.graph._root

    def prepend(self, x: Node) -> None:
        """Move x in front of it."""
        if x is not self:
            self.graph._nodes.remove(x)
            self.graph._nodes.insert(self._around()[1], x)

    def append(self, x: Node) -> None:
        """Move x behind it."""
        if x is not self:
            self.graph._nodes.remove(x)
            self.graph._nodes.insert(self._around()[1] + 1, x)

    def update_arg(self, idx: int, arg: Any) -> None:
        """Change what is given at one position."""
        args = list(self.args)
        args[idx] = arg
        self.args = tuple(args)

    def update_kwarg(self, key: str, arg: Any) -> None:
        """Change what is given by one name."""
        self.kwargs = {**self.kwargs, key: arg}

    def insert_arg(self, idx: int, arg: Any) -> None:
        """Give one more value at a position."""
        self.args = (*self.args[:idx], arg, *self.args[idx:])

    def replace_all_uses_with(
        self, replace_with: Node, delete_user_cb: Callable[[Node], bool] = lambda user: True, **_: Any
    ) -> list[Node]:
        """Calls that need its result get another one's instead; those calls."""
        changed = [user for user in self.users if delete_user_cb(user)]
        for user in changed:
            user.replace_input_with(self, replace_with)
        return changed

    def replace_input_with(self, old_input: Node, new_input: Node) -> None:
        """Give it another call's result in place of one that it has."""

        def swap(node: Node) -> Node:
            return new_input if node is old_input else node

        self._take(map_arg(self.args, swap), map_arg(self.kwargs, swap))

    def is_impure(self, impure_random: bool = True) -> bool:
        """Whether it must stay though nobody needs its result."""
        name = getattr(self.target, "__name__", str(self.target))
        return self.op in ("placeholder", "output") or name.endswith("_")

    def format_node(self, *_: Any, **__: Any) -> str:
        """One line of text."""
        given = f"(args = {self.args}, kwargs = {self.kwargs})"
        return f"%{self.name} : [num_users={len(self.users)}] = {self.op}[target={_target_text(self)}]{given}"

    def __repr__(self) -> str:
        return self.name

    def __lt__(self, other: Node) -> bool:
        nodes = self.graph._nodes
        return nodes.index(self) < nodes.index(other)

    def __gt__(self, other: Node) -> bool:
        return other < self


def _target_text(node: Node) -> str:
    return node.target if isinstance(node.target, str) else _function_name(node.target)


def _function_name(function: Any) -> str:
    module = getattr(function, "__module__", None) or "torch"
    return f"{module}.{getattr(function, '__qualname__', getattr(function, '__name__', repr(function)))}"


class PythonCode:
    """Source and the names that it needs."""

    def __init__(self, src: str, names: dict[str, Any]) -> None:
        self.src, self.globals = src, names


class CodeGen:
    """How a graph becomes source; kept for programs that look for it."""


_MARKS = {
    operator.add: "+", operator.sub: "-", operator.mul: "*", operator.truediv: "/", operator.floordiv: "//",
    operator.mod: "%", operator.pow: "**", operator.matmul: "@", operator.and_: "&", operator.or_: "|",
    operator.xor: "^", operator.lshift: "<<", operator.rshift: ">>", operator.eq: "==", operator.ne: "!=",
    operator.lt: "<", operator.le: "<=", operator.gt: ">", operator.ge: ">=",
}  # fmt: skip


class Graph:
    """Calls in their order; inputs are placeholders, and the last call is the output."""

    def __init__(self, owning_module: Any = None, tracer_cls: Any = None, tracer_extras: Any = None) -> None:
        self._nodes: list[Node] = []
        self._root = Node(self, "", "root", "", (), {})
        self._used: dict[str, int] = {}
        self._insert: Node | None = None
        self.owning_module = owning_module
        self._tracer_cls, self._codegen = tracer_cls, CodeGen()

    @property
    def nodes(self) -> _NodeList:
        """The calls."""
        return _NodeList(self._nodes)

    def find_nodes(self, *, op: str, target: Any = None, sort: bool = True) -> list[Node]:
        """Calls of one kind."""
        return [node for node in self._nodes if node.op == op and (target is None or node.target == target)]

    def _name(self, wanted: str) -> str:
        name = re.sub(r"\W", "_", wanted) or "_"
        if name[0].isdigit():
            name = f"_{name}"
        base = re.sub(r"_\d+$", "", name) or name
        while name in self._used or keyword.iskeyword(name) or hasattr(builtins, name) or name == "self":
            self._used[base] = self._used.get(base, 0) + 1
            name = f"{base}_{self._used[base]}"
        self._used.setdefault(name, 0)
        return name

    def create_node(
        self,
        op: str,
        target: Target,
        args: tuple[Any, ...] | None = None,
        kwargs: dict[str, Any] | None = None,
        name: str | None = None,
        type_expr: Any = None,
    ) -> Node:
        """A new call at the place of insertion: the end, unless inserting_before() or inserting_after()
        say.
        """
        wanted = name or (target if isinstance(target, str) else getattr(target, "__name__", "value"))
        if op in ("call_module", "get_attr", "placeholder"):
            wanted = name or str(target).replace(".", "_").lstrip("*").lower()
        node = Node(self, self._name(wanted), op, target, args or (), kwargs or {}, type_expr)
        if self._insert is None:
            self._nodes.append(node)
        else:
            self._nodes.insert(self._nodes.index(self._insert), node)
        return node

    def placeholder(self, name: str, type_expr: Any = None, default_value: Any = ...) -> Node:
        """An input."""
        default = () if default_value is ... else (default_value,)
        return self.create_node("placeholder", name, default, type_expr=type_expr)

    def get_attr(self, qualified_name: str, type_expr: Any = None) -> Node:
        """An attribute of the module."""
        return self.create_node("get_attr", qualified_name, type_expr=type_expr)

    def call_module(
        self, module_name: str, args: Any = None, kwargs: Any = None, type_expr: Any = None
    ) -> Node:
        """A call of a module inside the module."""
        return self.create_node("call_module", module_name, args, kwargs, type_expr=type_expr)

    def call_method(
        self, method_name: str, args: Any = None, kwargs: Any = None, type_expr: Any = None
    ) -> Node:
        """A call of a method of the first argument."""
        return self.create_node("call_method", method_name, args, kwargs, type_expr=type_expr)

    def call_function(
        self, the_function: Any, args: Any = None, kwargs: Any = None, type_expr: Any = None, name: Any = None
    ) -> Node:
        """A call of a function."""
        return self.create_node("call_function", the_function, args, kwargs, name, type_expr)

    def output(self, result: Any, type_expr: Any = None) -> Node:
        """The result."""
        return self.create_node("output", "output", (result,), type_expr=type_expr)

    def output_node(self) -> Node:
        """The last call."""
        return self._nodes[-1]

    def erase_node(self, to_erase: Node) -> None:
        """Take a call away whose result nobody needs."""
        if to_erase.users:
            raise RuntimeError(
                f"Tried to erase Node {to_erase} but it still had "
                f"{len(to_erase.users)} users in the graph: {to_erase.users}!"
            )
        to_erase._take((), {})
        self._nodes.remove(to_erase)

    @contextmanager
    def inserting_before(self, n: Node | None = None) -> Iterator[None]:
        """New calls of the block come before n."""
        before, self._insert = self._insert, n if n is not None else (self._nodes[0] if self._nodes else None)
        try:
            yield
        finally:
            self._insert = before

    @contextmanager
    def inserting_after(self, n: Node | None = None) -> Iterator[None]:
        """New calls of the block come after n."""
        after = n.next if n is not None else self._root
        before, self._insert = self._insert, None if after is self._root else after
        try:
            yield
        finally:
            self._insert = before

    def node_copy(self, node: Node, arg_transform: Callable[[Node], Any] = lambda n: n) -> Node:
        """The same call as one of another graph."""
        args, kwargs = map_arg(node.args, arg_transform), map_arg(node.kwargs, arg_transform)
        made = self.create_node(node.op, node.target, args, kwargs, node.name, node.type)
        made.meta = dict(node.meta)
        return made

    def graph_copy(self, g: Graph, val_map: dict[Node, Node], return_output_node: bool = False) -> Any:
        """All calls of another graph but the output; what the output there would be."""
        for node in g._nodes:
            if node in val_map:
                continue
            if node.op == "output":
                result = map_arg(node.args[0], lambda n: val_map[n])
                return (result, node) if return_output_node else result
            val_map[node] = self.node_copy(node, lambda n: val_map[n])
        return None

    def __deepcopy__(self, memo: Any = None) -> Graph:
        made = Graph(tracer_cls=self._tracer_cls)
        values: dict[Node, Node] = {}
        output = made.graph_copy(self, values, return_output_node=True)
        if output is not None:
            made.output(output[0], output[1].type)
        return made

    def eliminate_dead_code(self, is_impure_node: Callable[[Node], bool] | None = None) -> bool:
        """Take calls away whose results nobody needs; whether there were any."""
        impure = is_impure_node or (lambda node: node.is_impure())
        found = False
        for node in reversed(list(self._nodes)):
            if not node.users and not impure(node):
                self.erase_node(node)
                found = True
        return found

    def lint(self) -> None:
        """Raise unless every call comes after those whose results it needs, and names are different."""
        seen: set[Node] = set()
        names: set[str] = set()
        for node in self._nodes:
            for needed in node.all_input_nodes:
                if needed not in seen:
                    raise RuntimeError(
                        f"Argument '{needed}' of Node '{node}' was used before it has been defined!"
                    )
            if node.name in names:
                raise RuntimeError(f"Node redefined name {node.name}!")
            seen.add(node)
            names.add(node.name)

    def print_tabular(self) -> None:
        """Print the calls."""
        for node in self._nodes:
            print(f"{node.op:<14} {node.name:<20} {_target_text(node):<40} {node.args} {node.kwargs}")

    def __str__(self) -> str:
        return "graph():\n" + "\n".join(f"    {node.format_node()}" for node in self._nodes)

    def set_codegen(self, codegen: CodeGen) -> None:
        """Keep it."""
        self._codegen = codegen

    def python_code(self, root_module: str = "self", **_: Any) -> PythonCode:
        """The function forward(self, ...) that makes these calls."""
        names: dict[str, Any] = {"inf": math.inf, "nan": math.nan, "device": Device}

        def known(value: Any) -> str:
            base = re.sub(r"\W", "_", _function_name(value) if callable(value) else type(value).__name__)
            name, count = base, 0
            while name in names and names[name] is not value:
                count += 1
                name = f"{base}_{count}"
            names[name] = value
            return name

        def text(value: Any) -> str:
            if isinstance(value, Node):
                return value.name
            if isinstance(value, tuple) and not hasattr(value, "_fields"):
                return f"({', '.join(map(text, value))}{',' if len(value) == 1 else ''})"
            if isinstance(value, list):
                return f"[{', '.join(map(text, value))}]"
            if isinstance(value, dict):
                return "{" + ", ".join(f"{key!r}: {text(one)}" for key, one in value.items()) + "}"
            if isinstance(value, slice):
                return f"slice({text(value.start)}, {text(value.stop)}, {text(value.step)})"
            if type(value) in (int, bool, float, complex, str, bytes, type(None), type(...)):
                return "..." if value is ... else repr(value)
            return known(value)

        def call(node: Node) -> str:
            given = [text(value) for value in node.args]
            given += [f"{key}={text(value)}" for key, value in node.kwargs.items()]
            if node.op == "get_attr":
                return _attribute(root_module, node.target)
            if node.op == "call_module":
                return f"{_attribute(root_module, node.target)}({', '.join(given)})"
            if node.op == "call_method":
                return f"{given[0]}.{node.target}({', '.join(given[1:])})"
            if node.target in _MARKS and len(node.args) == 2 and not node.kwargs:
                return f"{given[0]} {_MARKS[node.target]} {given[1]}"
            if node.target is operator.getitem and isinstance(node.args[0], Node):
                return f"{given[0]}[{given[1]}]"
            if node.target is getattr and isinstance(node.args[1], str) and node.args[1].isidentifier():
                return f"{given[0]}.{node.args[1]}"
            return f"{known(node.target)}({', '.join(given)})"

        inputs, lines = [], []
        for node in self._nodes:
            if node.op == "placeholder":
                stars = str(node.target)[: len(str(node.target)) - len(str(node.target).lstrip("*"))]
                inputs.append(stars + node.name + (f"={text(node.args[0])}" if node.args else ""))
            elif node.op == "output":
                lines.append(f"    return {text(node.args[0])}")
            else:
                lines.append(f"    {node.name} = {call(node)}")
        head = ", ".join([root_module, *inputs])
        return PythonCode(f"def forward({head}):\n" + "\n".join(lines or ["    pass"]) + "\n", names)


def _attribute(root: str, target: str) -> str:
    text = root
    for part in target.split("."):
        text = f"{text}.{part}" if part.isidentifier() else f'getattr({text}, "{part}")'
    return text


class _NodeList:
    """The calls of a graph; stays right while calls are taken away during iteration."""

    def __init__(self, nodes: list[Node]) -> None:
        self._nodes = nodes

    def __len__(self) -> int:
        return len(self._nodes)

    def __iter__(self) -> Iterator[Node]:
        return iter(list(self._nodes))

    def __reversed__(self) -> Iterator[Node]:
        return iter(list(reversed(self._nodes)))


_PLAIN = (str, int, float, bool, complex, type(None), DType, Device, Tensor, slice, range)
