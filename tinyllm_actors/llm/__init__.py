"""Language models: messages, the port to a model, and the Function that calls one.

A model is whatever implements `ChatModel`, or `EmbeddingModel` for vectors. The adapters are in
`tinyllm_actors.integrations`; a name such as `"openai/gpt-4o-mini"` finds its adapter through the entry points of the
groups `tinyllm_actors.models` and `tinyllm_actors.embeddings`.

# Limits, fallbacks and budgets

Nothing here costs anything until it is asked for, and everything that waits ends: with its turn, with the caller's
deadline, or with the caller.

**A model is shared.** All actors of a system that name the same model with the same options call it through one
provider, and so share its `Limits`, whoever brought them. With `Limits(requests_per_minute=3)`, seven calls that come
at once go out after 0, 0, 0, 60, 60, 60 and 120 seconds, in the order in which they came: no 60 seconds ever hold more
than three. With `tokens_per_minute=5_000`, a call with a prompt of 40 tokens reserves 40 and 4,096 for its answer (or
its `max_tokens`), and gives 4,116 of them back when the answer had 20. Calls that wait are bounded by `max_queue`, and
one that cannot have its turn before its deadline fails at once with `ProviderBusy`, which says when to come again.

**One 429 is everybody's.** When the provider answers 429 or 529, all callers wait for as long as it says, or 0.5, 1, 2,
4 … 30 seconds, and up to a quarter more. Twenty calls in progress that get the same answer count once.

**What fails is left alone.** With `Limits(breaker=Breaker(max_failures=5, cooldown=30.0))`, five failures in a row open
the circuit: calls fail at once with `CircuitOpen`. After 30 seconds one is let through, and its end closes the circuit
or opens it for 30 more. Each change is a `Transition` of the machine `breaker`, and `system.inspect()` shows its state.

**Another model steps in.** A call that failed is tried again, `max_retries` times; then, or when a retry is more than
`fallback_after` seconds away, the next of the `fallbacks` is asked. It is not asked for what it would refuse too, nor
once text was delivered. A prompt that is too long goes to `context_window_fallback`. `ModelSwitched` tells.

**A budget bounds it all.** Of `Budget(max_tokens=10_000)`, let 7,000 be used. A call with a prompt of 1,000 tokens and
`max_tokens=500` reserves 1,500; a second one, in another agent, fits too; a third waits until one of the two has ended.
The first used 1,200, so 300 are free again, and the third is refused with `BudgetExceeded` or goes on, whichever the
second leaves. Dollars are counted in whole pico-dollars: 1,000 tokens in and 500 out at `Price(0.15, 0.60)` a million
are $0.00045. A price that nobody knows is never 0: a budget in dollars refuses such a model, unless it has an
`assumed_price`.

```python
>>> import anyio
>>> from tinyllm_actors import ActorSystem, Agent
>>> from tinyllm_actors.llm import LLM, Budget, Limits, Usage
>>> from tinyllm_actors.testing import ScriptedModel, text
>>> async def main() -> None:
...     model = ScriptedModel([text("Hello.", usage=Usage(1_000, 200, 1_200))])
...     async with ActorSystem("service") as system:
...         agent = await system.spawn(Agent.spec(model=LLM.spec(model, limits=Limits(max_concurrency=8))))
...         with Budget(max_tokens=10_000, name="conversation").active() as budget:
...             await agent(content="Hi")
...         print(budget.used)
>>> anyio.run(main)
Spent(tokens=1200, usd=0.0, calls=1, unpriced_calls=1)

```
"""

from tinyllm_actors.llm.budget import Budget, current_budget
from tinyllm_actors.llm.budget_notice import BudgetNotice, Spent
from tinyllm_actors.llm.embedder import Embedder
from tinyllm_actors.llm.embedding import EmbeddingModel, Embeddings, Vector
from tinyllm_actors.llm.embedding_cache import EmbeddingCache
from tinyllm_actors.llm.function import LLM
from tinyllm_actors.llm.limits import Breaker, Limits, ModelChoice
from tinyllm_actors.llm.max_tokens import MaxTokensStrategy, max_tokens_for
from tinyllm_actors.llm.messages import (
    AssistantMessage,
    ContentPart,
    FilePart,
    FunctionCall,
    ImagePart,
    Message,
    SystemMessage,
    TextPart,
    ToolCall,
    ToolMessage,
    UserMessage,
    as_messages,
)
from tinyllm_actors.llm.model import (
    Capabilities,
    ChatModel,
    ChatRequest,
    Completed,
    Completion,
    FinishReason,
    ReasoningDelta,
    ResponseSchema,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
    ToolSchema,
    Usage,
)
from tinyllm_actors.llm.model_info import ModelInfo
from tinyllm_actors.llm.model_switched import ModelSwitched
from tinyllm_actors.llm.price import Price
from tinyllm_actors.llm.ref import LLMRef, SwapModel
from tinyllm_actors.llm.registry import embedding_from_name, model_from_name
from tinyllm_actors.llm.roles import LENIENT, STRICT, RoleRules, fit_roles
from tinyllm_actors.llm.structured import OutputMode, OutputRung, StructuredOutput
from tinyllm_actors.llm.tokens import TokenCount, count_tokens

__all__ = [
    "LENIENT",
    "LLM",
    "STRICT",
    "AssistantMessage",
    "Breaker",
    "Budget",
    "BudgetNotice",
    "Capabilities",
    "ChatModel",
    "ChatRequest",
    "Completed",
    "Completion",
    "ContentPart",
    "Embedder",
    "EmbeddingCache",
    "EmbeddingModel",
    "Embeddings",
    "FilePart",
    "FinishReason",
    "FunctionCall",
    "ImagePart",
    "LLMRef",
    "Limits",
    "MaxTokensStrategy",
    "Message",
    "ModelChoice",
    "ModelInfo",
    "ModelSwitched",
    "OutputMode",
    "OutputRung",
    "Price",
    "ReasoningDelta",
    "ResponseSchema",
    "RoleRules",
    "Spent",
    "StreamEvent",
    "StructuredOutput",
    "SwapModel",
    "SystemMessage",
    "TextDelta",
    "TextPart",
    "TokenCount",
    "ToolCall",
    "ToolCallDelta",
    "ToolMessage",
    "ToolSchema",
    "Usage",
    "UserMessage",
    "Vector",
    "as_messages",
    "count_tokens",
    "current_budget",
    "embedding_from_name",
    "fit_roles",
    "max_tokens_for",
    "model_from_name",
]
