"""Module: registration, names, state, hooks, errors."""
# SPDX-License-Identifier: Apache-2.0

import copy

import pytest

import moka
from moka import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
        self.layers = nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 2)])
        self.scale = nn.Parameter(moka.ones(2))
        self.register_buffer("count", moka.zeros(1))
        self.register_buffer("scratch", moka.zeros(1), persistent=False)

    def forward(self, x):
        x = self.first(x)
        for layer in self.layers:
            x = layer(x)
        return x * self.scale


NAMES = [
    "scale",
    "first.0.weight",
    "first.0.bias",
    "layers.0.weight",
    "layers.0.bias",
    "layers.1.weight",
    "layers.1.bias",
]


def test_parameters_are_found_with_dotted_names():
    assert [name for name, _ in Net().named_parameters()] == NAMES


def test_buffers_and_modules_are_found():
    net = Net()
    assert [name for name, _ in net.named_buffers()] == ["count", "scratch"]
    assert [name for name, _ in net.named_modules()] == [
        "",
        "first",
        "first.0",
        "first.1",
        "layers",
        "layers.0",
        "layers.1",
    ]
    assert [name for name, _ in net.named_children()] == ["first", "layers"]


def test_a_parameter_used_twice_is_listed_once():
    net = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
    net[1].weight = net[0].weight
    assert [name for name, _ in net.named_parameters()] == ["0.weight", "0.bias", "1.bias"]
    assert "1.weight" in net.state_dict()


def test_state_dict_leaves_out_transient_buffers():
    assert list(Net().state_dict()) == ["scale", "count", *NAMES[1:]]


def test_state_goes_from_one_module_to_another():
    one, other = Net(), Net()
    other.load_state_dict(one.state_dict())
    for (_, a), (_, b) in zip(one.named_parameters(), other.named_parameters(), strict=True):
        assert a.tolist() == b.tolist() and a.data_ptr() != b.data_ptr()


def test_assign_takes_the_tensors_themselves():
    one, other = Net(), Net()
    other.load_state_dict(one.state_dict(), assign=True)
    assert other.scale.data_ptr() == one.scale.data_ptr()
    assert isinstance(other.scale, nn.Parameter) and other.scale.requires_grad


def test_a_misspelt_state_names_the_nearest_key():
    state = Net().state_dict()
    state["layers.0.wieght"] = state.pop("layers.0.weight")
    with pytest.raises(RuntimeError) as caught:
        Net().load_state_dict(state)
    text = str(caught.value)
    assert "1 missing, 1 unexpected" in text
    assert 'Missing key(s) in state_dict: "layers.0.weight".' in text
    assert "layers.0.weight: nearest on the other side: layers.0.wieght" in text


def test_a_prefixed_state_says_how_to_strip_the_prefix():
    state = {f"module.{name}": value for name, value in Net().state_dict().items()}
    with pytest.raises(RuntimeError, match=r"begins with 'module\.'.*removeprefix\('module\.'\)"):
        Net().load_state_dict(state)


def test_a_wrong_shape_is_an_error_even_when_not_strict():
    state = {"scale": moka.ones(3)}
    with pytest.raises(RuntimeError, match=r"scale: the module has \[2\], the state has \[3\]"):
        Net().load_state_dict(state, strict=False)


def test_a_state_that_does_not_fit_changes_nothing():
    net = Net()
    before = net.scale.tolist()
    state = Net().state_dict()
    state["scale"] = moka.full((2,), 7.0)
    state["layers.1.bias"] = moka.zeros(5)
    with pytest.raises(RuntimeError):
        net.load_state_dict(state)
    assert net.scale.tolist() == before


def test_not_strict_loads_what_both_have():
    net = Net()
    result = net.load_state_dict({"scale": moka.full((2,), 7.0), "other": moka.zeros(1)}, strict=False)
    assert net.scale.tolist() == [7.0, 7.0]
    assert result.unexpected_keys == ["other"] and "count" in result.missing_keys


def test_extra_state_travels_with_the_state_dict():
    class Counter(nn.Module):
        def __init__(self, n):
            super().__init__()
            self.n = n

        def get_extra_state(self):
            return {"n": self.n}

        def set_extra_state(self, state):
            self.n = state["n"]

    net = nn.Sequential(Counter(0))
    net.load_state_dict(nn.Sequential(Counter(5)).state_dict())
    assert net[0].n == 5


def test_train_and_eval_reach_every_module():
    net = Net()
    assert all(not module.training for module in net.eval().modules())
    assert all(module.training for module in net.train().modules())


def test_apply_visits_children_first():
    seen = []
    Net().apply(lambda module: seen.append(type(module).__name__))
    assert seen == ["Linear", "ReLU", "Sequential", "Linear", "Linear", "ModuleList", "Net"]


def test_double_converts_parameters_and_floating_buffers_only():
    norm = nn.BatchNorm1d(3).double()
    assert norm.weight.dtype == moka.float64 and norm.running_mean.dtype == moka.float64
    assert norm.num_batches_tracked.dtype == moka.int64
    assert isinstance(norm.weight, nn.Parameter) and norm.weight.requires_grad


def test_requires_grad_and_zero_grad():
    net = Net()
    net(moka.ones(1, 4)).sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())
    net.zero_grad()
    assert all(parameter.grad is None for parameter in net.parameters())
    net.requires_grad_(False)
    assert not net(moka.ones(1, 4)).requires_grad


def test_zero_grad_can_keep_the_tensors():
    layer = nn.Linear(2, 1)
    layer(moka.ones(1, 2)).sum().backward()
    layer.zero_grad(set_to_none=False)
    assert layer.weight.grad.tolist() == [[0.0, 0.0]]


def test_deepcopy_has_memory_of_its_own():
    net = Net()
    twin = copy.deepcopy(net)
    assert twin.scale.tolist() == net.scale.tolist() and twin.scale.data_ptr() != net.scale.data_ptr()
    assert [name for name, _ in twin.named_parameters()] == NAMES


def test_deepcopy_keeps_shared_parameters_shared():
    net = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
    net[1].weight = net[0].weight
    twin = copy.deepcopy(net)
    assert twin[0].weight is twin[1].weight


def test_assigning_before_init_says_what_is_missing():
    class Forgetful(nn.Module):
        def __init__(self):
            self.layer = nn.Linear(1, 1)

    with pytest.raises(AttributeError, match=r"call super\(\).__init__\(\) first in Forgetful"):
        Forgetful()


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("scale", moka.ones(2), "is a parameter: assign a moka.nn.Parameter"),
        ("first", 3, "is a submodule: assign a moka.nn.Module"),
        ("count", 3, "is a buffer: assign a Tensor"),
    ],
)
def test_registered_attributes_keep_their_kind(name, value, text):
    with pytest.raises(TypeError, match=text):
        setattr(Net(), name, value)


def test_names_with_dots_and_taken_names_are_refused():
    net = Net()
    with pytest.raises(KeyError, match="cannot be a name"):
        net.register_buffer("a.b", moka.zeros(1))
    with pytest.raises(KeyError, match="already has an attribute 'forward'"):
        net.add_module("forward", nn.ReLU())


def test_a_parameter_may_become_none_and_come_back():
    layer = nn.Linear(2, 2)
    layer.bias = None
    assert [name for name, _ in layer.named_parameters()] == ["weight"]
    layer.bias = nn.Parameter(moka.zeros(2))
    assert "bias" in layer.state_dict()


def test_a_parameter_replaces_a_plain_attribute():
    module = nn.Module()
    module.value = 3
    module.value = nn.Parameter(moka.ones(1))
    assert list(module.state_dict()) == ["value"] and "value" not in module.__dict__


def test_deleting_unregisters():
    net = Net()
    del net.scale, net.first, net.count
    assert (
        not hasattr(net, "scale")
        and "first" not in dict(net.named_children())
        and "count" not in net.state_dict()
    )


def test_buffers_can_be_declared_by_assignment():
    module = nn.Module()
    module.kept = nn.Buffer(moka.ones(2))
    module.passing = nn.Buffer(moka.ones(2), persistent=False)
    assert list(module.state_dict()) == ["kept"] and len(list(module.buffers())) == 2


def test_an_unknown_attribute_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'Net' object has no attribute 'wieght'"):
        Net().wieght  # noqa: B018


def test_forward_hooks_see_and_change_the_result():
    layer = nn.Identity()
    handle = layer.register_forward_hook(lambda module, args, output: output * 2)
    layer.register_forward_pre_hook(lambda module, args: (args[0] + 1,))
    assert layer(moka.ones(1)).item() == 4.0
    handle.remove()
    assert layer(moka.ones(1)).item() == 2.0


def test_hooks_may_ask_for_keyword_arguments():
    class Scale(nn.Module):
        def forward(self, x, by=1.0):
            return x * by

    layer = Scale()
    layer.register_forward_pre_hook(lambda module, args, kwargs: (args, {"by": 3.0}), with_kwargs=True)
    assert layer(moka.ones(1), by=2.0).item() == 3.0


def test_backward_hooks_see_the_gradients_of_their_module():
    layer = nn.Linear(2, 1)
    seen = []
    layer.register_full_backward_hook(lambda module, inputs, outputs: seen.append((inputs, outputs)))
    x = moka.ones(3, 2, requires_grad=True)
    (layer(x) * 2).sum().backward()
    ((of_input,), (of_output,)) = seen[0]
    assert of_output.tolist() == [[2.0]] * 3
    assert of_input.tolist() == (of_output @ layer.weight).tolist() == x.grad.tolist()


def test_backward_hooks_can_replace_the_gradient():
    layer = nn.Linear(2, 1)
    layer.register_full_backward_hook(lambda module, inputs, outputs: (inputs[0] * 0,))
    x = moka.ones(3, 2, requires_grad=True)
    layer(x).sum().backward()
    assert x.grad.tolist() == [[0.0, 0.0]] * 3


def test_errors_name_the_module_they_arose_in():
    with pytest.raises(Exception) as caught:
        Net()(moka.ones(1, 5))
    notes = getattr(caught.value, "__notes__", None)
    assert notes == ["In first.0 of Net: Linear(in_features=4, out_features=3, bias=True)"]


def test_text_shows_the_tree():
    assert repr(nn.Sequential(nn.Linear(2, 1), nn.Sequential(nn.ReLU()))) == (
        "Sequential(\n"
        "  (0): Linear(in_features=2, out_features=1, bias=True)\n"
        "  (1): Sequential(\n"
        "    (0): ReLU()\n"
        "  )\n"
        ")"
    )


def test_summary_counts_parameters_and_arithmetic():
    net = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Flatten(), nn.Linear(2 * 16, 5))
    summary = net.summary(moka.zeros(1, 1, 4, 4))
    assert summary.parameters == 2 * 9 + 2 + 32 * 5 + 5
    assert summary.multiply_adds == 16 * 2 * 9 + 32 * 5
    assert [layer.output_shape for layer in summary.layers] == [(1, 5), (1, 2, 4, 4), (1, 32), (1, 5)]
    assert "0 (Conv2d)" in repr(summary) and net.training


def test_get_by_dotted_name():
    net = Net()
    assert net.get_submodule("first.0") is net.first[0]
    assert net.get_parameter("layers.1.bias") is net.layers[1].bias
    with pytest.raises(AttributeError, match="first has no submodule '7'"):
        net.get_submodule("first.7")
    with pytest.raises(AttributeError, match="no parameter 'first.0.wieght'"):
        net.get_parameter("first.0.wieght")


def test_annotations_can_be_read():
    from typing import get_type_hints

    assert get_type_hints(nn.Linear)["training"] is bool
