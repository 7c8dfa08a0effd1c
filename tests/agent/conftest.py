"""What tests of agents share."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
from pydantic import TypeAdapter

from tinyllm_actors.integrations.litellm import loading

TypeAdapter(int)  # the first one reads the plugins of pydantic, which no test should do inside of its event loop


@pytest.fixture(params=["openai/anything", "litellm/openai/anything"], ids=["native", "litellm"])
async def model(request: pytest.FixtureRequest) -> str:
    """Name a model over HTTP through one adapter and through the other."""
    if "litellm" in request.param:
        if find_spec("litellm") is None:
            pytest.skip("litellm is not installed")
        await loading.load()  # for seconds, which shall not count for the first test that needs it
    return request.param
