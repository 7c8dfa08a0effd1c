"""What other packages add to the library by name: model providers, stores, extensions of an actor system.

Each kind has a group of entry points. An entry point's name is what users write (the prefix of a model's name, the
scheme of a URL), and its object what makes the thing. So the layers that ask import no vendor, and any package can add
one. The library's own are written down beside the group, so that a source tree works without being installed, and that
their names need no search through all installed packages, which takes 40 ms.
"""

from __future__ import annotations

import difflib
import importlib
from typing import TYPE_CHECKING, Any

from tinyllm_actors.errors import UnknownStore

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Adapters"]


class Adapters:
    """The names of one group, and what each stands for.

    Names that the library has itself stay its own: an entry point of the same name is not asked.

    ```python
    >>> clocks = Adapters("example.clocks", {"monotonic": "time:monotonic", "system": "time:time"})
    >>> clocks.load("monotonic")
    <built-in function monotonic>
    >>> clocks.load("sundial"), clocks.nearest("monotone")
    (None, 'monotonic')

    ```

    Args:
        group: of the entry points, such as `"tinyllm_actors.models"`.
        own: where the library's own are, as `module:attribute`, by name.
    """

    def __init__(self, group: str, own: Mapping[str, str]) -> None:
        self.group = group
        self.own = own
        self._all: Mapping[str, str] | None = None

    def known(self) -> Mapping[str, str]:
        """Return where the object of each name is, those of installed packages included. They are looked up once."""
        if self._all is None:
            from importlib.metadata import entry_points

            self._all = {**{point.name: point.value for point in entry_points(group=self.group)}, **self.own}
        return self._all

    def __contains__(self, name: str) -> bool:
        return name in self.own or name in self.known()

    def load(self, name: str) -> Any:
        """Import and return what a name stands for; None if nobody has announced it.

        Raises:
            ImportError: its module cannot be imported.
            AttributeError: there is nothing of that name in the module.
        """
        where = self.own.get(name) or self.known().get(name)
        if where is None:
            return None
        module, _, attribute = where.partition(":")
        return getattr(importlib.import_module(module), attribute)

    def nearest(self, name: str) -> str | None:
        """Return the known name that somebody who wrote `name` may have meant."""
        return next(iter(difflib.get_close_matches(name, self.known(), n=1)), None)

    def load_for_url(self, url: str, example: str) -> Any:
        """Import and return what the scheme of a store's URL stands for.

        Args:
            url: of a database, or of none.
            example: one that is right, such as `"sqlite:///chats.db"`.

        Raises:
            UnknownStore: nobody has announced the scheme.
            ImportError: its module cannot be imported.
        """
        scheme, colon, _ = url.partition(":")
        found = self.load(scheme) if colon else None
        if found is None:
            near = self.nearest(scheme)
            hint = "" if near is None else f" Did you mean {near + ':'!r}?"
            known = ", ".join(map(repr, sorted(self.known())))
            shown = scheme[:40] if colon else url[:80]  # what follows the scheme may hold a password
            raise UnknownStore(
                f"no adapter for a store URL that begins with {shown!r}.{hint} Write {example!r},"
                f" 'postgresql://user@host/database' or 'memory:'; adapters: {known}"
            )
        return found
