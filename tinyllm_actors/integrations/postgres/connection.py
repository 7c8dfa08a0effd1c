"""As much of asyncpg's connection as is used here, with types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

__all__ = ["Connection"]


class Connection(Protocol):
    """A connection; rows have their values by name, by position, and in order from `values()`."""

    def transaction(self) -> AbstractAsyncContextManager[object]:
        """Open a transaction for the length of a block."""
        ...

    async def execute(self, query: str, *args: object, timeout: float | None = None) -> str:
        """Return the tag of a command, such as `"DELETE 5"`."""
        ...

    async def fetch(self, query: str, *args: object, timeout: float | None = None) -> list[Any]:
        """Return the rows of a query."""
        ...

    async def fetchrow(self, query: str, *args: object, timeout: float | None = None) -> Any:
        """Return the first row of a query, or None."""
        ...

    async def fetchval(self, query: str, *args: object, timeout: float | None = None) -> Any:
        """Return the first value of the first row, or None."""
        ...

    async def set_type_codec(
        self,
        typename: str,
        *,
        schema: str,
        encoder: Callable[[Any], bytes],
        decoder: Callable[[bytes], Any],
        format: str,
    ) -> None:
        """Write and read the values of a type in this way."""
        ...

    async def copy_to_table(
        self,
        table_name: str,
        *,
        source: AsyncIterator[bytes],
        schema_name: str,
        format: str,
        timeout: float | None = None,
    ) -> str:
        """Send what `COPY … FROM STDIN` reads, and return the tag."""
        ...
