"""inference_mode, anomaly mode, and where modes hold."""
# SPDX-License-Identifier: Apache-2.0

import traceback

import pytest

import moka
from moka.autograd import Function


def leaf(*values):
    return moka.tensor(values or (2.0,), requires_grad=True)


# ---- inference
def test_inference_tensors_are_marked_for_good():
    with moka.inference_mode():
        x = moka.ones(3)
        assert moka.is_inference_mode_enabled() and (leaf() * 2).is_inference()
    assert x.is_inference() and x[1:].is_inference() and x.detach().is_inference()
    assert not (x + 1).is_inference() and not x.clone().is_inference() and not moka.ones(3).is_inference()


def test_inference_tensors_count_no_versions():
    with moka.inference_mode():
        x = moka.ones(3)
        x.add_(1)
    with pytest.raises(RuntimeError, match="do not count versions"):
        _ = x._version


def test_inference_tensors_are_not_written_outside():
    with moka.inference_mode():
        x = moka.ones(3)
    for write in (
        lambda: x.add_(1),
        lambda: x.__setitem__(0, 2.0),
        lambda: x[1:].zero_(),
        lambda: moka.exp(x, out=x),
    ):
        with pytest.raises(RuntimeError, match="made under inference_mode"):
            write()
    assert x.tolist() == [1.0, 1.0, 1.0]
    with moka.inference_mode():
        x.add_(1)
    assert x.tolist() == [2.0, 2.0, 2.0]


def test_inference_tensors_are_not_saved_for_backward():
    with moka.inference_mode():
        x = moka.ones(1)
    w = leaf()
    with pytest.raises(
        RuntimeError, match="mul: Inference tensors cannot be saved for backward"
    ):
        w * x
    (w + x).backward()
    assert w.grad.item() == 1.0
    with pytest.raises(RuntimeError, match="made under inference_mode"):
        x.requires_grad_()
    assert (w * x.clone()).requires_grad


def test_normal_tensors_stay_normal_under_inference():
    x = leaf() * 1
    with moka.inference_mode():
        view = x[:1]
        assert not view.is_inference() and not view.requires_grad
        x.add_(1)
    assert not x.is_inference() and x._version == 1


def test_inference_mode_can_be_switched_off_inside():
    with moka.inference_mode():
        with moka.inference_mode(False):
            assert (leaf() * 2).requires_grad and not moka.ones(1).is_inference()
        assert moka.ones(1).is_inference()


def test_modes_hold_while_a_generator_runs_and_not_between():
    @moka.no_grad()
    def steps():
        for _ in range(2):
            yield moka.is_grad_enabled()

    seen = []
    for inside in steps():
        seen.append((inside, moka.is_grad_enabled()))
    assert seen == [(False, True)] * 2


# ---- anomaly
def failing_line(x):
    return (x - x).sqrt()  # the gradient of sqrt at 0, times 0


def forward_text(error):
    return "".join(traceback.format_exception(error))


def test_anomaly_mode_finds_nan_and_shows_the_forward_line():
    x = leaf(0.0)
    with moka.autograd.detect_anomaly():
        y = failing_line(x) * 0.0
        with pytest.raises(RuntimeError, match="SqrtBackward' returned nan values in its 0th") as caught:
            y.backward()
    text = forward_text(caught.value)
    assert "The forward of SqrtBackward ran here" in text
    assert "in failing_line" in text and "return (x - x).sqrt()" in text


def test_anomaly_mode_without_the_search_for_nan():
    x = leaf(0.0)
    with moka.autograd.detect_anomaly(check_nan=False):
        (failing_line(x) * 0.0).backward()
    assert x.grad.item() != x.grad.item()


def test_anomaly_mode_shows_the_forward_of_errors_in_python():
    class Failing(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, grad):
            raise KeyError("no gradient today")

    x = leaf()
    with moka.autograd.set_detect_anomaly(True):
        y = Failing.apply(x)  # here it ran
        with pytest.raises(KeyError) as caught:
            y.backward()
    text = forward_text(caught.value)
    assert "The forward of FailingBackward ran here" in text and "# here it ran" in text


def test_anomaly_mode_follows_second_derivatives_to_the_first_forward():
    with moka.autograd.detect_anomaly():
        h = leaf(4.0) * 1
        y = h * h * h  # the very first line
        (first,) = moka.autograd.grad(y, h, create_graph=True)  # and the second
        with moka.no_grad():
            h.zero_()
        with pytest.raises(RuntimeError, match="mul needs its argument") as caught:
            first.backward()
    text = forward_text(caught.value)
    assert "The forward of MulBackward ran here" in text and "# and the second" in text
    assert (
        "in the backward of MulBackward, whose forward ran here" in text and "# the very first line" in text
    )


def test_version_errors_point_to_anomaly_mode():
    x = leaf(2.0) * 1
    y = x * x
    x.add_(1)
    with pytest.raises(RuntimeError, match=r"set_detect_anomaly\(True\) tells where") as caught:
        y.backward()
    assert caught.value.__cause__ is None


def test_anomaly_mode_ends_with_its_block():
    with moka.autograd.detect_anomaly():
        pass
    x = leaf(0.0)
    (failing_line(x) * 0.0).backward()
