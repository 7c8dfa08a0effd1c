"""Models behind litellm: the chat and embedding APIs of some hundred providers under one adapter.

Use it for what does not speak OpenAI's API; for what does, `openai_compatible` costs a tenth. litellm is imported when
the first model is opened, in a worker thread, since that takes two to three seconds and 160 MiB.

What is promised on asyncio, uvloop and trio alike:

- One request per call: litellm's and the vendors' own retries are off, since the caller owns that policy.
- Cancelling a call, or leaving a stream, closes its connection, so that the provider stops to generate.
- A provider that is silent for `idle_timeout` seconds is a `ModelTimeout`.
- An answer is only an answer if the provider gave a reason to end it. litellm makes one up where a stream breaks off;
  here that is `StreamInterrupted`.
- Each failure is one `ModelError`, see `failures`. Keys are in no message and no `repr`.
- The price of a call whose model litellm does not know is None.

What is touched outside of this package, once, when the first model is opened:

- `LITELLM_LOCAL_MODEL_COST_MAP=True` in the environment, unless it is set: litellm fetches its price list otherwise.
- `EXPERIMENTAL_OPENAI_BASE_LLM_HTTP_HANDLER=true`, unless it is set: litellm's own HTTP handler in place of OpenAI's
  SDK, measured at 1.7 ms of CPU a call instead of 2.7, and at 174 µs a chunk instead of 255. Set it to `false` if you
  need `OPENAI_ORGANIZATION`, which that handler does not send.
- `litellm.suppress_debug_info = True`, and the log handler that litellm installs for itself is muted, unless
  `LITELLM_LOG` is set. Its records still reach the handlers of your root logger.

- A model of Ollama that is not in litellm's table of prices is entered with the price 0, as litellm asks an Ollama on
  this machine for it otherwise, on the event loop.
- `litellm.module_level_aclient` is made: litellm's streams of Gemini would make it on the event loop.
- litellm's module for Gemini is imported, and the name `"cache"` that this puts into litellm's lists of callbacks is
  taken out again, unless you put it there.

And each time the last model on an event loop is closed: the HTTP clients that litellm keeps for that loop are closed,
its logging worker is flushed and stopped, and what else it runs in the background there is awaited for a moment.
litellm's callbacks run if you have registered any; without, its logging is bypassed.
"""

from __future__ import annotations

from tinyllm_actors.integrations.litellm.embedding import LiteLLMEmbeddings, embedding_from_name
from tinyllm_actors.integrations.litellm.model import LiteLLMModel, from_name

__all__ = ["LiteLLMEmbeddings", "LiteLLMModel", "embedding_from_name", "from_name"]
