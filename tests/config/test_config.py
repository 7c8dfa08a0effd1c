"""`tinyllm.yaml`: where it is found, what it may hold, what comes before it, and what is never told of it."""

from __future__ import annotations

import builtins
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tinyllm_actors.config import file_secrets, find_config_file, load_settings, postgres_url, setting
from tinyllm_actors.errors import ConfigurationError, MissingDependency, UnknownSetting

if TYPE_CHECKING:
    from collections.abc import Callable

    Write = Callable[[str], Path]

WHOLE = """\
LLM_PROVIDERS:
  OPENAI_API_KEY: "sk-file-1234567890abcdef"
  GROQ_API_KEY: ""
  MYLAB_API_KEY: 0123
LANGFUSE:
  LANGFUSE_PUBLIC_KEY: pk-lf-1
  LANGFUSE_SECRET_KEY: sk-lf-planted-0123456789
POSTGRES:
  USERNAME: ada
  PASSWORD: "p@ss:word"
  HOST: db.example
  PORT: 5433
  NAME: chats
"""


def test_the_form_of_the_readme(write: Write) -> None:
    """Every section is read and typed; secrets do not show; empty values are none."""
    write(WHOLE)
    settings = load_settings()
    assert settings.llm_providers["OPENAI_API_KEY"].get_secret_value() == "sk-file-1234567890abcdef"
    assert settings.llm_providers["MYLAB_API_KEY"].get_secret_value() == "0123"  # as it is written
    assert "GROQ_API_KEY" not in settings.llm_providers
    assert settings.postgres.port == 5433
    assert settings.postgres.url() == "postgresql://ada:p%40ss%3Aword@db.example:5433/chats"
    assert settings.langfuse.host is None
    for shown in (repr(settings), str(settings), repr(settings.model_dump())):
        assert "sk-file" not in shown
        assert "planted" not in shown
        assert "p@ss" not in shown


def test_the_empty_form() -> None:
    """A file as it is handed out, with nothing filled in, is right and says nothing; so is an empty one, and none."""
    blank = 'LLM_PROVIDERS:\n  OPENAI_API_KEY: ""\nLANGFUSE:\nPOSTGRES:\n  PORT:\n  NAME: ""\n'
    for content in (blank, "", "# nothing\n"):
        Path("tinyllm.yaml").write_text(content, encoding="utf-8")
        assert load_settings().llm_providers == {}
        assert load_settings().postgres.url() is None
    Path("tinyllm.yaml").unlink()
    assert load_settings().postgres.host is None
    assert setting("OPENAI_API_KEY") is None
    assert postgres_url() is None


def test_where_it_is_found(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable, the working directory, home, Documents: the first that is there."""
    places = [
        home / "Documents" / "tinyllm.yaml",
        home / "tinyllm.yaml",
        tmp_path / "work" / "tinyllm.yaml",
        tmp_path / "elsewhere.yaml",
    ]
    assert find_config_file() is None
    for place in places[:3]:
        place.write_text("", encoding="utf-8")
        assert find_config_file() == place
    monkeypatch.setenv("TINYLLM_CONFIG_PATH", str(places[3]))
    with pytest.raises(ConfigurationError, match=r"elsewhere\.yaml', where there is no file"):
        find_config_file()
    places[3].write_text("", encoding="utf-8")
    assert find_config_file() == places[3]
    monkeypatch.setenv("TINYLLM_CONFIG_PATH", str(home))
    assert find_config_file() == places[1]
    monkeypatch.setenv("TINYLLM_CONFIG_PATH", "~/Documents/tinyllm.yaml")
    assert find_config_file() == places[0]


def test_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process whose home is not known looks in its working directory only."""
    monkeypatch.setenv("HOME", "nowhere")
    assert find_config_file() is None


def test_the_environment_comes_first(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each key the environment's value holds, and the file's where there is none or an empty one."""
    write(WHOLE)
    monkeypatch.setenv("OPENAI_API_KEY", "from-environment")
    monkeypatch.setenv("POSTGRES_HOST", "other.example")
    monkeypatch.setenv("POSTGRES_PORT", "")
    monkeypatch.setenv("LANGFUSE_HOST", "http://langfuse.example")
    settings = load_settings()
    assert settings.llm_providers["OPENAI_API_KEY"].get_secret_value() == "from-environment"
    assert setting("OPENAI_API_KEY") == "from-environment"
    assert settings.langfuse.host == "http://langfuse.example"
    assert postgres_url() == "postgresql://ada:p%40ss%3Aword@other.example:5433/chats"
    assert "sk-file-1234567890abcdef" in file_secrets()


@pytest.mark.parametrize(
    ("content", "key", "nearest"),
    [
        ("LLM_PROVIDER:\n", "LLM_PROVIDER", "LLM_PROVIDERS"),
        ("postgres:\n", "postgres", "POSTGRES"),
        ("OPENAI_API_KEY: x\n", "OPENAI_API_KEY", "LLM_PROVIDERS.OPENAI_API_KEY"),
        ("LLM_PROVIDERS:\n  OPNAI_API_KEY: x\n", "LLM_PROVIDERS.OPNAI_API_KEY", "OPENAI_API_KEY"),
        ("LLM_PROVIDERS:\n  OPENAI_API_KYE: x\n", "LLM_PROVIDERS.OPENAI_API_KYE", "OPENAI_API_KEY"),
        ("LLM_PROVIDERS:\n  openai_api_key: x\n", "LLM_PROVIDERS.openai_api_key", "OPENAI_API_KEY"),
        ("POSTGRES:\n  USER: x\n", "POSTGRES.USER", "POSTGRES.USERNAME"),
        ("LANGFUSE:\n  SECRET_KEY: x\n", "LANGFUSE.SECRET_KEY", "LANGFUSE.LANGFUSE_SECRET_KEY"),
        ("zzz: x\n", "zzz", None),
        ("POSTGRES:\n  zzz: x\n", "POSTGRES.zzz", None),
    ],
    ids=[str(n) for n in range(10)],
)
def test_unknown_keys_are_told_with_the_nearest(content: str, key: str, nearest: str | None, write: Write) -> None:
    """A key that means nothing is an error that names it and the one that was probably meant."""
    write(content)
    with pytest.raises(UnknownSetting) as raised:
        load_settings()
    assert (raised.value.key, raised.value.nearest) == (key, nearest)
    assert repr(key) in str(raised.value)
    with pytest.raises(UnknownSetting):
        setting("OPENAI_API_KEY")
    assert file_secrets() == []


SECRET = "sk-planted-0123456789abcdef"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (f"POSTGRES:\n  PASSWORD: '{SECRET}\n", "is no YAML at line"),
        (f"POSTGRES: {SECRET}\n", "must hold keys and values"),
        (f"- {SECRET}\n", "must hold keys and values"),
        (f"POSTGRES:\n  PORT: {SECRET}\n", "'POSTGRES.PORT': Input should be a valid integer"),
        ("POSTGRES:\n  PORT: 70000\n", "'POSTGRES.PORT'"),
        (f"POSTGRES:\n  PASSWORD: [{SECRET}]\n", "must be a single value"),
        (f"POSTGRES:\n  PASSWORD: {SECRET}\n  PASSWORD: {SECRET}\n", "'PASSWORD' is there twice, at line 3"),
        (f"? [{SECRET}]\n: x\n", "is no text"),
        (f"a: &a {SECRET}\nb: !!python/object:os.system x\n", "means nothing"),
        ("\x00", "is no YAML"),
        ("[" * 5000, "is no YAML"),
        ("# " + "x" * 300_000, "more than 262144 bytes"),
    ],
    ids=[str(n) for n in range(12)],
)
def test_files_that_cannot_be_used(content: str, words: str, write: Write) -> None:
    """What is wrong is told with its place, and never with a value."""
    write(content)
    with pytest.raises(ConfigurationError, match="tinyllm") as raised:
        load_settings()
    assert words in str(raised.value)
    assert SECRET not in str(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


def test_a_file_that_may_not_be_read(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that the system does not give out is told with its reason."""
    path = write(WHOLE)

    def refuse(*_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "open", refuse)
    with pytest.raises(ConfigurationError, match="cannot be read: Permission denied"):
        load_settings(path)


def test_a_changed_file_is_read_again(write: Write) -> None:
    """A value is that of the file as it is now."""
    write("LLM_PROVIDERS:\n  OPENAI_API_KEY: one\n")
    assert [setting("OPENAI_API_KEY"), setting("OPENAI_API_KEY")] == ["one", "one"]
    write("LLM_PROVIDERS:\n  OPENAI_API_KEY: another\n")
    assert setting("OPENAI_API_KEY") == "another"


@pytest.mark.parametrize(
    ("missing", "words"), [("yaml", "needs PyYAML"), ("pydantic_settings", "need pydantic-settings")]
)
def test_missing_packages(missing: str, words: str, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a package is not installed, the error has the command; without a file nothing is needed."""
    real = builtins.__import__

    def without(name: str, *arguments: Any, **more: Any) -> Any:
        if name.partition(".")[0] == missing:
            raise ImportError(name)
        return real(name, *arguments, **more)

    for name in [name for name in sys.modules if name.startswith(("tinyllm_actors.config.settings", missing))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", without)
    assert setting("OPENAI_API_KEY") is None
    write(WHOLE)
    with pytest.raises(MissingDependency, match=words) as raised:
        load_settings()
    assert "pip install 'tinyllm_actors[config]'" in str(raised.value)


def test_importing_reads_nothing(write: Write) -> None:
    """A broken file harms nobody who does not ask for it, and asking for one imports what it needs and no more."""
    write("[")
    program = (
        "import sys, tinyllm_actors, tinyllm_actors.config\nfrom tinyllm_actors import ActorSystem, Agent\n"
        "print({'yaml', 'pydantic_settings'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


# --- adapters ---


def openai(name: str = "openai/gpt-4o", **options: Any) -> tuple[str | None, str]:
    """Return the key and the address that the adapter would use."""
    from tinyllm_actors.integrations.openai_compatible import factory

    known = frozenset({"api_base", "api_key", "headers"})
    _, own = factory._arguments(name, options, known, "openai/x")  # pyright: ignore[reportPrivateUsage]
    return own["api_key"], own["api_base"]


def test_the_openai_adapter_finds_its_key(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """An explicit option, then the environment, then the file."""
    write("LLM_PROVIDERS:\n  OPENAI_API_KEY: from-file\n")
    assert openai() == ("from-file", "https://api.openai.com/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "from-environment")
    assert openai()[0] == "from-environment"
    assert openai(api_key="explicit")[0] == "explicit"


def test_an_address_of_the_file_gets_only_the_files_key(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file in a strange working directory cannot send the environment's key to an address of its own."""
    write("LLM_PROVIDERS:\n  OPENAI_BASE_URL: https://other.example/v1\n  OPENAI_API_KEY: from-file\n")
    monkeypatch.setenv("OPENAI_API_KEY", "from-environment")
    assert openai() == ("from-file", "https://other.example/v1")
    write("LLM_PROVIDERS:\n  OPENAI_BASE_URL: https://other.example/v1\n")
    with pytest.raises(ConfigurationError, match="needs a key"):
        openai()
    write("LLM_PROVIDERS:\n  OPENAI_API_KEY: from-file\n")
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ConfigurationError, match="needs a key"):
        openai(api_base="https://third.example/v1")


class _LiteLLM:
    """As much of litellm as the look-up of keys asks for."""

    secret_manager_client = None
    api_key = None

    @staticmethod
    def validate_environment(model: str) -> dict[str, Any]:
        return {"missing_keys": ["GROQ_API_KEY"]}


def test_the_litellm_adapter_finds_its_key(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file's key is used where neither an option nor the environment has one, and for the provider itself only."""
    from tinyllm_actors.integrations.litellm.names import check_credential

    def key(**options: Any) -> str | None:
        return check_credential(_LiteLLM, "groq/llama", "groq", options)

    with pytest.raises(ConfigurationError, match="GROQ_API_KEY"):
        key()
    write("LLM_PROVIDERS:\n  GROQ_API_KEY: from-file\n")
    assert key() == "from-file"
    assert key(api_key="explicit") is None
    with pytest.raises(ConfigurationError, match="GROQ_API_KEY"):
        key(api_base="http://other.example")
    monkeypatch.setenv("GROQ_API_KEY", "from-environment")
    assert key() is None


def test_the_database_of_the_file(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """A URL without a server means the configured one, unless libpq's variables name another."""
    pytest.importorskip("asyncpg")
    from tinyllm_actors.integrations.postgres import from_url

    write(WHOLE)
    assert "ada@db.example:5433/chats" in repr(from_url("postgresql://"))
    assert "p%40ss" not in repr(from_url("postgresql://"))
    assert "db.example" not in repr(from_url("postgresql://localhost/x"))
    monkeypatch.setenv("PGHOST", "elsewhere")
    assert "db.example" not in repr(from_url("postgresql://"))


def test_urls_of_unusual_servers() -> None:
    """A server with an IPv6 address, without a user or a name."""
    from tinyllm_actors.config.settings import PostgresSettings

    assert PostgresSettings(HOST="::1").url() == "postgresql://[::1]/"
    assert PostgresSettings(HOST="h", USERNAME="a b").url() == "postgresql://a%20b@h/"
