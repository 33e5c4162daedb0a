"""Names of several small torch modules: torch.types, torch.autograd.variable, torch.nn.modules.utils."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from typing import Any

from moka import _C
from moka._C import Tensor
from moka.autograd import FunctionContext, once_differentiable, set_grad_enabled
from moka.nn import init
from moka.nn.stateful import IncompatibleKeys
from moka.optim.lr_scheduler import LRScheduler

from . import printing

__all__ = [
    "Device",
    "FileLike",
    "FunctionCtx",
    "Number",
    "Storage",
    "Variable",
    "once_differentiable",
    "record",
]

Number = int | float | bool
default_generator = _C.default_generator
Device = Any
FileLike = Any
Storage = Any
_int, _float, _bool = int, float, bool
_size = Sequence[int]
_dtype = _C.dtype
_device = _C.device
_TensorOrTensors = Tensor | Sequence[Tensor]
_TensorOrTensorsOrGradEdge = Any
_layout = Any
_qscheme = Any
_EXTRA_STATE_KEY_SUFFIX = "_extra_state"
FunctionCtx = FunctionContext
_LRScheduler = LRScheduler
ParamsT = Any
_params_t = Any


class _RequiredParameter:
    """The mark of an option that an optimizer must be given."""

    def __repr__(self) -> str:
        return "<required parameter>"


required = _RequiredParameter()


def _use_grad_for_differentiable(func: Callable[..., Any]) -> Callable[..., Any]:
    """A step() that records only where the optimizer's "differentiable" asks for it."""

    @functools.wraps(func)
    def step(self: Any, *args: Any, **kwargs: Any) -> Any:
        with set_grad_enabled(self.defaults.get("differentiable", False)):
            return func(self, *args, **kwargs)

    return step


def _default_to_fused_or_foreach(*_: Any, **__: Any) -> tuple[bool, bool]:
    return False, False


def _get_capturable_supported_devices(supports_xla: bool = True) -> list[str]:
    return []


def _get_value(x: Any) -> Any:
    return x.item() if isinstance(x, Tensor) else x


def _dispatch_sqrt(x: Any) -> Any:
    return x.sqrt() if isinstance(x, Tensor) else x**0.5


_stack_if_compiling = _get_value


def _profiler_enabled() -> bool:
    return False


def get_device_states(*args: Any) -> tuple[list[int], list[Tensor]]:
    """None: the CPU's stream is no device's."""
    return [], []


def set_device_states(devices: Any, states: Any, *, device_type: str | None = None) -> None:
    """Nothing, as above."""


def detach_variable(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """The tensors apart from their history, needing gradients as before."""
    if not isinstance(inputs, tuple):
        raise RuntimeError(
            f"Only tuple of tensors is supported. Got Unsupported input type: {type(inputs).__name__}"
        )
    return tuple(
        value.detach().requires_grad_(value.requires_grad) if isinstance(value, Tensor) else value
        for value in inputs
    )


def is_namedtuple_class(cls: type) -> bool:
    """Whether it is a class of named tuples."""
    return isinstance(cls, type) and issubclass(cls, tuple) and hasattr(cls, "_fields")


def is_namedtuple_instance(obj: object) -> bool:
    """Whether it is a named tuple."""
    return is_namedtuple_class(type(obj))


is_namedtuple = is_namedtuple_instance


def is_structseq_class(cls: type) -> bool:
    """Whether it is a class such as that of time.localtime()."""
    sizes = ("n_fields", "n_sequence_fields", "n_unnamed_fields")
    if not isinstance(cls, type) or not issubclass(cls, tuple):
        return False
    return all(type(getattr(cls, name, None)) is int for name in sizes)


def is_structseq_instance(obj: object) -> bool:
    """Whether its class is such a one."""
    return is_structseq_class(type(obj))


is_structseq = is_structseq_instance


def _list_flatten(d: Sequence[Any]) -> tuple[list[Any], Any]:
    return list(d), None


def _list_unflatten(values: Iterable[Any], context: Any) -> list[Any]:
    return list(values)


_tuple_flatten = _list_flatten


def _tuple_unflatten(values: Iterable[Any], context: Any) -> tuple[Any, ...]:
    return tuple(values)


def _namedtuple_flatten(d: Any) -> tuple[list[Any], Any]:
    return list(d), type(d)


def _namedtuple_unflatten(values: Iterable[Any], context: Any) -> Any:
    return context(*values)


def tree_is_leaf(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> bool:
    """Whether there is no container."""
    from moka.utils import pytree

    return pytree._is_leaf(tree, is_leaf)


def record(fn: Callable[..., Any], error_handler: Any = None) -> Callable[..., Any]:
    """The function; its errors are printed as usual."""
    return fn


def throw_abstract_impl_not_imported_error(*_: Any) -> None:
    """Nothing: operators of programs need no further import."""


class _Engine:
    """What programs ask of the engine: a callback at the end of the running backward."""

    queue_callback = staticmethod(_C._at_end_of_backward)


class _VariableType(type):
    def __instancecheck__(cls, value: Any) -> bool:
        return isinstance(value, Tensor)


class Variable(metaclass=_VariableType):
    """Variable(tensor) shows the tensor's memory, as a leaf of its own."""

    _execution_engine = _Engine()

    def __new__(
        cls, data: Tensor | None = None, requires_grad: bool = False, volatile: bool = False
    ) -> Tensor:
        """The memory of `data`, without its history."""
        if data is None:
            data = _C.empty(0)
        if not isinstance(data, Tensor):
            raise TypeError(f"Variable: data must be a Tensor, but {type(data).__name__} came")
        return data.detach().requires_grad_(requires_grad)


_IncompatibleKeys = IncompatibleKeys


def _tensor_str(self: Tensor, indent: int = 0) -> str:
    """The numbers of a tensor as text."""
    return printing.numbers(self, indent)


def _add_suffixes(tensor_str: str, suffixes: list[str], indent: int, force_newline: bool) -> str:
    return printing.add_marks(tensor_str, suffixes, indent, force_newline)


def _str_intern(inp: Tensor, *, tensor_contents: str | None = None) -> str:
    return printing.text(inp, tensor_contents)


def _sum_rightmost(value: Tensor, dim: int) -> Tensor:
    return value if dim == 0 else value.reshape((*value.shape[: value.dim() - dim], -1)).sum(-1)


def _calculate_fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    if tensor.dim() < 2:
        raise ValueError("Fan in and fan out can not be computed for tensor with fewer than 2 dimensions")
    field = tensor[0, 0].numel()
    return tensor.shape[1] * field, tensor.shape[0] * field


def _calculate_correct_fan(tensor: Tensor, mode: str) -> int:
    if mode.lower() not in ("fan_in", "fan_out"):
        raise ValueError(f"Mode {mode} not supported, please use one of ['fan_in', 'fan_out']")
    return _calculate_fan_in_and_fan_out(tensor)[mode.lower() == "fan_out"]


def _no_grad_uniform_(tensor: Tensor, a: float, b: float, generator: Any = None) -> Tensor:
    return init.uniform_(tensor, a, b, generator)


def _no_grad_normal_(tensor: Tensor, mean: float, std: float, generator: Any = None) -> Tensor:
    return init.normal_(tensor, mean, std, generator)


def _no_grad_trunc_normal_(
    tensor: Tensor, mean: float, std: float, a: float, b: float, generator: Any = None
) -> Tensor:
    return init.trunc_normal_(tensor, mean, std, a, b, generator)


def _no_grad_fill_(tensor: Tensor, val: float) -> Tensor:
    return init.constant_(tensor, val)


def _no_grad_zero_(tensor: Tensor) -> Tensor:
    return init.zeros_(tensor)


def _standard_normal(shape: Any, dtype: Any, device: Any) -> Tensor:
    return _C.randn(shape, dtype=dtype)


def _ntuple(count: int) -> Callable[[Any], tuple[Any, ...]]:
    def spread(value: Any) -> tuple[Any, ...]:
        return tuple(value) if isinstance(value, Iterable) else tuple(repeat(value, count))

    return spread


_single, _pair, _triple, _quadruple = (_ntuple(count) for count in (1, 2, 3, 4))


def consume_prefix_in_state_dict_if_present(state_dict: dict[str, Any], prefix: str) -> None:
    """Take a prefix away from the names of a state dict, and of its metadata, where they begin with it."""
    for key in [key for key in state_dict if key.startswith(prefix)]:
        state_dict[key[len(prefix) :]] = state_dict.pop(key)
    metadata = getattr(state_dict, "_metadata", None)
    for key in list(metadata or ()):
        if key.startswith(prefix) or key == prefix.rstrip("."):
            metadata[key[len(prefix) :]] = metadata.pop(key)


def _reverse_repeat_tuple(t: Sequence[Any], n: int) -> tuple[Any, ...]:
    return tuple(value for value in reversed(t) for _ in range(n))


def _list_with_default(out_size: Sequence[Any], defaults: Sequence[int]) -> list[int]:
    return [
        given if given is not None else own
        for given, own in zip(out_size, defaults[len(defaults) - len(out_size) :], strict=True)
    ]
