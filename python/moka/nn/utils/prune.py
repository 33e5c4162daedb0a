"""Pruning: weights held at zero by a mask; `weight` becomes weight_orig * weight_mask before every
forward."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

from moka import _C
from moka._C import Tensor

from ..module import Module
from ..parameter import Parameter

__all__ = [
    "BasePruningMethod",
    "CustomFromMask",
    "Identity",
    "L1Unstructured",
    "LnStructured",
    "PruningContainer",
    "RandomStructured",
    "RandomUnstructured",
    "custom_from_mask",
    "global_unstructured",
    "identity",
    "is_pruned",
    "l1_unstructured",
    "ln_structured",
    "random_structured",
    "random_unstructured",
    "remove",
]


def _validate_pruning_amount_init(amount: float) -> None:
    """An amount is a share in 0 to 1, or a number of units."""
    if isinstance(amount, bool) or not isinstance(amount, (int, float)):
        raise TypeError(f"prune: amount must be a number, but {type(amount).__name__} came")
    if amount < 0 or (isinstance(amount, float) and amount > 1):
        raise ValueError(f"prune: amount {amount} must be a share in 0 to 1, or a whole number of units")


def _validate_pruning_amount(amount: float, tensor_size: int) -> None:
    """A number of units is at most the number there are."""
    if isinstance(amount, int) and amount > tensor_size:
        raise ValueError(
            f"prune: amount {amount} must be in 0 to {tensor_size}, the number of units there are"
        )


def _compute_nparams_toprune(amount: float, tensor_size: int) -> int:
    """How many of `tensor_size` units an amount means."""
    return amount if isinstance(amount, int) else round(amount * tensor_size)


def _count(amount: float, size: int) -> int:
    """The same, checked."""
    _validate_pruning_amount_init(amount)
    _validate_pruning_amount(amount, size)
    return _compute_nparams_toprune(amount, size)


def _cleared(mask: Tensor, places: list[int]) -> Tensor:
    """The mask with these flat places zero."""
    flat = mask.clone().reshape(-1)
    if places:
        flat[_C.tensor(places, dtype=_C.int64)] = 0
    return flat.reshape(mask.shape)


class BasePruningMethod(ABC):
    """Decides which elements stay; a subclass defines compute_mask and PRUNING_TYPE ("unstructured",
    "structured" or "global").
    """

    PRUNING_TYPE = "unstructured"
    _tensor_name: str

    def __call__(self, module: Module, inputs: Any) -> None:
        object.__setattr__(module, self._tensor_name, self.apply_mask(module))

    @abstractmethod
    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """The mask after this method, from the importance of the elements and the mask before."""

    def apply_mask(self, module: Module) -> Tensor:
        """The original times the mask."""
        original = getattr(module, self._tensor_name + "_orig")
        return getattr(module, self._tensor_name + "_mask").to(original.dtype) * original

    @classmethod
    def apply(
        cls, module: Module, name: str, *args: Any, importance_scores: Tensor | None = None, **kwargs: Any
    ) -> Any:
        """Prune `module.name` with this method; one that was pruned before is pruned further."""
        method = cls(*args, **kwargs)
        method._tensor_name = name
        found = _hook_of(module, name)
        if found is None:
            original = getattr(module, name)
            if not isinstance(original, Parameter):
                raise TypeError(f"prune: {name!r} of {type(module).__name__} is no parameter")
            mask = _C.ones_like(original.detach())
        else:
            original = getattr(module, name + "_orig")
            mask = getattr(module, name + "_mask")
        scores = getattr(module, name).detach() if importance_scores is None else importance_scores.detach()
        if tuple(scores.shape) != tuple(original.shape):
            raise ValueError(
                f"prune: importance_scores must have the shape of {name}, {list(original.shape)}, but have "
                f"{list(scores.shape)}"
            )
        if found is not None:
            key, before = found
            container = PruningContainer()
            container._tensor_name = name
            container._methods = [*getattr(before, "_methods", [before]), method]
            new_mask = container.compute_mask(scores, mask)
            del module._forward_pre_hooks[key]
            hook: BasePruningMethod = container
        else:
            new_mask = method.compute_mask(scores, mask)
            delattr(module, name)
            module.register_parameter(name + "_orig", original)
            hook = method
        module.register_buffer(name + "_mask", new_mask.to(original.dtype))
        object.__setattr__(module, name, hook.apply_mask(module))
        module.register_forward_pre_hook(hook)
        return hook

    def prune(
        self, t: Tensor, default_mask: Tensor | None = None, importance_scores: Tensor | None = None
    ) -> Tensor:
        """`t` with the elements zero that this method would prune."""
        scores = t if importance_scores is None else importance_scores
        mask = _C.ones_like(t) if default_mask is None else default_mask
        return t * self.compute_mask(scores, mask).to(t.dtype)

    def remove(self, module: Module) -> None:
        """Make the pruned tensor an ordinary parameter again, zeros included."""
        name = self._tensor_name
        pruned = self.apply_mask(module).detach()
        original = module._parameters[name + "_orig"]
        original.data = pruned
        delattr(module, name + "_orig")
        delattr(module, name + "_mask")
        module.__dict__.pop(name, None)
        module.register_parameter(name, original)


def _hook_of(module: Module, name: str) -> tuple[int, BasePruningMethod] | None:
    for key, hook in module._forward_pre_hooks.items():
        if isinstance(hook, BasePruningMethod) and hook._tensor_name == name:
            return key, hook
    return None


class PruningContainer(BasePruningMethod):
    """Several methods one after the other; each sees only what the ones before left."""

    def __init__(self, *methods: BasePruningMethod) -> None:
        self._methods = list(methods)
        self._tensor_name = methods[0]._tensor_name if methods else ""

    def add_pruning_method(self, method: BasePruningMethod) -> None:
        """Add a method at the end."""
        if not isinstance(method, BasePruningMethod):
            raise TypeError(f"PruningContainer: {type(method).__name__} is no pruning method")
        if self._methods and method._tensor_name != self._tensor_name:
            raise ValueError(
                f"PruningContainer: the methods prune {self._tensor_name!r}, not {method._tensor_name!r}"
            )
        self._tensor_name = method._tensor_name
        self._methods.append(method)

    def __len__(self) -> int:
        return len(self._methods)

    def __iter__(self) -> Any:
        return iter(self._methods)

    def __getitem__(self, index: int) -> BasePruningMethod:
        return self._methods[index]

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        method = self._methods[-1]
        kept = default_mask.reshape(-1).tolist()
        mask = default_mask.to(t.dtype, copy=True)
        if method.PRUNING_TYPE == "unstructured":
            places = _C.tensor([i for i, value in enumerate(kept) if value], dtype=_C.int64)
            part = method.compute_mask(
                t.reshape(-1).index_select(0, places), mask.reshape(-1).index_select(0, places)
            )
            flat = mask.reshape(-1)
            flat[places] = part
            return flat.reshape(mask.shape)
        if method.PRUNING_TYPE == "structured":
            dim = getattr(method, "dim", -1) % t.dim()
            others = [i for i in range(t.dim()) if i != dim]
            sums = default_mask.sum(others).tolist() if others else kept
            channels = _C.tensor([i for i, value in enumerate(sums) if value], dtype=_C.int64)
            part = method.compute_mask(t.index_select(dim, channels), mask.index_select(dim, channels))
            index = tuple(channels if i == dim else slice(None) for i in range(dim + 1))
            mask[index] = part
            return mask
        return method.compute_mask(t, mask)


class Identity(BasePruningMethod):
    """Prunes nothing, but makes the mask."""

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        return default_mask


class RandomUnstructured(BasePruningMethod):
    """Prunes single elements at random."""

    def __init__(self, amount: float) -> None:
        _validate_pruning_amount_init(amount)
        self.amount = amount

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        count = _count(self.amount, t.numel())
        drawn = _C.rand(tuple(t.shape)).view(-1)
        return _cleared(default_mask, drawn.topk(count).indices.tolist())


class L1Unstructured(BasePruningMethod):
    """Prunes the single elements of smallest size."""

    def __init__(self, amount: float) -> None:
        _validate_pruning_amount_init(amount)
        self.amount = amount

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        count = _count(self.amount, t.numel())
        order = t.abs().reshape(-1).sort()[1].tolist()
        return _cleared(default_mask, order[:count])


class _Structured(BasePruningMethod):
    PRUNING_TYPE = "structured"

    def __init__(self, amount: float, dim: int = -1) -> None:
        _validate_pruning_amount_init(amount)
        self.amount = amount
        self.dim = dim

    def _checked_dim(self, t: Tensor) -> int:
        shape = list(t.shape)
        if t.dim() < 2:
            raise ValueError(
                "Structured pruning can only be applied to multidimensional tensors, whose channels go; the "
                f"tensor's shape is {shape}"
            )
        if not -t.dim() <= self.dim < t.dim():
            raise IndexError(f"prune: Invalid index {self.dim}: dim must name a dimension of shape {shape}")
        return self.dim % t.dim()

    def _without(self, t: Tensor, default_mask: Tensor, scores: list[float]) -> Tensor:
        dim = self.dim % t.dim()
        count = _count(self.amount, t.shape[dim])
        order = sorted(range(len(scores)), key=scores.__getitem__)
        stays = [1.0] * len(scores)
        for channel in order[:count]:
            stays[channel] = 0.0
        shape = [1] * t.dim()
        shape[dim] = -1
        return default_mask * _C.tensor(stays, dtype=default_mask.dtype).reshape(shape)


class RandomStructured(_Structured):
    """Prunes whole channels along `dim` at random."""

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        return self._without(t, default_mask, _C.rand(t.shape[self._checked_dim(t)]).tolist())


class LnStructured(_Structured):
    """Prunes the channels along `dim` whose norm n is smallest."""

    def __init__(self, amount: float, n: float, dim: int = -1) -> None:
        super().__init__(amount, dim)
        self.n = n

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        dim = self._checked_dim(t)
        rows = t.transpose(0, dim).reshape(t.shape[dim], -1).abs()
        n = float(self.n)
        if math.isinf(n):
            scores = rows.amax(1) if n > 0 else rows.amin(1)
        else:
            scores = rows.pow(n).sum(1).pow(1 / n)
        return self._without(t, default_mask, scores.tolist())


class CustomFromMask(BasePruningMethod):
    """Prunes where a given mask is zero."""

    PRUNING_TYPE = "global"

    def __init__(self, mask: Tensor) -> None:
        self.mask = mask

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        return default_mask * self.mask.to(default_mask.dtype)


def identity(module: Module, name: str) -> Module:
    """Prune nothing, but make the mask; returns the module."""
    Identity.apply(module, name)
    return module


def random_unstructured(module: Module, name: str, amount: float) -> Module:
    """Prune `amount` elements (a share or a number) at random; returns the module."""
    RandomUnstructured.apply(module, name, amount)
    return module


def l1_unstructured(
    module: Module, name: str, amount: float, importance_scores: Tensor | None = None
) -> Module:
    """Prune the `amount` elements (a share or a number) of smallest size (or score); returns the module."""
    L1Unstructured.apply(module, name, amount, importance_scores=importance_scores)
    return module


def random_structured(module: Module, name: str, amount: float, dim: int) -> Module:
    """Prune `amount` channels along `dim` at random; returns the module."""
    RandomStructured.apply(module, name, amount, dim)
    return module


def ln_structured(
    module: Module,
    name: str,
    amount: float,
    n: float,
    dim: int,
    importance_scores: Tensor | None = None,
) -> Module:
    """Prune the `amount` channels along `dim` with the smallest norm n; returns the module."""
    LnStructured.apply(module, name, amount, n, dim, importance_scores=importance_scores)
    return module


def global_unstructured(
    parameters: Iterable[tuple[Module, str]],
    pruning_method: type[BasePruningMethod],
    importance_scores: dict[tuple[Module, str], Tensor] | None = None,
    **kwargs: Any,
) -> None:
    """Prune several tensors as if they were one, so that some lose more than others."""
    listed = list(parameters)
    if not listed:
        raise TypeError("global_unstructured: pairs of module and name are needed, but none came")
    given = importance_scores or {}
    scores = [given.get((m, name), getattr(m, name)).detach() for m, name in listed]
    masks = [
        getattr(m, name + "_mask") if _hook_of(m, name) else _C.ones_like(getattr(m, name).detach())
        for m, name in listed
    ]
    method = pruning_method(**kwargs)
    if method.PRUNING_TYPE != "unstructured":
        raise TypeError("global_unstructured: only methods that prune single elements can be used")
    method._tensor_name = "all"
    container = PruningContainer(method)
    whole = container.compute_mask(
        _C.cat([s.reshape(-1) for s in scores], 0), _C.cat([mask.reshape(-1) for mask in masks], 0)
    )
    start = 0
    for (module, name), mask in zip(listed, masks, strict=True):
        end = start + mask.numel()
        custom_from_mask(module, name, whole[start:end].reshape(mask.shape))
        start = end


def custom_from_mask(module: Module, name: str, mask: Tensor) -> Module:
    """Prune where `mask` is zero; returns the module."""
    CustomFromMask.apply(module, name, mask)
    return module


def remove(module: Module, name: str) -> Module:
    """Make a pruned tensor an ordinary parameter again, zeros included; returns the module."""
    found = _hook_of(module, name)
    if found is None:
        raise ValueError(f"prune.remove: {name!r} of {type(module).__name__} is not pruned")
    key, method = found
    method.remove(module)
    del module._forward_pre_hooks[key]
    return module


def is_pruned(module: Module) -> bool:
    """Whether the module or one below it is pruned."""
    hooks = (hook for below in module.modules() for hook in below._forward_pre_hooks.values())
    return any(isinstance(hook, BasePruningMethod) for hook in hooks)
