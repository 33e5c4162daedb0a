"""Modules on several devices or in several processes: on one CPU the module itself."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from moka import _C
from moka._C import Tensor
from moka.autograd import is_grad_enabled, no_grad

from .module import Module

__all__ = [
    "DataParallel",
    "DistributedDataParallel",
    "data_parallel",
    "gather",
    "parallel_apply",
    "replicate",
    "scatter",
]


def _check_devices(what: str, device_ids: Any) -> None:
    for device in device_ids or ():
        if isinstance(device, int) or _C.device(str(device)).type != "cpu":
            raise RuntimeError(f"{what}: this build of Moka has no device {device}, only the CPU")


class DataParallel(Module):
    """A module whose batch torch would split among CUDA devices; without any it runs the module as it is.

    Args:
        module: kept as `module`, so that names in its state begin with "module.".
    """

    def __init__(
        self, module: Module, device_ids: Any = None, output_device: Any = None, dim: int = 0
    ) -> None:
        super().__init__()
        _check_devices("DataParallel", device_ids)
        self.module = module
        self.device_ids: list[int] = []
        self.dim = dim

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        return self.module(*inputs, **kwargs)


def data_parallel(
    module: Module,
    inputs: Any,
    device_ids: Any = None,
    output_device: Any = None,
    dim: int = 0,
    module_kwargs: Any = None,
) -> Any:
    """The module of its inputs; torch would split the batch among CUDA devices."""
    _check_devices("data_parallel", device_ids)
    inputs = inputs if isinstance(inputs, tuple) else (inputs,)
    return module(*inputs, **(module_kwargs or {}))


def parallel_apply(modules: Any, inputs: Any, kwargs_tup: Any = None, devices: Any = None) -> list[Any]:
    """Each module of its own inputs, one after the other; the operators use all cores."""
    options = kwargs_tup or [{}] * len(modules)
    results = []
    for module, given, kwargs in zip(modules, inputs, options, strict=True):
        results.append(module(*(given if isinstance(given, (list, tuple)) else (given,)), **kwargs))
    return results


def replicate(network: Module, devices: Any, detach: bool = False) -> list[Module]:
    """Copies of a module on other devices, of which there are none."""
    _check_devices("replicate", devices)
    return [network for _ in devices]


def scatter(inputs: Any, target_gpus: Any, dim: int = 0) -> Any:
    """Parts of the inputs on other devices, of which there are none."""
    _check_devices("scatter", target_gpus)
    return [inputs for _ in target_gpus]


def gather(outputs: Any, target_device: Any, dim: int = 0) -> Any:
    """Outputs of several devices put together along `dim`."""
    first = outputs[0]
    if isinstance(first, dict):
        return type(first)(
            (key, gather([part[key] for part in outputs], target_device, dim)) for key in first
        )
    if isinstance(first, (list, tuple)):
        return type(first)(gather(parts, target_device, dim) for parts in zip(*outputs, strict=True))
    if first is None:
        return None
    return _C.stack(list(outputs)) if first.dim() == 0 else _C.cat(list(outputs), dim)


class DistributedDataParallel(Module):
    """A module in every process of a group: same parameters everywhere, gradients averaged after backward.

    Args:
        module: kept as `module`; its state is taken from process 0.
        process_group: the group; without one the default group of moka.distributed.
        broadcast_buffers: whether buffers are taken from process 0 before every forward of a training module.
    """

    def __init__(
        self,
        module: Module,
        device_ids: Any = None,
        output_device: Any = None,
        dim: int = 0,
        broadcast_buffers: bool = True,
        init_sync: bool = True,
        process_group: Any = None,
        bucket_cap_mb: float | None = None,
        find_unused_parameters: bool = False,
        **_: Any,
    ) -> None:
        super().__init__()
        from moka import distributed

        _check_devices("DistributedDataParallel", device_ids)
        if not any(parameter.requires_grad for parameter in module.parameters()):
            raise RuntimeError(
                "DistributedDataParallel is not needed when a module doesn't have any parameter "
                "that requires a gradient."
            )
        self.module = module
        self.process_group = process_group or distributed.default_group()
        self.broadcast_buffers = broadcast_buffers
        self.find_unused_parameters = find_unused_parameters
        self.device_ids = self.output_device = None
        self.require_backward_grad_sync = True
        # ids of the parameters whose gradients this backward will bring, and those that came
        self._expected: set[int] = set()
        self._arrived: set[int] = set()
        self._trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
        if init_sync:
            self._take_state()
        for parameter in self._trained:
            parameter.register_post_accumulate_grad_hook(self._note)

    def _take_state(self) -> None:
        from moka import distributed

        with no_grad():
            for value in (*self.module.parameters(), *self.module.buffers()):
                distributed.broadcast(
                    value.detach(), distributed.first_of(self.process_group), self.process_group
                )

    def _note(self, parameter: Any) -> None:
        if not self.require_backward_grad_sync:
            return
        self._arrived.add(id(parameter))
        if self._arrived >= self._expected:
            self._reduce()

    def _reduce(self) -> None:
        """Average the gradients over the group; a parameter that no process used keeps its own."""
        from moka import distributed

        size = distributed.get_world_size(self.process_group)
        with no_grad():
            used = _C.tensor([float(id(parameter) in self._arrived) for parameter in self._trained])
            if self.find_unused_parameters:
                distributed.all_reduce(used, group=self.process_group)
            for parameter, count in zip(self._trained, used.tolist(), strict=True):
                if count == 0:
                    continue
                if parameter.grad is None:
                    parameter.grad = _C.zeros_like(parameter)
                distributed.all_reduce(parameter.grad, group=self.process_group)
                parameter.grad.div_(size)
        self._arrived.clear()

    def _begin(self) -> None:
        """Before a forward whose gradients will be averaged."""
        from moka import distributed

        if self._arrived and not self.find_unused_parameters and self._arrived != self._expected:
            raise RuntimeError(
                "Expected to have finished reduction in the prior iteration before starting a new one: some "
                "parameters were not used in producing loss; use find_unused_parameters=True"
            )
        if self.broadcast_buffers and self.training:
            with no_grad():
                for buffer in self.module.buffers():
                    distributed.broadcast(
                        buffer.detach(), distributed.first_of(self.process_group), self.process_group
                    )

    @contextmanager
    def no_sync(self) -> Iterator[None]:
        """The block's backwards add up gradients without averaging; the next one outside averages the sum."""
        before = self.require_backward_grad_sync
        self.require_backward_grad_sync = False
        try:
            yield
        finally:
            self.require_backward_grad_sync = before

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        averaging = is_grad_enabled() and self.require_backward_grad_sync
        if averaging:
            self._begin()
        outputs = self.module(*inputs, **kwargs)
        if averaging:
            self._expected = {id(parameter) for parameter in self._trained}
            if self.find_unused_parameters:
                self._expected &= _reached(outputs)
                if not self._expected:
                    self._reduce()
        return outputs


def _reached(outputs: Any) -> set[int]:
    """ids of the leaf tensors that some output was computed from."""
    from moka.utils.pytree import tree_leaves

    left = [
        leaf.grad_fn for leaf in tree_leaves(outputs) if isinstance(leaf, Tensor) and leaf.grad_fn is not None
    ]
    seen, found = set(), set()
    while left:
        node = left.pop()
        if node in seen:
            continue
        seen.add(node)
        leaf = getattr(node, "variable", None)
        if leaf is not None:
            found.add(id(leaf))
        left += [before for before, _ in node.next_functions if before is not None]
    return found
