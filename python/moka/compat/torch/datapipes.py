"""Data pipes: streams and collections of samples that are chained by methods, as in `torch.utils.data`.

What `functional_datapipe` registers is a method of every pipe of its kind. Workers are threads that read one
stream, so `sharding_filter` leaves nothing out unless `apply_sharding` was called.
"""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from inspect import ismethod
from typing import Any, ClassVar

from moka import _C
from moka.data import Dataset, IterableDataset
from moka.data.randomness import draw_as_torch

__all__ = [
    "DataChunk",
    "IterDataPipe",
    "MapDataPipe",
    "apply_random_seed",
    "apply_sharding",
    "apply_shuffle_settings",
    "functional_datapipe",
    "get_all_graph_pipes",
    "sources",
]


class DataChunk(list):  # type: ignore[type-arg]
    """A batch of samples that were not collated."""

    def as_str(self, indent: str = "") -> str:
        """The samples between brackets."""
        return indent + "[" + ", ".join(map(str, self)) + "]"

    def raw_iterator(self) -> Iterator[Any]:
        """The samples themselves."""
        return iter(self)


class _Chained:
    """The registered functions as methods."""

    functions: ClassVar[dict[str, Callable[..., Any]]]
    built_in: ClassVar[str]

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("__"):
            import_module(type(self).built_in, __package__)  # registers its functions
        if name in type(self).functions:
            return partial(type(self).functions[name], self)
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    @classmethod
    def register_function(cls, function_name: str, function: Callable[..., Any]) -> None:
        """Make `function(pipe, ...)` a method."""
        cls.functions[function_name] = function

    @classmethod
    def register_datapipe_as_function(
        cls, function_name: str, cls_to_register: Any, enable_df_api_tracing: bool = False
    ) -> None:
        """Make the class a method that gives a new pipe. Raises: where the name is taken."""
        if function_name in cls.functions:
            raise Exception(
                f"Unable to add DataPipe function name {function_name} as it is already taken"
            )  # what torch raises
        cls.functions[function_name] = lambda pipe, *args, **options: cls_to_register(pipe, *args, **options)

    def __len__(self) -> int:
        raise TypeError(f"{type(self).__name__} instance doesn't have valid length")

    def __repr__(self) -> str:
        return type(self).__name__

    def __dir__(self) -> list[str]:
        import_module(type(self).built_in, __package__)
        return [*super().__dir__(), *type(self).functions]


class IterDataPipe(_Chained, IterableDataset[Any]):
    """A stream of samples: a subclass defines __iter__."""

    functions: ClassVar[dict[str, Callable[..., Any]]] = {}
    built_in = ".datapipes_iter"

    def reset(self) -> None:
        """Called by subclasses that begin anew."""

    def order_from_loader(self, shuffle: bool) -> IterDataPipe:
        """The pipe for a DataLoader that was told whether to shuffle."""
        return apply_shuffle_settings(self, shuffle)

    def seed_from_loader(self, generator: Any) -> None:
        """Draw the seed of an epoch and give every pipe with an order its own."""
        apply_random_seed(self, _C.Generator().manual_seed(draw_as_torch(generator)))


class MapDataPipe(_Chained, Dataset[Any]):
    """Samples by key: a subclass defines __getitem__."""

    functions: ClassVar[dict[str, Callable[..., Any]]] = {}
    built_in = ".datapipes_map"


DFIterDataPipe = IterDataPipe


class functional_datapipe:  # noqa: N801 - torch's name
    """Decorator: the class of pipes becomes a method of all pipes of its kind.

    Raises TypeError where the class is no pipe.
    """

    def __init__(self, name: str, enable_df_api_tracing: bool = False) -> None:
        self.name = name

    def __call__(self, cls: Any) -> Any:
        if not isinstance(cls, type) or not issubclass(cls, IterDataPipe | MapDataPipe):
            raise TypeError("functional_datapipe: can only decorate IterDataPipe or MapDataPipe")
        kind = IterDataPipe if issubclass(cls, IterDataPipe) else MapDataPipe
        kind.register_datapipe_as_function(self.name, cls)
        return cls


def sources(value: Any) -> Iterator[Any]:
    """The pipes in the attributes of a pipe, or in lists and dictionaries of them."""
    if isinstance(value, IterDataPipe | MapDataPipe):
        yield value
    elif isinstance(value, list | tuple | set):
        for entry in value:
            yield from sources(entry)
    elif isinstance(value, dict):
        for entry in value.values():
            yield from sources(entry)


def traverse_dps(datapipe: Any) -> dict[int, Any]:
    """The graph of a pipe: id -> (pipe, graph of its sources)."""
    graph: dict[int, Any] = {}
    for source in sources(list(vars(datapipe).values())):
        graph.update(traverse_dps(source))
    return {id(datapipe): (datapipe, graph)}


def get_all_graph_pipes(graph: dict[int, Any]) -> list[Any]:
    """The pipes of a graph, each once, those that read before those that are read."""
    found: dict[int, Any] = {}

    def visit(part: dict[int, Any]) -> None:
        for number, (pipe, below) in part.items():
            if number not in found:
                found[number] = pipe
                visit(below)

    visit(graph)
    return list(found.values())


def _with_method(datapipe: Any, *names: str) -> list[Any]:
    pipes = get_all_graph_pipes(traverse_dps(datapipe))
    return [p for p in pipes if all(ismethod(getattr(p, name, None)) for name in names)]


def apply_random_seed(datapipe: Any, rng: Any) -> Any:
    """Give every pipe with `set_seed` a seed that `rng` draws; gives the pipe back."""
    for pipe in _with_method(datapipe, "set_seed"):
        pipe.set_seed(draw_as_torch(rng))
    return datapipe


def apply_shuffle_settings(datapipe: Any, shuffle: bool | None = None) -> Any:
    """Switch every shuffling pipe on or off; with none there, one is put behind the pipe, with a warning."""
    if shuffle is None:
        return datapipe
    shufflers = _with_method(datapipe, "set_shuffle", "set_seed")
    if shuffle and not shufflers:
        warnings.warn(
            "`shuffle=True` was set, but the datapipe does not contain a `Shuffler`. Adding one at the end. "
            "Be aware that the default buffer size might not be sufficient for your task.",
            stacklevel=2,
        )
        datapipe = datapipe.shuffle()
        shufflers = [datapipe]
    for pipe in shufflers:
        pipe.set_shuffle(shuffle)
    return datapipe


def apply_sharding(datapipe: Any, num_of_instances: int, instance_id: int, sharding_group: Any = None) -> Any:
    """Tell every pipe with `apply_sharding` which of `num_of_instances` shares it is to give."""
    for pipe in _with_method(datapipe, "apply_sharding"):
        pipe.apply_sharding(num_of_instances, instance_id)
    return datapipe
