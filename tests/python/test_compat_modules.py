"""torch's modules by their names: what packages import is there, and says why where it cannot work."""
# SPDX-License-Identifier: Apache-2.0

from tests.python.test_compat_torch import inside, run


def test_packages_find_what_they_import():
    told = inside(
        """
        import importlib, importlib.metadata
        import torch
        for line in '''
        torch.nn.modules.batchnorm _BatchNorm SyncBatchNorm
        torch.nn.modules.conv _ConvNd Conv2d
        torch.nn.modules.loss _Loss _WeightedLoss
        torch.nn.modules.module _IncompatibleKeys Module
        torch.nn.init _calculate_fan_in_and_fan_out
        torch.nn.parallel DataParallel DistributedDataParallel
        torch.nn.parameter Parameter UninitializedParameter
        torch.nn.attention SDPBackend sdpa_kernel
        torch.optim.lr_scheduler _LRScheduler
        torch.optim.optimizer Optimizer required
        torch.optim.swa_utils AveragedModel SWALR
        torch.utils._pytree tree_map tree_flatten register_pytree_node
        torch.utils.data.distributed DistributedSampler
        torch.utils.dlpack from_dlpack to_dlpack
        torch.utils.hooks RemovableHandle
        torch.utils.model_zoo load_url
        torch.autograd Variable
        torch.cuda Event Stream mem_get_info OutOfMemoryError
        torch.cuda.amp GradScaler autocast custom_fwd
        torch.distributed ReduceOp all_reduce is_available
        torch.distributed.fsdp FullyShardedDataParallel
        torch.distributed.tensor DTensor Replicate
        torch._dynamo allow_in_graph disable OptimizedModule
        torch._C DispatchKey Generator _log_api_usage_once
        torch._utils _rebuild_tensor_v2 _flatten_dense_tensors
        torch.ao.quantization QuantStub
        torch.futures Future
        torch.fx GraphModule Proxy symbolic_trace wrap
        torch.hub _get_torch_home load_state_dict_from_url
        torch.jit script ignore ScriptModule
        torch.library custom_op register_fake
        torch.multiprocessing spawn Queue
        torch.onnx.symbolic_helper parse_args
        torch.profiler profile record_function ProfilerActivity
        torch.serialization add_safe_globals safe_globals
        torch.storage TypedStorage UntypedStorage
        '''.strip().splitlines():
            module, *names = line.split()
            found = importlib.import_module(module)
            for name in names:
                getattr(found, name)
        print(importlib.metadata.version("torch") == torch.__version__, torch.__file__.endswith(".py"))
        print(str(torch.float32), torch.ones(2).shape, torch.nn.utils.weight_norm.__name__)
        from torch.nn.utils.weight_norm import weight_norm
        print(callable(weight_norm), torch.cuda.get_rng_state_all(), torch.get_default_device())
        try:
            torch.cuda.Stream()
        except RuntimeError as error:
            print(error)
        """
    ).splitlines()
    assert told[0] == "True True" and told[1] == "torch.float32 torch.Size([2]) weight_norm"
    assert told[2] == "True [] cpu" and "has no CUDA" in told[3]


def test_operators_of_programs():
    told = inside(
        """
        import torch
        @torch.library.custom_op("shop::scale", mutates_args=())
        def scale(x: torch.Tensor, factor: float) -> torch.Tensor:
            return x * factor
        def backward(ctx, gradient):
            return gradient * ctx.factor, None
        def keep(ctx, inputs, output):
            ctx.factor = inputs[1]
        scale.register_autograd(backward, setup_context=keep)
        x = torch.ones(2, requires_grad=True)
        torch.ops.shop.scale(x, 3.0).sum().backward()
        print(x.grad.tolist(), torch.ops.aten.add.Tensor(torch.ones(1), 2).item())
        try:
            torch.ops.shop.nothing
        except AttributeError as error:
            print(error)
        """
    )
    assert "[3.0, 3.0] 3.0" in told and "no operator 'nothing'" in told


def test_lists_of_tensors_and_profiles():
    told = inside(
        """
        import torch
        a, b = [torch.ones(2), torch.ones(1)], [torch.full((2,), 2.0), torch.ones(1)]
        torch._foreach_add_(a, b, alpha=2)
        print([x.tolist() for x in a], [x.tolist() for x in torch._foreach_mul(b, 3)])
        from torch.profiler import profile, record_function, schedule
        with profile(schedule=schedule(wait=1, warmup=0, active=1)) as p:
            for _ in range(2):
                with record_function("part"):
                    torch.ones(3).sum()
                p.step()
        print([(e.key, e.count) for e in p.key_averages()])
        found = p.key_averages()
        print('aten::sum' in {e.key for e in found}, 'Self CPU time total' in found.table())
        future = torch.futures.Future()
        after = future.then(lambda f: f.value() + 1)
        future.set_result(1)
        print(after.wait())
        """
    ).splitlines()
    assert told[0] == "[[5.0, 5.0], [3.0]] [[6.0, 6.0], [3.0]]"
    assert "('part', 1)" in told[1] and told[2] == "True True" and told[3] == "2"


def test_processes_of_a_program_find_moka(tmp_path):
    (tmp_path / "several.py").write_text(
        "import torch\nimport torch.multiprocessing as mp\n"
        "def work(rank, total):\n    total.put(torch.ones(2).sum().item() + rank)\n"
        "if __name__ == '__main__':\n    q = mp.get_context('spawn').SimpleQueue()\n"
        "    mp.spawn(work, args=(q,), nprocs=2)\n    print(sorted([q.get(), q.get()]))\n"
    )
    assert "[2.0, 3.0]" in run("-m", "moka.compat.torch", tmp_path / "several.py")


def test_a_variable_is_a_leaf_that_shows_the_tensors_memory():
    told = inside(
        """
        import torch
        x = torch.ones(2, requires_grad=True)
        value = torch.autograd.Variable(x * 2, requires_grad=True)
        print(value.is_leaf, value.requires_grad, value.tolist())
        print(torch.autograd.Variable(x) is x, torch.autograd.Variable(x).requires_grad)
        """
    )
    assert told.splitlines() == ["True True [2.0, 2.0]", "False False"]


def test_places_and_rows_of_sparse_matrices_are_turned_into_each_other():
    told = inside(
        """
        import torch
        rows = torch.tensor([0, 0, 1, 3])
        starts = torch._convert_indices_from_coo_to_csr(rows, 5, out_int32=True)
        print(starts.tolist(), starts.dtype)
        print(torch._convert_indices_from_csr_to_coo(starts, torch.tensor([1, 2, 0, 1])).tolist())
        print(torch.Future is torch.futures.Future is torch._C.Future)
        """
    )
    assert told.splitlines() == ["[0, 2, 3, 3, 4, 4] torch.int32", "[[0, 0, 1, 3], [1, 2, 0, 1]]", "True"]
