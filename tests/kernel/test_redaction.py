"""What looks like a secret is masked, in any text and in bearable time."""

from __future__ import annotations

import os

import pytest

from tinyllm_actors.kernel.redaction import read_environment, redact

_UNITS = [
    "x",
    "a.",
    "sk-",
    "sk-a_",
    "secret",
    "secret ",
    "api_key_",
    "bearer ",
    "x://u:",
    "token:",
    '"',
    " ",
    "=",
    "xoxb-a",
]


@pytest.mark.parametrize("unit", _UNITS)
def test_long_text_takes_linear_time(unit: str) -> None:
    """An error message may be a dump of anything: 100,000 characters of the worst kinds are read in no time.

    A pattern that takes quadratic time takes minutes here, and the time limit of the test fails it.
    """
    text = unit * (100_000 // len(unit))
    assert len(redact(text)) <= len(text)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ('MY_API_KEY_2="abcdef"', 'MY_API_KEY_2="***"'),
        ('{"client-secret": "abcdef", "n": 1}', '{"client-secret": "***", "n": 1}'),
        ("db_password = hunter2", "db_password = ***"),
        ("x-access-token:abcdef", "x-access-token:***"),
        ("Authorization: Bearer abcdefgh12", "Authorization: Bearer ***"),
        ("postgresql+asyncpg://app:hunter2@db/chats", "postgresql+asyncpg://app:***@db/chats"),
        ("key sk-proj-abc_defghijklmnop1234 used", "key *** used"),
        ("the secret of success is work", "the secret of success is work"),
    ],
)
def test_what_is_masked(text: str, masked: str) -> None:
    """Names, schemes and prefixes tell; what they belong to stays readable."""
    assert redact(text) == masked


def test_what_the_environment_no_longer_has_is_masked_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values of secret variables are masked where they are, and an environment without any leaves texts as they are."""
    with monkeypatch.context() as patch:
        for name in list(os.environ):
            patch.delenv(name)
        patch.setenv("SHOP_PASSWORD", "correct horse battery")
        read_environment()
        assert redact("he said correct horse battery") == "he said ***"
        patch.delenv("SHOP_PASSWORD")
        read_environment()
        assert redact("he said correct horse battery") == "he said correct horse battery"
    read_environment()
