"""Modules inside of torch that packages import for its compilers, sharding and dispatch: questions are
answered, the
rest is refused when it is used.
"""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

from .refusing import refused_class, refused_function

__all__: list[str] = []

PREFIXES = (
    *("torch._decomp", "torch._dispatch", "torch._dynamo", "torch._export", "torch._functorch"),
    *("torch._guards", "torch._higher_order_ops", "torch._inductor", "torch._logging", "torch._ops"),
    *("torch._meta_registrations", "torch.distributed._functional_collectives"),
    *("torch._prims", "torch._refs", "torch._subclasses", "torch._weights_only_unpickler", "torch.ao"),
    *("torch.distributed._composable", "torch.distributed._shard"),
    *("torch.distributed._tensor", "torch.distributed._tools", "torch.distributed.algorithms"),
    *("torch.distributed.checkpoint", "torch.distributed.device_mesh", "torch.distributed.elastic"),
    *("torch.distributed.fsdp", "torch.distributed.pipelining", "torch.distributed.rpc"),
    *("torch.distributed.tensor", "torch.distributed.utils", "torch.export", "torch.fx.experimental"),
    *("torch.fx.passes", "torch.nn.attention.flex_attention", "torch.nn.intrinsic", "torch.nn.qat"),
    *("torch.testing._internal", "torch.utils._config_module", "torch.utils._cxx_pytree"),
    *("torch.utils._sympy", "torch.utils._triton"),
    *("torch.utils.bundled_inputs"),
    *("torch.utils.mobile_optimizer", "torch._C._distributed_rpc", "torch._C._dynamo"),
    *("torch._C._functorch", "torch._C._profiler", "torch.distributed.launcher", "torch.distributed.run"),
    *("torch.nested._internal", "torch.numa", "torch.sparse._triton_ops", "torch.sparse._triton_ops_meta"),
)


def _no(*_: Any, **__: Any) -> bool:
    """False."""
    return False


is_fake = is_compile_supported = is_dynamo_compiling = is_traceable_wrapper_subclass = has_triton = _no
is_functorch_wrapped_tensor = has_triton_package = is_initialized = _no


def detect_fake_mode(*_: Any, **__: Any) -> None:
    """None: tensors without data do not exist here."""
    return None


get_proxy_mode = maybe_get_fake_mode = _get_current_dispatch_mode = active_fake_mode = detect_fake_mode


def guard_or_false(a: Any) -> bool:
    """The condition."""
    return bool(a)


guard_or_true = guard_size_oblivious = statically_known_true = definitely_true = guard_or_false
is_concrete_bool = guard_or_false


def free_symbols(*_: Any) -> set[Any]:
    """None: sizes are plain numbers."""
    return set()


free_unbacked_symbols = free_symbols


def _disable_current_modes(*_: Any, **__: Any) -> AbstractContextManager[None]:
    """A block that changes nothing."""
    return nullcontext()


disable_proxy_modes_tracing = unset_fake_temporarily = maybe_disable_fake_tensor_mode = _disable_current_modes


def _require_initialized(func: Any) -> Any:
    """The function."""
    return func


class Placement:
    """How a tensor that is split among processes lies; for tables of plans."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, vars(self).values()))})"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((type(self), *vars(self).values()))


class Replicate(Placement):
    """Whole in every process."""


class Shard(Placement):
    """Split along one dimension."""

    def __init__(self, dim: int = 0) -> None:
        self.dim = dim


class Partial(Placement):
    """To be combined."""

    def __init__(self, reduce_op: str = "sum") -> None:
        self.reduce_op = reduce_op


@cache
def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    why = "Moka has no such part of torch"
    if name.lstrip("_")[:1].isupper():
        return refused_class(f"torch's {name}", why)
    return refused_function(f"torch's {name}", why)
