"""Functions of functions: gradients, Jacobians and vectorized maps, freely combined.

per_example = vmap(grad(loss), in_dims=(None, 0, 0))(parameters, images, labels)
"""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any

from . import _C
from .autograd import enable_grad
from .nn.utils.stateless import functional_call
from .utils.pytree import TreeSpec, tree_flatten, tree_leaves, tree_map, tree_unflatten

__all__ = [
    "functional_call",
    "grad",
    "grad_and_value",
    "hessian",
    "jacfwd",
    "jacrev",
    "jvp",
    "linearize",
    "replace_all_batch_norm_modules_",
    "stack_module_state",
    "vjp",
    "vmap",
]

Tensor = _C.Tensor
Function = Callable[..., Any]
_RANDOMNESS = {"error": 0, "different": 1, "same": 2}


# ---- vmap


def vmap(
    func: Function,
    in_dims: Any = 0,
    out_dims: Any = 0,
    randomness: str = "error",
    *,
    chunk_size: int | None = None,
) -> Function:
    """A function that does for a whole batch what `func` does for one element, without a loop.

    Args:
        func: takes and returns tensors, or nested tuples, lists and dictionaries of them.
        in_dims: which dimension of each input is the batch: an int for all, or the nesting of the inputs with
            an int, or None for what all elements share.
        out_dims: where the batch stands in each output.
        randomness: what random operators do: 'error', 'different' (each element its own numbers) or 'same'.
        chunk_size: at most so many elements at once; None for all.

    Raises:
        ValueError: no input has a batch, or the batches differ in size.
    """
    if randomness not in _RANDOMNESS:
        raise RuntimeError(f"vmap: randomness must be one of {', '.join(_RANDOMNESS)}, got {randomness!r}")
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError(f"vmap: chunk_size must be None or above 0, got {chunk_size}")

    @functools.wraps(func)
    def mapped(*args: Any, **kwargs: Any) -> Any:
        leaves, spec = tree_flatten(args)
        dims = _dims_for("in_dims", in_dims, spec)
        named, named_spec = tree_flatten(kwargs)  # keyword arguments are mapped over dimension 0
        dims += [0 if isinstance(value, Tensor) else None for value in named]
        leaves += named
        size = _batch_size(func, leaves, dims)
        specs = spec, named_spec
        if chunk_size is None or chunk_size >= size:
            outs, out_spec = _map_once(func, leaves, dims, specs, size, out_dims, randomness)
            return tree_unflatten(outs, out_spec)
        parts = []
        for begin in range(0, size, chunk_size):
            length = min(chunk_size, size - begin)
            some = [v if d is None else v.narrow(d, begin, length) for v, d in zip(leaves, dims, strict=True)]
            parts.append(_map_once(func, some, dims, specs, length, out_dims, randomness))
        out_spec = parts[0][1]
        places = _out_dims_for(out_dims, out_spec)
        columns = zip(*(outs for outs, _ in parts), strict=True)
        whole = [_C.cat(list(column), d) for column, d in zip(columns, places, strict=True)]
        return tree_unflatten(whole, out_spec)

    return mapped


def _dims_for(what: str, dims: Any, spec: TreeSpec) -> list[int | None]:
    """One entry for every leaf: `dims` has the containers of `spec`, or an entry for a whole part."""
    if dims is None or isinstance(dims, int):
        return [dims] * spec.num_leaves
    found: list[int | None] = []

    def walk(given: Any, part: TreeSpec) -> None:
        if given is None or isinstance(given, int):
            found.extend([given] * part.num_leaves)
            return
        if isinstance(given, dict) and part.type is not None and set(given) == set(part.context):
            for key, child in zip(part.context, part.children_specs, strict=True):
                walk(given[key], child)
            return
        if (
            isinstance(given, list | tuple)
            and part.type is not None
            and len(given) == len(part.children_specs)
        ):
            for entry, child in zip(given, part.children_specs, strict=True):
                walk(entry, child)
            return
        raise ValueError(f"vmap: {what}={dims!r} does not have the nesting of the values it is for")

    walk(tuple(dims) if isinstance(dims, list) and spec.type is tuple else dims, spec)
    return found


def _batch_size(func: Function, leaves: list[Any], dims: list[int | None]) -> int:
    name = getattr(func, "__name__", repr(func))
    sizes = {}
    for i, (value, dim) in enumerate(zip(leaves, dims, strict=True)):
        if dim is None:
            continue
        if not isinstance(value, Tensor):
            raise ValueError(
                f"vmap({name}): in_dims has {dim} for input {i}, which is a {type(value).__name__} "
                f"and no tensor; use None for it"
            )
        if not -value.dim() <= dim < value.dim():
            raise ValueError(
                f"vmap({name}): in_dims has {dim} for input {i}, a tensor of {value.dim()} dimensions"
            )
        dims[i] = dim % value.dim()
        sizes[i] = value.shape[dim]
    if not sizes:
        raise ValueError(f"vmap({name}): no input has a batch: one entry of in_dims must be a dimension")
    if len(set(sizes.values())) > 1:
        told = ", ".join(f"input {i} has {n}" for i, n in sizes.items())
        raise ValueError(f"vmap({name}): the batches must be of one size, but {told}")
    return next(iter(sizes.values()))


def _out_dims_for(out_dims: Any, spec: TreeSpec) -> list[int]:
    if isinstance(out_dims, tuple | list) and len(out_dims) == 1 and spec.type is None:
        out_dims = out_dims[0]
    dims = _dims_for("out_dims", out_dims, spec)
    return [0 if d is None else d for d in dims]


def _map_once(
    func: Function,
    leaves: list[Any],
    dims: list[int | None],
    specs: tuple[TreeSpec, TreeSpec],
    size: int,
    out_dims: Any,
    randomness: str,
) -> tuple[list[Any], TreeSpec]:
    level = _C._vmap_open(size, _RANDOMNESS[randomness])
    try:
        inside = [v if d is None else _C._vmap_add(v, d, level) for v, d in zip(leaves, dims, strict=True)]
        positional = specs[0].num_leaves
        args = tree_unflatten(inside[:positional], specs[0])
        kwargs = tree_unflatten(inside[positional:], specs[1])
        outs, spec = tree_flatten(func(*args, **kwargs))
        places = _out_dims_for(out_dims, spec)
        for value in outs:
            if not isinstance(value, Tensor):
                name = getattr(func, "__name__", repr(func))
                got = type(value).__name__
                raise ValueError(f"vmap({name}): expected tensors to be returned, got {got}")
        return [_C._vmap_remove(v, d, level) for v, d in zip(outs, places, strict=True)], spec
    finally:
        _C._vmap_close()


# ---- gradients


class _Depth(threading.local):
    value = 0


_depth = _Depth()


class _Transform:
    """One transform being applied. Results that an outer one or the tape differentiates keep their graph."""

    def __init__(self, tree: Any) -> None:
        needs = (isinstance(v, Tensor) and v.requires_grad for v in tree_leaves(tree))
        self.tracks = _depth.value > 0 or any(needs)
        self.keeps_graph = _C.is_grad_enabled() and self.tracks

    def __enter__(self) -> _Transform:
        _depth.value += 1
        self._mode = enable_grad()
        self._mode.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._mode.__exit__(*exception)
        _depth.value -= 1

    def result(self, tree: Any) -> Any:
        """What the caller sees of a result."""
        if self.keeps_graph:
            return tree
        return tree_map(lambda v: _C._detach_from_tape(v) if isinstance(v, Tensor) else v, tree)


def _fresh(name: str, value: Any) -> Any:
    """A tensor whose gradient can be asked for by itself; what it was computed from stays behind it."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name}: expected tensors, got {type(value).__name__}")
    if not (value.is_floating_point() or value.is_complex()):
        raise RuntimeError(f"{name}: only floating and complex tensors have gradients, got {value.dtype}")
    value = _C._vmap_add_all(value)
    if value.requires_grad:
        return value.view(value.shape)
    return _C._detach_from_tape(value).requires_grad_()


def _zeros_where_none(grads: Sequence[Any], like: Sequence[Any]) -> list[Any]:
    return [_C.zeros_like(x) if g is None else g for g, x in zip(grads, like, strict=True)]


def _gradients(outs: list[Any], inputs: list[Any], cotangents: Any, keeps_graph: bool) -> list[Any]:
    pairs = [(o, c) for o, c in zip(outs, cotangents, strict=True) if o.requires_grad]
    if not pairs:
        return [_C.zeros_like(x) for x in inputs]
    roots, weights = zip(*pairs, strict=True)
    grads = _C._grad(list(roots), inputs, list(weights), True, keeps_graph, True)
    return _zeros_where_none(grads, inputs)


def _chosen(name: str, argnums: Any, args: tuple[Any, ...]) -> list[int]:
    if not isinstance(argnums, int | tuple | list) or isinstance(argnums, bool):
        raise RuntimeError(f"{name}: argnums must be int or Tuple[int, ...], got {type(argnums).__name__}")
    wanted = [argnums] if isinstance(argnums, int) else list(argnums)
    if not wanted:
        raise RuntimeError(f"{name}: argnums must be non-empty")
    for n in wanted:
        if not isinstance(n, int):
            told = type(n).__name__
            raise RuntimeError(f"{name}: argnums must be int or Tuple[int, ...], got {told} in it")
        if not -len(args) <= n < len(args):
            raise RuntimeError(
                f"{name}: argnums has {n}, but there are {len(args)} positional arguments: Got "
                f"argnum={n}, but "
                f"only {len(args)} positional inputs"
            )
    places = [n % len(args) for n in wanted]
    if len(set(places)) < len(places):
        raise RuntimeError(f"{name}: argnums elements must be unique, got {argnums}")
    return places


def _replace(args: tuple[Any, ...], places: list[int], values: Sequence[Any]) -> tuple[Any, ...]:
    out = list(args)
    for place, value in zip(places, values, strict=True):
        out[place] = value
    return tuple(out)


_CALLS = {  # as PyTorch writes them
    "grad": "grad_and_value(f)(*args)",
    "vjp": "vjp(f, *primals)",
    "jacrev": "vjp(f, *primals)",
    "jvp": "jvp(f, primals, tangents)",
    "jacfwd": "jvp(f, primals, tangents)",
    "linearize": "linearize(f, *primals)",
}


def _checked_outputs(name: str, outs: list[Any]) -> list[Any]:
    if not outs:
        raise RuntimeError(
            f"{name}: {_CALLS[name]}: Expected f to be a function that has non-empty output (got output = ())"
        )
    for value in outs:
        if not isinstance(value, Tensor):
            raise RuntimeError(
                f"{name}: the function must return only Tensors: {_CALLS[name]}: Expected f to be "
                "a function that "
                f"has non-empty output (got output = {value!r}), Expected f to return only "
                "tensors, got unsupported "
                f"type {type(value).__name__}"
            )
    return outs


def _with_aux(name: str, out: Any, has_aux: bool) -> tuple[Any, Any]:
    if not has_aux:
        return out, None
    if not isinstance(out, tuple) or len(out) != 2:
        raise RuntimeError(
            f"{name}: with has_aux=True the function must return (output, aux): {_CALLS[name]}: "
            "output of function "
            f"f should be a tuple: (output, aux) if has_aux is True"
        )
    for value in tree_leaves(out[1]):
        if not isinstance(value, Tensor):
            raise RuntimeError(
                f"{name}: aux must hold tensors: Expected tensors, got unsupported type "
                f"{type(value).__name__}"
            )
    return out


def grad_and_value(func: Function, argnums: Any = 0, has_aux: bool = False) -> Function:
    """A function that returns the gradient of `func` and its value (or `(value, aux)`)."""

    @functools.wraps(func)
    def both(*args: Any, **kwargs: Any) -> Any:
        places = _chosen("grad", argnums, args)
        with _Transform((args, kwargs)) as transform:
            leaves, spec = tree_flatten(tuple(args[p] for p in places))
            inputs = [_fresh("grad", v) for v in leaves]
            values = tree_unflatten(inputs, spec)
            out, aux = _with_aux("grad", func(*_replace(args, places, values), **kwargs), has_aux)
            if not isinstance(out, Tensor) or out.dim() != 0:
                told = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
                raise RuntimeError(f"grad: the function must return one number as a 0-d tensor, got {told}")
            grads = _gradients([out], inputs, [None], transform.keeps_graph)
            grads = tree_unflatten(grads, spec)
            result = grads[0] if isinstance(argnums, int) else grads
            return transform.result((result, (out, aux) if has_aux else out))

    return both


def grad(func: Function, argnums: Any = 0, has_aux: bool = False) -> Function:
    """A function that returns the gradient of `func`, which returns one number.

    Args:
        func: returns a 0-d tensor, or `(0-d tensor, aux)` with `has_aux`.
        argnums: position of the argument to differentiate by, or several positions.
    """
    both = grad_and_value(func, argnums, has_aux)

    @functools.wraps(func)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        result, value = both(*args, **kwargs)
        return (result, value[1]) if has_aux else result

    return gradient


def vjp(func: Function, *primals: Any, has_aux: bool = False) -> Any:
    """The output of `func`, and a function from cotangents of the output to those of the primals."""
    with _Transform(primals) as transform:
        leaves, spec = tree_flatten(primals)
        inputs = [_fresh("vjp", v) for v in leaves]
        out, aux = _with_aux("vjp", func(*tree_unflatten(inputs, spec)), has_aux)
        outs, out_spec = tree_flatten(out)
        _checked_outputs("vjp", outs)
        shown = transform.result((out, aux))

    def pull_back(cotangents: Any, retain_graph: bool = True, create_graph: bool | None = None) -> Any:
        given, given_spec = tree_flatten(cotangents)
        if given_spec != out_spec:
            raise RuntimeError(
                "vjp: the cotangents must be nested as the output of the function is: Expected "
                "pytree structure of "
                "cotangents to be the same as that of the outputs"
            )
        if create_graph is None:
            needs = _depth.value > 0 or any(isinstance(c, Tensor) and c.requires_grad for c in given)
            create_graph = _C.is_grad_enabled() and (transform.tracks or needs)
        return tree_unflatten(_gradients(outs, inputs, given, create_graph), spec)

    return (shown[0], pull_back, shown[1]) if has_aux else (shown[0], pull_back)


class _Linear:
    """The derivative of a function at a point as a linear map, by transposing its transpose."""

    def __init__(self, name: str, func: Function, primals: tuple[Any, ...], has_aux: bool) -> None:
        leaves, self.spec = tree_flatten(primals)
        self.inputs = [_fresh(name, v) for v in leaves]
        out, self.aux = _with_aux(name, func(*tree_unflatten(self.inputs, self.spec)), has_aux)
        self.outs, self.out_spec = tree_flatten(out)
        self.dummies = [_C.zeros_like(o).requires_grad_() for o in self.outs]
        self.transposed = _gradients(self.outs, self.inputs, self.dummies, True)

    def __call__(self, tangents: list[Any], keeps_graph: bool) -> list[Any]:
        return _gradients(self.transposed, self.dummies, tangents, keeps_graph)


def _check_tangents(name: str, primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> list[Any]:
    leaves, spec = tree_flatten(tuple(primals))
    given, given_spec = tree_flatten(tuple(tangents))
    if spec != given_spec:
        raise RuntimeError(
            f"{name}: the tangents must be nested as the primals are: Expected primals and "
            "tangents to have the same "
            f"python structure"
        )
    for primal, tangent in zip(leaves, given, strict=True):
        if tuple(primal.shape) != tuple(tangent.shape):
            raise RuntimeError(
                f"{name}: a tangent has shape {tuple(tangent.shape)}, its primal {tuple(primal.shape)}"
            )
    return given


def _push(
    name: str, func: Function, leaves: list[Any], spec: TreeSpec, tangents: Sequence[Any], has_aux: bool
) -> tuple[tuple[list[Any], TreeSpec], list[Any], Any]:
    """(outputs of func and their nesting), their tangents (None where there is none), aux: forward mode."""
    for value in leaves:
        if not isinstance(value, Tensor):
            raise TypeError(f"{name}: expected tensors, got {type(value).__name__}")
        if not (value.is_floating_point() or value.is_complex()):
            raise RuntimeError(f"{name}: only floating and complex tensors have gradients, got {value.dtype}")
    level = _C._forward_open()
    before = _C._set_forward_enabled(True)
    try:
        duals = [_C._make_dual(v, t.to(v.dtype), level) for v, t in zip(leaves, tangents, strict=True)]
        out, aux = _with_aux(name, func(*tree_unflatten(duals, spec)), has_aux)
        outs, out_spec = tree_flatten(out)
        _checked_outputs(name, outs)
        return (outs, out_spec), [_C._tangent(v, level) for v in outs], aux
    finally:
        _C._set_forward_enabled(before)
        _C._forward_close()


def jvp(
    func: Function,
    primals: tuple[Any, ...],
    tangents: tuple[Any, ...],
    *,
    strict: bool = False,
    has_aux: bool = False,
) -> Any:
    """The output of `func` at `primals`, and its directional derivative along `tangents`."""
    if not isinstance(primals, tuple) or not primals:
        raise RuntimeError(
            "jvp: primals must be a tuple of at least one value: Expected primals to be a tuple "
            "with at least one "
            "Tensor"
        )
    given = _check_tangents("jvp", primals, tangents)
    leaves, spec = tree_flatten(primals)
    (outs, out_spec), pushed, aux = _push("jvp", func, leaves, spec, given, has_aux)
    if strict and any(t is None for t in pushed):
        raise RuntimeError("jvp: with strict=True every output must depend on the primals")
    out = tree_unflatten(outs, out_spec)
    derivative = tree_unflatten(_zeros_where_none(pushed, outs), out_spec)
    return (out, derivative, aux) if has_aux else (out, derivative)


def linearize(func: Function, *primals: Any) -> tuple[Any, Function]:
    """The output of `func` at `primals`, and its derivative there as a function of tangents."""
    with _Transform(primals) as transform:
        linear = _Linear("linearize", func, primals, False)
        shown = transform.result(tree_unflatten(linear.outs, linear.out_spec))

    def push_forward(*tangents: Any) -> Any:
        given = _check_tangents("linearize", primals, tangents)
        return tree_unflatten(linear(given, transform.keeps_graph), linear.out_spec)

    return shown, push_forward


def _basis(like: list[Any]) -> list[Any]:
    """All unit vectors of a list of tensors, stacked: one [n, *shape] for each of them."""
    total = sum(t.numel() for t in like)
    out, begin = [], 0
    for t in like:
        n = t.numel()
        block = _C.zeros(total, n, dtype=t.dtype)
        block[begin : begin + n] = _C.eye(n, dtype=t.dtype)
        out.append(block.reshape((total, *t.shape)))
        begin += n
    return out


def jacrev(
    func: Function,
    argnums: Any = 0,
    *,
    has_aux: bool = False,
    chunk_size: int | None = None,
) -> Function:
    """A function that returns the Jacobian of `func`, row by row (best where it has few outputs).

    The entry for an output and an argument has the output's shape, then the argument's.
    """

    @functools.wraps(func)
    def jacobian(*args: Any, **kwargs: Any) -> Any:
        places = _chosen("jacrev", argnums, args)
        with _Transform((args, kwargs)) as transform:
            leaves, spec = tree_flatten(tuple(args[p] for p in places))
            inputs = [_fresh("jacrev", v) for v in leaves]
            values = tree_unflatten(inputs, spec)
            out, aux = _with_aux("jacrev", func(*_replace(args, places, values), **kwargs), has_aux)
            outs, out_spec = tree_flatten(out)
            _checked_outputs("jacrev", outs)

            def pull_back(*cotangents: Any) -> tuple[Any, ...]:
                return tuple(_gradients(outs, inputs, cotangents, transform.keeps_graph))

            rows = vmap(pull_back, chunk_size=chunk_size)(*_basis(outs))
            parts = _split_rows(rows, outs, lambda t, o, x: t.reshape((*o.shape, *x.shape)), inputs)
            result = _nest(parts, out_spec, spec, argnums)
            return transform.result((result, aux) if has_aux else result)

    return jacobian


def _split_rows(rows: Any, outs: list[Any], shape: Function, inputs: list[Any]) -> list[list[Any]]:
    """[output][input] of the stacked rows."""
    parts, begin = [], 0
    for o in outs:
        n = o.numel()
        parts.append([shape(r.narrow(0, begin, n), o, x) for r, x in zip(rows, inputs, strict=True)])
        begin += n
    return parts


def _nest(parts: list[list[Any]], out_spec: TreeSpec, in_spec: TreeSpec, argnums: Any) -> Any:
    def of_inputs(row: list[Any]) -> Any:
        nested = tree_unflatten(row, in_spec)
        return nested[0] if isinstance(argnums, int) else nested

    return tree_unflatten([of_inputs(row) for row in parts], out_spec)


def _at_all_tangents(push: Function, inputs: list[Any], randomness: str) -> list[Any]:
    """What `push` gives for the unit tangents of the inputs, stacked. Only tangents have the batch."""
    if randomness not in _RANDOMNESS:
        raise RuntimeError(f"jacfwd: randomness must be one of {', '.join(_RANDOMNESS)}, got {randomness!r}")
    for x in inputs:
        if not isinstance(x, Tensor):
            raise TypeError(f"jacfwd: expected tensors, got {type(x).__name__}")
    total = sum(x.numel() for x in inputs)
    if total == 0:
        return [_C.zeros(0, *o.shape, dtype=o.dtype) for o in push([_C.zeros_like(x) for x in inputs])]
    level = _C._vmap_open(total, _RANDOMNESS[randomness], randomness != "different")
    try:
        pushed = push([_C._vmap_add(t, 0, level) for t in _basis(inputs)])
        return [_C._vmap_remove(t, 0, level) for t in pushed]
    finally:
        _C._vmap_close()


def jacfwd(
    func: Function,
    argnums: Any = 0,
    has_aux: bool = False,
    *,
    randomness: str = "error",
) -> Function:
    """A function that returns the Jacobian of `func`, column by column (best where it has few inputs)."""

    @functools.wraps(func)
    def jacobian(*args: Any, **kwargs: Any) -> Any:
        places = _chosen("jacfwd", argnums, args)
        chosen = tuple(args[p] for p in places)
        leaves, spec = tree_flatten(chosen)
        seen: list[Any] = []

        def of_chosen(*values: Any) -> Any:
            return func(*_replace(args, places, values), **kwargs)

        def push_forward(tangents: Sequence[Any]) -> list[Any]:
            outs, pushed, aux = _push("jacfwd", of_chosen, leaves, spec, tangents, has_aux)
            seen[:] = outs[0], outs[1], aux
            return _zeros_where_none(pushed, outs[0])

        columns = _at_all_tangents(push_forward, leaves, randomness)
        outs, out_spec, aux = seen
        parts = []
        for column, o in zip(columns, outs, strict=True):
            row, begin = [], 0
            for x in leaves:
                n = x.numel()
                row.append(column.narrow(0, begin, n).movedim(0, -1).reshape((*o.shape, *x.shape)))
                begin += n
            parts.append(row)
        result = _nest(parts, out_spec, spec, argnums)
        return (result, aux) if has_aux else result

    return jacobian


def hessian(func: Function, argnums: Any = 0) -> Function:
    """A function that returns the second derivatives of `func`: the Jacobian of its gradient."""
    return jacfwd(jacrev(func, argnums), argnums)


def stack_module_state(models: Sequence[Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters and buffers of equal modules, each stacked along a new first dimension (for vmap)."""
    if not models:
        raise RuntimeError("stack_module_state: expected at least one module, got none")
    if len({type(m) for m in models}) > 1:
        raise RuntimeError("stack_module_state: all modules must have the same type")

    def stacked(all_of: list[dict[str, Any]], learn: bool) -> dict[str, Any]:
        out = {}
        for name in all_of[0]:
            together = _C.stack([tensors[name].detach() for tensors in all_of])
            needs = learn and all_of[0][name].requires_grad
            out[name] = together.requires_grad_() if needs else together
        return out

    parameters = stacked([dict(m.named_parameters()) for m in models], True)
    return parameters, stacked([dict(m.named_buffers()) for m in models], False)


def replace_all_batch_norm_modules_(root: Any) -> Any:
    """Make all batch normalizations of a module use the batch alone, in place: running statistics, which
    transforms cannot write, go away. Returns the module.
    """
    from .nn.normalization import _BatchNorm

    for module in root.modules():
        if isinstance(module, _BatchNorm) and module.track_running_stats:
            module.running_mean = module.running_var = module.num_batches_tracked = None
            module.track_running_stats = False
    return root
