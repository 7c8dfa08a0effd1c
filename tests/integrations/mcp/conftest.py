"""What the tests of MCP share."""

from __future__ import annotations

import pytest

pytest.importorskip("mcp", reason="the MCP SDK is not installed")


@pytest.fixture(autouse=True)
def _impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait less for programs that do not end by themselves."""
    from tinyllm_actors.integrations.mcp import program

    monkeypatch.setattr(program, "GRACE", 0.3)
