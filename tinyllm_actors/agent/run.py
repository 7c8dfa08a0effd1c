"""Run an agent from a script: system, call, shutdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio

from tinyllm_actors.kernel import ActorSystem

if TYPE_CHECKING:
    from tinyllm_actors.function import Result
    from tinyllm_actors.kernel import ChildSpec

__all__ = ["run"]


def run(spec: ChildSpec, *, backend: str = "asyncio", name: str = "system", **arguments: Any) -> Result:
    """Start a system with one Function, call it, shut everything down, and return its dictionary.

    ```python
    >>> from tinyllm_actors import Agent, answer_text, run
    >>> from tinyllm_actors.testing import ScriptedModel, text
    >>> result = run(Agent.spec(model=ScriptedModel([text("Hello!")])), content="Hi")
    >>> answer_text(result)
    'Hello!'

    ```

    Args:
        spec: of an agent or any other Function.
        backend: `"asyncio"`, `"uvloop"` or `"trio"`.
        name: of the system, for the log.
        **arguments: of the call.
    """

    async def main() -> Result:
        async with ActorSystem(name) as system:
            ref = await system.spawn(spec)
            return await ref(**arguments)

    if backend == "uvloop":
        return anyio.run(main, backend="asyncio", backend_options={"use_uvloop": True})
    return anyio.run(main, backend=backend)
