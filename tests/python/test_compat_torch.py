"""`import torch` as Moka: in a process that asks for it, and in programs started with -m
moka.compat.torch."""
# SPDX-License-Identifier: Apache-2.0

import subprocess
import sys
import textwrap

import pytest

PROGRAM = """
import sys
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor, optim
from torch.nn.modules.conv import Conv2d
from torch.nn.modules.utils import _pair
from torch.nn.parameter import Parameter
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.checkpoint import checkpoint
import torch.backends.cudnn as cudnn

assert "torch" in sys.modules and "moka" in type(nn.Linear(1, 1)).__module__
assert Conv2d is nn.Conv2d and _pair(3) == (3, 3) and Parameter is nn.Parameter
cudnn.benchmark = True
assert torch.backends.cudnn.benchmark
with torch.backends.cudnn.flags(enabled=False, benchmark=None):
    assert not cudnn.enabled and cudnn.benchmark
assert cudnn.enabled
import torch.autograd.gradcheck  # a module of that name does not hide the function
assert torch.autograd.gradcheck is sys.modules["torch.autograd.gradcheck"].gradcheck
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
torch.manual_seed(0)
x = torch.randn(16, 2)
y = x.sum(1, keepdim=True)
model = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1)).to(device)
optimizer = optim.SGD(model.parameters(), lr=0.1)
scheduler = StepLR(optimizer, 10, 0.5)
for epoch in range(30):
    for a, b in DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True):
        optimizer.zero_grad()
        loss = F.mse_loss(checkpoint(model, a, use_reentrant=False), b)
        loss.backward()
        optimizer.step()
    scheduler.step()
torch.save(model.state_dict(), sys.argv[1])
model.load_state_dict(torch.load(sys.argv[1], map_location="cpu", weights_only=True))
print(sys.argv[0].endswith("program.py"), loss.item() < 0.1)
"""


def run(*arguments, code=0):
    done = subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def inside(program):
    return run("-c", "import moka.compat.torch\n" + textwrap.dedent(program))


def test_programs_run_unchanged(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    told = run("-m", "moka.compat.torch", tmp_path / "program.py", tmp_path / "w.pt")
    assert told.strip() == "True True"


def test_programs_that_are_not_there_are_an_error():
    assert "no program 'nowhere.py'" in run("-m", "moka.compat.torch", "nowhere.py", code=2)
    assert "usage" in run("-m", "moka.compat.torch", code=2)
    assert "usage" in run("-m", "moka.compat.torch", "--help")


def test_names_that_are_missing_say_so():
    told = inside(
        """
        import torch
        for name in ("torch.zroes", "torch.nn.Conv22d", "torch.cuda.Streams"):
            module, _, last = name.rpartition(".")
            try:
                getattr(eval(module), last)
            except AttributeError as error:
                print(error)
        print(hasattr(torch, "zroes"))
        try:
            import torch.nowhere
        except ImportError as error:
            print(error)
        """
    )
    assert "Moka does not have torch.zroes; the nearest there is: torch.zeros" in told
    assert "Moka does not have torch.nn.Conv22d; the nearest there is: torch.nn.Conv2d" in told
    assert "Moka does not have torch.cuda.Streams; the nearest there is: torch.cuda.Stream" in told
    assert "False" in told
    assert "Moka stands in for torch and has no such module" in told


def test_root_names():
    told = inside(
        """
        import torch
        assert torch.is_tensor(torch.ones(1)) and not torch.is_tensor(1)
        assert isinstance(torch.ones(1), torch.FloatTensor) and isinstance(torch.LongTensor([1]),
        torch.LongTensor)
        assert torch.LongTensor([1, 2]).tolist() == [1, 2] and torch.DoubleTensor(2, 3).shape == (2, 3)
        assert torch.typename(torch.ones(1).long()) == "torch.LongTensor"
        assert torch.numel(torch.ones(2, 3)) == 6 and torch.is_floating_point(torch.ones(1))
        assert torch.__version__.startswith("2.") and torch.version.cuda is None
        assert torch.cuda.device_count() == 0 and not torch.backends.mps.is_available()
        assert torch.get_num_threads() >= 1 and torch.inf > 1 and torch.compile(len) is len
        with torch.set_grad_enabled(False):
            assert not torch.is_grad_enabled()
        torch.set_default_tensor_type(torch.DoubleTensor)
        assert torch.ones(1).dtype == torch.float64
        torch.set_default_dtype(torch.float32)
        torch.random.manual_seed(5)
        a = torch.rand(2).tolist()
        with torch.random.fork_rng():
            torch.rand(3)
        torch.manual_seed(5)
        assert torch.rand(2).tolist() == a and torch.initial_seed() == 5
        assert not torch.jit.is_scripting() and torch.jit.ignore(len) is len
        """
    )
    assert told == ""


def test_what_cannot_be_done_says_why():
    told = inside(
        """
        import torch
        for deed in (torch.hub.load, torch.cuda.current_device):
            try:
                deed()
            except RuntimeError as error:
                print(error)
        """
    )
    assert "runs no code" in told and "has no CUDA" in told


def test_the_real_torch_is_not_replaced_behind_its_back():
    program = """
import sys, types
sys.modules["torch"] = types.ModuleType("torch")
try:
    import moka.compat.torch
except RuntimeError as error:
    print(error)
"""
    assert "imported in this process already" in run("-c", program)


def test_the_hook_goes_away_again():
    told = inside(
        """
        import sys
        import torch
        moka.compat.torch.uninstall()
        print("torch" in sys.modules, any("moka" in str(type(f)) for f in sys.meta_path))
        """
    )
    assert told.split() == ["False", "False"]


# moka.testing and moka.utils.checkpoint, which torch programs reach under torch's names


def test_assert_close_names_the_difference():
    from moka.testing import assert_close, make_tensor

    import moka

    assert_close(moka.ones(2), moka.ones(2) + 1e-7)
    assert_close({"a": [1.0, moka.tensor(2)]}, {"a": [1.0, moka.tensor(2)]})
    assert_close(moka.tensor([float("nan")]), moka.tensor([float("nan")]), equal_nan=True)
    for actual, expected, text in (
        (
            moka.ones(2, 2),
            moka.tensor([[1.0, 1.0], [1.5, 1.0]]),
            r"1 of 4 elements.*at \(1, 0\): 1.0 and 1.5",
        ),
        (moka.ones(2), moka.ones(3), r"shapes differ: \[2\] and \[3\]"),
        (moka.ones(2), moka.ones(2).double(), "dtypes differ"),
        ([1, moka.ones(1)], [1, moka.zeros(1)], r"Not close \(at \[1\]\)"),
        (float("nan"), float("nan"), "Not close"),
        ({"a": 1}, {"b": 1}, "keys differ"),
    ):
        with pytest.raises(AssertionError, match=text):
            assert_close(actual, expected)
    made = make_tensor(3, 4, dtype=moka.int64, low=1, high=5, noncontiguous=True)
    assert made.shape == (3, 4) and 1 <= made.min().item() <= made.max().item() < 5
    assert not made.is_contiguous() and make_tensor((2,), dtype=moka.bool).dtype == moka.bool
    assert make_tensor(5, dtype=moka.float64, requires_grad=True).requires_grad


def test_checkpointed_parts_give_the_same_gradients():
    from moka.utils.checkpoint import checkpoint, checkpoint_sequential

    import moka
    from moka import nn

    moka.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, 2))
    x = moka.randn(4, 3, requires_grad=True)
    found = []
    for way in (net, lambda v: checkpoint(net, v), lambda v: checkpoint_sequential(net, 2, v)):
        moka.manual_seed(1)
        net.zero_grad()
        x.grad = None
        (way(x) ** 2).sum().backward()
        found.append([p.grad.reshape(-1).tolist() for p in net.parameters()] + [x.grad.reshape(-1).tolist()])
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            assert a == pytest.approx(b, abs=1e-6)
    net.zero_grad()
    checkpoint(net, x.detach()).sum().backward()
    assert net[0].weight.grad is not None
