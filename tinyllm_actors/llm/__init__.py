"""Language models: messages, the port to a model, and the Function that calls one.

A model is whatever implements `ChatModel`, or `EmbeddingModel` for vectors. The adapters are in
`tinyllm_actors.integrations`; a name such as `"openai/gpt-4o-mini"` finds its adapter through the entry points of the
groups `tinyllm_actors.models` and `tinyllm_actors.embeddings`.
"""

from tinyllm_actors.llm.budget import Budget, current_budget
from tinyllm_actors.llm.budget_notice import BudgetNotice, Spent
from tinyllm_actors.llm.embedder import Embedder
from tinyllm_actors.llm.embedding import EmbeddingModel, Embeddings, Vector
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
from tinyllm_actors.llm.structured import OutputMode, OutputRung, StructuredOutput
from tinyllm_actors.llm.tokens import TokenCount, count_tokens

__all__ = [
    "LLM",
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
    "count_tokens",
    "current_budget",
    "embedding_from_name",
    "max_tokens_for",
    "model_from_name",
]
