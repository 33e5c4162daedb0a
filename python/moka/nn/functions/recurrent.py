"""Recurrent networks over whole sequences and single steps, with the call forms of torch.lstm and its
like.
"""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from moka import _C
from moka._C import Tensor

from .dropout import dropout as drop
from .embedding import linear

__all__ = [
    "gru",
    "gru_cell",
    "lstm",
    "lstm_cell",
    "rnn_relu",
    "rnn_relu_cell",
    "rnn_tanh",
    "rnn_tanh_cell",
]

# What one layer in one direction has: w_ih, w_hh, b_ih, b_hh, w_hr; None where there is none.
Weights = tuple[Tensor, Tensor, Tensor | None, Tensor | None, Tensor | None]

# Rows of each step: one number where all have as many, else int64 [steps].
Sizes = int | Tensor


def _run(
    mode: str,
    rows: Tensor,
    h0: Tensor,
    c0: Tensor | None,
    weights: Weights,
    batch_sizes: Sizes,
    reverse: bool = False,
) -> Tensor:
    """The states of all rows, packed by step."""
    w_ih, w_hh, b_ih, b_hh, w_hr = weights
    if mode != "gru":  # its candidate sees the state's bias through a gate; for the others both just add up
        b_ih, b_hh = (None if b_ih is None else b_ih + b_hh), None
    sizes, given = ([], batch_sizes) if isinstance(batch_sizes, Tensor) else ([batch_sizes], None)
    gates = linear(rows, w_ih, b_ih)
    return _C.rnn_layer(gates, h0, c0, w_hh, b_hh, w_hr, sizes, mode, reverse, given)[0]


def _last_rows(states: Tensor, last: Tensor | None, batch: int, reverse: bool) -> Tensor:
    """The state behind each sequence, the longest first; `last` are its rows where lengths differ."""
    if reverse:
        return states[:batch]
    return states[states.shape[0] - batch :] if last is None else states.index_select(0, last)


def sequence(
    mode: str,
    rows: Tensor,
    batch_sizes: Sizes,
    hx: tuple[Tensor, ...],
    layers: Sequence[Sequence[Weights]],
    dropout: float,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """All layers and directions over rows packed by step, with batch_sizes rows each (one number: the same in
    every step); hx and the final states are [layers * directions, batch, size].
    """
    finals: list[list[Tensor]] = [[], []]
    batch, last_rows = hx[0].shape[1], None
    if isinstance(batch_sizes, Tensor):
        last_rows = _C._operators["packed_last_rows"](batch_sizes)
    for number, directions in enumerate(layers):
        if number and dropout:
            rows = drop(rows, dropout)
        outs = []
        for direction, weights in enumerate(directions):
            at = number * len(directions) + direction
            c0 = hx[1][at] if mode == "lstm" else None
            states = _run(mode, rows, hx[0][at], c0, weights, batch_sizes, bool(direction))
            width = hx[0].shape[-1]
            last = _last_rows(states, last_rows, batch, bool(direction))
            finals[0].append(last[:, :width])
            if mode == "lstm":
                finals[1].append(last[:, width:])
                states = states[:, :width]
            outs.append(states)
        rows = outs[0] if len(outs) == 1 else _C.cat(outs, -1)
    return rows, tuple(_C.stack(f) for f in finals if f)


def _unflatten(
    params: Sequence[Tensor], has_biases: bool, num_layers: int, directions: int
) -> list[list[Weights]]:
    each = len(params) // (num_layers * directions)
    out: list[list[Weights]] = []
    for layer in range(num_layers):
        out.append([])
        for direction in range(directions):
            start = (layer * directions + direction) * each
            own = list(params[start : start + each])
            biases = (own[2], own[3]) if has_biases else (None, None)
            projection = own[-1] if each == (5 if has_biases else 3) else None
            out[-1].append((own[0], own[1], *biases, projection))
    return out


def _network(mode: str, hx: tuple[Tensor, ...], args: tuple, keywords: dict[str, Any], input: Tensor) -> Any:
    """torch's two call forms: (input, hx, params, ..., batch_first) and (data, batch_sizes, hx,
    params, ...).
    """
    names = ("params", "has_biases", "num_layers", "dropout", "train", "bidirectional", "batch_first")
    given = {**dict(zip(names, args, strict=False)), **keywords}
    layers = _unflatten(
        given["params"], given["has_biases"], given["num_layers"], 1 + bool(given["bidirectional"])
    )
    p = given["dropout"] if given["train"] else 0.0
    if "batch_sizes" in given:
        out, finals = sequence(mode, input, given["batch_sizes"], hx, layers, p)
        return out, *finals
    x = input.transpose(0, 1) if given.get("batch_first") else input
    steps, batch = x.shape[:2]
    out, finals = sequence(mode, x.reshape(steps * batch, x.shape[2]), batch, hx, layers, p)
    out = out.reshape(steps, batch, out.shape[-1])
    return out.transpose(0, 1) if given.get("batch_first") else out, *finals


def _form(mode: str, input: Tensor, second: Any, args: tuple, keywords: dict[str, Any]) -> Any:
    packed = isinstance(second, Tensor) and second.dtype == _C.int64
    if packed:
        hx, *rest = args
        keywords = {**keywords, "batch_sizes": second}
    else:
        hx, rest = second, list(args)
    hx = tuple(hx) if isinstance(hx, list | tuple) else (hx,)
    return _network(mode, hx, tuple(rest), keywords, input)


def lstm(input: Tensor, hx: Any, *args: Any, **keywords: Any) -> Any:
    """lstm(input, (h0, c0), params, has_biases, num_layers, dropout, train, bidirectional, batch_first), or
    lstm(data, batch_sizes, (h0, c0), params, ..., bidirectional) for packed sequences: (output, h, c).
    """
    return _form("lstm", input, hx, args, keywords)


def gru(input: Tensor, hx: Any, *args: Any, **keywords: Any) -> Any:
    """The same for a GRU: (output, h)."""
    return _form("gru", input, hx, args, keywords)


def rnn_tanh(input: Tensor, hx: Any, *args: Any, **keywords: Any) -> Any:
    """The same for h' = tanh(...): (output, h)."""
    return _form("tanh", input, hx, args, keywords)


def rnn_relu(input: Tensor, hx: Any, *args: Any, **keywords: Any) -> Any:
    """The same for h' = relu(...): (output, h)."""
    return _form("relu", input, hx, args, keywords)


def _cell(mode: str, input: Tensor, h: Tensor, c: Tensor | None, weights: tuple[Tensor | None, ...]) -> Any:
    w_ih, w_hh, b_ih, b_hh = weights
    if w_ih is None or w_hh is None:
        raise TypeError(f"{mode}_cell: w_ih and w_hh are needed")
    if input.dim() == 1:
        states = _cell(
            mode, input.unsqueeze(0), h.unsqueeze(0), None if c is None else c.unsqueeze(0), weights
        )
        return tuple(s.squeeze(0) for s in states) if mode == "lstm" else states.squeeze(0)
    states = _run(mode, input, h, c, (w_ih, w_hh, b_ih, b_hh, None), input.shape[0])
    if mode != "lstm":
        return states.clone() if mode == "gru" and states.requires_grad else states
    both = states[:, : h.shape[1]], states[:, h.shape[1] :]
    # The gradient reads the states as they are here; programs may write to theirs.
    return tuple(s.clone() for s in both) if states.requires_grad else both


def lstm_cell(
    input: Tensor,
    hx: Sequence[Tensor],
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """One step of an LSTM: (h', c') from input [batch, in] and (h, c)."""
    return _cell("lstm", input, hx[0], hx[1], (w_ih, w_hh, b_ih, b_hh))


def gru_cell(
    input: Tensor,
    hx: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> Tensor:
    """One step of a GRU."""
    return _cell("gru", input, hx, None, (w_ih, w_hh, b_ih, b_hh))


def rnn_tanh_cell(
    input: Tensor,
    hx: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> Tensor:
    """One step: tanh(W_ih x + b_ih + W_hh h + b_hh)."""
    return _cell("tanh", input, hx, None, (w_ih, w_hh, b_ih, b_hh))


def rnn_relu_cell(
    input: Tensor,
    hx: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> Tensor:
    """One step: relu(W_ih x + b_ih + W_hh h + b_hh)."""
    return _cell("relu", input, hx, None, (w_ih, w_hh, b_ih, b_hh))
