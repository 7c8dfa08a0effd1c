"""`wikipedia_summary`: what Wikipedia says first of all about something."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlencode, urlsplit

import msgspec

from tinyllm_actors.errors import ConfigurationError, FetchFailed, ToolError, ToolRetry
from tinyllm_actors.tool.decorator import tool
from tinyllm_actors.tool.definition import Tool
from tinyllm_actors.tool.fetch import fetch

__all__ = ["WIKIPEDIA", "make_wikipedia_summary", "wikipedia_summary"]

WIKIPEDIA = "https://en.wikipedia.org/w/api.php"
_AGENT = "tinyllm_actors (an LLM's tool; Python)"
_NAME = "wikipedia_summary"
_MAX_QUERY = 300


class _Page(msgspec.Struct):
    title: str
    extract: str = ""
    fullurl: str = ""


class _Pages(msgspec.Struct):
    pages: list[_Page] = []


class _Problem(msgspec.Struct):
    info: str = ""


class _Answer(msgspec.Struct):
    query: _Pages | None = None
    error: _Problem | None = None


_decoder = msgspec.json.Decoder(_Answer)


def make_wikipedia_summary(
    endpoint: str = WIKIPEDIA,
    *,
    max_bytes: int = 500_000,
    max_chars: int = 4_000,
    allow_private: bool = False,
    rate_limit: tuple[int, float] | None = (60, 60.0),
) -> Tool[..., Any]:
    """Return a `wikipedia_summary` that asks another wiki, or with other limits.

    Args:
        endpoint: of the wiki's MediaWiki API, with its `TextExtracts` extension; ends in `api.php` as a rule.
        max_bytes: of one answer.
        max_chars: of one summary.
        allow_private: the wiki is on this machine or in its network.
        rate_limit: see `ToolOptions`; Wikipedia asks for restraint.

    Raises:
        ConfigurationError: the endpoint is no http(s) address.
    """
    if urlsplit(endpoint).scheme not in ("http", "https"):
        raise ConfigurationError(f"endpoint={endpoint!r} must be an address such as {WIKIPEDIA!r}")

    @tool(name=_NAME, idempotent=True, rate_limit=rate_limit)
    async def summarise(query: Annotated[str, "a title, or words to search for"]) -> str:
        """Look something up in Wikipedia: returns the title, the first paragraphs and the address of the best match."""
        words = " ".join(query.split())
        if not words or len(words) > _MAX_QUERY:
            raise ToolRetry(f"ask for 1 to {_MAX_QUERY} characters")
        page = await _look_up(words, endpoint, max_bytes, allow_private)
        text = page.extract.strip() or "[the page has no summary]"
        if len(text) > max_chars:
            text = text[:max_chars].rpartition(" ")[0] + " …"
        return f"{page.title}\n\n{text}\n\nSource: {page.fullurl}".strip()

    return summarise


async def _look_up(words: str, endpoint: str, max_bytes: int, allow_private: bool) -> _Page:
    asked = {
        "action": "query",
        "format": "json",
        "formatversion": "2",
        "generator": "search",
        "gsrsearch": words,
        "gsrlimit": "1",
        "prop": "extracts|info",
        "exintro": "1",
        "explaintext": "1",
        "inprop": "url",
    }
    url = endpoint + ("&" if urlsplit(endpoint).query else "?") + urlencode(asked)
    try:
        document = await fetch(url, headers={"User-Agent": _AGENT}, max_bytes=max_bytes, allow_private=allow_private)
    except FetchFailed as error:
        raise ToolError(_NAME, f"the encyclopaedia cannot be asked: {error}") from error
    if document.status != 200:
        raise ToolError(
            _NAME, f"the encyclopaedia answered with status {document.status}; try again later, or do without"
        )
    try:
        answer = _decoder.decode(document.body)
    except msgspec.DecodeError:
        raise ToolError(_NAME, "the encyclopaedia answered something that is no page; do without") from None
    if answer.error is not None:
        raise ToolError(_NAME, f"the encyclopaedia refused the search: {answer.error.info:.300}")
    if answer.query is None or not answer.query.pages:
        raise ToolRetry(f"nothing was found for {words!r}; try other words, or another spelling")
    return answer.query.pages[0]


wikipedia_summary = make_wikipedia_summary()
"""Looks something up in the English Wikipedia."""
