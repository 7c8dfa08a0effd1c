"""Write the behaviour table: `python tests/peers/table.py [--peers PYTHON] [--only SCENARIO]`.

Our column is played here; the others' where their packages are, `PYTHON` being an interpreter that has anyio, them and
their clients (`tests/benchmarks/agents.py` says how to get one). Without it the columns stay as they are.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
from pathlib import Path

import anyio
from ours import play_ours
from provider import describe, scripted_server
from scenarios import SCENARIOS

__all__ = ["PEERS", "TABLE", "read_table"]

PEERS = {"pydantic-ai": "pydantic-ai-slim", "openai-agents": "openai-agents", "langgraph": "langgraph"}
TABLE = Path(__file__).parent.parent.parent / ".github" / "BEHAVIOUR.md"

HEAD = """# What happens when something goes wrong

The same script is played with each, on its defaults and as its documentation shows it, against the same server, which
like every provider refuses a history in which a tool call has no result: `python tests/peers/table.py`. "Next turn" is
what becomes of what the user says next in the same conversation. Our column is a test on three event loops; there tools
have 0.5 s and the model may be silent for 0.5 s, rather than 30 s and 120 s. The budget is 1,000 tokens: ours are
reserved by an estimate before each call, pydantic-ai's are counted after it.

"""


def read_table() -> dict[str, list[str]]:
    """Return the rows as they are written: the cells by the title."""
    if not TABLE.exists():
        return {}
    rows = [[cell.strip() for cell in line.strip("| \n").split(" | ")] for line in TABLE.read_text().splitlines()]
    return {row[0]: row[1:] for row in rows if row[0] in {scenario.title for scenario in SCENARIOS.values()}}


async def play_other(python: str, peer: str, name: str) -> str:
    """Play one scenario with a peer."""
    async with scripted_server(name) as server:
        command = [python, str(Path(__file__).with_name("others.py")), peer, name, server.base_url]
        done = await anyio.run_process(command, check=False)
        if done.returncode or not done.stdout:
            raise RuntimeError(f"{peer} in {name!r}: {done.stderr.decode()[-2000:]}")
        ended = json.loads(done.stdout)
        return describe(server, ended) if ended["second"] else ended["first"]


def version(python: str, package: str) -> str:
    """Return the version of a package there."""
    code = f"from importlib.metadata import version; print(version({package!r}))"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


async def main(python: str | None, only: str) -> None:
    """Play, and write."""
    heads = ["tinyllm_actors", *PEERS]
    if python is not None:
        heads[1:] = [f"{peer} {version(python, package)}" for peer, package in PEERS.items()]
    elif TABLE.exists() and (found := re.search(r"^\|  \| (.*) \|$", TABLE.read_text(), re.MULTILINE)):
        heads = found[1].split(" | ")
    rows = read_table()
    for name, scenario in SCENARIOS.items():
        cells = rows.get(scenario.title, ["–"] * 4)
        if only in name:
            cells[0] = await play_ours(name)
            for column, peer in enumerate(PEERS, 1):
                if python is not None:
                    cells[column] = await play_other(python, peer, name)
            print(scenario.title, *cells, sep="\n  ", flush=True)
        rows[scenario.title] = cells
    lines = [f"|  | {' | '.join(heads)} |", "|" + "---|" * 5]
    lines += [f"| {scenario.title} | {' | '.join(rows[scenario.title])} |" for scenario in SCENARIOS.values()]
    TABLE.write_text(HEAD + "\n".join(lines) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default=None, metavar="PYTHON")
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    anyio.run(main, given.peers, given.only)
