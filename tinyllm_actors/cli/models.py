"""The model that `--model` names, opened while the user sees that something is going on."""

from __future__ import annotations

import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio.to_thread

from tinyllm_actors.cli.echo import EchoModel
from tinyllm_actors.cli.progress import progress
from tinyllm_actors.llm import model_from_name

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from tinyllm_actors.llm import ChatModel

__all__ = ["is_local", "open_model"]


def is_local(name: str) -> bool:
    """Whether it is the name of an embedded model."""
    return name.partition("/")[0] == "local"


@asynccontextmanager
async def open_model(name: str, local_options: Mapping[str, Any] | None = None) -> AsyncGenerator[ChatModel]:
    """Open the model of that name, and close it at the end of the block.

    Where the embedded model is not installed, a sentence says so and the scripted one takes its place.

    Args:
        name: `"local"`, `"scripted"`, or what a `model=` may be.
        local_options: for an embedded model.

    Raises:
        ConfigurationError: there is no such model, or it cannot be set up.
        ModelError: it does not start.
    """
    if name == "local":
        from tinyllm_actors.integrations.local_model import LocalModel

        missing = LocalModel.available()
        if missing is not None:
            print(f"tinyllm-actors: {missing}; a scripted model answers instead", file=sys.stderr)
            name = "scripted"
    if name == "scripted":
        model: ChatModel = EchoModel()
        await model.open()
    else:
        async with progress(f"loading the model {name!r}"):
            # In a thread, as this may import an adapter, and with it a vendor's package.
            model = await anyio.to_thread.run_sync(model_from_name, name, local_options if is_local(name) else None)
            await model.open()
    try:
        yield model
    finally:
        with anyio.CancelScope(shield=True, deadline=anyio.current_time() + 30.0):
            await model.aclose()
