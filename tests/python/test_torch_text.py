"""Under the names of torch: how tensors print, what torch.save and torch.load take."""
# SPDX-License-Identifier: Apache-2.0

from tests.python.test_compat_torch import inside


def test_tensors_print_as_in_torch():
    told = inside(
        """
        import torch
        print(torch.tensor([[1.0, 2.5], [1000.0, 3.0]]), torch.arange(2000))
        print(torch.tensor([1e-5, 1.0]))
        print(torch.tensor([float("nan"), float("inf"), 1.0]), torch.tensor([1 + 2j, 3.5 - 4j]))
        print(torch.zeros(0, 3))
        print((torch.ones(1, requires_grad=True) * 2), torch.ones(2, dtype=torch.half), f"{torch.tensor(3)}")
        torch.set_printoptions(precision=2, edgeitems=1, threshold=5)
        print(torch.arange(12.0).view(3, 4) / 8, torch.strided, torch.max(torch.ones(1, 2), 1))
        print(type((torch.ones(1, requires_grad=True) * 2).grad_fn).__name__)
        """
    )
    assert told == """tensor([[   1.0000,    2.5000],
        [1000.0000,    3.0000]]) tensor([   0,    1,    2,  ..., 1997, 1998, 1999])
tensor([1.0000e-05, 1.0000e+00])
tensor([nan, inf, 1.]) tensor([1.0000+2.j, 3.5000-4.j])
tensor([], size=(0, 3))
tensor([2.], grad_fn=<MulBackward0>) tensor([1., 1.], dtype=torch.float16) 3
tensor([[0.00,  ..., 0.38],
        ...,
        [1.00,  ..., 1.38]]) torch.strided torch.return_types.max(
values=tensor([1.]),
indices=tensor([0]))
MulBackward0
"""


def test_modules_are_saved_and_loaded_with_trust(tmp_path):
    told = inside(
        f"""
        import pickle, torch
        from torch import nn
        path = {str(tmp_path / "m.pt")!r}
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.a = nn.Linear(2, 2)
                self.b = nn.Linear(2, 2, bias=False)
                self.b.weight = self.a.weight
                self.act = torch.relu
            def forward(self, x):
                return self.b(self.act(self.a(x)))
        net = Net()
        torch.save(net, path)
        again = torch.load(path, weights_only=False)
        print(torch.equal(again(torch.ones(1, 2)), net(torch.ones(1, 2))), again.a.weight is again.b.weight)
        try:
            torch.load(path)
        except pickle.UnpicklingError as error:
            print("Net" in str(error), "weights_only=False" in str(error))
        print("__main__.Net" in torch.serialization.get_unsafe_globals_in_checkpoint(path))
        class Note:
            def __init__(self):
                self.text = "kept"
        x = torch.arange(6.0)
        for new in (True, False):
            torch.save({{"n": Note(), "views": [x[:3], x[3:]]}}, path, _use_new_zipfile_serialization=new)
            with torch.serialization.safe_globals([Note]):
                loaded = torch.load(path)
            first, second = loaded["views"]
            shared = first.untyped_storage().data_ptr() == second.untyped_storage().data_ptr()
            print(loaded["n"].text, second.tolist(), shared)
        """
    )
    assert told == "True True\nTrue True\nTrue\n" + "kept [3.0, 4.0, 5.0] True\n" * 2


def test_hostile_pickles_run_nothing_unless_trusted(tmp_path):
    told = inside(
        f"""
        import os, pickle, torch
        class Hostile:
            def __reduce__(self):
                return os.mkdir, ({str(tmp_path / "made")!r},)
        path = {str(tmp_path / "bad.pt")!r}
        torch.save({{"x": Hostile()}}, path)
        class Kind: pass
        for kinds in ([], [Kind]):
            with torch.serialization.safe_globals(kinds):
                try:
                    torch.load(path)
                except pickle.UnpicklingError as error:
                    print("mkdir" in str(error), os.path.exists({str(tmp_path / "made")!r}))
        """
    )
    assert told == "True False\nTrue False\n"


def test_statements_are_timed():
    told = inside(
        """
        import torch
        from torch.utils import benchmark
        made = [
            benchmark.Timer("x + 1", "x = torch.ones(4)", label="sum", sub_label=row).timeit(5)
            for row in ("a", "b")
        ]
        print(made[0].number_per_run, made[0].median > 0, len(benchmark.Measurement.merge(made)))
        print("Times are in" in str(benchmark.Compare(made)), "5 runs" in repr(made[0]))
        """
    )
    assert told == "5 True 2\nTrue True\n"
