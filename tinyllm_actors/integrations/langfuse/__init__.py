"""Langfuse: traces with scores, and prompts and datasets that are kept there.

`await start_tracing(system, LangfuseTracer())` is all; the keys come from `LANGFUSE_PUBLIC_KEY`, `LANGFUSE_SECRET_KEY`
and `LANGFUSE_BASE_URL`. It needs the extra `langfuse`, an SDK of version 3.15 to 5; the
tests of what is sent pass with 3.15.0 as they do with 5.0.4.

An evaluation in a system that is traced is an experiment there, and of a `LangfuseDataset` one that belongs to it.

The SDK works in threads: of the tracer's, which drives it, and its own. A host that is down, slow or hangs costs
records, which are counted, and never an actor's time; the end of the system waits for it as long as `close_timeout` of
`start_tracing` says. The SDK's client is this tracer's own: what `langfuse.get_client()` gives to others, and the
process's OpenTelemetry provider, stay as they are.
"""

from tinyllm_actors.integrations.langfuse.dataset import LangfuseDataset
from tinyllm_actors.integrations.langfuse.tracer import LangfuseTracer
from tinyllm_actors.integrations.langfuse.workspace import LangfuseWorkspace

__all__ = ["LangfuseDataset", "LangfuseTracer", "LangfuseWorkspace"]
