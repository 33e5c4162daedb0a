"""torch.hub: Moka downloads no programs and no files; the functions that would say so, the others answer."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
import re
from typing import Any
from urllib.parse import urlparse

from .refusing import refused_function

try:
    from tqdm import tqdm  # as programs find it here
except ImportError:
    from moka.progress_bar import progress as tqdm

__all__ = [
    "HASH_REGEX",
    "download_url_to_file",
    "get_dir",
    "help",
    "list",
    "load",
    "load_state_dict_from_url",
    "load_url",
    "set_dir",
    "tqdm",
    "urlparse",
]

HASH_REGEX = re.compile(r"-([a-f0-9]*)\.")

_chosen: list[str] = []


def _get_torch_home() -> str:
    home = os.getenv("TORCH_HOME") or os.path.join(os.getenv("XDG_CACHE_HOME") or "~/.cache", "torch")
    return os.path.expanduser(home)


def get_dir() -> str:
    """The folder of files from the network: the one of set_dir(), $TORCH_HOME/hub or ~/.cache/torch/hub."""
    return _chosen[-1] if _chosen else os.path.join(_get_torch_home(), "hub")


def set_dir(d: str | os.PathLike[str]) -> None:
    """Choose that folder."""
    _chosen[:] = [os.path.expanduser(d)]


def load_state_dict_from_url(
    url: str,
    model_dir: str | None = None,
    map_location: Any = None,
    progress: bool = True,
    check_hash: bool = False,
    file_name: str | None = None,
    weights_only: bool = True,
) -> dict[str, Any]:
    """Read the file of this URL where an earlier download left it: get_dir()/checkpoints/name."""
    from . import files

    folder = model_dir or os.path.join(get_dir(), "checkpoints")
    path = os.path.join(folder, file_name or os.path.basename(urlparse(url).path))
    if not os.path.exists(path):
        raise RuntimeError(
            f"torch.hub.load_state_dict_from_url: Moka downloads nothing; put the file of {url} at {path}"
        )
    return files.load(path, map_location=map_location)


load_url = load_state_dict_from_url
_WHY = "Moka runs no code and reads no files from the network; download them yourself and use torch.load"
load = refused_function("torch.hub.load", _WHY)
list = refused_function("torch.hub.list", _WHY)
help = refused_function("torch.hub.help", _WHY)
download_url_to_file = refused_function("torch.hub.download_url_to_file", _WHY)
