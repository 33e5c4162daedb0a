"""torch.fx: modules made of graphs of calls, and ways to run and change them."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import copy
import linecache
from collections.abc import Iterator
from typing import Any

from moka._C import Tensor
from moka.nn import Module, Parameter

from .fx_graph import Graph, Node, map_arg
from .fx_tracing import GraphAppendingTracer, Proxy, Tracer

__all__ = ["GraphModule", "Interpreter", "Transformer", "replace_pattern", "symbolic_trace"]


def _attribute_of(root: Any, target: str) -> Any:
    for part in target.split("."):
        root = getattr(root, part)
    return root


def _copy_attr(from_module: Module, to_module: Module, target: str) -> None:
    """Give a module the attribute that another one has under a dotted name."""
    *path, last = target.split(".")
    for part in path:
        from_module = getattr(from_module, part)
        if not hasattr(to_module, part):
            setattr(to_module, part, Module())
        to_module = getattr(to_module, part)
    value = getattr(from_module, last)
    if isinstance(value, Tensor) and not isinstance(value, Parameter):
        to_module.register_buffer(last, value)
    else:
        setattr(to_module, last, value)


_USER_PRESERVED_ATTRIBUTES_KEY = "_user_preserved_attributes"
_count = iter(range(10**9))


class GraphModule(Module):
    """A module whose forward makes the calls of a graph.

    Args:
        root: a module whose attributes the graph names, or a dict of them.
        graph: copied; after changes of `module.graph` call recompile().
        class_name: the name of the module's class.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        # forward is the code of one graph: every instance has a class of its own.
        if cls.__dict__.get("_of_one_graph"):
            return object.__new__(cls)
        own = type(cls.__name__, (cls,), {"_of_one_graph": True, "__module__": cls.__module__})
        return object.__new__(own)

    def __init__(self, root: Any, graph: Graph, class_name: str = "GraphModule") -> None:
        super().__init__()
        type(self).__name__ = class_name
        wanted = [node.target for node in graph.nodes if node.op in ("get_attr", "call_module")]
        if isinstance(root, Module):
            self.training = root.training
            for target in wanted:
                _copy_attr(root, self, target)
        else:
            for target in sorted(wanted, key=lambda name: name.count(".")):
                if target not in root:
                    raise RuntimeError(
                        f"Node referenced target {target} but that target was not provided in root!"
                    )
                self._put(target, root[target])
        self._tracer_cls = graph._tracer_cls
        self.meta: dict[str, Any] = {}
        self.graph = graph

    def _put(self, target: str, value: Any) -> None:
        *path, last = target.split(".")
        place: Module = self
        for part in path:
            if not hasattr(place, part):
                setattr(place, part, Module())
            place = getattr(place, part)
        setattr(place, last, value)

    @property
    def graph(self) -> Graph:
        """The calls."""
        return self.__dict__["_graph"]

    @graph.setter
    def graph(self, g: Graph) -> None:
        if not isinstance(g, Graph):
            raise AssertionError(f"Expected a Graph instance, but got {type(g)}")
        g.owning_module = self
        self.__dict__["_graph"] = g
        self.recompile()

    @property
    def code(self) -> str:
        """The source of forward."""
        return self.__dict__["_code"]

    def recompile(self) -> Any:
        """Make forward anew from the graph."""
        made = self.graph.python_code("self")
        name = f"<graph {next(_count)}>"
        space = dict(made.globals)
        exec(compile(made.src, name, "exec"), space)  # the source was written by python_code
        linecache.cache[name] = (len(made.src), None, made.src.splitlines(True), name)
        self.__dict__["_code"] = made.src
        type(self).forward = space["forward"]
        return made

    def __deepcopy__(self, memo: Any) -> GraphModule:
        plain = Module()
        plain.__dict__ = copy.deepcopy(
            {k: v for k, v in self.__dict__.items() if k not in ("_graph", "_code")}, memo
        )
        made = GraphModule(plain, self.graph, type(self).__name__)
        made.__dict__.update({k: v for k, v in plain.__dict__.items() if k not in made.__dict__})
        made.training = self.training
        return made

    def add_submodule(self, target: str, m: Module) -> bool:
        """Put a module in at a dotted name."""
        self._put(target, m)
        return True

    def delete_submodule(self, target: str) -> bool:
        """Take a module out; whether it was there."""
        *path, last = target.split(".")
        place: Any = self
        for part in path:
            place = getattr(place, part, None)
        if place is None or last not in place._modules:
            return False
        del place._modules[last]
        return True

    def delete_all_unused_submodules(self) -> None:
        """Take the modules out that no call names."""
        used = {node.target for node in self.graph.nodes if node.op in ("call_module", "get_attr")}
        keep = {".".join(name.split(".")[: i + 1]) for name in used for i in range(len(name.split(".")))}
        for name, _ in list(self.named_modules()):
            inside = any(name.startswith(f"{one}.") for one in used)
            if name and name not in keep and not inside:
                self.delete_submodule(name)

    def print_readable(self, print_output: bool = True, **_: Any) -> str:
        """The source of forward."""
        if print_output:
            print(self.code)
        return self.code


_CodeOnlyModule = Module


def symbolic_trace(root: Any, concrete_args: dict[str, Any] | None = None) -> GraphModule:
    """A module or function as a GraphModule."""
    tracer = Tracer()
    graph = tracer.trace(root, concrete_args)
    name = type(root).__name__ if isinstance(root, Module) else getattr(root, "__name__", "GraphModule")
    return GraphModule(tracer.root, graph, name)


class Interpreter:
    """Makes the calls of a GraphModule one by one; a subclass may change what each kind does."""

    def __init__(
        self, module: Module, garbage_collect_values: bool = True, graph: Graph | None = None
    ) -> None:
        self.module = module
        self.graph: Graph = graph or module.graph  # type: ignore[assignment]
        self.env: dict[Node, Any] = {}
        self.submodules = dict(module.named_modules())
        self.args_iter: Iterator[Any] = iter(())

    def run(
        self, *args: Any, initial_env: dict[Node, Any] | None = None, enable_io_processing: bool = True
    ) -> Any:
        """The result for these inputs."""
        self.env = dict(initial_env or {})
        self.args_iter = iter(args)
        for node in self.graph.nodes:
            if node in self.env:
                continue
            self.env[node] = self.run_node(node)
            if node.op == "output":
                return self.env[node]
        return None

    def run_node(self, n: Node) -> Any:
        """The result of one call."""
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        return getattr(self, n.op)(n.target, args, kwargs)

    def fetch_args_kwargs_from_env(self, n: Node) -> tuple[Any, Any]:
        """What is given to a call."""
        return self.map_nodes_to_values(n.args, n), self.map_nodes_to_values(n.kwargs, n)

    def map_nodes_to_values(self, args: Any, n: Node) -> Any:
        """Results in place of calls."""
        return map_arg(args, lambda node: self.env[node])

    def fetch_attr(self, target: str) -> Any:
        """An attribute of the module."""
        return _attribute_of(self.module, target)

    def placeholder(self, target: Any, args: Any, kwargs: Any) -> Any:
        """The next input."""
        if str(target).startswith("*"):
            return list(self.args_iter)
        try:
            return next(self.args_iter)
        except StopIteration:
            if args:
                return args[0]
            raise RuntimeError(
                f"Expected positional argument for parameter {target}, but one was not passed in!"
            ) from None

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        """An attribute of the module."""
        return self.fetch_attr(target)

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        """A function's result."""
        return target(*args, **kwargs)

    def call_method(self, target: Any, args: Any, kwargs: Any) -> Any:
        """A method's result."""
        return getattr(args[0], target)(*args[1:], **kwargs)

    def call_module(self, target: Any, args: Any, kwargs: Any) -> Any:
        """A module's result."""
        return self.fetch_attr(target)(*args, **kwargs)

    def output(self, target: Any, args: Any, kwargs: Any) -> Any:
        """The result of all."""
        return args[0]


class Transformer(Interpreter):
    """An Interpreter on stand-ins: a subclass changes calls, transform() gives the changed module."""

    def __init__(self, module: GraphModule) -> None:
        super().__init__(module)
        self.new_graph = Graph()
        self.tracer = GraphAppendingTracer(self.new_graph)

    def placeholder(self, target: Any, args: Any, kwargs: Any) -> Any:
        return Proxy(self.new_graph.placeholder(target, default_value=args[0] if args else ...), self.tracer)

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        return self.tracer.create_proxy("get_attr", target, args, kwargs)

    def call_module(self, target: Any, args: Any, kwargs: Any) -> Any:
        return self.tracer.create_proxy("call_module", target, args, kwargs)

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        return self.tracer.create_proxy("call_function", target, args, kwargs)

    def call_method(self, target: Any, args: Any, kwargs: Any) -> Any:
        return self.tracer.create_proxy("call_method", target, args, kwargs)

    def transform(self) -> GraphModule:
        """The changed module."""
        result = self.run()
        if result is not None:
            self.new_graph.output(self.tracer.create_arg(result))
        return GraphModule(self.module, self.new_graph)


class Match:
    """Where a pattern was found: its calls and those of the module."""

    def __init__(self, anchor: Node, nodes_map: dict[Node, Any]) -> None:
        self.anchor, self.nodes_map = anchor, nodes_map


def _matches(pattern: Any, given: Any, found: dict[Node, Any]) -> bool:
    if isinstance(pattern, Node):
        if pattern in found:
            return found[pattern] is given
        if pattern.op == "placeholder":
            found[pattern] = given
            return True
        if not isinstance(given, Node) or (pattern.op, pattern.target) != (given.op, given.target):
            return False
        if len(pattern.args) != len(given.args) or pattern.kwargs.keys() != given.kwargs.keys():
            return False
        found[pattern] = given
        pairs = [*zip(pattern.args, given.args, strict=True)]
        pairs += [(pattern.kwargs[key], given.kwargs[key]) for key in pattern.kwargs]
        return all(_matches(a, b, found) for a, b in pairs)
    if isinstance(pattern, (list, tuple)):
        return (
            isinstance(given, (list, tuple))
            and len(pattern) == len(given)
            and all(_matches(a, b, found) for a, b in zip(pattern, given, strict=True))
        )
    return pattern == given


def replace_pattern(gm: GraphModule, pattern: Any, replacement: Any) -> list[Match]:
    """Every place where the calls of `pattern` stand makes those of `replacement` instead."""
    wanted = pattern.graph if isinstance(pattern, GraphModule) else Tracer().trace(pattern)
    other = replacement.graph if isinstance(replacement, GraphModule) else Tracer().trace(replacement)
    goal = wanted.output_node().args[0]
    matches = []
    for node in gm.graph.nodes:
        found: dict[Node, Any] = {}
        if node.op == "output" or node not in gm.graph._nodes or not _matches(goal, node, found):
            continue
        inside = [
            value for key, value in found.items() if key.op != "placeholder" and isinstance(value, Node)
        ]
        if any(user not in inside for one in inside if one is not node for user in one.users):
            continue
        inputs = [one for one in wanted.nodes if one.op == "placeholder"]
        slots = [one for one in other.nodes if one.op == "placeholder"]
        values = {slot: found[one] for slot, one in zip(slots, inputs, strict=True)}
        with gm.graph.inserting_before(node):
            result = gm.graph.graph_copy(other, values)
        node.replace_all_uses_with(result)
        for one in sorted(inside, reverse=True):
            if not one.users:
                gm.graph.erase_node(one)
        matches.append(Match(node, found))
    gm.recompile()
    return matches
