"""What the tests of MCP share."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("mcp", reason="the MCP SDK is not installed")


@pytest.fixture(autouse=True)
def _impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait less for programs that do not end by themselves."""
    from tinyllm_actors.integrations.mcp import program

    monkeypatch.setattr(program, "GRACE", 0.3)


@pytest.fixture(scope="session")
def offered() -> ModuleType:
    """Return what the tests offer to clients, which is a program too."""
    path = Path(__file__).parent / "offered.py"
    spec = importlib.util.spec_from_file_location("offered_to_mcp_clients", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
