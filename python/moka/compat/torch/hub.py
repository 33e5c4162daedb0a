"""torch.hub: Moka downloads no programs and no files; every function says so."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any, NoReturn

__all__ = ["download_url_to_file", "help", "list", "load", "load_state_dict_from_url"]


def _refuse(what: str) -> Any:
    def refused(*args: Any, **kwargs: Any) -> NoReturn:
        raise RuntimeError(
            f"torch.hub.{what}: Moka runs no code from the network; download the weights yourself and "
            "read them "
            "with torch.load or moka.safetensors"
        )

    refused.__name__ = what
    refused.__doc__ = "Refused: Moka runs no code from the network."
    return refused


load = _refuse("load")
list = _refuse("list")
help = _refuse("help")
download_url_to_file = _refuse("download_url_to_file")
load_state_dict_from_url = _refuse("load_state_dict_from_url")
