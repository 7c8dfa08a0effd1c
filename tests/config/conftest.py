"""A home without configuration, and a working directory of its own."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty home directory; the working directory is another one, and the environment holds no setting."""
    for name in list(os.environ):
        if name.startswith(("TINYLLM_", "LANGFUSE_", "POSTGRES_", "PG")) or name.endswith(
            ("_API_KEY", "_TOKEN", "_BASE_URL")
        ):
            monkeypatch.delenv(name)
    folder = tmp_path / "home"
    (folder / "Documents").mkdir(parents=True)
    (tmp_path / "work").mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.chdir(tmp_path / "work")
    return folder


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    """Return a function that writes `tinyllm.yaml` into the working directory."""

    def to_file(content: str) -> Path:
        path = tmp_path / "work" / "tinyllm.yaml"
        path.write_text(content, encoding="utf-8")
        return path

    return to_file
