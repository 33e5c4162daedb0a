"""Modules as programs for PyTorch use them: memory formats, old hooks, conversions, replicas, checks."""
# SPDX-License-Identifier: Apache-2.0

import copy
import gc
import pickle
import weakref

import pytest
from moka.nn.utils import rnn

import moka
from moka import nn
from moka.nn import functional as F

LAYERS = {
    "conv": nn.Conv2d(8, 4, 3),
    "transpose": nn.ConvTranspose2d(8, 4, 3),
    "batch norm": nn.BatchNorm2d(8),
    "batch norm, evaluated": nn.BatchNorm2d(8).eval(),
    "group norm": nn.GroupNorm(2, 8),
    "max pool": nn.MaxPool2d(2),
    "average pool": nn.AvgPool2d(2),
    "adaptive pool": nn.AdaptiveAvgPool2d(2),
    "nearest": nn.Upsample(scale_factor=2),
    "bilinear": nn.Upsample(scale_factor=2, mode="bilinear"),
    "reflection": nn.ReflectionPad2d(1),
    "zeros around": nn.ZeroPad2d(1),
    "pixel shuffle": nn.PixelShuffle(2),
    "channel shuffle": nn.ChannelShuffle(2),
    "dropout": nn.Dropout(0.5),
}


@pytest.mark.parametrize("name", LAYERS)
def test_channels_that_lie_last_stay_last(name):
    layer = LAYERS[name]
    x = moka.randn(2, 8, 6, 6).contiguous(memory_format=moka.channels_last).requires_grad_()
    moka.manual_seed(0)
    y = layer(x)
    assert y.is_contiguous(memory_format=moka.channels_last) and not y.is_contiguous()
    moka.manual_seed(0)
    assert moka.equal(y, layer(x.detach().contiguous()))
    y.sum().backward()
    assert x.grad.is_contiguous(memory_format=moka.channels_last) and not x.grad.is_contiguous()


@pytest.mark.parametrize("size", [6, 40])  # our own kernel and the back end's
@pytest.mark.parametrize("layer", [nn.Conv2d, nn.ConvTranspose2d])
@pytest.mark.parametrize("picture, filters", [(True, False), (False, True), (True, True), (False, False)])
def test_convolutions_follow_pictures_and_filters(size, layer, picture, filters):
    moka.manual_seed(0)
    net = layer(8, 8, 3)
    exact, values = copy.deepcopy(net).double(), moka.randn(2, 8, size, size + 1)
    if filters:
        net.to(memory_format=moka.channels_last)
    x = values.contiguous(memory_format=moka.channels_last) if picture else values.clone()
    y = net(x.requires_grad_())
    assert y.is_contiguous(memory_format=moka.channels_last) == (picture or filters)
    given = moka.randn_like(y)
    y.backward(given)
    assert x.grad.is_contiguous(memory_format=moka.channels_last) == picture
    assert net.weight.grad.is_contiguous(memory_format=moka.channels_last) == filters
    values = values.double().requires_grad_()
    exact(values).backward(given.double())
    for found, right in ((x.grad, values.grad), (net.weight.grad, exact.weight.grad)):
        assert (found - right).abs().max() <= 1e-5 * right.abs().max()


def test_orders_that_sizes_of_one_leave_open_stay():
    w = moka.randn(8, 1, 3, 3).to(memory_format=moka.channels_last)
    assert w.stride() == (9, 1, 3, 1) and w.to(memory_format=moka.channels_last) is w
    for same in (w.clone(), w.double(), moka.randn_like(w), moka.zeros_like(w), moka.empty_like(w)):
        assert same.stride() == w.stride()
    assert w.to(memory_format=moka.contiguous_format).stride() == (9, 9, 3, 1)
    assert nn.functional.conv2d(moka.randn(2, 1, 9, 9), w).stride() == (392, 1, 56, 8)


def test_cat_keeps_channels_last_only_where_all_have_them():
    x = moka.randn(2, 3, 4, 4)
    last = x.contiguous(memory_format=moka.channels_last)
    assert moka.cat([last, last], 1).is_contiguous(memory_format=moka.channels_last)
    assert moka.cat([last, x], 1).is_contiguous()


def test_a_gradient_lies_as_its_leaf():
    x = moka.randn(3, 4).t().requires_grad_()
    (x * moka.arange(12.0).reshape(4, 3)).sum().backward()
    assert x.grad.stride() == x.stride() == (1, 4)
    assert moka.equal(x.grad, moka.arange(12.0).reshape(4, 3))


def test_an_old_backward_hook_sees_the_last_node_and_allows_writes_in_place():
    seen = []
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(inplace=True))
    net[0].register_backward_hook(lambda module, into, out: seen.append((into[-1].shape, out[0].shape)))
    with pytest.warns(FutureWarning, match="non-full backward hook"):
        net(moka.ones(1, 1, 4, 4)).sum().backward()
    assert seen == [((2,), (1, 2, 2, 2))]
    with pytest.raises(RuntimeError, match="Cannot use both regular backward hooks and full backward hooks"):
        net[0].register_full_backward_hook(lambda *_: None)


def test_an_old_backward_hook_finds_the_tensor_in_a_dict():
    class Net(nn.Linear):
        def forward(self, x):
            return {"output": super().forward(x).sum()}

    seen = []
    net = Net(3, 2)
    net.register_backward_hook(lambda *_: seen.append(1))
    with pytest.warns(FutureWarning, match="does not return a single Tensor"):
        net(moka.ones(1, 3))["output"].backward()
    assert seen == [1]


def keep_for_pickle(module, *_):
    module.loaded = True


def test_a_hook_of_loading_does_not_keep_its_module():
    gc.disable()
    try:
        module = nn.Linear(2, 2)
        module.register_load_state_dict_pre_hook(keep_for_pickle)
        for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
            other.load_state_dict(module.state_dict())
            assert other.loaded and not hasattr(module, "loaded")
        there = weakref.ref(module)
        del module
        assert there() is None
    finally:
        gc.enable()


def test_to_refuses_what_it_does_not_know():
    net = nn.Linear(2, 2)
    for args, kwargs in (
        (("cpu", True), {}),
        ((None, True), {}),
        (([],), {}),
        ((moka.int64,), {}),
        (("cpu", moka.float32, 3), {}),
        ((moka.tensor(3),), {"non_blocking": True}),
    ):
        with pytest.raises(TypeError):
            net.to(*args, **kwargs)
    with pytest.raises(RuntimeError, match="copy"):
        net.to("cpu", copy=True)
    with pytest.warns(UserWarning, match="Complex modules are a new feature"):
        net.to(moka.complex64)


def test_conversions_write_through_or_make_new_parameters():
    from moka.nn import converting

    net = nn.Linear(2, 2)
    net.double_name = net.weight
    before, version = net.weight, net.weight._version
    net._apply(lambda t: t.add_(1))
    assert net.weight is before and before._version > version
    converting.set_overwrite_module_params_on_conversion(True)
    try:
        net.double()
    finally:
        converting.set_overwrite_module_params_on_conversion(False)
    assert before.dtype == moka.float32 and net.weight.dtype == moka.float64
    assert net.double_name is net.weight


def test_a_replica_shares_tensors_in_tables_of_its_own():
    values = nn.ParameterDict({"b": moka.ones(2), "a": moka.zeros(2)})
    assert list(values) == ["a", "b"]
    replica = values._replicate_for_data_parallel()
    for name, value in values.named_parameters():
        setattr(replica, name, value.view_as(value))
    assert replica["a"]._base is values["a"] and replica["b"].grad_fn is not None


def test_parameter_dicts_join_and_refuse():
    first, second = nn.ParameterDict({"a": moka.ones(1)}), {"a": moka.zeros(1), "c": moka.zeros(1)}
    assert list(first | second) == ["a", "c"] and list(second | first) == ["a", "c"]
    assert (second | first)["a"] is first["a"]
    for wrong, kind in ((1, TypeError), ([1], TypeError), ([("a",)], ValueError)):
        with pytest.raises(kind):
            first.update(wrong)


def test_slices_of_containers_keep_order_and_class():
    class Net(nn.Sequential):
        pass

    net = Net(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1))
    assert list(net[::-1]) == list(net)[::-1] and type(net[1:]) is Net
    assert list(net[1:]._modules) == ["1", "2"]


def test_recurrent_weights_by_number():
    lstm = nn.LSTM(3, 4, proj_size=2)
    assert lstm._flat_weights_names[:2] == ["weight_ih_l0", "weight_hh_l0"]
    nn.utils.weight_norm(lstm, "weight_hr_l0")
    assert [isinstance(w, nn.Parameter) for w in lstm._flat_weights] == [True] * 4 + [False]


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_recurrent_layers_without_sequences_or_steps(kind):
    layer = kind(3, 4)
    out, _ = layer(moka.zeros(5, 0, 3))
    out.sum().backward()
    assert out.shape == (5, 0, 4) and not layer.weight_ih_l0.grad.any()
    with pytest.raises(RuntimeError, match="Expected sequence length to be larger than 0"):
        layer(moka.zeros(0, 2, 3))
    if kind is not nn.LSTM:
        with pytest.raises(ValueError, match="proj_size argument is only supported for LSTM"):
            kind(3, 4, proj_size=2)


def test_conv_tbc_is_conv1d_with_other_orders():
    x, weight, bias = moka.randn(5, 2, 3), moka.randn(3, 3, 4), moka.randn(4)
    y = F.conv_tbc(x, weight, bias, 1)
    want = F.conv1d(x.permute(1, 2, 0), weight.permute(2, 1, 0), bias, padding=1)
    assert moka.equal(y, want.permute(2, 0, 1))
    with pytest.raises(RuntimeError, match="conv_tbc"):
        F.conv_tbc(x[0], weight, bias)


def test_a_packed_sequence_converts_and_stays():
    packed = rnn.pack_sequence([moka.ones(3), moka.ones(2)])
    assert packed.to("cpu") is packed and packed.float() is packed
    assert packed.long().data.dtype == moka.int64 and packed.byte().data.dtype == moka.uint8
    with pytest.raises(RuntimeError, match="Expected iterable"):
        rnn.pad_sequence(5)


def test_masks_of_attention_are_checked():
    attention = nn.MultiheadAttention(4, 2)
    x = moka.randn(3, 3, 4)
    with pytest.raises(AssertionError, match="`key` and `value` to be 3-D but found 2-D and 3-D"):
        attention(x, x[0], x)
    with pytest.raises(AssertionError, match="`key_padding_mask` to be `None` or 2-D but found 1-D"):
        attention(x, x, x, key_padding_mask=moka.zeros(3).bool())
    with pytest.raises(AssertionError, match="`attn_mask` to be `None`, 2-D or 3-D but found 1-D"):
        attention(x, x, x, attn_mask=moka.zeros(3).bool())
    with pytest.raises(AssertionError, match=r"key_padded_mask.shape\[1\] to be 3, but got 5"):
        attention(x, x, x, key_padding_mask=moka.zeros(3, 5).bool())
    out, weights = attention(x[:, :0], x[:, :0], x[:, :0])
    assert out.shape == (3, 0, 4) and weights.shape == (0, 3, 3)


def test_affine_grid_of_one_pixel_warns_and_wrong_shapes_are_errors():
    theta = moka.ones(1, 2, 3)
    with pytest.warns(UserWarning, match="documentation of affine_grid"):
        F.affine_grid(theta, (1, 1, 2, 1), align_corners=True)
    with pytest.raises(ValueError, match="Nx2x3"):
        F.affine_grid(theta[0], (1, 1, 2, 2), align_corners=False)
    with pytest.raises(NotImplementedError, match="4D and 5D sizes"):
        F.affine_grid(theta, (1, 2, 2), align_corners=False)


def test_a_hook_of_the_backward_pass_leaves_second_derivatives_alone():
    seen = []
    loss = nn.MSELoss()
    loss.register_full_backward_hook(lambda *_: seen.append(1))
    x = moka.rand(1, requires_grad=True)
    (first,) = moka.autograd.grad(loss(x, moka.zeros(1)), x, create_graph=True)
    (second,) = moka.autograd.grad(first, x)
    assert seen == [1] and second.item() == 2


def test_a_gradient_up_to_inner_tensors_leaves_the_graph_behind_them():
    leaf = moka.tensor([3.0], requires_grad=True)
    inner = [leaf * leaf, leaf * 2]
    loss = inner[0] * 2 + inner[1]
    gradients = [moka.autograd.grad(loss, x)[0] for x in inner]
    moka.autograd.backward(inner, gradients)
    assert leaf.grad.item() == 2 * 6 + 2


def test_a_parameter_shows_other_memory_where_nothing_is_recorded():
    weight = nn.Parameter(moka.arange(4.0))
    with pytest.raises(RuntimeError, match="set_"):
        weight.set_(weight[1:])
    with moka.no_grad():
        weight.set_(weight[1:])
    assert weight.tolist() == [1, 2, 3] and weight.requires_grad


def test_saved_variables_are_the_saved_tensors():
    class Square(moka.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, grad):
            return 2 * ctx.saved_variables[0] * grad

    x = moka.tensor([3.0], requires_grad=True)
    with pytest.warns(DeprecationWarning, match="saved_variables is deprecated"):
        Square.apply(x).backward()
    assert x.grad.item() == 6


def test_convolutions_name_their_options_as_attributes():
    for layer, transposed, extra in (
        (nn.Conv2d(2, 3, 1), False, (0, 0)),
        (nn.ConvTranspose1d(2, 3, 3, stride=2, output_padding=1), True, (1,)),
    ):
        names = [name for name in vars(layer) if not name.startswith("_")]
        assert names[1:] == [
            *("in_channels", "out_channels", "kernel_size", "stride", "padding"),
            *("dilation", "transposed", "output_padding", "groups", "padding_mode"),
        ]
        assert layer.transposed is transposed and layer.output_padding == extra
