"""Corners of torch that other people's programs use; the numbers are PyTorch's own."""
# SPDX-License-Identifier: Apache-2.0

from test_compat_torch import inside


def test_workers_draw_the_numbers_of_torchs_workers():
    told = inside(
        """
        import torch
        class D(torch.utils.data.Dataset):
            def __len__(self):
                return 6
            def __getitem__(self, i):
                return torch.rand(1), torch.initial_seed() % 1000
        torch.manual_seed(0)
        for x, seeds in torch.utils.data.DataLoader(D(), 2, shuffle=True, num_workers=2):
            print([round(v, 4) for v in x.flatten().tolist()], seeds.tolist())
        print(torch.initial_seed())
        """
    )
    assert told.splitlines() == [
        "[0.7821, 0.0536] [455, 455]",
        "[0.6938, 0.298] [456, 456]",
        "[0.9888, 0.1949] [455, 455]",
        "0",
    ]


def test_orthogonal_weights_are_torchs():
    told = inside(
        """
        import torch
        from torch.nn.utils import parametrizations
        for base in (True, False):
            torch.manual_seed(2)
            layer = torch.nn.Linear(2, 3, bias=False)
            parametrizations.orthogonal(layer, use_trivialization=base)
            print([round(v, 4) for v in layer.weight.flatten().tolist()])
            with torch.no_grad():
                layer.weight = torch.eye(3)[:, :2] * 2
            print((layer.weight - torch.eye(3)[:, :2]).abs().max().item() < 1e-5)
            print(sorted(layer.state_dict()))
        """
    ).splitlines()
    weight = "[0.4118, -0.7829, 0.4923, -0.2396, 0.7669, 0.5742]"
    assert told[0] == told[3] == weight and told[1] == told[4] == "True"
    assert told[2] == "['parametrizations.weight.0.base', 'parametrizations.weight.original']"


def test_compiled_modules_stand_one_step_down():
    told = inside(
        """
        import copy, torch
        m = torch.nn.Linear(2, 1)
        c = torch.compile(m, backend="eager")
        print(list(c.state_dict()), c._orig_mod is m, c.in_features, isinstance(c, torch.nn.Module))
        c.eval()
        c.extra = 5
        print(m.training, m.extra, c(torch.ones(2)).item() == m(torch.ones(2)).item())
        print(copy.deepcopy(c).weight.equal(m.weight), type(torch.compile(dynamic=True)(m)).__name__)
        """
    )
    assert told.splitlines() == [
        "['_orig_mod.weight', '_orig_mod.bias'] True 2 True",
        "False 5 True",
        "True OptimizedModule",
    ]


def test_functions_at_torchs_root_and_attributes_of_tensors():
    told = inside(
        """
        import torch
        print(round(torch.kl_div(torch.tensor([.1, .2]), torch.tensor([.3, .7]), 2).item(), 4))
        print(torch.frobenius_norm(torch.tensor([[3., 4.]]), (0, 1)).item())
        print(torch.norm_except_dim(torch.tensor([[3., 4.], [0., 1.]]), 2, 0).tolist())
        weights = torch.ones(4, 2) * .1, torch.ones(4, 1), None, None
        h = torch.lstm_cell(torch.ones(1, 2), (torch.zeros(1, 1), torch.ones(1, 1)), *weights)
        print([round(v.item(), 4) for v in h])
        a, b = torch.ones(3, requires_grad=True).split(split_size=2)
        b.retain_grad()
        print(b.output_nr, b.retains_grad, a.retains_grad, b.is_cpu, round(b.polygamma(1).item(), 4))
        from torch.nn.attention.bias import causal_lower_right
        q, k, v = torch.ones(1, 1, 2, 2), torch.ones(1, 1, 3, 2), torch.arange(6.).reshape(1, 1, 3, 2)
        mask = causal_lower_right(2, 3)
        print(torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask).tolist())
        torch.backends.cuda.enable_flash_sdp(False)
        with torch.backends.cuda.sdp_kernel(enable_math=False):
            print(torch.backends.cuda.flash_sdp_enabled(), torch.backends.cuda.math_sdp_enabled())
        print(torch.backends.cuda.math_sdp_enabled(), torch.signal.windows.hann(3).tolist())
        """
    )
    assert told.splitlines() == [
        *("-0.7809", "5.0", "[[5.0], [1.0]]", "[0.3174, 0.6584]", "1 True False True 1.6449"),
        *("[[[[1.0, 2.0], [2.0, 3.0]]]]", "True False", "True [0.0, 1.0, 0.0]"),
    ]


def test_weak_dictionaries_and_context_decorators():
    told = inside(
        """
        import torch
        from torch.utils._contextlib import _DecoratorContextManager
        from torch.utils.weak import TensorWeakRef, WeakIdKeyDictionary
        table, key = WeakIdKeyDictionary(), torch.ones(2)
        table[key] = 1
        table[torch.ones(2)] = 2
        print(len(table), table[key], torch.ones(2) in table, TensorWeakRef(key)() is key)
        class Loud(_DecoratorContextManager):
            def __enter__(self):
                print("in", end=" ")
            def __exit__(self, *_):
                print("out", end=" ")
        @Loud()
        def f(x):
            return x
        @Loud()
        def g():
            got = yield 1
            yield got
        made = g()
        print(f(3), next(made), made.send(5))
        """
    )
    assert told.splitlines() == ["1 1 False True", "in out in out in out 3 1 5", "in out "]


def test_files_inside_of_archives_are_read(tmp_path):
    told = inside(
        f"""
        import torch, zipfile
        with zipfile.ZipFile({str(tmp_path / "a.zip")!r}, "w") as archive:
            with archive.open("w.pth", "w") as entry:
                torch.save({{"w": torch.ones(2)}}, entry)
        with zipfile.ZipFile({str(tmp_path / "a.zip")!r}) as archive:
            with archive.open("w.pth") as entry:
                print(torch.load(entry)["w"].tolist())
        """
    )
    assert told == "[1.0, 1.0]\n"


def test_operators_by_the_names_behind_functional():
    inside(
        """
        import torch
        x = torch.arange(24.0).reshape(2, 4, 3).sin()
        out, mean, rstd = torch.native_layer_norm(x, [3], None, None, 1e-5)
        assert torch.equal(out, torch.nn.functional.layer_norm(x, [3])) and mean.shape == (2, 4, 1)
        torch.testing.assert_close((x - mean) * rstd, out)
        out, mean, rstd = torch.native_group_norm(x, None, None, 2, 4, 3, 2, 1e-5)
        groups = (x.reshape(2, 2, 6) - mean[..., None]) * rstd[..., None]
        torch.testing.assert_close(groups, out.reshape(2, 2, 6))
        out, mean, rstd = torch.native_batch_norm(x, None, None, None, None, True, 0.1, 1e-5)
        torch.testing.assert_close((x - mean[:, None]) * rstd[:, None], out)
        assert torch.equal(torch._softmax(x, 1, False), x.softmax(1))
        values, inverse, counts = torch._unique2(torch.tensor([3, 1, 3]), True, False, True)
        assert (values.tolist(), inverse.tolist(), counts.tolist()) == ([1, 3], [1, 0, 1], [1, 2])
        y = torch.convolution(x, torch.ones(2, 4, 2), None, [1], [0], [1], False, [0], 1)
        assert y.shape == (2, 2, 2)
        assert torch.chalf is torch.complex32 and x.chalf().type() == "torch.ComplexHalfTensor"
        """
    )


def test_names_that_older_programs_import():
    told = inside(
        """
        import torch
        from torch._vmap_internals import vmap
        from torch.autograd.function import InplaceFunction
        from torch.nn.modules.rnn import PackedSequence, apply_permutation
        from torch.nn.utils.weight_norm import WeightNorm
        from torch.serialization import default_restore_location

        class Twice(InplaceFunction):
            @staticmethod
            def forward(ctx, x):
                return x * 2
            @staticmethod
            def backward(ctx, g):
                return g * 2
        x = torch.ones(2, requires_grad=True)
        Twice.apply(x).sum().backward()
        print(x.grad.tolist(), vmap(lambda v: v.sum())(torch.ones(2, 3)).tolist())
        places, size = torch.tensor([[0, 1], [1, 0]]), torch.Size([2, 3])
        a = torch.sparse.FloatTensor(places, torch.tensor([3., 4.]), size)
        print(a.to_dense().tolist(), isinstance(a, torch.sparse.FloatTensor))
        print(isinstance(a, torch.sparse.LongTensor))
        print(torch.sparse.DoubleTensor(2, 3).to_dense().dtype, default_restore_location(3, "cpu"))
        try:
            default_restore_location(3, "cuda:0")
        except RuntimeError as e:
            print(str(e)[:65])
        with torch.autograd.set_multithreading_enabled(False):
            print(torch.autograd.is_multithreading_enabled(), torch.autograd.kineto_available())
        """
    )
    assert told.splitlines() == [
        "[2.0, 2.0] [3.0, 3.0]",
        "[[0.0, 3.0, 0.0], [4.0, 0.0, 0.0]] True",
        "False",
        "torch.float64 3",
        "Attempting to deserialize object on a device 'cuda:0', which Moka",
        "False True",
    ]


def test_deterministic_algorithms_fill_what_empty_gives():
    told = inside(
        """
        import torch
        from torch.utils import deterministic
        torch.use_deterministic_algorithms(True)
        assert torch.utils.deterministic.fill_uninitialized_memory is True
        for name in "float16 float32 int8 uint8 int64 bool complex64".split():
            print(torch.empty(2, dtype=getattr(torch, name)).tolist())
        print(torch.empty_like(torch.ones(2, 3).t()).isnan().all().item())
        print(torch.empty_strided((2,), (2,)).tolist())
        deterministic.fill_uninitialized_memory = False
        print(torch.utils.deterministic.fill_uninitialized_memory)
        print(torch.are_deterministic_algorithms_enabled())
        try:
            deterministic.fill_uninitialized_memory = 1
        except RuntimeError as error:
            print(error)
        """
    )
    assert told.splitlines() == [
        "[nan, nan]",
        "[nan, nan]",
        "[127, 127]",
        "[255, 255]",
        "[9223372036854775807, 9223372036854775807]",
        "[True, True]",
        "[(nan+nanj), (nan+nanj)]",
        "True",
        "[nan, nan]",
        "False",
        "True",
        "fill_uninitialized_memory: expected a bool, got int",
    ]


def test_generators_are_of_the_processor():
    told = inside(
        """
        import torch
        print(torch.Generator(device="cpu").manual_seed(3).initial_seed())
        print(torch.Generator(torch.device("cpu")).device)
        for device in ("cuda", "opengl"):
            try:
                torch.Generator(device=device)
            except RuntimeError as error:
                print(type(error).__name__)
        """
    )
    assert told.splitlines() == ["3", "cpu", "RuntimeError", "RuntimeError"]


def test_files_of_several_objects_are_read_one_after_the_other():
    told = inside(
        """
        import io, pickle, torch
        file = io.BytesIO()
        pickle.dump(41, file)
        for value in (torch.ones(3), {"a": torch.zeros(2)}):
            torch.save(value, file, _use_new_zipfile_serialization=False)
        for weights_only in (True, False):
            file.seek(0)
            print(pickle.load(file), [torch.load(file, weights_only=weights_only) for _ in range(2)])
            try:
                torch.load(file)
            except EOFError as error:
                print(error)
        """
    )
    objects = "41 [tensor([1., 1., 1.]), {'a': tensor([0., 0.])}]"
    end = "torch.load: Ran out of input: the file ends here; seek(0) goes back"
    assert told.splitlines() == [objects, end, objects, end]
