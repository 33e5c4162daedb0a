"""torch.futures: results that come later."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["Future", "collect_all", "wait_all"]


class Future:
    """A result that another thread sets once; callbacks run when it is there."""

    def __init__(self, *, devices: Any = None) -> None:
        self._inner: concurrent.futures.Future[Any] = concurrent.futures.Future()

    def __class_getitem__(cls, item: Any) -> type[Future]:
        return cls

    def done(self) -> bool:
        """Whether the result or an error is there."""
        return self._inner.done()

    def wait(self) -> Any:
        """The result, waiting for it; raises the error that was set instead."""
        return self._inner.result()

    def value(self) -> Any:
        """The result, which must be there."""
        if not self.done():
            raise RuntimeError("Future.value: the result is not there yet; use wait()")
        return self._inner.result()

    def set_result(self, result: Any) -> None:
        """Give the result; only once."""
        self._check_open("set_result")
        self._inner.set_result(result)

    def set_exception(self, result: BaseException) -> None:
        """Give an error instead of a result; only once."""
        if not isinstance(result, BaseException):
            raise TypeError(f"Future.set_exception: an exception is needed, but {type(result).__name__} came")
        self._check_open("set_exception")
        self._inner.set_exception(result)

    def _check_open(self, what: str) -> None:
        if self.done():
            raise RuntimeError(f"Future.{what}: the result was set already")

    def add_done_callback(self, callback: Callable[[Future], None]) -> None:
        """Call `callback(self)` when the result is there."""
        self._inner.add_done_callback(lambda _: callback(self))

    def then(self, callback: Callable[[Future], Any]) -> Future:
        """A future of what `callback(self)` returns."""
        after = Future()

        def run(_: Any) -> None:
            try:
                after.set_result(callback(self))
            except Exception as error:
                after.set_exception(error)

        self._inner.add_done_callback(run)
        return after


def collect_all(futures: Sequence[Future]) -> Future:
    """A future of the list of futures, there when all of them are."""
    futures = list(futures)
    after = Future()
    left = [len(futures)]
    if not futures:
        after.set_result(futures)

    def count(_: Future) -> None:
        left[0] -= 1
        if left[0] == 0:
            after.set_result(futures)

    for future in futures:
        future.add_done_callback(count)
    return after


def wait_all(futures: Sequence[Future]) -> list[Any]:
    """The results of all; raises the first error."""
    return [future.wait() for future in collect_all(futures).wait()]
