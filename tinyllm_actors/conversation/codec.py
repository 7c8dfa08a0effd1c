"""Entries as bytes, and bytes as entries: versions, upcasting, checksums.

An entry is stored as JSON, with the version of its form beside it. A field that is added with a default keeps the
version; any other change of form raises `VERSION` and comes with an upcaster for each kind that it touches: a pure
function from the dictionary of one version to that of the next. Stored bytes are never rewritten.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from tinyllm_actors.conversation.entries import Entry, TimerFired, TimerSet
from tinyllm_actors.errors import CorruptJournal, EntryRejected, UnsupportedEntry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["MAX_ENTRY_BYTES", "UPCASTERS", "VERSION", "Sealed", "Upcaster", "checksum_of", "seal", "unseal"]

VERSION: Final = 1
"""The version of the form in which entries are written."""

MAX_ENTRY_BYTES: Final = 32 * 1024 * 1024
"""The largest entry that is stored; the largest answer of a model fits (see `AnswerLimits`)."""

Upcaster: TypeAlias = "Callable[[dict[str, Any]], dict[str, Any]]"

UPCASTERS: Final[Mapping[tuple[str, int], Upcaster]] = {}
"""What turns a kind of entry of one version into the next, by `(kind, version)`; a kind that stayed has none."""

_encoder: Final = msgspec.json.Encoder()
_decoder: Final[msgspec.json.Decoder[Entry]] = msgspec.json.Decoder(Entry)


@dataclass(frozen=True, slots=True)
class Sealed:
    """An entry ready to be stored.

    Attributes:
        id: of the entry.
        kind: which entry, such as `"turn_started"`.
        version: of the form of `body`.
        at: when it happened, in seconds since the epoch.
        body: JSON.
        checksum: see `checksum_of`.
        timer: the timer that the entry sets or ends, if it does.
        due: when that timer is due; None where the entry ends it.
    """

    id: str
    kind: str
    version: int
    at: float
    body: bytes
    checksum: int
    timer: str | None = None
    due: float | None = None


def checksum_of(key: str, entry_id: str, kind: str, version: int, body: bytes) -> int:
    """Return the CRC-32 (`zlib.crc32`) of an entry together with where it belongs.

    It finds every burst of up to 32 damaged bits and all but one in 4 × 10⁹ of other accidents. It is no protection
    against people who may write to the store.
    """
    return zlib.crc32(body, zlib.crc32(f"{key}\0{entry_id}\0{kind}\0{version}\0".encode()))


def seal(key: str, entry: Entry) -> Sealed:
    """Return the bytes of an entry of conversation `key`.

    Raises:
        EntryRejected: it is larger than `MAX_ENTRY_BYTES`, or JSON cannot hold it.
    """
    kind = str(entry.__struct_config__.tag)
    try:
        body = _encoder.encode(entry)
        entry.id.encode()
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise EntryRejected(f"entry {entry.id!r} ({kind}) cannot be written as JSON: {error}", keys=(key,)) from error
    if len(body) > MAX_ENTRY_BYTES or not 0 < len(entry.id) <= 256 or "\0" in entry.id:
        raise EntryRejected(
            f"entry {entry.id[:256]!r} ({kind}) has {len(body)} bytes; at most {MAX_ENTRY_BYTES} are stored, and an id"
            " of 1 to 256 characters without NUL",
            keys=(key,),
        )
    if kind != "snapshot":  # which holds what was looked at
        try:
            _decoder.decode(body)
        except msgspec.ValidationError as error:  # Python lets anything into a field; it would end the journal here
            raise EntryRejected(
                f"entry {entry.id!r} ({kind}) could not be read back: {error}; see the types of its fields",
                keys=(key,),
            ) from error
    timer = entry.timer_id if isinstance(entry, TimerSet | TimerFired) else None
    due = entry.due if isinstance(entry, TimerSet) else None
    checksum = checksum_of(key, entry.id, kind, VERSION, body)
    return Sealed(entry.id, kind, VERSION, entry.at, body, checksum, timer, due)


def unseal(
    kind: str,
    version: int,
    body: bytes,
    *,
    upcasters: Mapping[tuple[str, int], Upcaster] = UPCASTERS,
    current: int = VERSION,
) -> Entry:
    """Return the entry that bytes of any version up to `current` hold.

    Raises:
        UnsupportedEntry: a newer version of the library wrote it, or its kind is not known here.
        CorruptJournal: the bytes hold no such entry, though their checksum is right.
    """
    if version > current:
        raise UnsupportedEntry(
            f"entry of kind {kind!r} has version {version}, this library reads up to {current}; upgrade tinyllm_actors"
        )
    try:
        if version == current:
            return _decoder.decode(body)
        return msgspec.convert(_upcast(kind, version, msgspec.json.decode(body), upcasters, current), Entry)
    except msgspec.ValidationError as error:
        if "`$.type`" in str(error):
            raise UnsupportedEntry(f"entry of kind {kind!r} is not known here; upgrade tinyllm_actors") from error
        raise CorruptJournal(f"entry of kind {kind!r}, version {version}, does not have its form: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CorruptJournal(f"entry of kind {kind!r}, version {version}, is not JSON: {error}") from error


def _upcast(
    kind: str, version: int, data: dict[str, Any], upcasters: Mapping[tuple[str, int], Upcaster], current: int
) -> dict[str, Any]:
    if kind == "snapshot":  # it holds entries, of the version that it was written with
        state: dict[str, Any] = data["state"]
        nodes = [_upcast(node["type"], version, node, upcasters, current) for node in state["nodes"]]
        ended = {
            name: _upcast("turn_ended", version, turn, upcasters, current) for name, turn in state["turns"].items()
        }
        timers = {
            name: _upcast("timer_set", version, timer, upcasters, current) for name, timer in state["timers"].items()
        }
        data = {**data, "state": {**state, "nodes": nodes, "turns": ended, "timers": timers}}
    for step in range(version, current):
        upcaster = upcasters.get((kind, step))
        if upcaster is not None:
            data = upcaster(data)
    return data
