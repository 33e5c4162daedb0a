"""Recurrent layers: RNN, LSTM and GRU over whole sequences, and their cells."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
from typing import Any

from moka import _C
from moka._C import Tensor

from . import init
from .functions import recurrent as R
from .module import Module
from .parameter import Parameter
from .utils.rnn import PackedSequence

__all__ = ["GRU", "GRUCell", "LSTM", "LSTMCell", "RNN", "RNNBase", "RNNCell", "RNNCellBase"]

_GATES = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}
_KINDS = {"LSTM": "lstm", "GRU": "gru", "RNN_TANH": "tanh", "RNN_RELU": "relu"}


class RNNBase(Module):
    """What RNN, LSTM and GRU share.

    Parameters of layer k: weight_ih_lk [gates * hidden, in], weight_hh_lk [gates * hidden, hidden],
    bias_ih_lk,
    bias_hh_lk, with proj_size weight_hr_lk [proj_size, hidden]; those of the other direction end in _reverse.
    All start uniform in ±1/sqrt(hidden_size).
    """

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if isinstance(dropout, bool) or not 0 <= dropout <= 1:
            raise ValueError(f"{name}: dropout must be a number in 0 to 1, got {dropout}")
        if not isinstance(hidden_size, int):
            raise TypeError(f"{name}: hidden_size must be an int, got {type(hidden_size).__name__}")
        if hidden_size <= 0 or num_layers <= 0:
            raise ValueError(f"{name}: hidden_size and num_layers must be positive")
        if proj_size and mode != "LSTM":
            raise ValueError(f"{name}: proj_size argument is only supported for LSTM, not RNN or GRU")
        if not 0 <= proj_size < hidden_size:
            raise ValueError(f"{name}: proj_size must be in 0 to {hidden_size - 1}, got {proj_size}")
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        rows, width = _GATES[mode] * hidden_size, proj_size or hidden_size
        directions = 2 if bidirectional else 1
        self._names: list[list[list[str]]] = []
        for layer in range(num_layers):
            self._names.append([])
            for direction in range(directions):
                suffix = f"l{layer}" + ("_reverse" if direction else "")
                shapes = {
                    f"weight_ih_{suffix}": (rows, input_size if layer == 0 else width * directions),
                    f"weight_hh_{suffix}": (rows, width),
                }
                if bias:
                    shapes |= {f"bias_ih_{suffix}": (rows,), f"bias_hh_{suffix}": (rows,)}
                if proj_size:
                    shapes[f"weight_hr_{suffix}"] = (proj_size, hidden_size)
                for key, shape in shapes.items():
                    self.register_parameter(key, Parameter(_C.empty(shape, device=device, dtype=dtype)))
                self._names[-1].append(list(shapes))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw fresh values."""
        bound = 1 / math.sqrt(self.hidden_size)
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters of each layer and direction."""
        return [[getattr(self, n) for n in names] for layer in self._names for names in layer]

    @property
    def _all_weights(self) -> list[list[str]]:
        return [names for layer in self._names for names in layer]

    @property
    def _flat_weights_names(self) -> list[str]:
        return [name for names in self._all_weights for name in names]

    @property
    def _flat_weights(self) -> list[Any]:
        """What stands under the names of the parameters, be it computed (weight_norm, prune)."""
        return [getattr(self, name, None) for name in self._flat_weights_names]

    def flatten_parameters(self) -> None:
        """Nothing: the parameters lie as the operators want them."""

    def _weights(self) -> list[list[R.Weights]]:
        def one(names: list[str]) -> R.Weights:
            found = {n.rsplit("_l", 1)[0]: getattr(self, n) for n in names}
            return (
                found["weight_ih"],
                found["weight_hh"],
                found.get("bias_ih"),
                found.get("bias_hh"),
                found.get("weight_hr"),
            )

        return [[one(names) for names in layer] for layer in self._names]

    def _start(self, hx: Any, batch: int, like: Tensor, batched: bool) -> tuple[Tensor, ...]:
        """The first states, [layers * directions, batch, size]."""
        count = self.num_layers * (2 if self.bidirectional else 1)
        widths = [self.proj_size or self.hidden_size] + [self.hidden_size] * (self.mode == "LSTM")
        if hx is None:
            return tuple(_C.zeros(count, batch, w, dtype=like.dtype, device=like.device) for w in widths)
        given = tuple(hx) if isinstance(hx, tuple | list) else (hx,)
        if not batched:
            if any(t.dim() != 2 for t in given):
                raise RuntimeError(
                    f"{type(self).__name__}: for an input without batch the state must have 2 "
                    f"dimensions, got "
                    f"{[list(t.shape) for t in given]}"
                )
            given = tuple(t.unsqueeze(1) for t in given)
        for t, width in zip(given, widths, strict=True):
            if tuple(t.shape) != (count, batch, width):
                raise RuntimeError(
                    f"{type(self).__name__}: the state must have shape {[count, batch, width]}, got "
                    f"{list(t.shape)}"
                )
        return given

    def forward(self, input: Any, hx: Any = None) -> Any:
        """(output, state): output [steps, batch, directions * size] as the input lies, state [layers *
        directions, batch, size], for an LSTM a pair (h, c).
        """
        kind, p = _KINDS[self.mode], self.dropout if self.training else 0.0
        packed = isinstance(input, PackedSequence)
        if packed:
            rows, sizes, batched = input.data, input.batch_sizes, True
            batch = getattr(input, "_batch", None)
            batch = int(sizes[0]) if batch is None else batch
        else:
            if input.dim() not in (2, 3):
                raise ValueError(
                    f"{type(self).__name__}: input must have 2 or 3 dimensions, got shape {list(input.shape)}"
                )
            batched = input.dim() == 3
            x = input if batched else input.unsqueeze(1)
            x = x.transpose(0, 1) if batched and self.batch_first else x
            steps, batch = x.shape[:2]
            if steps == 0:
                raise RuntimeError(
                    f"{type(self).__name__}: Expected sequence length to be larger than 0 in RNN, got shape "
                    f"{list(input.shape)}"
                )
            rows, sizes = x.reshape(steps * batch, x.shape[2]), batch
        if rows.shape[-1] != self.input_size:
            raise RuntimeError(
                f"{type(self).__name__}: input.size(-1) must be equal to input_size. Expected "
                f"{self.input_size}, "
                f"got {rows.shape[-1]}"
            )
        state = self._start(hx, batch, rows, batched)
        if packed and hx is not None and input.sorted_indices is not None:
            state = tuple(t.index_select(1, input.sorted_indices) for t in state)
        out, finals = R.sequence(kind, rows, sizes, state, self._weights(), p)
        if packed:
            if input.unsorted_indices is not None:
                finals = tuple(t.index_select(1, input.unsorted_indices) for t in finals)
            out = PackedSequence(out, sizes, input.sorted_indices, input.unsorted_indices)
            out._batch = batch
        else:
            out = out.reshape(steps, batch, out.shape[-1])
            if not batched:
                out, finals = out.squeeze(1), tuple(t.squeeze(1) for t in finals)
            elif self.batch_first:
                out = out.transpose(0, 1)
        return out, finals if kind == "lstm" else finals[0]

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        for name, usual in (
            ("proj_size", 0),
            ("num_layers", 1),
            ("bias", True),
            ("batch_first", False),
            ("dropout", 0.0),
            ("bidirectional", False),
        ):
            if getattr(self, name) != usual:
                text += f", {name}={getattr(self, name)}"
        return text


class RNN(RNNBase):
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh) over sequences; nonlinearity="relu" replaces tanh.

    Args:
        input_size, hidden_size: sizes of x and h.
        num_layers: so many layers, each over the output of the one before.
        batch_first: whether inputs and outputs are [batch, steps, ...] instead of [steps, batch, ...].
        dropout: probability with which outputs of all layers but the last are dropped in training.
        bidirectional: whether each layer runs in both directions; the outputs are joined.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        proj_size: int = 0,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"RNN: Unknown nonlinearity {nonlinearity!r}; there are 'tanh' and 'relu'")
        mode = f"RNN_{nonlinearity.upper()}"
        super().__init__(
            mode,
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            proj_size,
            device,
            dtype,
        )
        self.nonlinearity = nonlinearity


class LSTM(RNNBase):
    """i, f, o = sigmoid(...), g = tanh(...) of x and h; c' = f c + i g, h' = o tanh(c') over sequences; with
    proj_size h' is W_hr times that. The state is (h, c). The arguments are those of RNN.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            "LSTM",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            proj_size,
            device,
            dtype,
        )


class GRU(RNNBase):
    """r, z = sigmoid(...) of x and h; n = tanh(W_in x + b_in + r (W_hn h + b_hn)), h' = (1 - z) n + z h over
    sequences. The arguments are those of RNN.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        proj_size: int = 0,
    ) -> None:
        super().__init__(
            "GRU",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            proj_size,
            device,
            dtype,
        )


class RNNCellBase(Module):
    """What the cells share: weight_ih, weight_hh, bias_ih and bias_hh, uniform in ±1/sqrt(hidden_size)."""

    bias_ih: Parameter | None
    bias_hh: Parameter | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool,
        num_chunks: int,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        rows = num_chunks * hidden_size
        self.weight_ih = Parameter(_C.empty(rows, input_size, device=device, dtype=dtype))
        self.weight_hh = Parameter(_C.empty(rows, hidden_size, device=device, dtype=dtype))
        for name in ("bias_ih", "bias_hh"):
            value = Parameter(_C.empty(rows, device=device, dtype=dtype)) if bias else None
            self.register_parameter(name, value)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw fresh values."""
        bound = 1 / math.sqrt(self.hidden_size) if self.hidden_size else 0.0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def _checked(self, input: Tensor, hx: Tensor | None) -> Tensor:
        name = type(self).__name__
        if input.dim() not in (1, 2):
            raise ValueError(f"{name}: input must have 1 or 2 dimensions, got shape {list(input.shape)}")
        if input.shape[-1] != self.input_size:
            raise RuntimeError(f"{name}: input must have size {self.input_size}, got {list(input.shape)}")
        if hx is None:
            return _C.zeros(*input.shape[:-1], self.hidden_size, dtype=input.dtype, device=input.device)
        if hx.dim() not in (1, 2):
            raise ValueError(f"{name}: hidden must have 1 or 2 dimensions, got shape {list(hx.shape)}")
        if tuple(hx.shape) != (*input.shape[:-1], self.hidden_size):
            raise RuntimeError(
                f"{name}: hidden must have shape {[*input.shape[:-1], self.hidden_size]}, got "
                f"{list(hx.shape)}"
            )
        return hx

    def _four(self) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        return self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        if not self.bias:
            text += ", bias=False"
        if getattr(self, "nonlinearity", "tanh") != "tanh":
            text += f", nonlinearity={self.nonlinearity}"
        return text


class RNNCell(RNNCellBase):
    """One step: h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        if self.nonlinearity not in ("tanh", "relu"):
            raise RuntimeError(f"RNNCell: unknown nonlinearity {self.nonlinearity!r}")
        cell = R.rnn_tanh_cell if self.nonlinearity == "tanh" else R.rnn_relu_cell
        return cell(input, self._checked(input, hx), *self._four())


class LSTMCell(RNNCellBase):
    """One step of an LSTM: (h', c') from x and (h, c)."""

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        h, c = (None, None) if hx is None else hx
        return R.lstm_cell(input, (self._checked(input, h), self._checked(input, c)), *self._four())


class GRUCell(RNNCellBase):
    """One step of a GRU."""

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        return R.gru_cell(input, self._checked(input, hx), *self._four())
