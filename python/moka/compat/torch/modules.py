"""Which Moka modules stand behind each torch module, and the import hook that makes them."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from difflib import get_close_matches
from types import ModuleType
from typing import Any

__all__ = ["MissingName", "TorchModule", "install", "uninstall"]

_HERE = "moka.compat.torch"

# torch module -> Moka modules that are searched for a name, in this order.
_TARGETS: dict[str, tuple[str, ...]] = {
    "torch": (f"{_HERE}.files", "moka", f"{_HERE}.root", f"{_HERE}.autocasting"),
    "torch.amp": ("moka.amp",),
    "torch.amp.autocast_mode": ("moka.amp.autocast_mode",),
    "torch.amp.grad_scaler": ("moka.amp.grad_scaler",),
    "torch.autograd": ("moka.autograd",),
    "torch.autograd.forward_ad": ("moka.autograd.forward_ad",),
    "torch.autograd.function": ("moka.autograd", f"{_HERE}.small"),
    "torch.autograd.functional": ("moka.autograd.functional",),
    "torch.autograd.gradcheck": ("moka.autograd.checks",),
    "torch.autograd.graph": ("moka.autograd.graph",),
    "torch.autograd.variable": (f"{_HERE}.small",),
    "torch.backends": (f"{_HERE}.backends",),
    "torch.compiler": (f"{_HERE}.compiler",),
    "torch.cuda": (f"{_HERE}.cuda",),
    "torch.cpu": (f"{_HERE}.cpu",),
    "torch.cpu.amp": (f"{_HERE}.cpu_amp",),
    "torch.cuda.amp": (f"{_HERE}.cuda_amp",),
    "torch.distributions": ("moka.distributions",),
    "torch.fft": ("moka.fft",),
    "torch.func": ("moka.func",),
    "torch.functional": ("moka",),
    "torch.hub": (f"{_HERE}.hub",),
    "torch.jit": ("moka.jit", f"{_HERE}.jit_extras"),
    "torch.linalg": ("moka.linalg",),
    "torch.nn": ("moka.nn",),
    "torch.nn.functional": ("moka.nn.functional",),
    "torch.nn.init": ("moka.nn.init",),
    "torch.nn.modules": ("moka.nn",),
    "torch.nn.modules.module": ("moka.nn.module", "moka.nn.calling", "moka.nn.stateful"),
    "torch.nn.modules.lazy": ("moka.nn.lazy",),
    "torch.nn.modules.utils": (f"{_HERE}.small",),
    "torch.nn.grad": ("moka.nn.grad",),
    "torch.nn.parameter": ("moka.nn.parameter", "moka.nn.lazy"),
    "torch.nn.utils": ("moka.nn.utils",),
    "torch.nn.utils.clip_grad": ("moka.nn.utils.clip",),
    "torch.nn.utils.fusion": ("moka.nn.utils.fusion",),
    "torch.nn.utils.parametrizations": ("moka.nn.utils.parametrizations",),
    "torch.nn.utils.parametrize": ("moka.nn.utils.parametrize",),
    "torch.nn.utils.prune": ("moka.nn.utils.prune",),
    "torch.nn.utils.rnn": ("moka.nn.utils.rnn",),
    "torch.nn.utils.stateless": ("moka.nn.utils.stateless",),
    "torch.onnx": ("moka.onnx",),
    "torch.optim": ("moka.optim",),
    "torch.optim.lr_scheduler": ("moka.optim.lr_scheduler",),
    "torch.optim.optimizer": ("moka.optim.optimizer",),
    "torch.random": ("moka.random",),
    "torch.serialization": (f"{_HERE}.files",),
    "torch.special": ("moka.special",),
    "torch.testing": ("moka.testing",),
    "torch.types": (f"{_HERE}.small",),
    "torch.utils": ("moka.utils",),
    "torch.utils.checkpoint": ("moka.utils.checkpoint",),
    "torch.utils.data": ("moka.data",),
    "torch.version": (f"{_HERE}.version",),
}
# torch has one module for each distribution, Moka one for each family.
_FAMILIES = {
    "categorical": "categorical multinomial one_hot_categorical",
    "discrete": "bernoulli binomial geometric negative_binomial poisson",
    "gamma": "beta chi2 dirichlet fishersnedecor gamma inverse_gamma",
    "location_scale": "cauchy gumbel half_cauchy laplace studentT uniform von_mises",
    "matrices": "lkj_cholesky wishart",
    "multivariate_normal": "lowrank_multivariate_normal multivariate_normal",
    "normal": "half_normal log_normal logistic_normal normal",
    "positive": "exponential generalized_pareto kumaraswamy pareto weibull",
    "relaxed": "continuous_bernoulli relaxed_bernoulli relaxed_categorical",
    **{name: name for name in ("constraint_registry", "constraints", "distribution", "exp_family")},
    **{name: name for name in ("independent", "kl", "mixture_same_family", "transformed_distribution")},
    **{name: name for name in ("transforms", "utils")},
}
_TARGETS |= {
    f"torch.distributions.{name}": (f"moka.distributions.{family}",)
    for family, names in _FAMILIES.items()
    for name in names.split()
}
# Modules whose own submodules hold the same names as they do (torch.nn.modules.conv, torch.optim.adam, ...).
_ALIKE = {
    "torch.nn.modules": ("moka.nn",),
    "torch.optim": ("moka.optim",),
    "torch.utils.data": ("moka.data",),
}
_KNOWN_ALIKE = {
    "torch.nn.modules": "activation batchnorm container conv distance dropout flatten fold instancenorm "
    "linear loss normalization padding pixelshuffle pooling rnn sparse transformer upsampling".split(),
    "torch.optim": "adadelta adafactor adagrad adam adamax adamw asgd lbfgs nadam radam rmsprop rprop "
    "sgd sparse_adam swa_utils".split(),
    "torch.utils.data": "dataloader dataset sampler".split(),
}


class MissingName(AttributeError):
    """A name of torch that Moka does not have."""


def _targets_of(name: str) -> tuple[str, ...] | None:
    if name in _TARGETS:
        return _TARGETS[name]
    parent, _, last = name.rpartition(".")
    if last in _KNOWN_ALIKE.get(parent, ()):
        return _ALIKE[parent]
    if parent == "torch.backends" and last in (
        "cudnn",
        "cuda",
        "mps",
        "mkl",
        "mkldnn",
        "openmp",
        "opt_einsum",
    ):
        return (f"{_HERE}.backends",)
    return None


def _find(name: str) -> ModuleType | None:
    """A Moka module, or None where Moka has none of that name."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (error.name == name or name.startswith(error.name + ".")):
            return None
        raise


# Functions whose module has the same name; in torch the name is the function.
_FUNCTIONS_FIRST = ("torch.autograd.gradcheck",)


class TorchModule(ModuleType):
    """A module under a torch name; names come from the Moka modules behind it, when they are first used."""

    def __init__(self, name: str, targets: tuple[str, ...]) -> None:
        super().__init__(name, f"{name}, as Moka has it.")
        self.__dict__["_targets"] = targets

    def _sources(self) -> list[Any]:
        if self._has_switches():
            from . import backends

            return [getattr(backends, self.__name__.rpartition(".")[2])]
        return [module for target in self._targets if (module := _find(target)) is not None]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            if name in ("__version__", "__all__"):
                return self._special(name)
            raise AttributeError(name)
        full = f"{self.__name__}.{name}"
        if _targets_of(full) is not None and full not in _FUNCTIONS_FIRST:
            return importlib.import_module(full)
        for source in self._sources():
            try:
                value = getattr(source, name)
            except AttributeError:
                continue
            if not isinstance(value, ModuleType) and not self._has_switches():
                self.__dict__[name] = value
            return value
        near = get_close_matches(name, dir(self), n=1)
        hint = f"; the nearest there is: {self.__name__}.{near[0]}" if near else ""
        raise MissingName(f"Moka does not have {full}{hint}")

    def _has_switches(self) -> bool:
        return self.__name__.startswith("torch.backends.")

    def __setattr__(self, name: str, value: Any) -> None:
        if self._has_switches() and name in vars(self._sources()[0]):
            setattr(self._sources()[0], name, value)
            return
        if not isinstance(value, ModuleType) or f"{self.__name__}.{name}" not in _FUNCTIONS_FIRST:
            super().__setattr__(name, value)

    def _special(self, name: str) -> Any:
        if name == "__version__":
            return importlib.import_module(f"{_HERE}.version").__version__
        return [entry for entry in dir(self) if not entry.startswith("_")]

    def __dir__(self) -> list[str]:
        names = {entry for source in self._sources() for entry in getattr(source, "__all__", dir(source))}
        prefix = self.__name__ + "."
        below = {key[len(prefix) :] for key in _TARGETS if key.startswith(prefix)}
        return sorted(names | {key for key in below if "." not in key})


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != "torch" and not name.startswith("torch."):
            return None
        if _targets_of(name) is None:
            raise ModuleNotFoundError(
                f"No module named {name!r}: Moka stands in for torch and has no such module", name=name
            )
        return importlib.machinery.ModuleSpec(name, self, is_package=True, origin="moka.compat.torch")

    def create_module(self, spec: Any) -> ModuleType:
        targets = _targets_of(spec.name)
        assert targets is not None
        return TorchModule(spec.name, targets)

    def exec_module(self, module: ModuleType) -> None:
        parent, _, last = module.__name__.rpartition(".")
        if parent in sys.modules:
            setattr(sys.modules[parent], last, module)


_finder = _Finder()


def install() -> None:
    """Make `import torch` give Moka; an error if the real torch was imported before."""
    present = sys.modules.get("torch")
    if present is not None and not isinstance(present, TorchModule):
        raise RuntimeError(
            "moka.compat.torch: the real torch is imported in this process already; import "
            "moka.compat.torch first"
        )
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)


def uninstall() -> None:
    """Take the hook and the modules it made away again."""
    if _finder in sys.meta_path:
        sys.meta_path.remove(_finder)
    for name, module in list(sys.modules.items()):
        if isinstance(module, TorchModule):
            del sys.modules[name]
