"""torch.jit.trace and torch.jit.load under torch's name: Modules that are trained, copied and saved."""
# SPDX-License-Identifier: Apache-2.0

from tests.python.test_compat_torch import inside


def test_recordings_are_modules_with_gradients(tmp_path):
    told = inside(
        f"""
        import copy, io, torch
        from torch import nn
        x = torch.randn(5, 3)
        model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
        traced = torch.jit.trace(model, (x,))
        print(isinstance(traced, torch.jit.ScriptModule), traced.training, list(traced.state_dict())[:3])
        traced(x).pow(2).sum().backward()
        weight = dict(traced.named_parameters())["0.weight"]
        print(weight is model[0].weight, weight.grad is not None)
        model.eval(), traced.eval()
        with torch.no_grad():
            steady = torch.jit.trace(model, x)
            print(steady(x).requires_grad, torch.allclose(steady(x), model(x)))
        frozen = torch.jit.freeze(steady)
        print(frozen(x).requires_grad, len(list(frozen.parameters())))
        buffer, extra = io.BytesIO(), {{"note.txt": ""}}
        torch.jit.save(steady, buffer, _extra_files={{"note.txt": "as it was"}})
        buffer.seek(0)
        loaded = torch.jit.load(buffer, map_location="cpu", _extra_files=extra).to("cpu")
        print(loaded.training, torch.allclose(loaded(x), model(x)), extra)
        loaded.save({str(tmp_path / "program.pt")!r})
        again = torch.jit.load({str(tmp_path / "program.pt")!r})
        other = copy.deepcopy(again)
        again.load_state_dict({{k: torch.zeros_like(v) for k, v in again.state_dict().items()}})
        print(again(x).abs().max().item(), torch.allclose(other(x), model(x)))
        print(steady.double()(x.double()).dtype)
        """
    ).splitlines()
    assert told == [
        "True True ['0.weight', '0.bias', '1.weight']",
        "True True",
        "False True",
        "False 0",
        "False True {'note.txt': b'as it was'}",
        "0.0 True",
        "torch.float64",
    ]


def test_recorded_functions_and_methods():
    told = inside(
        """
        import torch
        from torch import nn
        x = torch.randn(5, 3)
        function = torch.jit.trace(lambda a, b: a * b, (x, x))
        a = x.clone().requires_grad_()
        function(a, x).sum().backward()
        print(torch.equal(a.grad, x), function(x, x).requires_grad)
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = nn.Linear(3, 4)
            def forward(self, x):
                return self.layer(x)
            def twice(self, x):
                return self.layer(x) * 2
        model = Model()
        traced = torch.jit.trace_module(model, {"forward": x, "twice": x})
        print(torch.allclose(traced.twice(x), model.twice(x)), traced.twice(x).requires_grad)
        outer = torch.jit.trace(nn.Sequential(traced, nn.ReLU()), x)
        print([name for name, _ in outer.named_parameters()])
        try:
            traced(torch.randn(5, 4))
        except RuntimeError as error:
            print(error)
        """
    ).splitlines()
    assert told[:3] == ["True False", "True True", "['0.layer.weight', '0.layer.bias']"]
    assert "[batch, 3], but torch.float32 [5, 4] came" in told[3]
