"""Prompts that have versions."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import structlog

from tinyllm_actors.errors import ConfigurationError, UnknownPrompt
from tinyllm_actors.prompting import FilePrompts, PromptVersion, RemotePrompts

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with two prompts."""
    greeting = tmp_path / "mail" / "greeting"
    greeting.mkdir(parents=True)
    for version, text in ((1, "one"), (2, "two"), (10, "ten")):
        (greeting / f"{version}.md").write_text(text)
    (greeting / "draft.md").write_text("not a version")
    (greeting / "labels.json").write_text(json.dumps({"production": 2, "lost": 7}))
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "1.txt").write_bytes(b"\xff\xfe")
    (broken / "2.txt").write_text("x" * 1_000_001)
    (broken / "labels.json").write_text("[]")
    (tmp_path / "secret.md").write_text("secret")
    return tmp_path


async def test_versions_and_labels_of_files(folder: Path) -> None:
    """The newest is the highest number; a label stands for a version; a change takes effect at once."""
    prompts = FilePrompts(folder)
    newest = await prompts.get("mail/greeting")
    assert (newest.version, newest.text) == (10, "ten")
    assert (await prompts.get("mail/greeting", version=1)).text == "one"
    assert (await prompts.get("mail/greeting", label="production")).text == "two"
    await anyio.Path(folder / "mail" / "greeting" / "11.md").write_text("eleven")
    assert (await prompts.get("mail/greeting")).text == "eleven"


@pytest.mark.parametrize(
    ("name", "options", "why"),
    [
        ("nothing", {}, "no folder"),
        ("mail/greeting", {"version": 3}, "versions: 1, 2, 10"),
        ("mail/greeting", {"label": "staging"}, "'production', 'lost'"),
        ("mail/greeting", {"label": "lost"}, "versions: 1, 2, 10"),
        ("broken", {"version": 1}, "cannot be read as text"),
        ("broken", {"version": 2}, "more than"),
        ("broken", {"label": "x"}, "not like"),
        ("../secret", {}, "its name is none"),
        ("/etc/passwd", {}, "its name is none"),
        ("mail/../../x", {}, "its name is none"),
        ("", {}, "its name is none"),
    ],
)
async def test_what_is_not_there_is_said(folder: Path, name: str, options: dict[str, Any], why: str) -> None:
    """With what there is; no name leads out of the folder."""
    with pytest.raises(UnknownPrompt, match=why) as raised:
        await FilePrompts(folder).get(name, **options)
    assert raised.value.name == name
    assert repr(name) in str(raised.value)


async def test_a_service_that_is_down_changes_no_prompt(folder: Path) -> None:
    """The last answer stays, and before the first one the files; it is not asked again at each call."""
    answers: list[Any] = [OSError("down"), "far", OSError("down")]
    asked: list[str] = []

    def fetch(name: str, *, version: int | None, label: str | None) -> str:
        asked.append(name)
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    impatient = RemotePrompts(fetch, FilePrompts(folder), ttl=0.0)
    assert (await impatient.get("mail/greeting")).text == "ten"
    assert (await impatient.get("mail/greeting")).text == "far"
    assert (await impatient.get("mail/greeting")).text == "far"
    assert len(asked) == 3
    patient = RemotePrompts(fetch, FilePrompts(folder), ttl=1_000.0)
    for _ in range(3):
        assert (await patient.get("mail/greeting")).text == "ten"  # pop from an empty list fails too
    assert len(asked) == 4


async def test_answers_of_many_kinds(folder: Path) -> None:
    """A text, a version, an object of a client, a coroutine; what has no text is a failure."""
    client = SimpleNamespace(prompt="{{name}}", version=4, labels=["production"])
    whole = PromptVersion("a", 7, "text")

    async def later(name: str, **_: Any) -> Any:
        return client

    assert await RemotePrompts(later).get("a") == PromptVersion("a", 4, "{{name}}", "remote")
    answers: list[Any] = [whole, None, SimpleNamespace(prompt=[{"role": "user"}])]

    def next_answer(name: str, **_: Any) -> Any:
        return answers.pop(0)

    prompts = RemotePrompts(next_answer)
    assert await prompts.get("a") == whole
    for name in ("b", "c"):
        with pytest.raises(UnknownPrompt, match="no fallback"), structlog.testing.capture_logs() as logs:
            await prompts.get(name)
        assert logs[0]["prompt"] == name


@pytest.mark.virtual_time
async def test_a_service_that_hangs_is_left() -> None:
    """After the time-out the fallback is used."""

    async def never(name: str, **_: Any) -> Any:
        await anyio.sleep_forever()

    with pytest.raises(UnknownPrompt):
        await RemotePrompts(never, timeout=0.001).get("a")


async def test_what_is_kept_is_bounded() -> None:
    """Of too many prompts the oldest is asked for again."""
    asked: list[str] = []

    async def fetch(name: str, **_: Any) -> str:
        asked.append(name)
        return name

    prompts = RemotePrompts(fetch, max_entries=2)
    for name in ("a", "b", "c", "b", "a"):
        assert (await prompts.get(name)).text == name
    assert asked == ["a", "b", "c", "a"]
    with pytest.raises(ConfigurationError, match="max_entries"):
        RemotePrompts(fetch, max_entries=0)
