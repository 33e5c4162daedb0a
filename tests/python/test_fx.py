"""torch.fx: programs as graphs of calls, in a process of its own."""
# SPDX-License-Identifier: Apache-2.0

from tests.python.test_compat_torch import inside


def test_modules_are_traced_changed_and_run():
    told = inside(
        """
        import torch, torch.nn as nn, torch.nn.functional as F
        from torch.fx import Interpreter, Transformer, replace_pattern, symbolic_trace

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
                self.scale = nn.Parameter(torch.full((1,), 2.0))
            def forward(self, x, bias=1.0):
                y = self.body(x)
                a, b = y.chunk(2, 1)
                return F.relu(torch.cat([a, b], 1)).mean(dim=(2, 3)) * self.scale + bias

        net = Net()
        graph = symbolic_trace(net)
        x = torch.randn(2, 3, 8, 8)
        print([node.op for node in graph.graph.nodes])
        print(torch.equal(graph(x), net(x)), torch.equal(Interpreter(graph).run(x), net(x)))
        print(torch.equal(Transformer(graph).transform()(x), net(x)))
        for node in graph.graph.nodes:
            if node.op == "call_function" and node.target is F.relu:
                with graph.graph.inserting_after(node):
                    other = graph.graph.call_function(torch.sigmoid, node.args)
                node.replace_all_uses_with(other)
                graph.graph.erase_node(node)
        graph.graph.lint()
        graph.recompile()
        print("torch_sigmoid" in graph.code or "sigmoid" in graph.code, graph(x).shape)
        small = symbolic_trace(lambda a, b: torch.add(a, b) + 1)
        print(len(replace_pattern(small, lambda a, b: torch.add(a, b), lambda a, b: torch.mul(a, b))))
        print(small(torch.tensor(3.0), torch.tensor(2.0)).item())
        try:
            symbolic_trace(lambda a: a if a.sum() > 0 else -a)
        except torch.fx.proxy.TraceError as error:
            print(error)
        """
    ).splitlines()
    assert told[0] == str(
        ["placeholder", "placeholder", "call_module", "call_module", "call_method"]
        + ["call_function"] * 4
        + ["call_method", "get_attr", "call_function", "call_function", "output"]
    )
    assert told[1:4] == ["True True", "True", "True torch.Size([2, 4])"]
    assert told[4:6] == ["1", "7.0"] and "control flow" in told[6]


def test_stand_ins_get_the_calls():
    told = inside(
        """
        import torch
        class Stand:
            @classmethod
            def __torch_function__(cls, function, types, args=(), kwargs=None):
                return function.__name__, len(args), kwargs
        s = Stand()
        print(torch.add(s, 1), torch.nn.functional.relu(s), torch.cat([torch.ones(1), s], dim=0))
        print(torch.linalg.solve(torch.eye(2), s), torch.overrides.has_torch_function((s,)))
        """
    )
    assert "('add', 2, {})" in told and "('relu', 1," in told and "('cat', 1, {'dim': 0})" in told
    assert "('solve', 2, {})" in told.splitlines()[1] or "linalg_solve" in told.splitlines()[1]


def test_calls_of_several_forms_are_traced_in_one():
    told = inside(
        """
        import torch
        from torch.fx import symbolic_trace
        def net(a, b):
            torch._assert(a.shape[0] == 2, "two rows")
            c = torch.einsum("ij,jk->ik", [a, b]) + torch.functional.einsum("ij,jk->ik", a, b)
            return torch.tensordot(c, b, 1)
        made = symbolic_trace(net)
        calls = [n for n in made.graph.nodes if n.op == "call_function"]
        einsums = [n for n in calls if n.target is torch.einsum]
        print(len(einsums), torch.functional.einsum is torch.einsum, {len(n.args) for n in einsums})
        print([n.kwargs for n in calls if n.target is torch.tensordot])
        print(any(n.target is torch._assert for n in calls), made(torch.eye(2), torch.eye(2)).tolist())
        """
    )
    assert told.splitlines() == [
        "2 True {3}",
        "[{'dims': 1, 'out': None}]",
        "True [[2.0, 0.0], [0.0, 2.0]]",
    ]
