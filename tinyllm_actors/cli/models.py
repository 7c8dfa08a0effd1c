"""The model that `--model` names."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import anyio.to_thread

from tinyllm_actors.cli.echo import EchoModel
from tinyllm_actors.llm import model_from_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tinyllm_actors.llm import ChatModel

__all__ = ["find_model", "is_local"]


def is_local(name: str) -> bool:
    """Whether it is the name of an embedded model."""
    return name.partition("/")[0] == "local"


async def find_model(name: str, local_options: Mapping[str, Any] | None = None) -> ChatModel:
    """Return the model of that name, not opened yet.

    Where the embedded model is not installed, a sentence says so and the scripted one takes its place.

    Args:
        name: `"local"`, `"scripted"`, or what a `model=` may be.
        local_options: for an embedded model.

    Raises:
        ConfigurationError: there is no such model, or it cannot be set up.
    """
    if name == "local":
        from tinyllm_actors.integrations.local_model import LocalModel

        missing = LocalModel.available()
        if missing is not None:
            print(f"tinyllm-actors: {missing}; a scripted model answers instead", file=sys.stderr)
            name = "scripted"
    if name == "scripted":
        return EchoModel()
    # In a thread, as this may import an adapter, and with it a vendor's package.
    return await anyio.to_thread.run_sync(model_from_name, name, local_options if is_local(name) else None)
