"""Products of groups of rows, each with its own matrix, as mixtures of experts compute them."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from moka import _C
from moka._C import Tensor, dtype

__all__ = ["grouped_mm"]

_KINDS = (_C.float32, _C.bfloat16, _C.float16)


def _check_grouped(
    a: Tensor, b: Tensor, offs: Tensor | None, bias: Tensor | None, kind: dtype | None
) -> None:
    for name, mat in (("mat_a", a), ("mat_b", b)):
        if mat.dtype not in _KINDS:
            raise RuntimeError(
                f"grouped_mm: Expected {name} to be Float32, BFloat16 or Float16 matrix, got {mat.dtype}"
            )
        if mat.dim() not in (2, 3):
            raise RuntimeError(f"grouped_mm: {name} has to be 2 or 3d, but its shape is {list(mat.shape)}")
    if a.shape[-1] != b.shape[-2]:
        raise RuntimeError(
            f"grouped_mm: contraction dimension of mat_a and mat_b must match, but their shapes are "
            f"{list(a.shape)} and {list(b.shape)}"
        )
    if (offs is None) != (a.dim() == b.dim() == 3):
        raise RuntimeError(
            "grouped_mm: Have to provide offsets if there is a 2d matrix, or no offset if both matrices "
            "are 3d"
        )
    if offs is not None and (offs.dtype != _C.int32 or offs.dim() != 1):
        raise RuntimeError(
            f"grouped_mm: Offsets have to be int32 and 1d, but they are {offs.dtype} and {offs.dim()}d"
        )
    counted = [mat for mat in (a, b) if mat.dim() == 3] + ([] if offs is None else [offs])
    groups = {given.shape[0] for given in counted}
    if len(groups) > 1:
        raise RuntimeError(f"grouped_mm: matrix batch sizes have to match, but there are {sorted(groups)}")
    if bias is not None:
        raise RuntimeError("grouped_mm: Bias not supported yet")
    if kind not in (None, a.dtype):
        raise RuntimeError(f"grouped_mm: output dtype must match `mat_a` dtype {a.dtype}, got {kind}")


def grouped_mm(
    mat_a: Tensor,
    mat_b: Tensor,
    *,
    offs: Tensor | None = None,
    bias: Tensor | None = None,
    out_dtype: dtype | None = None,
) -> Tensor:
    """Products of groups; offs [groups], int32, says where each group ends in a dimension they share.

    [rows, in] with [groups, in, out] gives [rows, out], the rows after the last group being 0;
    [groups, rows, in] with [in, columns] gives [rows, columns] likewise; [rows, in] with [in, out] gives
    [groups, rows, out], of parts of `in`; two batches, without offs, are bmm. Raises RuntimeError for other
    shapes and types.
    """
    _check_grouped(mat_a, mat_b, offs, bias, out_dtype)
    if offs is None:
        return _C.bmm(mat_a, mat_b)
    ends = offs.tolist()
    counts = [end - start for start, end in zip([0, *ends[:-1]], ends, strict=True)]
    shared = mat_a.shape[0] if mat_b.dim() == 3 else mat_b.shape[1] if mat_a.dim() == 3 else mat_a.shape[1]
    if any(count < 0 for count in counts) or sum(counts) > shared:
        raise RuntimeError(f"grouped_mm: offsets {ends} must not fall, nor end after {shared}")
    counts.append(shared - sum(counts))
    if mat_a.dim() == mat_b.dim() == 2:
        parts = zip(mat_a.split(counts, 1)[:-1], mat_b.split(counts)[:-1], strict=True)
        return _C.stack([a @ b for a, b in parts])
    if mat_b.dim() == 3:
        *rows, rest = mat_a.split(counts)
        made = [a @ b for a, b in zip(rows, mat_b.unbind(0), strict=True)]
        return _C.cat([*made, rest.new_zeros(rest.shape[0], mat_b.shape[2])])
    *columns, rest = mat_b.split(counts, 1)
    made = [a @ b for a, b in zip(mat_a.unbind(0), columns, strict=True)]
    return _C.cat([*made, rest.new_zeros(mat_a.shape[1], rest.shape[1])], 1)
