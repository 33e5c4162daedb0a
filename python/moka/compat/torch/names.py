"""Which Moka modules stand behind each torch module: the table that the import hook reads."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from .internals import PREFIXES

__all__ = ["ALIKE", "HERE", "TARGETS", "targets_of"]

HERE = "moka.compat.torch"


def _here(*names: str) -> tuple[str, ...]:
    return tuple(f"{HERE}.{name}" for name in names)


# torch module -> modules that are searched for a name, in this order.
TARGETS: dict[str, tuple[str, ...]] = {
    "functorch": ("moka.func", *_here("functorch")),
    "torch": (
        *_here("files", "printing"),
        "moka",
        *_here("root", "autocasting", "root_switches", "foreach", "sparse", "storage", "root_functions"),
        *_here("native_names"),
    ),
    "torch.__config__": _here("collect_env"),
    "torch.__future__": ("moka.nn.converting", *_here("small")),
    "torch._C": _here("extension"),
    "torch._C._distributed_c10d": ("moka.distributed",),
    "torch._C._functions": _here("extension"),
    "torch._C._nn": ("moka.nn.functional", *_here("extension")),
    "torch._custom_op": _here("library"),
    "torch._custom_op.impl": _here("library"),
    "torch._custom_ops": _here("library"),
    "torch._dynamo": _here("dynamo"),
    "torch._dynamo.decorators": _here("dynamo"),
    "torch._dynamo.config": _here("dynamo_settings"),
    "torch._dynamo.eval_frame": _here("dynamo"),
    "torch._dynamo.external_utils": _here("dynamo"),
    "torch._inductor.config": _here("dynamo_settings"),
    "torch._jit_internal": (*_here("jit_extras"), "moka.jit"),
    "torch._prims_common": _here("root_switches"),
    "torch._six": _here("old_strings"),
    "torch._tensor": (*_here("small", "rebuilding"), "moka"),
    "torch._tensor_str": _here("printing", "small"),
    "torch._utils": _here("rebuilding"),
    "torch._utils_internal": _here("small"),
    "torch._vmap_internals": _here("autograd_extras"),
    "torch._VF": ("moka", "moka.nn.functional"),
    "torch.accelerator": _here("accelerator"),
    "torch.amp": ("moka.amp",),
    "torch.amp.autocast_mode": ("moka.amp.autocast_mode",),
    "torch.amp.grad_scaler": ("moka.amp.grad_scaler", *_here("cuda_amp")),
    "torch.ao.nn": (),
    "torch.ao.nn.quantized": _here("quantization"),
    "torch.ao.quantization": _here("quantization"),
    "torch.autograd": ("moka.autograd", *_here("small", "autograd_extras")),
    "torch.autograd.anomaly_mode": ("moka.autograd",),
    "torch.autograd.forward_ad": ("moka.autograd.forward_ad",),
    "torch.autograd.function": ("moka.autograd", *_here("small", "autograd_extras")),
    "torch.autograd.functional": ("moka.autograd.functional",),
    "torch.autograd.grad_mode": ("moka.autograd", *_here("autograd_extras")),
    "torch.autograd.gradcheck": ("moka.autograd.checks",),
    "torch.autograd.graph": ("moka.autograd.graph", *_here("autograd_extras")),
    "torch.autograd.profiler": _here("profiler"),
    "torch.autograd.profiler_util": _here("profiler"),
    "torch.autograd.variable": _here("small"),
    "torch.backends": _here("backends"),
    "torch.classes": _here("classes"),
    "torch.compiler": _here("compiler"),
    "torch.cpu": _here("cpu"),
    "torch.cpu.amp": _here("cpu_amp"),
    "torch.cuda": _here("cuda"),
    "torch.cuda.amp": _here("cuda_amp"),
    "torch.cuda.amp.autocast_mode": _here("cuda_amp"),
    "torch.cuda.amp.common": _here("cuda_amp"),
    "torch.cuda.amp.grad_scaler": _here("cuda_amp"),
    "torch.cuda.comm": _here("cuda_streams"),
    "torch.cuda.graphs": _here("cuda_streams"),
    "torch.cuda.memory": _here("cuda"),
    "torch.cuda.nvtx": _here("cuda_nvtx"),
    "torch.cuda.profiler": _here("cuda_nvtx"),
    "torch.cuda.random": _here("cuda"),
    "torch.cuda.streams": _here("cuda_streams"),
    "torch.distributed": ("moka.distributed",),
    "torch.distributed.constants": ("moka.distributed",),
    "torch.distributed.distributed_c10d": ("moka.distributed",),
    "torch.distributed.elastic.multiprocessing.errors": _here("small"),
    "torch.distributed.nn": ("moka.distributed.functional",),
    "torch.distributed.nn.functional": ("moka.distributed.functional",),
    "torch.distributed.optim": _here("distributed_extras"),
    "torch.distributed.rpc.api": _here("internals"),
    "torch.distributions": ("moka.distributions",),
    "torch.fft": ("moka.fft",),
    "torch.func": ("moka.func",),
    "torch.functional": ("moka",),
    "torch.futures": _here("futures"),
    "torch.fx": _here("fx_module", "fx_tracing", "fx_graph"),
    **{
        f"torch.fx.{name}": _here("fx_module", "fx_tracing", "fx_graph")
        for name in "_compatibility _symbolic_trace graph graph_module interpreter node proxy "
        "subgraph_rewriter".split()
    },
    "torch.hub": _here("hub"),
    "torch.jit": (*_here("traced_modules", "jit_extras"), "moka.jit"),  # its ignore is traced through
    "torch.jit._script": _here("jit_extras"),
    "torch.jit._trace": _here("traced_modules"),
    "torch.jit.annotations": _here("jit_extras"),
    "torch._library": _here("library"),
    "torch.library": _here("library"),
    "torch.linalg": ("moka.linalg",),
    "torch.mps": _here("absent_devices"),
    "torch.multiprocessing": (*_here("processes"), "multiprocessing"),
    "torch.multiprocessing.spawn": _here("processes"),
    "torch.masked": _here("masked"),
    "torch.nested": _here("nested"),
    "torch.export": ("moka.export",),
    **{
        f"torch.export.{name}": ("moka.export",)
        for name in ("dynamic_shapes", "exported_program", "graph_signature")
    },
    "torch.nn": ("moka.nn",),
    "torch.nn.attention": _here("attention"),
    "torch.nn.attention.bias": _here("attention_bias"),
    "torch.nn.functional": ("moka.nn.functional",),
    "torch.nn.grad": ("moka.nn.grad",),
    "torch.nn.init": ("moka.nn.init", *_here("small")),
    "torch.nn.modules": ("moka.nn",),
    "torch.nn.modules.lazy": ("moka.nn.lazy",),
    "torch.nn.functional.grad": ("moka.nn.grad",),
    "torch.nn.modules.module": (
        *("moka.nn.module", "moka.nn.calling", "moka.nn.stateful", "moka.nn.state"),
        *_here("small"),
    ),
    "torch.nn.modules.utils": _here("small"),
    "torch.nn.parallel": ("moka.nn.parallel",),
    "torch.nn.parallel.data_parallel": ("moka.nn.parallel",),
    "torch.nn.parallel.distributed": ("moka.nn.parallel",),
    "torch.nn.parallel.parallel_apply": ("moka.nn.parallel",),
    "torch.nn.parallel.replicate": ("moka.nn.parallel",),
    "torch.nn.parallel.scatter_gather": ("moka.nn.parallel",),
    "torch.nn.parameter": ("moka.nn.parameter", "moka.nn.lazy", *_here("layer_bases")),
    "torch.nn.quantized": _here("quantization"),
    "torch.nn.utils": ("moka.nn.utils",),
    "torch.nn.utils._named_member_accessor": _here("named_members"),
    "torch.nn.utils.clip_grad": ("moka.nn.utils.clip",),
    "torch.nn.utils.convert_parameters": ("moka.nn.utils.vector",),
    "torch.nn.utils.fusion": ("moka.nn.utils.fusion",),
    "torch.nn.utils.init": ("moka.nn.utils",),
    "torch.nn.utils.memory_format": ("moka.nn.utils",),
    "torch.nn.utils.parametrizations": ("moka.nn.utils.parametrizations",),
    "torch.nn.utils.parametrize": ("moka.nn.utils.parametrize",),
    "torch.nn.utils.prune": ("moka.nn.utils.prune",),
    "torch.nn.utils.rnn": ("moka.nn.utils.rnn",),
    "torch.nn.utils.spectral_norm": ("moka.nn.utils.old_norms", "moka.nn.utils"),
    "torch.nn.utils.stateless": ("moka.nn.utils.stateless",),
    "torch.nn.utils.weight_norm": ("moka.nn.utils.old_norms", "moka.nn.utils"),
    "torch.onnx": ("moka.onnx", *_here("onnx_extras")),
    "torch.onnx._globals": _here("onnx_extras"),
    "torch.onnx.operators": _here("onnx_extras"),
    "torch.onnx.symbolic_helper": _here("onnx_extras"),
    "torch.onnx.utils": ("moka.onnx", *_here("onnx_extras")),
    "torch.ops": _here("operators"),
    "torch.optim": ("moka.optim",),
    "torch.optim.lr_scheduler": ("moka.optim.lr_scheduler", *_here("small")),
    "torch.optim.optimizer": ("moka.optim.optimizer", *_here("small")),
    "torch.optim.swa_utils": ("moka.optim.swa_utils",),
    "torch.overrides": ("moka.overrides", *_here("small")),
    "torch.profiler": _here("profiler"),
    "torch.profiler.profiler": _here("profiler"),
    "torch.quantization": _here("quantization"),
    "torch.quasirandom": ("moka.quasirandom",),
    "torch.random": ("moka.random", *_here("small")),
    "torch.return_types": _here("return_types"),
    "torch.serialization": _here("files", "serialization"),
    "torch.signal": ("moka.signal",),
    "torch.signal.windows": ("moka.signal.windows",),
    "torch.sparse": _here("sparse"),
    "torch.special": ("moka.special",),
    "torch.storage": _here("storage"),
    "torch.testing": ("moka.testing",),
    "torch.testing._comparison": ("moka.testing",),
    "torch.types": _here("small"),
    "torch.utils": ("moka.utils",),
    "torch.utils._pytree": ("moka.utils.pytree", *_here("small")),
    "torch.utils._mode_utils": (),
    "torch.utils.benchmark": _here("benchmarking"),
    "torch.utils.benchmark.utils.common": _here("benchmarking"),
    "torch.utils.benchmark.utils.timer": _here("benchmarking"),
    "torch.utils.checkpoint": ("moka.utils.checkpoint", *_here("small")),
    "torch.utils.collect_env": _here("collect_env"),
    "torch.utils.cpp_extension": _here("cpp_extension"),
    "torch.utils.data": ("moka.data", *_here("datapipes")),
    "torch.utils.data._utils": (),
    "torch.utils.data._utils.collate": _here("data_details"),
    "torch.utils.data._utils.worker": _here("data_details"),
    "torch.utils.data.dataloader": ("moka.data", *_here("data_details")),
    "torch.utils.data.datapipes": _here("datapipes"),
    "torch.utils.data.datapipes._decorator": _here("datapipes"),
    "torch.utils.data.datapipes.datapipe": _here("datapipes"),
    "torch.utils.data.datapipes.iter": _here("datapipes_iter"),
    "torch.utils.data.datapipes.map": _here("datapipes_map"),
    "torch.utils.data.distributed": ("moka.data",),
    "torch.utils.data.graph": _here("datapipes"),
    "torch.utils.data.graph_settings": _here("datapipes"),
    "torch.utils.deterministic": _here("deterministic"),
    "torch.utils.dlpack": _here("dlpack"),
    "torch.utils.flop_counter": _here("flop_counter"),
    "torch.utils.hooks": _here("hooks"),
    "torch.utils.model_zoo": _here("hub"),
    "torch.utils._python_dispatch": _here("python_dispatch"),
    "torch.utils.tensorboard": _here("tensorboard"),
    "torch.utils.tensorboard.summary": ("moka.utils.summaries",),
    "torch.utils.tensorboard.writer": _here("tensorboard"),
    "torch.utils._contextlib": _here("context_decorators"),
    "torch.utils.weak": _here("weak"),
    "torch.version": _here("version"),
    "torch.xpu": _here("absent_devices"),
}
# Modules whose own submodules hold the same names as they do (torch.nn.modules.conv, torch.optim.adam, ...).
ALIKE: dict[str, tuple[tuple[str, ...], list[str]]] = {
    "torch.nn.modules": (
        ("moka.nn", *_here("layer_bases")),
        "activation adaptive batchnorm channelshuffle container conv distance dropout flatten "
        "fold instancenorm "
        "linear loss normalization padding pixelshuffle pooling rnn sparse transformer "
        "upsampling".split(),
    ),
    "torch.optim": (
        ("moka.optim",),
        "adadelta adafactor adagrad adam adamax adamw asgd lbfgs nadam radam rmsprop rprop "
        "sgd sparse_adam".split(),
    ),
    "torch.utils.data": (("moka.data",), "dataset graph_settings sampler".split()),
    "torch.backends": (
        _here("backends"),
        "cpu cuda cudnn mkl mkldnn mps openmp opt_einsum quantized xnnpack nnpack".split(),
    ),
}
for _number in range(7, 21):
    TARGETS[f"torch.onnx.symbolic_opset{_number}"] = _here("onnx_extras")
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
    **{name: name for name in "constraint_registry constraints distribution exp_family independent".split()},
    **{name: name for name in "kl mixture_same_family transformed_distribution transforms utils".split()},
}
TARGETS |= {
    f"torch.distributions.{name}": (f"moka.distributions.{family}",)
    for family, names in _FAMILIES.items()
    for name in names.split()
}
TARGETS["torch.distributions.utils"] += _here("small")


def targets_of(name: str) -> tuple[str, ...] | None:
    """The modules behind a torch module; None where Moka has no such module."""
    if name in TARGETS:
        return TARGETS[name]
    parent, _, last = name.rpartition(".")
    if parent in ALIKE and last in ALIKE[parent][1]:
        return ALIKE[parent][0]
    if any(name == prefix or name.startswith(f"{prefix}.") for prefix in PREFIXES):
        return _here("internals")
    return None
