"""Models behind any endpoint that speaks OpenAI's chat or embeddings API, over a kept HTTP client alone: the fast path.

OpenAI itself, vLLM, llama.cpp, Ollama, LM Studio, OpenRouter, Groq, Together, Mistral, DeepSeek, Azure's v1 endpoint
and many more. What is promised on asyncio, uvloop and trio alike:

- One request per call: no retries (the caller owns that policy), no redirects, no proxies or `.netrc` from the
  environment; a proxy is an argument. Connections are kept alive and reused, and bounded by `max_connections`.
- Cancelling a call, or leaving a stream, closes its connection at once, so that the provider stops to generate.
- Silence ends: no connection within `connect_timeout` is `ModelUnavailable`, no byte within `idle_timeout` is
  `ModelTimeout`. What an answer may weigh is bounded.
- Each failure is one `ModelError`: see `failures`. What had been streamed is in its `partial`.
- The key is sent to the endpoint and shown nowhere: not in a `repr`, an error or a log line.

Azure's older endpoints take their version in the query, which `api_base` keeps, and their key in a header:
`api_base="https://me.openai.azure.com/openai/deployments/mine?api-version=2024-10-21"`, `headers={"api-key": …}`.

The HTTP client is aiohttp on each back end, on trio through the bridge to one asyncio loop. Measured as CPU time of
the client process, on two shared cores, with a server in a process of its own:

| | a call, µs | a streamed chunk, µs | 1,000 conversations × 5 calls at 200 ms, wall ÷ ideal |
|---|---|---|---|
| aiohttp on asyncio | 166 | 3.4 | 2.2 |
| aiohttp through the bridge on trio | 172 | 3.3 | 2.4 |
| httpcore's connections in a pool of our own on trio | 222 | 7.2 | 2.7 |
| httpx2 on trio | 398 | 8.4 | 12 |
| httpx on trio | 727 | 8.2 | 91 |

The whole adapter, from structs to typed events, then costs 1.0 to 1.4 times aiohttp by hand for a call, an LLM actor
on it 1.25 to 1.6 times; a message of the history adds 0.1 to 0.3 µs. A chunk that arrives with others costs 4.4 to 4.9
µs through the adapter and 5.2 to 5.6 through the actor, where it costs 3.9 by hand. One that arrives alone costs a
wake-up of the loop besides, and one of the reader: 21 to 28 µs by hand, 1.3 to 1.6 times that through the adapter and
1.7 to 2.0 times through the actor. On trio a call costs half of what it does with httpx by hand, and two thirds through
the actor. These are the ranges of four runs of `tests/benchmarks/models.py`, medians of 5 to 9 rounds in which all take
their turn, beside other work on both cores.
"""

from __future__ import annotations

from tinyllm_actors.integrations.openai_compatible.client import Connection
from tinyllm_actors.integrations.openai_compatible.embedding import OpenAICompatibleEmbeddings
from tinyllm_actors.integrations.openai_compatible.factory import embedding_from_name, from_name
from tinyllm_actors.integrations.openai_compatible.model import OpenAICompatibleModel

__all__ = ["Connection", "OpenAICompatibleEmbeddings", "OpenAICompatibleModel", "embedding_from_name", "from_name"]
