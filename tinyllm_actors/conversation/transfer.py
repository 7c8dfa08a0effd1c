"""Conversations as JSON lines: for backups, other stores, and people who ask for what is kept of them.

The first line says which conversation and how many lines follow; each other line is an entry with the version of its
form, so that any later version of the library reads it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from tinyllm_actors.conversation.codec import unseal
from tinyllm_actors.conversation.records import Append, corrupt
from tinyllm_actors.conversation.state import ConversationState
from tinyllm_actors.errors import EntryRejected
from tinyllm_actors.kernel.redaction import masked

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable

    from tinyllm_actors.conversation.entries import Entry
    from tinyllm_actors.conversation.records import Grant
    from tinyllm_actors.conversation.store import ConversationStore

__all__ = ["export_lines", "import_lines"]

PAGE: Final = 200
MAX_DEPTH: Final = 100
"""Of JSON inside of an entry, beyond which a redacted export masks it whole."""


class _Header(msgspec.Struct, frozen=True, tag_field="line", tag="conversation"):
    key: str
    entries: int


class _Line(msgspec.Struct, frozen=True, tag_field="line", tag="entry"):
    kind: str
    version: int
    body: msgspec.Raw


_encoder: Final = msgspec.json.Encoder()
_decoder: Final[msgspec.json.Decoder[_Header | _Line]] = msgspec.json.Decoder(_Header | _Line)


async def export_lines(store: ConversationStore, key: str, *, redacted: bool = False) -> AsyncGenerator[bytes, None]:
    """Yield a conversation as lines of JSON, line break included; nothing for one that is not there.

    What is appended meanwhile is left out. Use it under `contextlib.aclosing`.

    Args:
        store: where it is.
        key: its key.
        redacted: mask secrets, as the log does: for an export that leaves the house. It can be imported, with `***`
            where they were.

    Raises:
        CorruptJournal: an entry is damaged.
        StoreError: the store failed.
    """
    newest = await store.page(key, limit=1)
    page = await store.page(key, after=0, limit=PAGE)
    if not newest or not page:
        return
    last = newest[0].sequence
    yield _encoder.encode(_Header(key, last - page[0].sequence + 1)) + b"\n"
    while page:
        for record in page:
            if record.sequence <= last:
                body = record.body
                if redacted:
                    body = _encoder.encode(masked(msgspec.json.decode(body), depth=MAX_DEPTH))
                yield _encoder.encode(_Line(record.kind, record.version, msgspec.Raw(body))) + b"\n"
        end = page[-1].sequence
        page = await store.page(key, after=end, limit=PAGE) if end < last else []
        if page and page[0].sequence != end + 1:
            raise corrupt(key, end + 1, "it is missing")


async def import_lines(
    store: ConversationStore, lines: AsyncIterable[bytes], owner: str, *, key: str | None = None
) -> Grant:
    """Store an exported conversation, and return the grant of it. Doing it again after a failure goes on.

    Args:
        store: where to.
        lines: as `export_lines` yields them.
        owner: who claims the conversation.
        key: its key here; None keeps that of the export.

    Raises:
        EntryRejected: the lines are no export, or end too early, or the key holds another conversation, which is left
            to whoever has it. What was whole until there is stored.
        StoreError: the store failed.
    """
    state = ConversationState()
    header: _Header | None = None
    grant: Grant | None = None
    count = 0
    waiting: list[Entry] = []
    async for text in lines:
        line = _line(text)
        if header is None:
            if not isinstance(line, _Header):
                raise EntryRejected("an export begins with a line about the conversation; this is another file")
            header = line
            key = line.key if key is None else key
            continue
        assert key is not None
        if isinstance(line, _Header):
            raise EntryRejected("the lines hold a second conversation; import one at a time", keys=(key,))
        entry = unseal(line.kind, line.version, bytes(line.body))
        state.apply(entry)
        if grant is None:
            await _same_beginning(store, key, entry)  # before it is claimed, which would take it from whoever has it
            [grant] = await store.claim([key], owner)
            if grant.last:  # and now that nobody else can begin it any more
                await _same_beginning(store, key, entry)
        count += 1
        waiting.append(entry)
        if len(waiting) == PAGE:
            await store.append([Append.of(grant, waiting)])
            waiting = []
    if header is None or key is None:
        raise EntryRejected("there are no lines; nothing was imported")
    if grant is not None:
        await store.append([Append.of(grant, waiting)])
    if grant is None or count != header.entries:
        raise EntryRejected(
            f"the export says that it has {header.entries} entries, but {count} came; get the whole of it and import"
            " again",
            keys=(key,),
        )
    return grant


def _line(text: bytes) -> _Header | _Line:
    try:
        return _decoder.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise EntryRejected(f"a line of the export cannot be read: {error}") from error


async def _same_beginning(store: ConversationStore, key: str, entry: Entry) -> None:
    first = await store.page(key, after=0, limit=1)
    if first and first[0].id != entry.id:
        raise EntryRejected(
            f"conversation {key!r} is there already and begins otherwise; import under another key", keys=(key,)
        )
