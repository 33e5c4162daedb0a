"""moka.export: declared sizes, guards, signatures, modules, packages."""
# SPDX-License-Identifier: Apache-2.0

import io

import pytest
from moka.export import AdditionalInputs, Dim, ShapesCollection, dims, export

import moka
from moka import export as exporting
from moka import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin, self.norm = nn.Linear(3, 4), nn.BatchNorm1d(4)
        self.unused = nn.Linear(2, 2)
        self.register_buffer("scale", moka.ones(4) * 2, persistent=False)

    def forward(self, x, *, flag=True):
        y = self.norm(self.lin(x)) * self.scale
        return {"y": y, "nothing": None, "more": (y + 1, 3)}


def exported(mode="eval"):
    net = getattr(Net(), mode)()
    return net, export(net, (moka.randn(5, 3),), dynamic_shapes={"x": {0: Dim("batch", min=2, max=64)}})


def test_a_program_has_all_states_of_its_module():
    net, program = exported()
    assert list(program.state_dict) == [*dict(net.named_parameters()), *list(net.state_dict())[4:7]]
    assert list(program.constants) == ["scale"]
    signature = program.graph_signature
    assert signature.parameters[:2] == ["lin.weight", "lin.bias"] and "scale" in signature.buffers
    assert signature.non_persistent_buffers == ["scale"] and signature.user_inputs == ["x"]
    assert signature.user_outputs == ["y", None, "more.0", 3] and not signature.buffers_to_mutate
    assert "graph Net(%x: float32[batch, 3])" in str(program)


def test_a_call_and_the_module_give_what_the_program_gives():
    net, program = exported()
    x = moka.randn(7, 3)
    expected = net(x)
    for found in (program(x), program.module()(x), program.module()(x=x)):
        assert list(found) == ["y", "nothing", "more"] and found["nothing"] is None and found["more"][1] == 3
        assert moka.allclose(found["y"], expected["y"], atol=1e-6)
        assert moka.allclose(found["more"][0], expected["more"][0], atol=1e-6)


def test_the_module_trains_the_exported_parameters():
    net, program = exported()
    module = program.module()
    assert [name for name, _ in module.named_parameters()] == [name for name, _ in net.named_parameters()]
    module(moka.ones(2, 3))["y"].sum().backward()
    moka.optim.SGD(module.parameters(), lr=0.5).step()
    x = moka.randn(4, 3)
    assert moka.allclose(program(x)["y"], net(x)["y"], atol=1e-6)  # all three share the parameters
    with pytest.raises(NotImplementedError, match="evaluation mode"):
        module.eval()


def test_buffers_that_the_program_writes_are_written():
    net, program = exported("train")
    assert program.graph_signature.buffers_to_mutate.keys() == {
        "norm_num_batches_tracked_after",
        "norm_running_mean_after",
        "norm_running_var_after",
    }
    program(moka.randn(6, 3))
    program.module()(moka.randn(6, 3))
    assert net.norm.num_batches_tracked.item() == 2
    assert moka.equal(program.state_dict["norm.running_mean"], net.norm.running_mean)


def test_limits_and_sizes_are_checked():
    _, program = exported()
    assert repr(program.range_constraints) == "{'batch': VR[2, 64]}"
    for rows in (1, 65):
        with pytest.raises(ValueError, match=r"'x' \('batch'\) must be at least 2 and at most 64"):
            program(moka.randn(rows, 3))
        with pytest.raises(exporting.GuardError, match="at least 2"):
            program.module()(moka.randn(rows, 3))
    with pytest.raises(
        AssertionError, match=r"must be moka.float32 \[batch, 3\], but moka.float32 \[5, 4\] came"
    ):
        program.module()(moka.randn(5, 4))
    with pytest.raises(TypeError, match=r"takes \(Tensor\), but \(Tensor, Tensor\) came"):
        program.module()(moka.randn(5, 3), moka.randn(5, 3))
    with pytest.raises(exporting.ExportError, match=r"is Dim\('n', min=2, max=64\), but the example has 1"):
        export(lambda x: x * 2, (moka.ones(1),), dynamic_shapes=({0: Dim("n", min=2, max=64)},))


def test_a_size_that_the_program_fixes_is_an_error_with_its_line():
    def halves(x):
        return x.reshape(2, 6)

    for size in (Dim("n"), Dim.DYNAMIC):
        with pytest.raises(
            exporting.ExportError, match=r"(?s)dimension 0 of x.*test_export.py:\d+ in halves"
        ):
            export(halves, (moka.ones(4, 3),), dynamic_shapes={"x": {0: size}})
    assert export(halves, (moka.ones(4, 3),), dynamic_shapes={"x": {0: Dim.AUTO}}).range_constraints == {}
    with pytest.raises(exporting.ExportError, match="dimension 0 of x"):  # two names are two sizes
        export(
            lambda x, y: x + y, (moka.ones(4), moka.ones(4)), dynamic_shapes=({0: Dim("n")}, {0: Dim("m")})
        )


def test_conditions_on_sizes_are_guards():
    def program(x, y):
        return x + y if x.shape[0] > 5 else x - y

    same = (moka.ones(4, 3), moka.ones(4, 3))
    auto = export(program, same, dynamic_shapes={"x": {0: Dim.AUTO}, "y": {0: Dim.AUTO}})
    assert auto.guards == ["x_0 <= 5"] and auto.range_constraints["x_0"].upper == 5
    assert auto(moka.ones(2, 3), moka.ones(2, 3)).tolist() == [[0.0] * 3] * 2
    with pytest.raises(exporting.GuardError, match="x_0 <= 5"):
        auto.module()(moka.ones(6, 3), moka.ones(6, 3))
    assert "checked: x_0 <= 5 (test_export.py:" in auto.report()


def test_sizes_that_follow_others():
    half, other = dims("half", "other")

    def program(x, y):
        return x.reshape(-1, 2, x.shape[1]).sum(1) + y

    made = export(
        program, (moka.ones(4, 3), moka.ones(2, 3)), dynamic_shapes=({0: 2 * half, 1: other}, (half, other))
    )
    assert made(moka.ones(6, 5), moka.ones(3, 5)).shape == (3, 5)
    for rows in (5, 8):
        with pytest.raises(ValueError, match=r"dimension 0 of input 'x' must be 2\*half"):
            made(moka.ones(rows, 3), moka.ones(3, 3))
    longer = export(
        lambda x, y: x[1:] + y, (moka.ones(4), moka.ones(3)), dynamic_shapes=({0: half + 1}, {0: half})
    )
    assert longer(moka.ones(7), moka.ones(6)).shape == (6,)


def test_tables_may_end_where_the_example_does():
    table = moka.randn(8, 4)
    made = export(
        lambda x: x + table[: x.shape[1]],
        (moka.zeros(2, 8, 4),),
        dynamic_shapes=({0: Dim("b"), 1: Dim("t")},),
    )
    assert moka.equal(made(moka.zeros(3, 5, 4))[1], table[:5])


def test_shapes_come_in_many_forms():
    x = moka.ones(4, 3)

    def program(batch, *more, **named):
        return batch["a"][0] + more[0] + named["z"]

    rows = Dim("rows")
    args, kwargs = ({"a": [x]}, x), {"z": x}
    forms = (
        {"batch": {"a": [{0: rows}]}, "more": ((rows, None),), "named": {"z": {0: rows}}},
        ({"a": [{0: rows}]}, {0: rows}, {0: rows}),
        {"batch": {"a": [(rows, Dim.STATIC)]}, "input1": {-2: rows}, "z": [rows, 3]},
    )
    for form in forms:
        made = export(program, args, kwargs, dynamic_shapes=form)
        assert made.graph.input_types == ["float32[rows, 3]"] * 3
    collection = ShapesCollection()
    collection[x] = {0: rows}
    assert export(lambda x: x * 2, (x,), dynamic_shapes=collection).graph.input_types == ["float32[rows, 3]"]
    examples = AdditionalInputs()
    examples.add((moka.ones(6, 3),))
    made = export(lambda x: x * 2, (x,), dynamic_shapes=examples)
    examples.verify(made)
    assert made.graph.input_types == ["float32[x_0, 3]"]


@pytest.mark.parametrize(
    ("shapes", "text"),
    [
        ({"y": {0: Dim.AUTO}}, r"must be the arg names \['x'\] of `inputs`, but here they are \['y'\]"),
        ({"x": {5: Dim.AUTO}}, "names dimension 5 of a tensor with 2"),
        ({"x": [None]}, "expected 2, but got 1"),
        (({}, {}), "`inputs` has 1 elements, but `dynamic_shapes` has 2"),
        ({"x": {0: 5}}, "is 5, but the example has 4"),
        ({"x": {0: 1.5}}, "expected None, an int, a Dim"),
        ({"x": {"a": {}}}, "names dimension 'a'"),
        (3, "must be a dict, tuple or list"),
    ],
)
def test_shapes_that_do_not_fit(shapes, text):
    with pytest.raises(exporting.ExportError, match=text):
        export(lambda x: x * 2, (moka.ones(4, 3),), dynamic_shapes=shapes)


def test_names_and_arguments_are_checked():
    with pytest.raises(AssertionError, match="valid identifier"):
        Dim("1a")
    with pytest.raises(AssertionError, match="inconsistent min=5, max=3"):
        Dim("a", min=5, max=3)
    with pytest.raises(exporting.ExportError, match="Expecting `args` to be a tuple"):
        export(lambda x: x, moka.ones(2))
    assert repr(2 * Dim("a") + 1) == "2*a + 1" and repr(Dim.DYNAMIC(min=2)) == "DimHint(DYNAMIC, min=2)"


def test_programs_are_saved_and_loaded(tmp_path):
    _, program = exported("train")
    memory = io.BytesIO()
    exporting.save(program, memory, extra_files={"note.txt": "hello"})
    memory.seek(0)
    extra = {"note.txt": ""}
    loaded = exporting.load(memory, extra_files=extra)
    assert extra == {"note.txt": "hello"} and str(loaded.range_constraints) == "{'batch': VR[2, 64]}"
    assert list(loaded.state_dict) == list(program.state_dict) and list(loaded.constants) == ["scale"]
    x = moka.randn(4, 3)
    assert loaded(x)["more"][0].tolist() == program(x)["more"][0].tolist()
    assert loaded.state_dict["norm.num_batches_tracked"].item() == 1
    loaded.module()(x)["y"].sum().backward()
    with pytest.raises(ValueError, match="at least 2"):
        loaded(moka.ones(1, 3))
    with pytest.raises(TypeError, match="must be an instance of 'ExportedProgram'"):
        exporting.save(exported()[0], tmp_path / "net.moka")
