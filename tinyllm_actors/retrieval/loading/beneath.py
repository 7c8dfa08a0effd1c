"""Files beneath a folder: found and opened without ever leaving it.

Each part of a path is opened in the folder before it, and none may be a symbolic link, so that no `..`, no link and
nobody who moves folders at the wrong moment leads out.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from tinyllm_actors.errors import DocumentRefused, DocumentTooLarge

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

__all__ = ["FoundFile", "find_files", "fingerprint_file", "open_beneath", "parts_beneath"]

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# Without waiting for somebody to write, should the file be a pipe.
_FILE: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW
_PIECE: Final = 2**20


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file in a folder.

    Attributes:
        path: beneath the root, with `/` between its parts.
        skipped: why it is not read; None if it is.
    """

    path: str
    skipped: str | None = None


def open_beneath(root: str, path: str) -> int:
    """Return the descriptor of a file, open for reading; the caller closes it.

    Args:
        root: a folder.
        path: of the file, from `root`, or a whole path that begins with it.

    Raises:
        DocumentRefused: the path leads out of the root, through a link, or to something that is no file.
        OSError: there is no such file, or it may not be read.
    """
    parts = parts_beneath(root, path)
    if not parts:
        raise DocumentRefused(path, "is the root of the loader, and not a file")
    folder = os.open(root, _FOLDER)
    try:
        for part in parts[:-1]:
            inner = _open(part, _FOLDER | os.O_NOFOLLOW, folder, path)
            os.close(folder)
            folder = inner
        file = _open(parts[-1], _FILE, folder, path)
    finally:
        os.close(folder)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise DocumentRefused(path, "is not an ordinary file")
    return file


def parts_beneath(root: str, path: str) -> list[str]:
    """Return the parts of a path from the root; none for the root itself.

    Raises:
        DocumentRefused: it leads out of the root.
    """
    if os.path.isabs(path):
        whole = os.path.abspath(root)
        if not f"{path}/".startswith(whole.rstrip("/") + "/"):
            raise DocumentRefused(path, "is not beneath the root of the loader")
        path = path[len(whole) :]
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts or "\0" in path:
        raise DocumentRefused(path, "is no path beneath the root of the loader")
    return parts


def _open(name: str, flags: int, folder: int, path: str) -> int:
    try:
        return os.open(name, flags, dir_fd=folder)
    except OSError as error:
        # A link is ELOOP; to a folder it may be ENOTDIR, as is a file where a folder should be.
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise DocumentRefused(path, f"goes through {name!r}, which is a symbolic link, or no folder") from None
        raise


def find_files(
    root: str, path: str, *, suffixes: Collection[str], max_files: int, max_depth: int
) -> Iterator[list[FoundFile]]:
    """Yield the files beneath a folder, a list for each folder, in the order of their names; or one file.

    Names that begin with a point are not looked at. What is not read is there too, with the reason.

    Args:
        root: paths are from there.
        path: of the folder, or of the file, from `root`; `"."` for all of it.
        suffixes: of the names of the files to read, in small letters.
        max_files: to find before it is an error.
        max_depth: folders inside of one another that are looked into.

    Raises:
        DocumentTooLarge: there are more files.
        DocumentRefused: the path leads out of the root, or through a link.
        OSError: it cannot be read.
    """
    above = parts_beneath(root, path)
    at = os.open(root, _FOLDER)
    try:
        for place, part in enumerate(above, start=1):
            if place == len(above) and stat.S_ISREG(os.lstat(part, dir_fd=at).st_mode):
                yield [_judged(above, at, suffixes)]
                return
            inner = _open(part, _FOLDER | os.O_NOFOLLOW, at, path)
            os.close(at)
            at = inner
        found = 0
        for where, folders, files, here in os.fwalk(".", dir_fd=at, onerror=_raise, follow_symlinks=False):
            inside = [*above, *(part for part in where.split("/") if part not in ("", "."))]
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            batch = [_judged([*inside, name], here, suffixes) for name in sorted(files) if not name.startswith(".")]
            links = [name for name in folders if stat.S_ISLNK(os.lstat(name, dir_fd=here).st_mode)]
            batch += [FoundFile("/".join([*inside, name]), "is a symbolic link") for name in links]
            if len(inside) - len(above) >= max_depth:
                batch += [
                    FoundFile("/".join([*inside, name]), f"is deeper than {max_depth} folders") for name in folders
                ]
                folders.clear()
            found += len(batch)
            if found > max_files:
                raise DocumentTooLarge(path, f"has more than max_files={max_files} files; raise it, or split it")
            if batch:
                yield batch
    finally:
        os.close(at)


def _raise(error: OSError) -> None:
    raise error


def _judged(parts: list[str], folder: int, suffixes: Collection[str]) -> FoundFile:
    path, name = "/".join(parts), parts[-1]
    try:
        path.encode()
    except UnicodeEncodeError:
        return FoundFile(path.encode("utf-8", "backslashreplace").decode(), "has a name that is no text")
    if os.path.splitext(name)[1].lower() not in suffixes:
        return FoundFile(path, "is of a kind that nothing here reads")
    mode = os.lstat(name, dir_fd=folder).st_mode
    if stat.S_ISLNK(mode):
        return FoundFile(path, "is a symbolic link")
    return FoundFile(path, None if stat.S_ISREG(mode) else "is not an ordinary file")


def fingerprint_file(root: str, path: str, max_bytes: int) -> str:
    """Return 32 hexadecimal digits that stand for the content of a file.

    Raises:
        DocumentTooLarge: it has more than `max_bytes`.
        DocumentRefused: see `open_beneath`.
        OSError: see `open_beneath`.
    """
    digest = blake2b(digest_size=16)
    left = max_bytes
    with os.fdopen(open_beneath(root, path), "rb", buffering=0) as file:
        while piece := file.read(_PIECE):
            left -= len(piece)
            if left < 0:
                raise DocumentTooLarge(
                    path, f"has more than max_bytes={max_bytes}; raise it in LoadLimits, or split it"
                )
            digest.update(piece)
    return digest.hexdigest()
