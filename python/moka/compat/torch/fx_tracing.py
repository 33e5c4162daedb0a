"""torch.fx: running a module on stand-ins that write the calls down, and modules made of such graphs."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import moka
from moka._C import Tensor
from moka.nn import Module, Parameter, Sequential
from moka.nn.module import look_up_natively

from .fx_graph import Graph, Node, map_aggregate

__all__ = [
    "Attribute",
    "GraphAppendingTracer",
    "ParameterProxy",
    "Proxy",
    "TraceError",
    "Tracer",
    "TracerBase",
    "wrap",
]


class TraceError(ValueError):
    """The program asked a stand-in for a value."""


class Proxy:
    """Stands in for a value while a program is traced; what is done with it becomes a call of the graph."""

    def __init__(self, node: Node, tracer: Any = None) -> None:
        self.node = node
        self.tracer = tracer or GraphAppendingTracer(node.graph)

    def __repr__(self) -> str:
        return f"Proxy({self.node.name})"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return Attribute(self, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.tracer.create_proxy("call_method", "__call__", (self, *args), kwargs)

    def __iter__(self) -> Iterator[Any]:
        frame = inspect.currentframe()
        caller = frame.f_back if frame else None
        if caller is not None:
            import dis

            following = list(dis.get_instructions(caller.f_code))
            for one in following:
                if one.offset == caller.f_lasti and one.opname == "UNPACK_SEQUENCE":
                    return (self[i] for i in range(one.argval))
        return self.tracer.iter(self)

    def __bool__(self) -> bool:
        return self.tracer.to_bool(self)

    def __len__(self) -> int:
        raise RuntimeError(
            "'len' is not supported in symbolic tracing by default. If you want this call to be "
            "recorded, please "
            "call torch.fx.wrap('len') at module scope"
        )

    def __contains__(self, _: Any) -> bool:
        raise TraceError("membership of a traced value cannot be asked for")

    def __abs__(self) -> Any:
        return self.tracer.create_proxy("call_function", operator.abs, (self,), {})

    def __index__(self) -> int:
        raise TraceError("a traced value cannot be used as an index of Python's lists")

    @classmethod
    def __torch_function__(cls, orig_method: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        tracer = None

        def look(value: Any) -> None:
            nonlocal tracer
            if isinstance(value, Proxy):
                tracer = value.tracer

        map_aggregate((args, kwargs or {}), look)
        assert tracer is not None
        name = getattr(orig_method, "__name__", "")
        if getattr(Tensor, name, None) is orig_method and not hasattr(moka, name):
            return tracer.create_proxy("call_method", name, args, kwargs or {})
        return tracer.create_proxy("call_function", orig_method, args, kwargs or {})


class Attribute(Proxy):
    """An attribute of a stand-in; a call of it is a call of the method."""

    def __init__(self, root: Proxy, attr: str) -> None:
        self.root, self.attr, self.tracer = root, attr, root.tracer
        self._node: Node | None = None

    @property
    def node(self) -> Node:  # type: ignore[override]
        """The call of getattr, made when the value itself is needed."""
        if self._node is None:
            self._node = self.tracer.create_proxy("call_function", getattr, (self.root, self.attr), {}).node
        return self._node

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.tracer.create_proxy("call_method", self.attr, (self.root, *args), kwargs)


class ParameterProxy(Proxy):
    """A stand-in for a parameter, whose shape is known."""

    def __init__(self, tracer: Any, node: Node, name: str, param: Any) -> None:
        super().__init__(node, tracer)
        self.param, self.name = param, name

    @property
    def shape(self) -> Any:
        """Its shape."""
        return self.param.shape

    def size(self, *dim: int) -> Any:
        """Its size."""
        return self.param.size(*dim)

    def dim(self) -> int:
        """How many dimensions it has."""
        return self.param.dim()


def _add_operators() -> None:
    names = "add sub mul truediv floordiv mod pow matmul and_ or_ xor lshift rshift".split()

    def forward(function: Any) -> Any:
        return lambda self, other: self.tracer.create_proxy("call_function", function, (self, other), {})

    def backward(function: Any) -> Any:
        return lambda self, other: self.tracer.create_proxy("call_function", function, (other, self), {})

    for name in names:
        function = getattr(operator, name)
        bare = name.rstrip("_")
        setattr(Proxy, f"__{bare}__", forward(function))
        setattr(Proxy, f"__r{bare}__", backward(function))
    for name in "eq ne lt le gt ge getitem".split():
        setattr(Proxy, f"__{name}__", forward(getattr(operator, name)))
    for name in "neg pos invert".split():
        function = getattr(operator, name)
        single = lambda function: (
            lambda self: self.tracer.create_proxy("call_function", function, (self,), {})
        )  # noqa: E731
        setattr(Proxy, f"__{name}__", single(function))
    setattr(Proxy, "__hash__", object.__hash__)  # noqa: B010


_add_operators()


class TracerBase:
    """What writes calls into a graph."""

    graph: Graph
    record_stack_traces = False
    param_shapes_constant = False
    trace_asserts = False
    proxy_buffer_attributes = False

    def create_node(
        self, kind: str, target: Any, args: Any, kwargs: Any, name: Any = None, type_expr: Any = None
    ) -> Node:
        """A call in the graph."""
        return self.graph.create_node(kind, target, args, kwargs, name, type_expr)

    def proxy(self, node: Node) -> Proxy:
        """A stand-in for the result of a call."""
        return Proxy(node, self)

    def create_proxy(
        self,
        kind: str,
        target: Any,
        args: Any,
        kwargs: Any,
        name: Any = None,
        type_expr: Any = None,
        proxy_factory_fn: Any = None,
    ) -> Any:
        """A call and a stand-in for its result."""
        node = self.create_node(kind, target, self.create_arg(args), self.create_arg(kwargs), name, type_expr)
        return (proxy_factory_fn or self.proxy)(node)

    def create_arg(self, a: Any) -> Any:
        """A value as it stands in a graph: Nodes for stand-ins."""
        return map_aggregate(a, self._one)

    def _one(self, value: Any) -> Any:
        return value.node if isinstance(value, Proxy) else value

    def to_bool(self, obj: Proxy) -> bool:
        """Raises: which way the program goes would depend on the input."""
        raise TraceError("symbolically traced variables cannot be used as inputs to control flow")

    def iter(self, obj: Proxy) -> Iterator[Any]:
        """Raises: how often the program goes round would depend on the input."""
        raise TraceError(
            "Proxy object cannot be iterated. This can be attempted when the Proxy is used in a "
            "loop or as a *args "
            "or **kwargs function argument."
        )


class GraphAppendingTracer(TracerBase):
    """Writes into a graph that there is."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph


_wrapped: list[tuple[dict[str, Any], str]] = []


def wrap(fn_or_name: Any) -> Any:
    """At the top of a module: calls of this function with stand-ins become one call of the graph."""
    name = fn_or_name if isinstance(fn_or_name, str) else fn_or_name.__name__
    frame = inspect.currentframe()
    assert frame is not None and frame.f_back is not None
    if frame.f_back.f_code.co_name != "<module>":
        raise NotImplementedError("wrap must be called at the top level of a module")
    _wrapped.append((frame.f_back.f_globals, name))
    return fn_or_name


def _proxies_in(values: Any) -> Proxy | None:
    found: list[Proxy] = []
    map_aggregate(values, lambda value: found.append(value) if isinstance(value, Proxy) else None)
    return found[0] if found else None


class Tracer(TracerBase):
    """Runs a module on stand-ins. A subclass may say which modules are not looked into (is_leaf_module).

    Args:
        autowrap_modules: modules whose functions become calls of the graph; `math` by default.
        autowrap_functions: such functions.
    """

    def __init__(
        self, autowrap_modules: Any = None, autowrap_functions: Any = (), param_shapes_constant: bool = False
    ) -> None:
        import math

        self._modules = tuple(autowrap_modules or (math,))
        self._functions = tuple(autowrap_functions)
        self.param_shapes_constant = param_shapes_constant
        self.root: Any = None
        self.module_stack: dict[str, Any] = {}
        self.scope: Any = None
        self._paths: dict[int, str] = {}
        self._constants: dict[int, str] = {}

    def is_leaf_module(self, m: Module, module_qualified_name: str) -> bool:
        """Whether a call of it is one call of the graph: the layers of nn are, but Sequential is not."""
        home = type(m).__module__
        return home.startswith(("moka.nn", "torch.nn", "moka.compat.torch.quantization")) and not isinstance(
            m, Sequential
        )

    def path_of_module(self, mod: Module) -> str:
        """Its name inside the module that is traced."""
        if id(mod) not in self._paths:
            raise NameError("module is not installed as a submodule")
        return self._paths[id(mod)]

    def call_module(self, m: Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """What becomes of a call of a module inside."""
        name = self.path_of_module(m)
        if self.is_leaf_module(m, name):
            return self.create_proxy("call_module", name, args, kwargs)
        return forward(*args, **kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        """What becomes of an attribute of a module: parameters are read by the graph."""
        if isinstance(attr_val, Parameter):
            for name, parameter in self.root.named_parameters():
                if parameter is attr_val:
                    if name not in parameter_proxy_cache:
                        node = self.create_node("get_attr", name, (), {})
                        parameter_proxy_cache[name] = (
                            ParameterProxy(self, node, name, attr_val)
                            if self.param_shapes_constant
                            else Proxy(node, self)
                        )
                    return parameter_proxy_cache[name]
        return attr_val

    def _one(self, value: Any) -> Any:
        if isinstance(value, Proxy):
            return value.node
        if isinstance(value, Tensor):
            for kind in (self.root.named_parameters, self.root.named_buffers):
                for name, own in kind():
                    if own is value:
                        return self.create_node("get_attr", name, (), {})
            name = self._constants.get(id(value))
            if name is None:
                name = self._constants[id(value)] = f"_tensor_constant{len(self._constants)}"
                setattr(self.root, name, value)
            return self.create_node("get_attr", name, (), {})
        if isinstance(value, Module) and id(value) in self._paths:
            return self.create_node("get_attr", self._paths[id(value)], (), {})
        return value

    def _inputs(
        self, function: Any, concrete: dict[str, Any], bound: bool
    ) -> tuple[list[Any], dict[str, Any]]:
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        for parameter in list(inspect.signature(function).parameters.values())[1 if bound else 0 :]:
            name, kind = parameter.name, parameter.kind
            if name in concrete:
                value = concrete[name]
            else:
                stars = {kind.VAR_POSITIONAL: "*", kind.VAR_KEYWORD: "**"}.get(kind, "")
                default = () if parameter.default is parameter.empty else (parameter.default,)
                value = self.create_proxy("placeholder", stars + name, default, {}, type_expr=None)
            if kind is kind.KEYWORD_ONLY:
                kwargs[name] = value
            elif kind is kind.VAR_KEYWORD:
                continue
            else:
                args.append(value)
        return args, kwargs

    def trace(self, root: Any, concrete_args: dict[str, Any] | None = None) -> Graph:
        """The graph of a module's forward, or of a function.

        Args:
            concrete_args: values of arguments that are fixed.
        """
        if isinstance(root, Module):
            self.root, function, bound = root, type(root).forward, True
            if "forward" in root.__dict__:
                function, bound = root.forward, False
        else:
            self.root, function, bound = Module(), root, False
        self.graph = Graph(tracer_cls=type(self))
        self._paths = {}
        for name, module in self.root.named_modules():
            self._paths.setdefault(id(module), name)
        args, kwargs = self._inputs(function, concrete_args or {}, bound)
        with self._watching(function):
            result = function(*((root, *args) if bound else args), **kwargs)
        self.create_node("output", "output", (self.create_arg(result),), {})
        return self.graph

    @contextmanager
    def _watching(self, function: Any) -> Iterator[None]:
        """While the block runs, calls of modules and of wrapped functions come here first."""
        tracer = self
        call, read = Module.__call__, Module.__getattr__
        cache: dict[str, Any] = {}

        def module_call(module: Module, *args: Any, **kwargs: Any) -> Any:
            return tracer.call_module(module, lambda *a, **k: call(module, *a, **k), args, kwargs)

        def module_read(module: Module, name: str) -> Any:
            return tracer.getattr(name, read(module, name), cache)

        def watched(original: Any) -> Any:
            def maybe(*args: Any, **kwargs: Any) -> Any:
                if _proxies_in((args, kwargs)) is not None:
                    return tracer.create_proxy("call_function", original, args, kwargs)
                return original(*args, **kwargs)

            maybe.__name__ = getattr(original, "__name__", "wrapped")
            return maybe

        places = [(space, name) for space, name in _wrapped]
        for module in self._modules:
            for name, value in vars(module).items():
                if not name.startswith("_") and callable(value):
                    places.append((vars(module), name))
        spaces = [getattr(function, "__globals__", {})]
        for space in spaces:
            for name, value in list(space.items()):
                if any(value is one for one in self._functions):
                    places.append((space, name))
        kept = []
        Module.__call__, Module.__getattr__ = module_call, module_read  # type: ignore[method-assign]
        try:
            for space, name in places:
                import builtins

                original = space.get(name, getattr(builtins, name, None))
                kept.append((space, name, name in space, original))
                space[name] = watched(original)
            yield
        finally:
            Module.__call__, Module.__getattr__ = call, read  # type: ignore[method-assign]
            look_up_natively(Module, below=True)
            for space, name, there, original in reversed(kept):
                if there:
                    space[name] = original
                else:
                    space.pop(name, None)
