"""The root of the tree. See the package for the whole tree."""

from __future__ import annotations

__all__ = ["TinyLLMError"]


class TinyLLMError(Exception):
    """The base of every error that this library raises on purpose."""
