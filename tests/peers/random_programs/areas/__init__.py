"""The areas that programs are made for: name -> function of a source of random values that gives statements."""
# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501 - one call a line

from __future__ import annotations

import random
from collections.abc import Callable

from values import Values

from . import (
    autograd,
    creation,
    exchange,
    indexing,
    layers,
    linear,
    networks,
    pointwise,
    reductions,
    selecting,
    streams,
    views,
)

_ALL = {
    name: function
    for module in (indexing, views, pointwise, reductions, selecting, creation, linear, networks, autograd, exchange, layers, streams)
    for name, function in module.AREAS.items()
}


def _with_values(make: Callable[[Values], list[str]]) -> Callable[[random.Random], list[str]]:
    return lambda source: make(Values(source.random()))


AREAS = {name: _with_values(function) for name, function in _ALL.items()}
