"""torch.utils.collect_env: what this machine and this build are."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import platform
import sys

from .version import __version__

__all__ = ["get_pretty_env_info", "main", "parallel_info", "show"]


def get_pretty_env_info() -> str:
    """Lines for a report of a problem."""
    return "\n".join(
        (
            f"PyTorch version: {__version__}",
            "Is CUDA available: False",
            f"OS: {platform.platform()}",
            f"Python version: {sys.version.split()[0]} ({platform.architecture()[0]})",
        )
    )


def main() -> None:
    """Print them."""
    print(get_pretty_env_info())


def show() -> str:
    """torch.__config__.show: how the library was built."""
    return f"Moka under torch's names, {__version__}\n  - CPU only"


def parallel_info() -> str:
    """torch.__config__.parallel_info: how many threads operators use."""
    import moka

    return f"at::get_num_threads() : {moka.get_num_threads()}"
