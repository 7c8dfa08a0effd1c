"""Our column of the behaviour table is what happens, on every event loop."""

from __future__ import annotations

import anyio
import pytest
from ours import play_ours
from scenarios import SCENARIOS
from table import PEERS, TABLE, read_table

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("name", SCENARIOS)
async def test_our_column(name: str) -> None:
    """What the table says of us comes true: `python tests/peers/table.py` writes it anew."""
    with anyio.fail_after(30):
        assert await play_ours(name) == read_table()[SCENARIOS[name].title][0]


def test_the_table_is_whole() -> None:
    """It has a row for each scenario and a cell for each framework, and the contributors' page leads to it."""
    rows = read_table()
    assert list(rows) == [scenario.title for scenario in SCENARIOS.values()]
    assert all(len(cells) == 1 + len(PEERS) and "–" not in cells for cells in rows.values())
    assert TABLE.name in TABLE.with_name("CONTRIBUTING.md").read_text()
