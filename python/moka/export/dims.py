"""Sizes that the user declares open for an export: Dim, its arithmetic, and the forms of dynamic_shapes."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from .._C import Tensor
from ..jit.recording import parameter_names
from ..jit.sizes import Range
from ..jit.structure import Arguments
from ..jit.trees import Tree

__all__ = ["AdditionalInputs", "Dim", "ExportError", "Hint", "ShapesCollection", "dims"]


class ExportError(RuntimeError):
    """What was given for an export does not fit together, or the program does not allow it."""


@dataclasses.dataclass(frozen=True)
class Hint:
    """Dim.AUTO, Dim.DYNAMIC or Dim.STATIC; called with limits it gives one that has them."""

    kind: str
    min: int | None = None
    max: int | None = None

    def __call__(self, min: int | None = None, max: int | None = None) -> Hint:  # noqa: A002
        if self.kind == "STATIC":
            raise TypeError("Dim.STATIC has no limits")
        _check_limits(min, max)
        return Hint(self.kind, min, max)

    def __repr__(self) -> str:
        limits = [
            f"{name}={value}" for name, value in (("min", self.min), ("max", self.max)) if value is not None
        ]
        return f"DimHint({', '.join([self.kind, *limits])})"


def _check_limits(least: Any, most: Any) -> None:
    low, high = 0 if least is None else least, math.inf if most is None else most
    assert low <= high, f"Cannot create Dim with inconsistent min={least}, max={most}"


class Dim:
    """The name of a size that may change, with limits: `Dim("batch", min=1, max=64)`.

    Sizes of one name are one size. `2 * height` and `height + 1` are sizes that follow another one.
    `Dim.DYNAMIC` opens a size without a name, `Dim.AUTO` does where the program allows it, `Dim.STATIC` keeps
    it.

    Raises:
        AssertionError: the name is no identifier, or min is more than max.
    """

    AUTO: ClassVar[Hint] = Hint("AUTO")
    DYNAMIC: ClassVar[Hint] = Hint("DYNAMIC")
    STATIC: ClassVar[Hint] = Hint("STATIC")

    def __init__(self, name: str, *, min: int | None = None, max: int | None = None) -> None:  # noqa: A002
        assert isinstance(name, str) and name.isidentifier(), (
            f"Dim name must be a valid identifier, got {name}"
        )
        _check_limits(min, max)
        self.__name__ = name
        self.min: float = 0 if min is None else min
        self.max: float = math.inf if max is None else max
        self.root: Dim = self

    def _derived(self, factor: int, offset: int) -> Dim:
        out = object.__new__(_Derived)
        out.root, out.factor, out.offset = self.root, factor, offset
        out.min, out.max = self.root.min * factor + offset, self.root.max * factor + offset
        word = self.root.__name__ if factor == 1 else f"{factor}*{self.root.__name__}"
        out.__name__ = word if not offset else f"{word} {'+' if offset > 0 else '-'} {abs(offset)}"
        return out

    def _parts(self) -> tuple[int, int]:
        return 1, 0

    def __mul__(self, other: int) -> Dim:
        if type(other) is not int or other <= 0:
            raise NotImplementedError(
                f"Attempted to multiply {other} with {self.__name__}; a positive int is needed"
            )
        factor, offset = self._parts()
        return self._derived(factor * other, offset * other)

    __rmul__ = __mul__

    def __add__(self, other: int) -> Dim:
        if type(other) is not int:
            raise NotImplementedError(f"Attempted to add {other} to {self.__name__}; an int is needed")
        factor, offset = self._parts()
        return self._derived(factor, offset + other)

    __radd__ = __add__

    def __sub__(self, other: int) -> Dim:
        return self + -other

    def __rsub__(self, other: Any) -> Dim:
        raise NotImplementedError(f"Attempted to negate {self.__name__}; sizes grow together")

    def __repr__(self) -> str:
        low = [f"min={self.min}"] if self.min or self.max == math.inf else []
        high = [f"max={self.max}"] if self.max != math.inf else []
        return f"Dim('{self.__name__}', {', '.join([*low, *high])})"


class _Derived(Dim):
    """A size computed from another one."""

    factor: int
    offset: int

    def _parts(self) -> tuple[int, int]:
        return self.factor, self.offset

    def __repr__(self) -> str:
        return self.__name__


def dims(*names: str, min: int | None = None, max: int | None = None) -> tuple[Dim, ...]:  # noqa: A002
    """One Dim for every name."""
    return tuple(Dim(name, min=min, max=max) for name in names)


class Opening(NamedTuple):
    """A size that is open: what the user wrote there, and how long it is in the example."""

    place: int
    dim: int
    spec: Dim | Hint | str
    size: int


class Shapes:
    """dynamic_shapes, read against the arguments of a call."""

    def __init__(self, func: Callable[..., Any], arguments: Arguments, shapes: Any) -> None:
        self.arguments = arguments
        self.open: list[Opening] = []
        self.ranges: dict[str, Range] = {}
        if shapes is None:
            return
        trees = dict(zip(map(arguments.positional, range(len(arguments.args))), arguments.args, strict=True))
        trees |= arguments.keywords
        if isinstance(shapes, Mapping):
            shapes = self._by_argument(func, shapes, list(trees))
        elif isinstance(shapes, Sequence) and not isinstance(shapes, str):
            if len(shapes) != len(trees):
                raise ExportError(
                    "Detected mismatch between the structure of `inputs` and `dynamic_shapes`: `inputs` has "
                    f"{len(trees)} elements, but `dynamic_shapes` has {len(shapes)} elements"
                )
            shapes = dict(zip(trees, shapes, strict=True))
        else:
            raise ExportError(
                f"dynamic_shapes must be a dict, tuple or list, but {type(shapes).__name__} came"
            )
        for name, tree in trees.items():
            self._walk(tree, shapes.get(name), f"dynamic_shapes[{name!r}]")

    def _by_argument(
        self, func: Callable[..., Any], shapes: Mapping[str, Any], names: list[str]
    ) -> dict[str, Any]:
        """A dict by argument; what stands for *args and **kwargs is taken apart."""
        out = dict(shapes)
        for parameter in _parameters(func):
            if parameter.name not in out or parameter.name in names:
                continue
            if parameter.kind is parameter.VAR_POSITIONAL:
                count = len(parameter_names(func))
                more = out.pop(parameter.name) or ()
                out |= {f"input{count + i}": shape for i, shape in enumerate(more)}
            elif parameter.kind is parameter.VAR_KEYWORD:
                out |= out.pop(parameter.name) or {}
        unknown = [name for name in out if name not in names and name not in parameter_names(func)]
        if unknown:
            raise ExportError(
                "When `dynamic_shapes` is specified as a dict, its top-level keys must be the arg names "
                f"{names} of `inputs`, but here they are {list(shapes)}"
            )
        return out

    def _walk(self, tree: Tree, shape: Any, path: str) -> None:
        if shape is None:
            return
        if tree.kind == "tensor":
            return self._tensor(tree.value, shape, path)
        if tree.kind in ("value", "opaque"):
            raise ExportError(f"`{path}` is {shape!r}, but there is no tensor whose sizes it could describe")
        keys = list(tree.keys) or list(range(len(tree.children)))
        if isinstance(shape, Mapping) and tree.kind in ("dict", "ordereddict", "namedtuple", "dataclass"):
            unknown = [key for key in shape if key not in keys]
            if unknown:
                raise ExportError(f"`{path}` has {unknown[0]!r}, but the argument has {keys}")
            parts = [shape.get(key) for key in keys]
        elif isinstance(shape, (list, tuple)) and tree.kind not in ("dict", "ordereddict"):
            parts = list(shape)
        else:
            raise ExportError(
                "Detected mismatch between the structure of `inputs` and `dynamic_shapes`: the argument is a "
                f"{tree.kind}, but `{path}` is a {type(shape).__name__}"
            )
        if len(parts) != len(tree.children):
            raise ExportError(f"the argument has {len(tree.children)} parts, but `{path}` has {len(parts)}")
        for key, child, part in zip(keys, tree.children, parts, strict=True):
            self._walk(child, part, f"{path}[{key!r}]")

    def _tensor(self, place: int, shape: Any, path: str) -> None:
        example = self.arguments.tensors[place]
        if isinstance(shape, Mapping):
            pairs = list(shape.items())
        elif isinstance(shape, (list, tuple)):
            pairs = list(enumerate(shape))
            if len(pairs) != example.dim():
                raise ExportError(
                    f"Expected dynamic shape spec {shape} specified at `{path}` to have the same length as "
                    f"the actual tensor shape {example.shape} (expected {example.dim()}, but got "
                    f"{len(pairs)} instead)"
                )
        else:
            raise ExportError(f"`{path}` must be None, a dict or a tuple of sizes, but {shape!r} came")
        for dim, spec in pairs:
            if type(dim) is not int or not -example.dim() <= dim < example.dim():
                raise ExportError(f"`{path}` names dimension {dim!r} of a tensor with {example.dim()}")
            self._size(place, dim % example.dim(), spec, f"{path}[{dim}]")

    def _size(self, place: int, dim: int, spec: Any, path: str) -> None:
        size = self.arguments.tensors[place].shape[dim]
        if spec is None or spec == Dim.STATIC:
            return
        if type(spec) is int:
            if spec != size:
                raise ExportError(f"`{path}` is {spec}, but the example has {size} there")
            return
        if isinstance(spec, Dim):
            root = spec.root
            wanted = Range(int(root.min), None if root.max == math.inf else int(root.max))
            known = self.ranges.setdefault(root.__name__, wanted)
            if known != wanted:
                raise ExportError(
                    f"Found different definitions Dim('{root.__name__}') with limits {tuple(known)} and "
                    f"{tuple(wanted)}; one name is one size"
                )
            if not spec.min <= size <= spec.max:
                raise ExportError(f"`{path}` is {spec!r}, but the example has {size} there")
        elif not isinstance(spec, (Hint, str)):
            raise ExportError(
                f"Unexpected size at `{path}` (expected None, an int, a Dim, Dim.AUTO, Dim.STATIC, or "
                f"Dim.DYNAMIC, but got {spec!r} instead)"
            )
        self.open.append(Opening(place, dim, spec, size))


def _parameters(func: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(getattr(func, "forward", func)).parameters.values())
    except (TypeError, ValueError):
        return []


def names_of(
    shapes: Shapes, names: Sequence[str]
) -> Iterator[tuple[dict[int, dict[int, str]], dict[str, Range]]]:
    """Ways to open the sizes, in the order in which they are tried: {input: {dimension: name}} and limits.

    Sizes without a name may turn out to be one size, or a named one; those that are AUTO may stay closed.
    """
    hints = [o for o in shapes.open if isinstance(o.spec, Hint)]
    own = {(o.place, o.dim): f"{names[o.place].replace('.', '_')}_{o.dim}" for o in hints}
    by_size = {
        o.size: o.spec if isinstance(o.spec, str) else o.spec.__name__ for o in shapes.open if o not in hints
    }
    joined = {}
    for o in hints:
        joined[o.place, o.dim] = by_size.setdefault(o.size, own[o.place, o.dim])
    auto = list(dict.fromkeys(joined[o.place, o.dim] for o in hints if o.spec.kind == "AUTO"))
    needed = {joined[o.place, o.dim] for o in hints if o.spec.kind == "DYNAMIC"}

    def way(chosen: dict[tuple[int, int], str], without: set[str]) -> Any:
        wanted: dict[int, dict[int, str]] = {}
        ranges = dict(shapes.ranges)
        for o in shapes.open:
            if not isinstance(o.spec, Hint):
                wanted.setdefault(o.place, {})[o.dim] = o.spec if isinstance(o.spec, str) else o.spec.__name__
                continue
            name = chosen[o.place, o.dim]
            if joined[o.place, o.dim] in without and o.spec.kind == "AUTO":
                continue
            wanted.setdefault(o.place, {})[o.dim] = name
            low, high = ranges.get(name, Range())
            limits = [n for n in (high, o.spec.max) if n is not None]
            ranges[name] = Range(max(low, o.spec.min or 0), min(limits) if limits else None)
        return wanted, ranges

    yield way(own, set())
    if joined != own:
        yield way(joined, set())
    droppable = [name for name in auto if name not in needed]
    for name in droppable if len(droppable) > 1 else []:
        yield way(joined, {name})
    for name in droppable if len(droppable) > 2 else []:
        yield way(joined, set(droppable) - {name})
    if droppable:
        yield way(joined, set(droppable))


class ShapesCollection:
    """dynamic_shapes by tensor: `shapes[x] = {0: Dim("batch")}`; given to export instead of a dict."""

    def __init__(self) -> None:
        self._shapes: dict[int, tuple[Tensor, Any]] = {}

    def __setitem__(self, tensor: Tensor, shape: Any) -> None:
        if not isinstance(tensor, Tensor):
            raise TypeError(f"ShapesCollection: a Tensor is needed, but {type(tensor).__name__} came")
        self._shapes[id(tensor)] = tensor, shape

    def __getitem__(self, tensor: Tensor) -> Any:
        return self._shapes.get(id(tensor), (tensor, {}))[1]

    def __len__(self) -> int:
        return len(self._shapes)

    def dynamic_shapes(
        self, m: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """What export takes, by argument.

        Raises:
            ValueError: a tensor is none of the arguments'.
        """
        arguments = Arguments(args, dict(kwargs or {}), parameter_names(m))
        known = {id(tensor) for tensor in arguments.tensors}
        if any(key not in known for key in self._shapes):
            raise ValueError(
                "Some assigned shapes were not found in args: a tensor of the collection is no argument"
            )
        return _by_tensor(arguments, lambda i, tensor: self._shapes.get(id(tensor), (tensor, None))[1])


def _by_tensor(arguments: Arguments, shape: Callable[[int, Tensor], Any]) -> dict[str, Any]:
    """dynamic_shapes by argument, made of what a function says of each tensor."""

    def walk(tree: Tree) -> Any:
        if tree.kind == "tensor":
            return shape(tree.value, arguments.tensors[tree.value])
        if not tree.children:
            return None
        parts = [walk(child) for child in tree.children]
        return dict(zip(tree.keys, parts, strict=True)) if tree.keys else parts

    out = {arguments.positional(i): walk(tree) for i, tree in enumerate(arguments.args)}
    return out | {name: walk(tree) for name, tree in arguments.keywords.items()}


class AdditionalInputs:
    """Further examples of a call, given to export as dynamic_shapes: sizes that differ are open."""

    def __init__(self) -> None:
        self._examples: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def add(self, args: tuple[Any, ...], kwargs: Mapping[str, Any] | None = None) -> None:
        """Add a call."""
        assert type(args) is tuple, f"Representative args {args} must be a tuple"
        self._examples.append((args, dict(kwargs or {})))

    def dynamic_shapes(
        self, m: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """What export takes, by argument."""
        arguments = Arguments(args, dict(kwargs or {}), parameter_names(m))
        others = [arguments.taken(*example) for example in self._examples]

        def shape(i: int, tensor: Tensor) -> Any:
            for other in others:
                if other[i].dim() != tensor.dim():
                    raise ValueError(
                        f"input {arguments.names[i]!r} has {tensor.dim()} or {other[i].dim()} dimensions"
                    )
            return tuple(
                Dim.DYNAMIC if any(other[i].shape[d] != size for other in others) else None
                for d, size in enumerate(tensor.shape)
            )

        return _by_tensor(arguments, shape)

    def verify(self, ep: Any) -> None:
        """Run the program on every example."""
        module = ep.module()
        for args, kwargs in self._examples:
            module(*args, **kwargs)
