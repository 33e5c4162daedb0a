"""Linear algebra with torch.linalg's names and rules: factorizations, solvers, eigenvalues, norms."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import _C
from ._C import Tensor

_NAMES = (
    "cholesky cholesky_ex cond cross det diagonal eig eigh eigvals eigvalsh householder_product inv inv_ex "
    "ldl_factor ldl_factor_ex ldl_solve lstsq lu lu_factor lu_factor_ex lu_solve matrix_exp matrix_norm "
    "matrix_power matrix_rank multi_dot norm pinv qr slogdet solve solve_ex solve_triangular svd svdvals "
    "tensorinv tensorsolve vander vecdot vector_norm"
).split()

LinAlgError = RuntimeError

for _name in _NAMES:
    if _name != "diagonal":
        globals()[_name] = getattr(_C, f"linalg_{_name}")

matmul = _C.matmul

__all__ = sorted([*_NAMES, "LinAlgError", "matmul"])


def diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """The diagonals of matrices, as a view."""
    return A.diagonal(offset, dim1, dim2)


def tensordot(a: Tensor, b: Tensor, dims: int | Sequence[Any] = 2, out: Tensor | None = None) -> Tensor:
    """Sum of products over dimensions: the last `dims` of a and first of b, or a pair of lists."""
    if isinstance(dims, Tensor):
        dims = dims.tolist()
    if isinstance(dims, int):
        if dims < 0:
            raise RuntimeError(f"tensordot: dims must be at least 0, got {dims}")
        pair = list(range(a.dim() - dims, a.dim())), list(range(dims))
        if dims > min(a.dim(), b.dim()):
            raise RuntimeError(
                f"tensordot: dims is {dims}, but the tensors have {a.dim()} and {b.dim()} dimensions"
            )
    else:
        first, second = dims
        pair = ([first] if isinstance(first, int) else list(first)), (
            [second] if isinstance(second, int) else list(second)
        )
    return _C._operators["tensordot"](a, b, *pair, out=out)


def einsum(*args: Any) -> Tensor:
    """Einstein's sums: einsum("ij,jk->ik", a, b), or einsum(a, [0, 1], b, [1, 2], [0, 2])."""
    if len(args) < 2:
        raise ValueError(
            "einsum(): must specify the equation string and at least one operand, "
            "or at least one operand and its subscripts list"
        )
    if isinstance(args[0], Tensor):
        return _einsum_of_lists(*args)
    equation, *operands = args
    if len(operands) == 1 and isinstance(operands[0], list | tuple):
        operands = list(operands[0])
    return _C._operators["einsum"](equation, operands)


def _letters(subscripts: Sequence[Any]) -> str:
    def letter(s: Any) -> str:
        if s is Ellipsis:
            return "..."
        if not 0 <= s < 52:
            raise ValueError(f"einsum(): subscripts in lists must lie between 0 and 51, got {s}")
        return chr(ord("A") + s) if s < 26 else chr(ord("a") + s - 26)

    return "".join(map(letter, subscripts))


def _einsum_of_lists(*args: Any) -> Tensor:
    output = "->" + _letters(args[-1]) if len(args) % 2 else ""
    pairs = args[: len(args) - len(args) % 2]
    equation = ",".join(_letters(s) for s in pairs[1::2]) + output
    operands = list(pairs[0::2])
    return _C._operators["einsum"](equation, operands)


def chain_matmul(*matrices: Tensor, out: Tensor | None = None) -> Tensor:
    """The product of matrices in the order that takes fewest multiplications."""
    return _C._operators["chain_matmul"](list(matrices), out=out)



def _packed_lu(A: Tensor, pivot: bool = True, get_infos: bool = False) -> Any:
    """torch.lu: the packed factors, the row exchanges, and LAPACK's codes where asked for."""
    parts = _C.linalg_lu_factor_ex(A, pivot=pivot)
    return tuple(parts) if get_infos else tuple(parts)[:2]
