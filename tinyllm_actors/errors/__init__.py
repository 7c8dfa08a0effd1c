"""Every exception of the library, in one tree.

```text
TinyLLMError
├── ActorError                     something happened to an actor; `.path` says which
│   ├── ActorFailed                its handler raised; `.cause` is what it raised
│   ├── ActorStopped               it is stopped, or stopped before it answered
│   ├── StartFailed                its constructor or `started()` raised
│   ├── AskTimeout                 no answer in time (also a TimeoutError)
│   ├── AskDeadlock                the ask would have waited for itself
│   ├── MailboxFull                its mailbox has no room
│   ├── MessageDiscarded           an overflow policy, a TTL or a cap dropped the message
│   ├── Unresponsive               it did not stop when cancelled
│   ├── ForeignCancellation        a library cancelled what its handler awaited
│   ├── ScopeLeftOpen              it entered a cancel scope or a task group and did not leave it
│   ├── LinkedActorFailed          an actor that it is linked to failed; `.peer` says which
│   ├── RestartLimitExceeded       its children failed more often than its supervisor allows
│   ├── InvalidTransition          its state machine has no such edge
│   ├── ChildLimitExceeded         its supervisor has as many children as it may
│   ├── NameTaken                  a sibling, or a registered actor, has that name already
│   └── UnknownActor               no actor at that path (also a LookupError)
├── SystemClosed                   the actor system is closed or closing
├── ConfigurationError             what was asked for cannot be set up (also a ValueError)
│   ├── UnknownModel               no adapter knows that model name
│   ├── UnknownStore               no adapter knows that store URL
│   ├── UnknownPrompt              no source has that prompt, or that version of it (also a LookupError)
│   ├── MissingCredential          a key that the provider needs is not set
│   ├── MissingDependency          an optional package is not installed
│   ├── UnknownSetting             the configuration file has a key that means nothing
│   ├── DatasetInvalid             a line of a dataset, or of results, cannot be used
│   └── UnknownPrice               a budget in dollars, and a model whose price nobody knows
├── ModelError                     a model call failed; `.retryable`, `.retry_after`, `.output_started`
│   ├── RateLimited                too many requests or tokens for now
│   ├── QuotaExceeded              the account has no credit or quota left
│   ├── Overloaded                 the provider cannot serve now (5xx)
│   ├── ModelUnavailable           the provider cannot be reached
│   ├── ModelTimeout               the provider was silent for too long (also a TimeoutError)
│   ├── ContextWindowExceeded      the request is longer than the model's context
│   ├── AuthenticationFailed       the provider refused the credentials
│   ├── RequestRejected            the provider refused the request (4xx, content policy)
│   ├── MalformedResponse          the provider answered something that cannot be understood
│   │   └── OutputInvalid          the model's answer does not fit the type that was asked for
│   ├── StreamInterrupted          the answer broke off in the middle
│   ├── ProviderBusy               its limits leave no turn for the call; it was not sent
│   └── CircuitOpen                it failed too often and is left alone; the call was not sent
├── ToolError                      a tool call failed; the model is told
│   ├── UnknownTool                the model asked for a tool that it was not given
│   ├── InvalidArguments           the arguments do not fit the tool's schema
│   ├── ToolCrashed                the process of an isolated tool died
│   ├── ToolDenied                 a person did not allow the call
│   ├── ToolRateLimited            the tool may not be called so often
│   ├── ToolTimeout                the tool took too long (also a TimeoutError)
│   └── ToolRetry                  raised by a tool: the model should try again, differently
├── FetchFailed                    a document cannot be had from the web
├── LoadError                      a document cannot be read; `.source` says which
│   ├── DocumentMalformed          it is not what it should be, or what reads it broke
│   ├── DocumentTooLarge           it has more than it may (bytes, pages, rows, depth …)
│   ├── DocumentRefused            it may not be read, or nothing here reads it
│   └── LoadTimeout                reading it took too long (also a TimeoutError)
├── IsolatedFailure                a tool raised this in its own process; `.type_name` says what
├── StoreError                     a store of conversations or vectors failed; `.retryable`, `.keys`
│   ├── StoreUnavailable           it cannot be reached, or is not open
│   ├── StoreBusy                  somebody else held it for too long (also a TimeoutError)
│   ├── StoreFull                  it has no room left
│   ├── StoreReadOnly              it may be read, not written
│   ├── OutcomeUnknown             it broke off while it committed; append the same entries again
│   ├── Fenced                     somebody else claimed the conversation since
│   ├── EntryRejected              the entry cannot be stored as it is
│   ├── UnsupportedEntry           the entry was written by a newer version of this library
│   ├── CorruptJournal             what was read is not what was written
│   ├── UnknownCollection          the vector store has no such collection (also a LookupError)
│   ├── CollectionConflict         it has one of that name with another shape
│   └── InputRejected              what was given cannot be kept or asked as it is (also a ValueError)
│       ├── VectorRejected         the vector holds what cannot be compared
│       │   └── DimensionMismatch  the vector has another length than those of the collection
│       └── FilterRejected         the filter cannot be translated
├── McpError                       an MCP server failed; `.server`, `.retryable`, `.retry_after`
│   ├── McpUnavailable             it cannot be reached, or the connection broke off
│   ├── McpTimeout                 it did not answer in time (also a TimeoutError)
│   ├── McpMalformed               what it sent cannot be understood, or is too much
│   └── McpRefused                 it answered with an error; `.code` and `.status` say which
├── TracingError                   the host of traces, prompts and datasets did not do what was asked
├── ConversationBusy               as many turns wait in the conversation as may
├── ConversationQuarantined        the conversation failed too often and is not started any more
├── ConversationDeleted            somebody deleted the conversation in the middle of the turn
├── EvaluationFailed               an evaluator has no score for what it was given
├── MessageRejected                what was said to a conversation is no message (also a ValueError)
├── UnknownTurn                    the conversation has no such turn (also a LookupError)
├── FunctionFailed                 `unwrap()` of an error dictionary; `.result` is the dictionary
├── RunStopped                     an agent's run ended at a limit, or was ended
│   ├── BudgetExceeded             a model call does not fit into its budget
│   ├── StepLimitExceeded          it needed more model calls than it may make
│   ├── TimeLimitExceeded          it needed more time than it may take (also a TimeoutError)
│   ├── DelegationTooDeep          more agents inside of one another than one of them allows
│   └── RunCancelled               somebody cancelled it
└── UnknownApproval                no such call waits for a person (also a LookupError)
```

Messages name the value that was wrong with `repr` and say what to do. No message holds a secret.
"""

from __future__ import annotations

from tinyllm_actors.errors.actors import (
    ActorError,
    ActorFailed,
    ActorStopped,
    AskDeadlock,
    AskTimeout,
    ChildLimitExceeded,
    ForeignCancellation,
    InvalidTransition,
    LinkedActorFailed,
    MailboxFull,
    MessageDiscarded,
    NameTaken,
    RestartLimitExceeded,
    ScopeLeftOpen,
    StartFailed,
    SystemClosed,
    UnknownActor,
    Unresponsive,
)
from tinyllm_actors.errors.base import TinyLLMError
from tinyllm_actors.errors.configuration import (
    ConfigurationError,
    DatasetInvalid,
    MissingCredential,
    MissingDependency,
    UnknownModel,
    UnknownPrice,
    UnknownPrompt,
    UnknownSetting,
    UnknownStore,
)
from tinyllm_actors.errors.conversations import (
    ConversationBusy,
    ConversationDeleted,
    ConversationQuarantined,
    MessageRejected,
    UnknownTurn,
)
from tinyllm_actors.errors.documents import DocumentMalformed, DocumentRefused, DocumentTooLarge, LoadError, LoadTimeout
from tinyllm_actors.errors.mcp import McpError, McpMalformed, McpRefused, McpTimeout, McpUnavailable
from tinyllm_actors.errors.models import (
    AuthenticationFailed,
    CircuitOpen,
    ContextWindowExceeded,
    MalformedResponse,
    ModelError,
    ModelTimeout,
    ModelUnavailable,
    OutputInvalid,
    Overloaded,
    ProviderBusy,
    QuotaExceeded,
    RateLimited,
    RequestRejected,
    StreamInterrupted,
)
from tinyllm_actors.errors.runs import (
    BudgetExceeded,
    DelegationTooDeep,
    EvaluationFailed,
    FunctionFailed,
    RunCancelled,
    RunStopped,
    StepLimitExceeded,
    TimeLimitExceeded,
    TracingError,
    UnknownApproval,
)
from tinyllm_actors.errors.stores import (
    CollectionConflict,
    CorruptJournal,
    DimensionMismatch,
    EntryRejected,
    Fenced,
    FilterRejected,
    InputRejected,
    OutcomeUnknown,
    StoreBusy,
    StoreError,
    StoreFull,
    StoreReadOnly,
    StoreUnavailable,
    UnknownCollection,
    UnsupportedEntry,
    VectorRejected,
)
from tinyllm_actors.errors.tools import (
    FetchFailed,
    InvalidArguments,
    IsolatedFailure,
    ToolCrashed,
    ToolDenied,
    ToolError,
    ToolRateLimited,
    ToolRetry,
    ToolTimeout,
    UnknownTool,
)

__all__ = [
    "ActorError",
    "ActorFailed",
    "ActorStopped",
    "AskDeadlock",
    "AskTimeout",
    "AuthenticationFailed",
    "BudgetExceeded",
    "ChildLimitExceeded",
    "CircuitOpen",
    "CollectionConflict",
    "ConfigurationError",
    "ContextWindowExceeded",
    "ConversationBusy",
    "ConversationDeleted",
    "ConversationQuarantined",
    "CorruptJournal",
    "DatasetInvalid",
    "DelegationTooDeep",
    "DimensionMismatch",
    "DocumentMalformed",
    "DocumentRefused",
    "DocumentTooLarge",
    "EntryRejected",
    "EvaluationFailed",
    "Fenced",
    "FetchFailed",
    "FilterRejected",
    "ForeignCancellation",
    "FunctionFailed",
    "InputRejected",
    "InvalidArguments",
    "InvalidTransition",
    "IsolatedFailure",
    "LinkedActorFailed",
    "LoadError",
    "LoadTimeout",
    "MailboxFull",
    "MalformedResponse",
    "McpError",
    "McpMalformed",
    "McpRefused",
    "McpTimeout",
    "McpUnavailable",
    "MessageDiscarded",
    "MessageRejected",
    "MissingCredential",
    "MissingDependency",
    "ModelError",
    "ModelTimeout",
    "ModelUnavailable",
    "NameTaken",
    "OutcomeUnknown",
    "OutputInvalid",
    "Overloaded",
    "ProviderBusy",
    "QuotaExceeded",
    "RateLimited",
    "RequestRejected",
    "RestartLimitExceeded",
    "RunCancelled",
    "RunStopped",
    "ScopeLeftOpen",
    "StartFailed",
    "StepLimitExceeded",
    "StoreBusy",
    "StoreError",
    "StoreFull",
    "StoreReadOnly",
    "StoreUnavailable",
    "StreamInterrupted",
    "SystemClosed",
    "TimeLimitExceeded",
    "TinyLLMError",
    "ToolCrashed",
    "ToolDenied",
    "ToolError",
    "ToolRateLimited",
    "ToolRetry",
    "ToolTimeout",
    "TracingError",
    "UnknownActor",
    "UnknownApproval",
    "UnknownCollection",
    "UnknownModel",
    "UnknownPrice",
    "UnknownPrompt",
    "UnknownSetting",
    "UnknownStore",
    "UnknownTool",
    "UnknownTurn",
    "Unresponsive",
    "UnsupportedEntry",
    "VectorRejected",
]

for _name in __all__:
    globals()[_name].__module__ = __name__  # where users find them, and what tracebacks say
