"""Prompts that have versions: from files, or from a service with the files behind it."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import anyio
import anyio.to_thread
import msgspec
import structlog

from tinyllm_actors.errors import ConfigurationError, UnknownPrompt

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

__all__ = ["FilePrompts", "PromptSource", "PromptVersion", "RemotePrompts"]

_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")
MAX_BYTES: Final = 1_000_000
"""A longer file is no prompt."""


@dataclass(frozen=True, slots=True)
class PromptVersion:
    """A prompt as it is in one version.

    Attributes:
        name: of the prompt.
        version: its number; 0 where the source has none.
        text: of the prompt, for a `Template`.
        source: where it came from, for logs.
    """

    name: str
    version: int
    text: str
    source: str = ""


class PromptSource(Protocol):
    """Where prompts come from."""

    async def get(self, name: str, *, version: int | None = None, label: str | None = None) -> PromptVersion:
        """Return a prompt: of a version, of the version that has a label, or the newest.

        Raises:
            UnknownPrompt: there is none.
        """
        ...


class FilePrompts:
    """Prompts in a folder: `folder/greeting/1.md`, `folder/greeting/2.md` …, and `folder/greeting/labels.json`.

    The labels are `{"production": 1}`: the label `production` stands for version 1. The highest number is the newest
    version. Files are read when they are asked for, so that a change takes effect with the next call.

    ```python
    >>> import anyio, pathlib, tempfile
    >>> from tinyllm_actors.prompting import FilePrompts, Template
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> (folder / "greeting").mkdir()
    >>> _ = (folder / "greeting" / "1.md").write_text("Greet {name}.")
    >>> _ = (folder / "greeting" / "2.md").write_text("Greet {name} warmly.")
    >>> prompt = anyio.run(FilePrompts(folder).get, "greeting")
    >>> prompt.version, Template(prompt.text).render(name="Ada")
    (2, 'Greet Ada warmly.')

    ```

    Args:
        folder: with a folder for each prompt.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = Path(folder)

    async def get(self, name: str, *, version: int | None = None, label: str | None = None) -> PromptVersion:
        """Return a prompt; see `PromptSource`.

        Raises:
            UnknownPrompt: there is no such prompt, version or label, or the file is no text.
        """
        return await anyio.to_thread.run_sync(self._read, name, version, label)

    def _read(self, name: str, version: int | None, label: str | None) -> PromptVersion:
        if not _NAME.fullmatch(name):
            raise UnknownPrompt(name, version, label, "its name is none; use letters, digits, '_', '-', '.' and '/'")
        folder = self._folder / name
        try:
            files = {
                int(file.stem): file
                for file in folder.iterdir()
                if file.suffix in (".md", ".txt") and _is_number(file.stem)
            }
        except OSError as error:
            raise UnknownPrompt(name, version, label, f"there is no folder {str(folder)!r}") from error
        if label is not None:
            version = self._labelled(folder, name, label)
        if version is None:
            version = max(files, default=None)
        if version not in files:
            known = ", ".join(map(str, sorted(files))) or "none"
            raise UnknownPrompt(name, version, label, f"{str(folder)!r} has the versions: {known}")
        file = files[version]
        try:
            if file.stat().st_size > MAX_BYTES:
                raise UnknownPrompt(name, version, label, f"{str(file)!r} has more than {MAX_BYTES} bytes")
            return PromptVersion(name, version, file.read_text("utf-8"), str(file))
        except (OSError, UnicodeError) as error:
            raise UnknownPrompt(name, version, label, f"{str(file)!r} cannot be read as text") from error

    def _labelled(self, folder: Path, name: str, label: str) -> int:
        try:
            labels = msgspec.json.decode((folder / "labels.json").read_bytes(), type=dict[str, int])
        except (OSError, ValueError, msgspec.MsgspecError) as error:
            where = str(folder / "labels.json")
            raise UnknownPrompt(
                name, None, label, f"{where!r} is not there, or not like {{'production': 1}}"
            ) from error
        if label not in labels:
            known = ", ".join(map(repr, labels)) or "none"
            raise UnknownPrompt(name, None, label, f"the labels are: {known}")
        return labels[label]


class RemotePrompts:
    """Prompts from a service, with others behind it for when it cannot be reached.

    An answer is good for `ttl` seconds. Without a new one, the last one is used, however old, and without that the
    fallback: a service that is down changes no prompt and stops no agent. After a failure the service is left alone for
    `ttl` seconds too.

    With Langfuse: `RemotePrompts(client.get_prompt, FilePrompts("prompts"))`; its places are `Template(…, braces=2)`.

    ```python
    >>> import anyio
    >>> from tinyllm_actors.prompting import RemotePrompts
    >>> def fetch(name, *, version, label):
    ...     return f"{name} from far away"
    >>> anyio.run(RemotePrompts(fetch).get, "greeting").text
    'greeting from far away'

    ```

    Args:
        fetch: called with the name, `version=` and `label=`; a plain function in a thread. It returns a text, a
            `PromptVersion`, or an object with `prompt` and `version`, as a Langfuse client does.
        fallback: where prompts come from when `fetch` fails and never succeeded.
        timeout: seconds that it may take.
        ttl: seconds that an answer is good for.
        max_entries: prompts to keep; beyond, the oldest goes.

    Raises:
        ConfigurationError: a number has no meaning.
    """

    def __init__(
        self,
        fetch: Callable[..., Any],
        fallback: PromptSource | None = None,
        *,
        timeout: float = 5.0,
        ttl: float = 60.0,
        max_entries: int = 1_000,
    ) -> None:
        if not timeout > 0 or not ttl >= 0 or max_entries < 1:
            raise ConfigurationError(
                f"need timeout > 0, ttl >= 0 and max_entries >= 1, got {timeout!r}, {ttl!r} and {max_entries!r}"
            )
        self._fetch = fetch
        self._fallback = fallback
        self._timeout = timeout
        self._ttl = ttl
        self._max_entries = max_entries
        self._kept: dict[tuple[str, int | None, str | None], tuple[float, PromptVersion | None]] = {}

    async def get(self, name: str, *, version: int | None = None, label: str | None = None) -> PromptVersion:
        """Return a prompt; see `PromptSource`.

        Raises:
            UnknownPrompt: the service has none, and the fallback neither.
        """
        key = (name, version, label)
        at, kept = self._kept.get(key, (float("-inf"), None))
        if anyio.current_time() >= at + self._ttl:
            fresh = await self._ask(name, version, label)
            kept = fresh or kept
            self._kept.pop(key, None)
            self._kept[key] = (anyio.current_time(), kept)
            while len(self._kept) > self._max_entries:
                del self._kept[next(iter(self._kept))]
        if kept is not None:
            return kept
        if self._fallback is None:
            raise UnknownPrompt(name, version, label, "the service cannot be reached or has none, and has no fallback")
        return await self._fallback.get(name, version=version, label=label)

    async def _ask(self, name: str, version: int | None, label: str | None) -> PromptVersion | None:
        """Return what the service has; None if it has nothing, or is not there."""
        why = "no answer in time"
        with anyio.move_on_after(self._timeout):
            try:
                if inspect.iscoroutinefunction(self._fetch):
                    answer = await self._fetch(name, version=version, label=label)
                else:
                    answer = await anyio.to_thread.run_sync(
                        lambda: self._fetch(name, version=version, label=label), abandon_on_cancel=True
                    )
            except Exception as error:  # of any client
                why = type(error).__name__
            else:
                if (found := _version_of(name, answer)) is not None:
                    return found
                why = f"an answer of type {type(answer).__name__}"
        structlog.get_logger("tinyllm_actors.prompting").warning("a prompt cannot be fetched", prompt=name, why=why)
        return None


def _version_of(name: str, answer: Any) -> PromptVersion | None:
    if isinstance(answer, PromptVersion):
        return answer
    text = answer if isinstance(answer, str) else getattr(answer, "prompt", None)
    if not isinstance(text, str):
        return None
    version = getattr(answer, "version", 0)
    return PromptVersion(name, version if isinstance(version, int) else 0, text, "remote")


def _is_number(stem: str) -> bool:
    return stem.isascii() and stem.isdigit() and len(stem) <= 9
