"""torch.save and torch.load: torch's own format out, every format that moka.load knows in."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import io
import os
import pickle
from typing import Any

import moka

__all__ = ["load", "save"]


def save(
    obj: Any,
    f: Any,
    pickle_module: Any = None,
    pickle_protocol: int = 2,
    _use_new_zipfile_serialization: bool = True,
    **_: Any,
) -> None:
    """Write a file that torch.load reads: plain data and tensors, or whatever pickle can write."""
    legacy = not _use_new_zipfile_serialization
    if isinstance(f, (str, os.PathLike)):
        from moka.atomic import replace_file

        stream = io.BytesIO()
        _write(obj, stream, legacy)
        folder = os.path.dirname(os.path.abspath(f))
        if not os.path.isdir(folder):
            raise RuntimeError(f"Parent directory {folder} does not exist.")
        replace_file(f, [stream.getbuffer()], "save")
    elif hasattr(f, "write"):
        _write(obj, f, legacy)
    else:
        raise AttributeError(f"torch.save: a path or an open file is needed, but {type(f).__name__} came")


def _write(obj: Any, file: Any, legacy: bool) -> None:
    from .pickling import write

    write(obj, file, legacy)


def load(
    f: Any,
    map_location: Any = None,
    pickle_module: Any = None,
    *,
    weights_only: bool | None = None,
    mmap: bool | None = None,
    **pickle_load_args: Any,
) -> Any:
    """Read a file of torch.save or moka.save.

    Args:
        weights_only: tensors, plain data and what add_safe_globals() named; with False the file may make
            objects of any class, which runs the code that it names: for files that you trust.
    """
    from .pickling import read
    from .serialization import names_of_safe_globals

    if weights_only is None:
        trusted = os.environ.get("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "0")
        weights_only = trusted not in ("1", "y", "yes", "true")
    if isinstance(f, (str, os.PathLike)):
        with open(f, "rb") as file:
            return load(
                file, map_location, pickle_module, weights_only=weights_only, mmap=mmap, **pickle_load_args
            )
    safe = names_of_safe_globals()
    start, head = f.tell(), f.read(2)
    f.seek(start)
    if not head:
        raise EOFError("torch.load: Ran out of input: the file ends here; seek(0) goes back")
    # Several objects of the old format, which is a pickle, may follow each other in a file.
    if not weights_only or safe or start or head[:1] == b"\x80":
        if moka.checkpoint._is_torch_file(f):
            return read(f, safe if weights_only else None, map_location, **pickle_load_args)
    try:
        return moka.load(f, map_location=map_location)
    except moka.checkpoint.CheckpointError as error:
        f.seek(start)
        raise pickle.UnpicklingError(
            f"Weights only load failed: {error}. Where you trust the file, name its classes by "
            "torch.serialization.add_safe_globals([...]), or load it with weights_only=False, which runs the "
            "code that it names."
        ) from error
