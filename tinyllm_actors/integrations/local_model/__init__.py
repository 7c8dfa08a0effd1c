"""The embedded default: a real language model on this machine, without network, key or cost.

llama.cpp serves it over HTTP on loopback, from a process of its own. The reasons were measured (xllamacpp
2026.10.11549, SmolLM2-135M-Instruct Q4_1, two cores). Served inside of ours, llama.cpp holds the interpreter's lock
while it loads, so that every event loop stands still for 0.3 to 1.5 seconds with these small weights; a failed
assertion in it takes the service along; ending it while it works on an answer did not return within 100 seconds; and
30 to 55 MiB stay behind each time. A process of its own is ended within 50 ms and gives everything back.

What is promised on asyncio, uvloop and trio alike:

- The process never outlives ours, kill -9 included. Nothing is written on our stdout or stderr.
- It listens on loopback only, on a port that was free, and wants a key that nobody else has.
- When it dies, calls fail with `ModelUnavailable`, which is retryable, and `wait_failed()` raises it. Whoever owns
  the model calls `open()` for a new one.
- Cancelling a call, or leaving a stream, frees its slot.

The small model has no notion of tools. A shim makes up for it: see `choice` (a grammar that allows an answer or a
call), `conversation` (how results are told) and `examples`. What to expect of SmolLM2, whose 135 million parameters
are enough to prove the machinery and to give no advice:

- Given one tool that fits, it calls it and tells the result: with a tool of one two-valued argument, 27 of 28
  phrasings of two questions ended in the right answer, 25 of 28 under another system message.
- Among several tools it often takes the wrong one, and expressions that it has to compose are often wrong.
- It does not know when *not* to call: with tools and a free choice it calls one whatever is said, be it "Hello!". No
  prompt that was tried changed that. Give it no tools with effects.
- One call at a time, and an answer after the first round of results.

Embeddings need no process: `StaticEmbeddings` looks tokens up in a table, `TransformerEmbeddings` reads with
all-MiniLM-L6-v2, far better and 500 times slower, both in a worker thread.
"""

from __future__ import annotations

from tinyllm_actors.integrations.local_model.factory import embedding_from_name, from_name
from tinyllm_actors.integrations.local_model.model import LocalModel
from tinyllm_actors.integrations.local_model.static_embedding import StaticEmbeddings
from tinyllm_actors.integrations.local_model.transformer_embedding import TransformerEmbeddings

__all__ = ["LocalModel", "StaticEmbeddings", "TransformerEmbeddings", "embedding_from_name", "from_name"]
