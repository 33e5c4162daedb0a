"""Tools around modules: hooks of every kind, state hooks, parametrizations, pruning, sequences, fusion."""
# SPDX-License-Identifier: Apache-2.0

import copy
import pickle

import pytest
from moka.nn.utils import parametrizations, parametrize, prune, rnn

import moka
from moka import nn


def close(a, b, tolerance=1e-5):
    assert list(a.shape) == list(b.shape)
    assert (a - b).abs().max().item() <= tolerance


# Hooks


def test_forward_hooks_with_keywords_and_after_errors():
    class Add(nn.Module):
        def forward(self, x, *, y=0.0):
            if y < 0:
                raise ValueError("negative")
            return x + y

    layer, seen = Add(), []
    layer.register_forward_pre_hook(lambda m, args, kw: (args, {"y": kw["y"] * 2}), with_kwargs=True)
    handle = layer.register_forward_hook(
        lambda m, args, kw, out: seen.append((kw["y"], out)), with_kwargs=True, always_call=True
    )
    assert layer(moka.tensor(1.0), y=2.0).item() == 5.0
    assert seen[0][0] == 4.0
    with pytest.raises(ValueError):
        layer(moka.tensor(1.0), y=-1.0)
    assert seen[1] == (-2.0, None)
    handle.remove()
    layer(moka.tensor(1.0), y=2.0)
    assert len(seen) == 2 and not layer._forward_hooks_with_kwargs and not layer._forward_hooks_always_called


def test_backward_pre_hooks_change_what_comes_in():
    layer = nn.Linear(2, 1, bias=False)
    seen = []
    layer.register_full_backward_pre_hook(lambda m, grads: (grads[0] * 3,))
    layer.register_full_backward_hook(lambda m, before, after: seen.append(after[0].item()))
    x = moka.ones(1, 2, requires_grad=True)
    layer(x).sum().backward()
    assert seen == [3.0]
    close(x.grad, layer.weight.detach() * 3)


def test_hooks_of_all_modules_and_of_registration():
    from moka.nn import module  # torch's place for them is nn.modules.module

    assert module.Module is nn.Module
    from moka.nn import calling

    seen = []
    handles = [
        calling.register_module_forward_hook(lambda m, a, out: seen.append(type(m).__name__)),
        calling.register_module_parameter_registration_hook(lambda m, name, p: seen.append(name)),
    ]
    nn.Sequential(nn.Linear(1, 1), nn.ReLU())(moka.ones(1, 1))
    for handle in handles:
        handle.remove()
    assert seen == ["weight", "bias", "Linear", "ReLU", "Sequential"]


def test_state_hooks_rename_add_and_forgive():
    layer = nn.Linear(2, 1)
    layer.register_state_dict_post_hook(lambda m, state, prefix, meta: state.update({prefix + "extra": 1}))
    state = layer.state_dict()
    assert list(state) == ["weight", "bias", "extra"] and state._metadata[""] == {"version": 1}

    def rename(m, state, prefix, *rest):
        if prefix + "old" in state:
            state[prefix + "weight"] = state.pop(prefix + "old")

    net = nn.Sequential(nn.Linear(2, 1))
    net[0].register_load_state_dict_pre_hook(rename)
    given = {"0.old": moka.ones(1, 2), "0.bias": moka.zeros(1)}
    net.load_state_dict(given)
    assert net[0].weight.tolist() == [[1.0, 1.0]] and "0.old" in given
    net[0].register_load_state_dict_post_hook(lambda m, keys: keys.missing_keys.clear())
    net.load_state_dict({"0.old": moka.zeros(1, 2)})
    assert net[0].weight.tolist() == [[0.0, 0.0]]


def test_modules_may_load_themselves():
    class Old(nn.Linear):
        _version = 2

        def _load_from_state_dict(self, state, prefix, meta, strict, missing, unexpected, errors):
            if meta.get("version", 1) < 2:
                state[prefix + "weight"] = state[prefix + "weight"].t()
            super()._load_from_state_dict(state, prefix, meta, strict, missing, unexpected, errors)

    net = nn.Sequential(Old(3, 2), nn.Linear(2, 1))
    state = net.state_dict()
    assert state._metadata["0"] == {"version": 2}
    net.load_state_dict(state)
    old = {**state, "0.weight": moka.arange(6.0).reshape(3, 2)}
    net.load_state_dict(old)
    assert net[0].weight.tolist() == [[0.0, 2.0, 4.0], [1.0, 3.0, 5.0]]
    with pytest.raises(RuntimeError, match=r"weight.*module has \[2, 3\], the state has \[2, 2\]"):
        net.load_state_dict({**old, "0.weight": moka.zeros(2, 2)})
    with pytest.raises(RuntimeError, match="0.bias"):
        net.load_state_dict({k: v for k, v in old.items() if k != "0.bias"})


# Modules


def test_submodules_are_set_by_name():
    net = nn.Sequential(nn.Sequential(nn.Linear(1, 1)))
    net.set_submodule("0.0", nn.ReLU())
    assert isinstance(net[0][0], nn.ReLU)
    with pytest.raises(AttributeError, match="no submodule '7'"):
        net.set_submodule("0.7", nn.ReLU(), strict=True)


def test_types_change_everywhere_and_buffers_stay_shared():
    net = nn.Sequential(nn.BatchNorm1d(2), nn.BatchNorm1d(2))
    net[1].running_mean = net[0].running_mean
    net.type(moka.float64)
    assert net[0].weight.dtype == moka.float64 and net[1].running_mean is net[0].running_mean
    assert net.half().bfloat16().float()[0].bias.dtype == moka.float32
    assert net.to_empty(device="cpu")[0].weight.shape == (2,)


def test_modules_are_copied_and_pickled():
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    x = moka.ones(1, 2)
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        close(other(x), net(x))
        assert other[0].weight is not net[0].weight


def test_sequentials_add_and_repeat():
    a, b = nn.Sequential(nn.Linear(1, 1)), nn.Sequential(nn.ReLU())
    assert [type(m).__name__ for m in a + b] == ["Linear", "ReLU"]
    assert len(a * 3) == 3
    a += b
    assert len(a) == 2 and len(nn.ModuleList([nn.ReLU()]) + [nn.Tanh()]) == 2
    with pytest.raises(ValueError, match="at least once"):
        a * 0


def test_parameter_lists_hold_parameters_and_more():
    entries = nn.ParameterList([moka.ones(2), nn.Parameter(moka.zeros(1))])
    entries += [moka.ones(3)]
    entries.append("text")
    assert len(list(entries.parameters())) == 3 and entries[3] == "text" and len(entries[1:]) == 3
    entries[3] = moka.ones(4)
    assert isinstance(entries[-1], nn.Parameter) and len(list(entries.parameters())) == 4
    assert entries.pop(0).shape == (2,) and [tuple(p.shape) for p in entries] == [(1,), (3,), (4,)]
    assert list(entries.state_dict()) == ["0", "1", "2"]


def test_parameter_dicts_are_dicts():
    entries = nn.ParameterDict({"b": moka.ones(2)})
    entries.update([("a", moka.ones(1))])
    entries |= {"c": moka.zeros(3)}
    assert list(entries) == ["b", "a", "c"] and list(entries.state_dict()) == ["b", "a", "c"]
    assert entries.get("z") is None and "c" in entries and len(entries | {"d": moka.ones(1)}) == 4
    assert entries.pop("b").shape == (2,) and entries.popitem()[0] == "c"
    assert entries.setdefault("n", moka.ones(1)) is entries["n"]
    with pytest.raises(KeyError, match="no entry 'zz'; there are a, n"):
        entries["zz"]
    entries.clear()
    assert not list(entries.parameters())


# Calls with other tensors


def test_functional_call_uses_and_differentiates_the_given_tensors():
    layer = nn.Linear(2, 1)
    weight = moka.tensor([[2.0, 3.0]], requires_grad=True)
    given = {"weight": weight, "bias": moka.zeros(1)}
    before = layer.weight
    out = moka.nn.utils.stateless.functional_call(layer, given, moka.ones(1, 2))
    out.sum().backward()
    assert out.item() == 5.0 and weight.grad.tolist() == [[1.0, 1.0]]
    assert layer.weight is before and before.grad is None
    with pytest.raises(RuntimeError, match="does not have"):
        moka.nn.utils.stateless.functional_call(layer, {"wight": weight}, moka.ones(1, 2))
    with pytest.raises(RuntimeError, match="'bias'"):
        moka.nn.utils.stateless.functional_call(layer, {"weight": weight}, moka.ones(1, 2), strict=True)


# Parametrizations


class Symmetric(nn.Module):
    def forward(self, x):
        return x + x.t()

    def right_inverse(self, x):
        return x / 2


def test_parametrized_weights_are_computed_trained_and_removed():
    layer = nn.Linear(3, 3)
    with moka.no_grad():
        layer.weight.copy_(layer.weight + layer.weight.t())
    start = layer.weight.detach().clone()
    parametrize.register_parametrization(layer, "weight", Symmetric())
    close(layer.weight, start)
    assert parametrize.is_parametrized(layer, "weight") and not parametrize.is_parametrized(layer, "bias")
    assert parametrize.type_before_parametrizations(layer) is nn.Linear
    names = [name for name, _ in layer.named_parameters()]
    assert sorted(names) == ["bias", "parametrizations.weight.original"]
    layer(moka.ones(1, 3)).sum().backward()
    assert layer.parametrizations.weight.original.grad is not None
    layer.weight = moka.eye(3)
    close(layer.weight, moka.eye(3))
    with parametrize.cached():
        assert layer.weight is layer.weight
    other = copy.deepcopy(layer)
    close(other.weight, layer.weight)
    parametrize.remove_parametrizations(layer, "weight")
    assert type(layer) is nn.Linear and isinstance(layer.weight, nn.Parameter)
    assert [name for name, _ in layer.named_parameters()] == ["bias", "weight"]
    close(layer.weight, moka.eye(3))


def test_parametrizations_must_keep_the_shape():
    class Longer(nn.Module):
        def forward(self, x):
            return moka.cat([x, x])

    layer = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="unsafe=True"):
        parametrize.register_parametrization(layer, "weight", Longer())
    assert type(layer) is nn.Linear
    with pytest.raises(ValueError, match="element with name 'wait'"):
        parametrize.register_parametrization(layer, "wait", Symmetric())


@pytest.mark.parametrize("dim", [0, 1, None])
@pytest.mark.parametrize("style", ["parametrization", "hook"])
def test_weight_norm_keeps_the_weight_and_splits_it(dim, style):
    layer = nn.Linear(3, 2)
    start = layer.weight.detach().clone()
    x = moka.ones(1, 3)
    expected = layer(x)
    make = parametrizations.weight_norm if style == "parametrization" else nn.utils.weight_norm
    make(layer, dim=dim)
    close(layer(x), expected)
    size = layer.parametrizations.weight.original0 if style == "parametrization" else layer.weight_g
    assert list(size.shape) == {0: [2, 1], 1: [1, 3], None: []}[dim]
    with moka.no_grad():
        size.mul_(2)
    layer(x)
    close(layer.weight.detach(), start * 2)
    if style == "hook":
        nn.utils.remove_weight_norm(layer)
        close(layer.weight.detach(), start * 2)
        assert isinstance(layer.weight, nn.Parameter) and not layer._forward_pre_hooks


@pytest.mark.parametrize("style", ["parametrization", "hook"])
def test_spectral_norm_divides_by_the_largest_singular_value(style):
    moka.manual_seed(0)
    layer = nn.Linear(4, 3)
    with moka.no_grad():
        layer.weight.zero_()
        layer.weight[0, 0] = 5.0
        layer.weight[1, 1] = 2.0
    make = parametrizations.spectral_norm if style == "parametrization" else nn.utils.spectral_norm
    make(layer, n_power_iterations=10)
    for _ in range(3):
        layer(moka.ones(1, 4))
    assert layer.weight[0, 0].item() == pytest.approx(1.0, abs=1e-4)
    assert layer.weight[1, 1].item() == pytest.approx(0.4, abs=1e-4)
    layer.eval()
    close(layer(moka.ones(1, 4)), layer(moka.ones(1, 4)), 0)
    if style == "hook":
        nn.utils.remove_spectral_norm(layer)
        assert sorted(layer.state_dict()) == ["bias", "weight"]


@pytest.mark.parametrize("kind", ["matrix_exp", "cayley"])
@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4)])
def test_orthogonal_weights_stay_orthogonal_in_training(kind, shape):
    layer = parametrizations.orthogonal(nn.Linear(shape[1], shape[0], bias=False), orthogonal_map=kind)
    for step in range(2):
        w = layer.weight if shape[0] >= shape[1] else layer.weight.t()
        close(moka.matmul(w.t(), w), moka.eye(min(shape)), 1e-4)
        if step == 0:
            (layer(moka.ones(1, shape[1])) ** 2).sum().backward()
            original = layer.parametrizations.weight.original
            assert original.grad.abs().sum().item() > 0
            with moka.no_grad():
                original.sub_(original.grad)


# Pruning


def test_the_smallest_weights_are_pruned_and_stay_zero():
    layer = nn.Linear(4, 1, bias=False)
    with moka.no_grad():
        layer.weight.copy_(moka.tensor([[0.1, -4.0, 2.0, -0.2]]))
    prune.l1_unstructured(layer, "weight", amount=0.5)
    assert layer.weight.tolist() == [[0.0, -4.0, 2.0, 0.0]]
    assert sorted(layer.state_dict()) == ["weight_mask", "weight_orig"] and prune.is_pruned(layer)
    layer(moka.ones(1, 4)).sum().backward()
    assert layer.weight_orig.grad.tolist() == [[0.0, 1.0, 1.0, 0.0]]
    prune.l1_unstructured(layer, "weight", amount=1)
    assert layer.weight.tolist() == [[0.0, -4.0, 0.0, 0.0]]
    prune.remove(layer, "weight")
    assert layer.weight.tolist() == [[0.0, -4.0, 0.0, 0.0]] and not prune.is_pruned(layer)
    assert isinstance(layer.weight, nn.Parameter)


def test_channels_and_whole_nets_are_pruned():
    layer = nn.Linear(3, 2, bias=False)
    with moka.no_grad():
        layer.weight.copy_(moka.tensor([[1.0, 5.0, 0.1], [2.0, 1.0, 0.2]]))
    prune.ln_structured(layer, "weight", amount=1, n=2, dim=1)
    assert layer.weight.tolist() == [[1.0, 5.0, 0.0], [2.0, 1.0, 0.0]]
    prune.ln_structured(layer, "weight", amount=1, n=1, dim=0)
    assert layer.weight.tolist() == [[1.0, 5.0, 0.0], [0.0, 0.0, 0.0]]
    a, b = nn.Linear(2, 1, bias=False), nn.Linear(2, 1, bias=False)
    with moka.no_grad():
        a.weight.copy_(moka.tensor([[0.1, 0.2]]))
        b.weight.copy_(moka.tensor([[3.0, 0.3]]))
    prune.global_unstructured([(a, "weight"), (b, "weight")], prune.L1Unstructured, amount=2)
    assert a.weight.tolist() == [[0.0, 0.0]] and b.weight.tolist()[0] == pytest.approx([3.0, 0.3])


def test_random_and_given_masks():
    layer = nn.Linear(10, 10)
    prune.random_unstructured(layer, "weight", amount=0.3)
    assert (layer.weight == 0).sum().item() == 30
    prune.random_structured(layer, "weight", amount=2, dim=0)
    assert (layer.weight_mask.sum(1) == 0).sum().item() == 2
    prune.custom_from_mask(layer, "bias", moka.tensor([1.0] * 9 + [0.0]))
    assert layer.bias[9].item() == 0.0
    with pytest.raises(ValueError, match="share in 0 to 1"):
        prune.l1_unstructured(layer, "weight", amount=1.5)
    with pytest.raises(ValueError, match="is not pruned"):
        prune.remove(nn.Linear(1, 1), "weight")


# Sequences


def sequences():
    return [moka.arange(6.0).reshape(3, 2), moka.ones(1, 2), moka.arange(4.0).reshape(2, 2) * 10]


@pytest.mark.parametrize("batch_first", [False, True])
def test_sequences_are_padded_packed_and_back(batch_first):
    lengths = [3, 1, 2]
    padded = rnn.pad_sequence(sequences(), batch_first, padding_value=-1.0)
    assert list(padded.shape) == ([3, 3, 2] if batch_first else [3, 3, 2])
    packed = rnn.pack_padded_sequence(padded, lengths, batch_first, enforce_sorted=False)
    assert packed.batch_sizes.tolist() == [3, 2, 1] and packed.sorted_indices.tolist() == [0, 2, 1]
    assert packed.data.tolist()[:3] == [[0.0, 1.0], [0.0, 10.0], [1.0, 1.0]]
    back, sizes = rnn.pad_packed_sequence(packed, batch_first, padding_value=-1.0)
    close(back, padded, 0)
    assert sizes.tolist() == lengths
    for a, b in zip(rnn.unpad_sequence(padded, lengths, batch_first), sequences(), strict=True):
        close(a, b, 0)
    longer, _ = rnn.pad_packed_sequence(packed, batch_first, total_length=5)
    assert longer.shape[1 if batch_first else 0] == 5


def test_packing_passes_gradients():
    parts = [s.requires_grad_(True) for s in sequences()]
    packed = rnn.pack_sequence(parts, enforce_sorted=False)
    (packed.data * packed.data).sum().backward()
    close(parts[2].grad, parts[2].detach() * 2)
    for a, b in zip(rnn.unpack_sequence(packed), parts, strict=True):
        close(a, b, 0)


def test_wrong_lengths_are_refused():
    padded = rnn.pad_sequence(sequences())
    for lengths, text in (([3, 1], "2 lengths"), ([3, 0, 2], "in 1 to 3"), ([3, 1, 2], "sorted in")):
        with pytest.raises(RuntimeError, match=text):
            rnn.pack_padded_sequence(padded, lengths)
    assert rnn.pad_sequence(sequences(), padding_side="left")[0, 1].tolist() == [0.0, 0.0]


# Fusion, fresh modules, initial values


def test_batch_normalization_fuses_into_the_layer_before():
    conv, bn = nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3)
    for _ in range(3):
        bn(conv(moka.randn(4, 2, 6, 6)))
    conv.eval(), bn.eval()
    x = moka.randn(2, 2, 6, 6)
    close(nn.utils.fuse_conv_bn_eval(conv, bn)(x), bn(conv(x)), 1e-4)
    linear, bn = nn.Linear(3, 4).eval(), nn.BatchNorm1d(4)
    bn(moka.randn(8, 4) * 3 + 1)
    with pytest.raises(ValueError, match="evaluation mode"):
        nn.utils.fuse_linear_bn_eval(linear, bn)
    bn.eval()
    x = moka.randn(5, 3)
    close(nn.utils.fuse_linear_bn_eval(linear, bn)(x), bn(linear(x)), 1e-4)


def test_skip_init_draws_no_numbers():
    moka.manual_seed(3)
    layer = nn.utils.skip_init(nn.Linear, 4, 5)
    after = moka.rand(1).item()
    moka.manual_seed(3)
    assert list(layer.weight.shape) == [5, 4] and moka.rand(1).item() == after


def test_dirac_passes_channels_on_and_sparse_leaves_zeros():
    weight = nn.init.dirac_(moka.empty(2, 2, 3, 3))
    x = moka.randn(1, 2, 5, 5)
    close(nn.functional.conv2d(x, weight, padding=1), x, 0)
    assert nn.init.dirac_(moka.empty(4, 1, 3), groups=2).sum().item() == 2.0
    filled = nn.init.sparse_(moka.empty(10, 4), 0.25)
    assert (filled == 0).sum(0).tolist() == [3, 3, 3, 3]


@pytest.mark.parametrize(
    "name", [n for n in nn.init.__all__ if not n.endswith("_") and n != "calculate_gain"]
)
def test_old_names_of_initial_values_warn_and_work(name):
    extra = {"constant": (2.0,), "sparse": (0.5,)}.get(name, ())
    tensor = moka.zeros(4, 4, 3) if name == "dirac" else moka.zeros(4, 4)
    with pytest.warns(FutureWarning, match=name):
        assert getattr(nn.init, name)(tensor, *extra) is tensor
    assert tensor.abs().sum().item() > 0


def test_there_are_twenty_six_names_in_init():
    assert len(nn.init.__all__) == 26


def test_structured_pruning_names_wrong_dimensions():
    layer = nn.Conv2d(1, 4, 3)
    with pytest.raises(IndexError, match="Invalid index 7"):
        prune.ln_structured(layer, "weight", 1, n=2, dim=7)
    with pytest.raises(ValueError, match="multidimensional"):
        prune.random_structured(layer, "bias", 1, dim=0)
