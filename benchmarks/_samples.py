"""The samples of the operator table as calls of the public functions of either library."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

# Not to be repeated, or not a call that both have.
LEFT_OUT = {"set_", "resize_", "rename"}


def _found(lib: Any, name: str) -> Any:
    """The public function of that name, wherever the library keeps it; None if there is none."""
    for home in (lib, lib.nn.functional, lib.linalg, lib.special, lib.fft, lib.Tensor):
        for spelled in (name, name.removeprefix(f"{getattr(home, '__name__', '').rpartition('.')[2]}_")):
            if callable(getattr(home, spelled, None)):
                return getattr(home, spelled)
    return None


def _shapes(result: Any) -> list[list[int]]:
    if isinstance(result, list | tuple):
        return [shape for part in result for shape in _shapes(part)]
    return [list(result.shape)] if hasattr(result, "shape") else []


def calls(lib: Any, is_moka: bool) -> dict[str, tuple[Callable[[], Any], list[list[int]]]]:
    """Calls by operator and number of the sample, with the shapes of their results; those that run."""
    sys.path.insert(0, str(Path(__file__).parent.parent))
    import moka
    from tests.ops import table

    def own(value: Any) -> Any:
        if isinstance(value, moka.Tensor):
            return value if is_moka else lib.from_numpy(value.numpy().copy())
        if isinstance(value, list | tuple):
            return [own(part) for part in value]
        if isinstance(value, moka.dtype):
            return getattr(lib, str(value).rpartition(".")[2])
        return value

    made = {}
    for op in table.TABLE.values():
        function = _found(lib, op["base"])
        if function is None or op["base"] in LEFT_OUT:
            continue
        for i in range(len(op["samples"])):
            try:
                case = table.make_case(op, i, "float32")
                arguments = {k: own(v) for k, v in case.kwargs.items()}
                call = partial(function, *[own(v) for v in case.args], **arguments)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    made[f"{op['name']} {i}"] = (call, _shapes(call()))
            except Exception:  # the other library has it in another form: not compared
                continue
    return made
