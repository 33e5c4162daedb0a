"""torch.utils.flop_counter: floating-point operations of the products that a program computes."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable
from math import prod
from typing import TYPE_CHECKING, Any

from moka import _C
from moka.nn.module import Module

from . import operators

if TYPE_CHECKING:
    from typing import Self

__all__ = ["FlopCounterMode", "register_flop_formula"]


def _product(left: Any, result: Any) -> int:
    return 2 * prod(result) * left[-1]


def _attention(query: Any, key: Any, value: Any) -> int:
    pairs = prod(query[:-1]) * key[-2]
    return 2 * pairs * query[-1] + 2 * pairs * value[-1]


def _attention_backward(_: Any, query: Any, key: Any, value: Any, *rest: Any) -> int:
    pairs = prod(query[:-1]) * key[-2]
    return 6 * pairs * query[-1] + 4 * pairs * value[-1]  # the scores once more, then two products each


# Operator -> torch's name, and the count from the sizes of arguments and of the first result.
_COUNTS: dict[str, tuple[str, Callable[[list[Any], Any], int]]] = {
    "mm": ("mm", lambda a, out: _product(a[0], out)),
    "bmm": ("bmm", lambda a, out: _product(a[0], out)),
    "matmul": ("mm", lambda a, out: _product(a[0], out)),
    "matmul_backward_input": ("mm", lambda a, out: _product(a[0], out)),
    "matmul_backward_other": ("mm", lambda a, out: 2 * prod(a[0]) * a[1][-1]),
    "linear": ("addmm", lambda a, out: _product(a[0], out)),
    "linear_backward_weight": ("mm", lambda a, out: 2 * prod(a[0]) * a[1][-1]),
    "attention": ("_scaled_dot_product_flash_attention_for_cpu", lambda a, out: _attention(*a[:3])),
    "attention_backward": (
        "_scaled_dot_product_flash_attention_for_cpu_backward",
        lambda a, out: _attention_backward(*a),
    ),
    "rnn_layer": ("mm", lambda a, out: 2 * prod(a[0]) * a[1][-1]),
    "rnn_layer_backward": ("mm", lambda a, out: 4 * prod(a[3]) * a[4][-1]),
}
for _rank in "123":
    _COUNTS[f"conv{_rank}d"] = ("convolution", lambda a, out: 2 * prod(out) * prod(a[1][1:]))
    _COUNTS[f"conv_transpose{_rank}d"] = ("convolution", lambda a, out: 2 * prod(a[0]) * prod(a[1][1:]))
    _COUNTS[f"conv{_rank}d_backward_input"] = (
        "convolution_backward",
        lambda a, out: 2 * prod(a[0]) * prod(a[1][1:]),
    )
    _COUNTS[f"conv{_rank}d_backward_weight"] = (
        "convolution_backward",
        lambda a, out: 2 * prod(a[0]) * prod(out[1:]),
    )
_registered: dict[str, Callable[..., int]] = {}


def register_flop_formula(targets: Any, get_raw: bool = False) -> Callable[[Any], Any]:
    """A decorator: the function counts the operations of torch.ops entries, from the sizes of arguments and
    result (out_shape=). It counts where operators of that name are called as such.
    """

    def register(formula: Any) -> Any:
        for target in targets if isinstance(targets, (list, tuple)) else [targets]:
            _registered[_short(target)] = formula
        return formula

    return register


def _short(target: Any) -> str:
    return getattr(target, "__name__", str(target)).rpartition("::")[2].partition(".")[0]


def _shown(number: float) -> str:
    for suffix in ("", "K", "M", "B", "T"):
        if abs(number) < 1000 or suffix == "T":
            return f"{number:.3f}{suffix}" if suffix else str(int(number))
        number /= 1000
    return ""


class FlopCounterMode:
    """A block that counts the floating-point operations of matrix products, convolutions and attention.

    Args:
        mods: no longer needed; modules are found as they run.
        depth: how deep the table goes into modules.
        display: print the table at the end of the block.
        custom_mapping: functions of (sizes of arguments..., out_shape=) by torch.ops entry.
    """

    def __init__(
        self,
        mods: Any = None,
        depth: int = 2,
        display: bool = True,
        custom_mapping: dict[Any, Any] | None = None,
    ) -> None:
        self.depth, self.display = depth, display
        self.flop_counts: dict[str, dict[Any, int]] = defaultdict(lambda: defaultdict(int))
        self._formulas = {_short(key): formula for key, formula in (custom_mapping or {}).items()}
        self._parents = ["Global"]
        self._names: dict[int, str] = {}

    def _called(self, name: str, arguments: list[Any]) -> Any:
        base = name.partition(".")[0]
        own = self._formulas.get(base) or _registered.get(base)
        if own is None and base not in _COUNTS:
            return None
        return functools.partial(self._returned, base, own, arguments)

    def _returned(self, base: str, own: Any, arguments: list[Any], results: list[Any]) -> None:
        shown = base
        if own is not None:
            count = own(*arguments, out_shape=results[0] if len(results) == 1 else results)
        else:
            shown, formula = _COUNTS[base]
            count = formula(arguments, results[0])
        key = getattr(operators.aten, shown, shown)
        for parent in dict.fromkeys(self._parents):
            self.flop_counts[parent][key] += count

    def _entered(self, module: Module, _: Any) -> None:
        name = self._names.get(id(module)) or type(module).__name__
        for child, part in module._modules.items():
            if part is not None:
                self._names[id(part)] = f"{name}.{child}"
        self._parents.append(name)

    def _left(self, *_: Any) -> None:
        self._parents.pop()

    def __enter__(self) -> Self:
        from moka.nn.calling import register_module_forward_hook, register_module_forward_pre_hook

        self.flop_counts.clear()
        self._parents, self._names = ["Global"], {}
        self._hooks = [
            register_module_forward_pre_hook(self._entered),
            register_module_forward_hook(self._left, always_call=True),
        ]
        self._outer = _C._watch_calls(self._called)
        return self

    def __exit__(self, *_: Any) -> None:
        _C._watch_calls(self._outer)
        for hook in self._hooks:
            hook.remove()
        if self.display:
            print(self.get_table(self.depth))

    def get_total_flops(self) -> int:
        """All operations of the block."""
        return sum(self.flop_counts["Global"].values())

    def get_flop_counts(self) -> dict[str, dict[Any, int]]:
        """The operations by module, "Global" for all, and by operator."""
        return {name: dict(counts) for name, counts in self.flop_counts.items()}

    def get_table(self, depth: int | None = None) -> str:
        """The counts as a table."""
        depth = self.depth if depth is None else depth
        whole = max(1, self.get_total_flops())
        rows = [("Module", "FLOP", "% Total")]
        for name, counts in self.flop_counts.items():
            level = 0 if name == "Global" else name.count(".") + 1
            if level > depth:
                continue
            total = sum(counts.values())
            rows.append((" " * level + name, _shown(total), f"{100 * total / whole:.2f}%"))
            for key, count in counts.items():
                label = " " * level + " - aten." + getattr(key, "__name__", str(key))
                rows.append((label, _shown(count), f"{100 * count / whole:.2f}%"))
        widths = [max(len(row[i]) for row in rows) for i in range(3)]
        lines = [
            f"{row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:>{widths[2]}}".rstrip() for row in rows
        ]
        return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])
