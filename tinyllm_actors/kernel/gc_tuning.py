"""A switch for the garbage collector, for processes that hold very many actors."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["short_pauses"]


@contextmanager
def short_pauses() -> Generator[None]:
    """Draft."""
    before = gc.get_threshold()
    gc.set_threshold(10_000, 50, 100)
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
