"""Writing a file so that at every moment, whatever happens, the old or the new one is there whole."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
from collections.abc import Iterable
from typing import Any

__all__ = ["replace_file", "sweep"]

_SUFFIX = ".moka-tmp"
_CHUNK = 1 << 24


def replace_file(path: str | os.PathLike[str], pieces: Iterable[Any], what: str = "save") -> None:
    """Write `pieces` (bytes-like) one after the other as the file `path`.

    They go to a temporary file in the same folder, which is forced to the disk and then renamed; last the
    folder is forced to the disk. When writing fails, the temporary file is removed and the old file stays as
    it was. Temporary files that a killed process left for this path are removed first. A symbolic link stays;
    what it points to is replaced.

    Raises OSError whose text says `what`, the file, the reason, and that the old file is untouched.
    """
    target = os.path.realpath(os.fspath(path))
    folder, name = os.path.split(target)
    if os.path.isdir(target):
        raise IsADirectoryError(errno.EISDIR, f"{what}: {target} is a folder; give the name of a file")
    if not os.path.isdir(folder):
        raise FileNotFoundError(
            errno.ENOENT, f"{what}: there is no folder {folder}; make it with os.makedirs"
        )
    sweep(target)
    temporary = os.path.join(folder, f".{name}.{secrets.token_hex(8)}{_SUFFIX}")
    try:
        _write(temporary, target, pieces)
        os.replace(temporary, target)
        _sync_folder(folder)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError):
            raise OSError(error.errno, _failure(what, target, folder, error)) from error
        raise


def _write(temporary: str, target: str, pieces: Iterable[Any]) -> None:
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        # The lock tells sweep() in other processes that the writer lives; the kernel drops it when it dies.
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError, PermissionError):
            os.fchmod(descriptor, os.stat(target).st_mode & 0o777)
        for piece in pieces:
            view = memoryview(piece).cast("B")
            while view.nbytes:
                written = os.write(descriptor, view[:_CHUNK])
                view = view[written:]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _failure(what: str, target: str, folder: str, error: OSError) -> str:
    reason = os.strerror(error.errno) if error.errno else str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        with contextlib.suppress(OSError):
            disk = os.statvfs(folder)
            reason += f", {disk.f_bavail * disk.f_frsize / 1e6:.1f} MB are free in {folder}"
    kept = "the old file is as it was" if os.path.exists(target) else "nothing was left behind"
    return f"{what}: cannot write {target} ({reason}); {kept}"


def sweep(path: str | os.PathLike[str]) -> int:
    """Remove temporary files that killed writers of `path` left; returns how many."""
    folder, name = os.path.split(os.path.realpath(os.fspath(path)))
    removed = 0
    with contextlib.suppress(OSError):
        for entry in os.listdir(folder):
            if entry.startswith(f".{name}.") and entry.endswith(_SUFFIX):
                removed += _remove_if_dead(os.path.join(folder, entry))
    return removed


def _remove_if_dead(temporary: str) -> bool:
    try:
        descriptor = os.open(temporary, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(temporary)
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
