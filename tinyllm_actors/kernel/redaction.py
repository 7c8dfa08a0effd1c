"""One policy for what must never be written down: used by logs, errors, traces, inspection and exports.

A secret is known by the name of its field, header or variable, by its form, or by its value (those of the environment's
variables with such names, and those given to `add_redactions`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["MASK", "add_redactions", "is_secret_name", "masked", "read_environment", "redact", "redact_start"]

MASK: Final = "***"

LONGEST_SECRET: Final = 1_000

MIN_VALUE_CHARS: Final = 8
"""A shorter value of the environment is not looked for: it would be found in words that have nothing to do with it."""

_NAMES: Final = re.compile(
    r"(?i)^(.*[_-])?(api[_-]?key|apikey|secret|secret[_-]?key|token|access[_-]?token|auth[_-]?token|password|passwd|pwd"
    r"|passphrase|authorization|credentials?|private[_-]?key|cookie|jwt|signature)([_-].*)?$"
)
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
# Words that hold "token" and count something.
_HARMLESS: Final = re.compile(
    r"(?i)^(max|min|total|prompt|completion|input|output|num|n)_?tokens?(_.*)?$|^(.*_)?tokens(_.*)?$"
    r"|^token_?(count|limit|budget|buffer|usage|ids?)(_.*)?$"
)

_FIELD: Final = (
    r"(?:api[_-]?key|secret|password|passwd|passphrase|private[_-]?key|credentials?|cookie|jwt"
    r"|(?:access|auth|refresh|id|session|csrf|bearer|bot)[_-]?token)"
)

_QUOTE: Final = r"\\{0,8}[\"']"
"""A quotation mark, also inside of a JSON text or a `repr` that is inside of another."""

_WORDS: Final = ("key", "secret", "passw", "passp", "token", "credential", "cookie", "jwt", "authorization")

# Texts may hold anything of any length, so each pattern takes linear time: what may repeat before a decision is
# bounded, and what stands before a name need not be matched to stay. A pattern is tried only where one of its words
# occurs, which most texts have none of.
_PATTERNS: Final[tuple[tuple[tuple[str, ...], re.Pattern[str], str], ...]] = (
    # Authorization: Bearer …, and the like in any header or message
    (("bearer", "basic"), re.compile(r"(?i)\b(bearer|basic)\s{1,5}[A-Za-z0-9._~+/=-]{8,}"), r"\1 " + MASK),
    # user:password@host
    (("://",), re.compile(r"(?i)\b([a-z][a-z0-9+.-]{0,30}://[^\s:/@]{0,200}):[^\s@/]+@"), rf"\1:{MASK}@"),
    # ?token=… in an address
    (
        ("?", "&"),
        re.compile(r"(?i)([?&](?:[a-z0-9_.-]{0,40}(?:token|key|sig|signature|secret|auth|password))=)[^&\s#\"'<>\\]+"),
        rf"\1{MASK}",
    ),
    # a header, to the end of its line or string
    (
        ("authorization", "cookie"),
        re.compile(
            rf"(?i)((?:authorization|cookie)(?:{_QUOTE})?\s{{0,5}}[:=]\s{{0,5}}+(?:{_QUOTE})?+)"
            r"(?!(?:bearer|basic) \*\*\*)[^\r\n\"'\\]{4,}"
        ),
        rf"\1{MASK}",
    ),
    # "key": "value with spaces"
    (
        _WORDS,
        re.compile(
            rf"(?i)({_FIELD}[a-z0-9_-]{{0,60}}(?:{_QUOTE})?\s{{0,20}}[=:]\s{{0,20}})({_QUOTE})[^\"'\\]{{1,4000}}"
        ),
        rf"\1\2{MASK}",
    ),
    # ("key", "value"), a header as a pair, and {"name": "key", "value": "value"}
    (
        _WORDS,
        re.compile(
            rf"(?i)((?:{_FIELD}|authorization|token)[a-z0-9_-]{{0,60}}{_QUOTE}\s{{0,20}},\s{{0,20}}"
            rf"(?:{_QUOTE}value{_QUOTE}\s{{0,20}}:\s{{0,20}})?+)({_QUOTE})[^\"'\\]{{1,4000}}"
        ),
        rf"\1\2{MASK}",
    ),
    # key=value
    (
        _WORDS,
        re.compile(
            rf"(?i)({_FIELD}[a-z0-9_-]{{0,60}}(?:{_QUOTE})?\s{{0,20}}[=:]\s{{0,20}}(?:{_QUOTE})?)[^\s\"',;&)}}\]\\]{{4,}}"
        ),
        rf"\1{MASK}",
    ),
    (
        ("token",),
        re.compile(
            rf"(?i)((?<![a-z_-])token(?:{_QUOTE})?\s{{0,5}}=\s{{0,5}}|[\"']token{_QUOTE}\s{{0,5}}:\s{{0,5}}(?:{_QUOTE})?)"
            r"[^\s\"'\\,;&)}\]]{4,}"
        ),
        rf"\1{MASK}",
    ),
    # keys by their well-known prefixes
    (
        ("sk", "pk", "rk", "lf", "gh", "AIza", "AKIA", "xox", "hf_"),
        re.compile(
            r"\b(?:sk|pk|rk|lf)[-_](?:[A-Za-z0-9]+[-_]){0,8}[A-Za-z0-9]{12,}\b|\bgh[pousr]_[A-Za-z0-9]{20,}\b"
            r"|\bAIza[A-Za-z0-9_-]{30,}\b|\bAKIA[A-Z0-9]{12,}\b|\bxox[abprs]-[A-Za-z0-9-]{10,}\b|\bhf_[A-Za-z0-9]{20,}\b"
        ),
        MASK,
    ),
    (("eyJ",), re.compile(r"\beyJ[A-Za-z0-9_-]{8,2000}+\.[A-Za-z0-9_-]{8,4000}+\.[A-Za-z0-9_-]{8,2000}+"), MASK),
    (
        ("PRIVATE KEY",),
        re.compile(r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----[^-]{1,20000}(?:-----END [A-Z ]{0,30}PRIVATE KEY-----)?"),
        MASK,
    ),
)


class _Policy:
    """What the program has added."""

    def __init__(self) -> None:
        self.names: dict[re.Pattern[str], int] = {}
        self.patterns: dict[re.Pattern[str], int] = {}
        self.values: dict[str, int] = {}
        self.environment: frozenset[str] = frozenset()
        self.literal: re.Pattern[str] | None = None

    def compile(self) -> None:
        """Make one pattern of all values, the longest first, since one may be part of another."""
        values = sorted({*self.values, *self.environment}, key=len, reverse=True)
        self.literal = re.compile("|".join(map(re.escape, values))) if values else None


_policy: Final = _Policy()


def add_redactions(
    *, names: Iterable[str] = (), patterns: Iterable[str | re.Pattern[str]] = (), values: Iterable[str] = ()
) -> Callable[[], None]:
    """Mask more than what the library knows of, in everything that this process writes down.

    ```python
    >>> undo = add_redactions(names=["iban"], patterns=[r"PAT-[0-9]+"], values=["open sesame"])
    >>> redact("patient PAT-123 said: open sesame"), is_secret_name("iban")
    ('patient *** said: ***', True)
    >>> undo()
    >>> redact("patient PAT-123"), is_secret_name("iban")
    ('patient PAT-123', False)

    ```

    Args:
        names: of fields, headers and variables whose values are secret; case does not matter.
        patterns: regular expressions of which each match is secret. They should take linear time.
        values: secrets themselves.

    Returns:
        what takes it back.
    """
    added_names = [re.compile(f"(?i)^{re.escape(name)}$") for name in names]
    added_patterns = [re.compile(pattern) for pattern in patterns]
    added_values = [value for value in values if value]
    groups: list[tuple[dict[Any, int], list[Any]]] = [
        (_policy.names, added_names),
        (_policy.patterns, added_patterns),
        (_policy.values, added_values),
    ]
    for known, added in groups:
        for entry in added:
            known[entry] = known.get(entry, 0) + 1
    _policy.compile()

    def undo() -> None:
        for known, added in groups:
            while added:
                entry = added.pop()
                known[entry] -= 1
                if not known[entry]:
                    del known[entry]
        _policy.compile()

    return undo


def read_environment() -> None:
    """Mask the values of the environment's variables with secret names from now on. Each actor system does."""
    found = frozenset(
        value for name, value in os.environ.items() if len(value) >= MIN_VALUE_CHARS and is_secret_name(name)
    )
    if found != _policy.environment:
        _policy.environment = found
        _policy.compile()


def redact(text: str) -> str:
    """Return `text` with what looks like a secret masked.

    ```python
    >>> redact("postgresql://app:hunter2@db/chats refused api_key=abcd1234")
    'postgresql://app:***@db/chats refused api_key=***'

    ```
    """
    lower = text.lower()
    for words, pattern, replacement in _PATTERNS:
        for word in words:
            if word in lower or word in text:
                text = pattern.sub(replacement, text)
                break
    if _policy.literal is not None:
        text = _policy.literal.sub(MASK, text)
    for pattern in _policy.patterns:
        text = pattern.sub(MASK, text)
    return text


def redact_start(text: str, limit: int) -> str:
    """Return the first `limit` characters of a text at most, redacted.

    It is cut behind what is shown, then redacted, and then cut to size: half of a secret looks like none.
    """
    if len(text) <= limit:
        return redact(text)[:limit]
    return redact(text[: limit + LONGEST_SECRET])[:-LONGEST_SECRET][:limit]


def is_secret_name(name: str) -> bool:
    """Whether a field, header or variable of that name holds a secret.

    ```python
    >>> [is_secret_name(name) for name in ("OPENAI_API_KEY", "clientSecret", "token", "max_tokens", "token_count")]
    [True, True, True, False, False]

    ```
    """
    if _HARMLESS.match(name) is None and (_NAMES.match(name) or _NAMES.match(_CAMEL.sub("_", name))) is not None:
        return True
    return any(pattern.match(name) for pattern in _policy.names)


def masked(values: Mapping[Any, Any], *, depth: int = 4) -> dict[Any, Any]:
    """Return a copy of a mapping, of mappings and lists in it, with the values of secret names and forms masked.

    ```python
    >>> masked({"model": "small", "options": [{"api_key": "abc", "seed": 1}]})
    {'model': 'small', 'options': [{'api_key': '***', 'seed': 1}]}

    ```

    Args:
        values: what to copy; values that are no mapping, list, tuple or text are shared, not copied.
        depth: how many of them deep to look; what lies deeper is masked whole.
    """
    about = values.get("name")
    hidden = isinstance(about, str) and is_secret_name(about)
    copy: dict[Any, Any] = {}
    for name, value in values.items():
        if value is not None and isinstance(name, str) and (is_secret_name(name) or (hidden and name == "value")):
            copy[name] = MASK
        else:
            copy[name] = _masked(value, depth - 1)
    return copy


def _masked(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return masked(cast("Mapping[Any, Any]", value), depth=depth) if depth > 0 else MASK
    if type(value) in (list, tuple):
        entries = cast("list[Any] | tuple[Any, ...]", value)
        if len(entries) == 2 and isinstance(entries[0], str) and is_secret_name(entries[0]):
            return type(entries)((entries[0], MASK))  # a header as a pair
        return type(entries)(_masked(entry, depth - 1) for entry in entries) if depth > 0 else MASK
    return value
