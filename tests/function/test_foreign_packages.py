"""The real packages whose objects can be Functions, where they are installed.

Each runs in an interpreter of its own: they leave threads, connections and warnings behind.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import textwrap

import pytest

COMMON = """
import sys
import anyio
from tinyllm_actors import ActorSystem, chain
from tinyllm_actors.function import as_function

async def call(spec, **arguments):
    async with ActorSystem("test") as system:
        return await (await system.spawn(spec))(**arguments)

async def collect(spec, **arguments):
    async with ActorSystem("test") as system:
        ref = await system.spawn(spec)
        async with ref.stream(**arguments) as items:
            return [item["output"] async for item in items]

async def shout(input: str) -> str:
    return input.upper()
"""

LANGCHAIN = """
from langchain_core.language_models import FakeListChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate

runnable = ChatPromptTemplate.from_template("Tell me about {topic}") | FakeListChatModel(responses=["Actors!"])
parsed = runnable | StrOutputParser()

async def main():
    assert (await call(as_function(runnable), topic="actors"))["output"].content == "Actors!"
    assert (await call(as_function(parsed), topic="actors"))["output"] == "Actors!"
    *pieces, whole = await collect(as_function(parsed), topic="actors")
    assert "".join(pieces) == whole == "Actors!" and len(pieces) > 1, (pieces, whole)
    *pieces, whole = await collect(as_function(runnable), topic="actors")
    assert whole.content == "Actors!" and len(pieces) > 1, (pieces, whole)
    assert (await call(chain(parsed, shout), topic="actors"))["output"] == "ACTORS!"
    wrong = await call(chain(parsed), subject="actors")
    assert wrong["status"] == "error" and "topic" in wrong["message"], wrong
"""

LLAMA_INDEX = """
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import CustomQueryEngine

class Echo(CustomQueryEngine):
    def custom_query(self, query_str: str) -> str:
        return f"echo {query_str}"

async def main():
    assert str((await call(as_function(Echo()), query="hello"))["output"]) == "echo hello"
    engine = SimpleChatEngine.from_defaults(llm=MockLLM())
    assert "hello there" in str((await call(as_function(engine), message="hello there"))["output"])
    *pieces, whole = await collect(as_function(SimpleChatEngine.from_defaults(llm=MockLLM())), input="once more")
    assert "once more" in whole and "".join(pieces) == whole, (pieces, whole)
"""

RUN = """
backend = sys.argv[1]
if backend == "uvloop":
    anyio.run(main, backend="asyncio", backend_options={"use_uvloop": True})
else:
    anyio.run(main, backend=backend)
print("passed")
"""


@pytest.mark.timeout(120)
@pytest.mark.parametrize("backend", ["asyncio", "uvloop", "trio"])
@pytest.mark.parametrize(
    ("package", "program"),
    [("langchain_core", LANGCHAIN), ("llama_index.core", LLAMA_INDEX)],
    ids=["langchain", "llama_index"],
)
def test_a_real_package(package: str, program: str, backend: str) -> None:
    """Its objects answer, stream, fail and are parts of a chain, on each event loop."""
    for module in (package.partition(".")[0], backend):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    code = textwrap.dedent(COMMON + program + RUN)
    done = subprocess.run([sys.executable, "-c", code, backend], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.endswith("passed\n")
