"""torchvision's and torchaudio's operators under moka.compat.torch; numbers of torchvision 0.29."""
# SPDX-License-Identifier: Apache-2.0

from tests.python.test_compat_torch import inside


def test_operators_of_torchvision():
    told = inside(
        """
        import numpy as np, torch
        torch.ops.load_library("/site-packages/torchvision/_C_stable.so")
        ops = torch.ops.torchvision

        def data(*shape, seed=1):
            return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype("float32"))

        boxes = torch.tensor([[0.0, 0, 10, 10], [1, 1, 11, 11], [20, 20, 30, 30], [0, 0, 9, 10.5]])
        print(ops.nms(boxes, torch.tensor([0.9, 0.8, 0.7, 0.95]), 0.5).tolist())
        x = data(2, 4, 16, 16).requires_grad_()
        rois = torch.tensor([[0, 1.0, 1, 10, 10], [1, 3.0, 2, 14, 9]])
        for y in (
            ops.roi_align(x, rois, 0.8, 3, 3, 2, False),
            ops.roi_align(x, rois, 1.0, 3, 3, -1, True),
            ops.roi_pool(x, rois, 1.0, 3, 3)[0],
            ops.ps_roi_align(x, rois, 1.0, 2, 2, -1)[0],
            ops.ps_roi_pool(x, rois, 1.0, 2, 2)[0],
        ):
            x.grad = None
            y.pow(2).sum().backward()
            print(f"{y.sum().item():.4f} {x.grad.abs().sum().item():.3f}")
        x.grad = None
        weight = data(5, 4, 3, 3).requires_grad_()
        offset = (data(2, 18, 14, 14, seed=4) * 0.5).requires_grad_()
        mask = data(2, 9, 14, 14, seed=6).sigmoid().requires_grad_()
        bias = torch.zeros(5)
        y = ops.deform_conv2d(x, weight, offset, mask, bias, 1, 1, 0, 0, 1, 1, 1, 1, True)
        y.pow(2).sum().backward()
        gradients = [t.grad.abs().sum().item() for t in (x, weight, offset, mask)]
        print(f"{y.sum().item():.2f}", *(f"{g:.0f}" for g in gradients))
        try:
            ops.box_iou_rotated(boxes, boxes)
        except NotImplementedError as error:
            print(error)
        """
    )
    assert told.splitlines() == [
        "[3, 2]",
        "-2.0565 39.866",
        "-2.5756 29.862",
        "122.9291 245.858",
        "-0.2573 1.910",
        "-0.2169 2.322",
        "113.46 18361 14128 50644 33764",
        "torch.ops.torchvision::box_iou_rotated: Moka has no such operator",
    ]


def test_filters_of_torchaudio_run_and_other_extensions_are_refused():
    told = inside(
        """
        import torch
        torch.ops.load_library("/site-packages/torchaudio/lib/_torchaudio.so")
        print(torch.ops._torchaudio.is_align_available(), torch.ops._torchaudio.cuda_version())
        padded = torch.zeros(1, 1, 5)
        torch.ops.torchaudio._lfilter_core_loop(torch.ones(1, 1, 4), torch.tensor([[0.5, 1.0]]), padded)
        print(padded.flatten().tolist())
        try:
            torch.ops.load_library("/tmp/mine.so")
        except OSError as error:
            print("cannot be loaded" in str(error))
        """
    )
    assert told.splitlines() == ["False None", "[0.0, 1.0, 0.5, 0.75, 0.625]", "True"]
