"""Tokenizers that are on this machine. Nothing is ever downloaded.

tiktoken's tables come from its cache folder or from litellm, which bundles them; a table that is on neither is unknown.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import tempfile
import threading
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiktoken import Encoding

__all__ = ["find_encoding"]

# The file names are what tiktoken calls its tables in a cache: the SHA-1 of where they are published.
_TABLES: Final = {
    "cl100k_base": (
        "9b5ad71b2ce5302211f9c61530b329a4922fc6a4",
        "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
    ),
    "o200k_base": (
        "fb374d419588a4632f3f557e76b4b70aebbca790",
        "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    ),
}

_loading = threading.Lock()


def _folders() -> Iterator[Path]:
    for variable in ("TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR"):
        if folder := os.environ.get(variable):
            yield Path(folder)
    yield Path(tempfile.gettempdir(), "data-gym-cache")
    spec = importlib.util.find_spec("litellm")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        yield Path(folder, "litellm_core_utils", "tokenizers")


def _folder_of(table: str, digest: str) -> Path | None:
    """Return the folder that has the whole table: tiktoken would replace a damaged one by a download."""
    for folder in _folders():
        try:
            if hashlib.sha256((folder / table).read_bytes()).hexdigest() == digest:
                return folder
        except OSError:
            continue
    return None


@lru_cache(maxsize=8)
def find_encoding(name: str) -> Encoding | None:
    """Return tiktoken's encoding of that name; None if tiktoken or its table is not on this machine.

    Takes a third of a second the first time, and reads a file: not on an event loop. Safe to call from threads.
    """
    if name not in _TABLES or importlib.util.find_spec("tiktoken") is None:
        return None
    folder = _folder_of(*_TABLES[name])
    if folder is None:
        return None
    import tiktoken

    with _loading:
        before = os.environ.get("TIKTOKEN_CACHE_DIR")
        os.environ["TIKTOKEN_CACHE_DIR"] = str(folder)
        try:
            return tiktoken.get_encoding(name)
        finally:
            if before is None:
                del os.environ["TIKTOKEN_CACHE_DIR"]
            else:
                os.environ["TIKTOKEN_CACHE_DIR"] = before
