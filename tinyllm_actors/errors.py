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

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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


class TinyLLMError(Exception):
    """The base of every error that this library raises on purpose."""


# --- actors ---------------------------------------------------------------------------------------


class ActorError(TinyLLMError):
    """Something happened to an actor.

    Attributes:
        path: where the actor is in the tree, such as `"service/counter"`.
    """

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.path = path


class ActorFailed(ActorError):
    """The handler raised while it worked on this message.

    Attributes:
        cause: what the handler raised; also `__cause__`.
    """

    def __init__(self, path: str, cause: BaseException) -> None:
        super().__init__(path, f"actor {path!r} failed: {type(cause).__name__}: {cause}")
        self.cause = cause
        self.__cause__ = cause


class ActorStopped(ActorError):
    """The actor is stopped, or stopped before it answered.

    Attributes:
        message: the message that was not handled, if there was one.
    """

    def __init__(self, path: str, detail: str = "it is stopped", message: object = None) -> None:
        super().__init__(path, f"actor {path!r} cannot answer: {detail}")
        self.message = message


class StartFailed(ActorError):
    """The constructor or `started()` raised, so there is no actor.

    Attributes:
        cause: what it raised; also `__cause__`.
    """

    def __init__(self, path: str, cause: BaseException) -> None:
        super().__init__(path, f"actor {path!r} did not start: {type(cause).__name__}: {cause}")
        self.cause = cause
        self.__cause__ = cause


class AskTimeout(ActorError, TimeoutError):
    """The answer did not come in time; the callee's work on it was cancelled.

    Attributes:
        timeout: how long the asker was willing to wait, in seconds.
    """

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__(path, f"actor {path!r} did not answer within {timeout:g} s")
        self.timeout = timeout


class AskDeadlock(ActorError):
    """The ask would have closed a cycle of actors that wait for one another.

    Attributes:
        cycle: the paths in the order in which they wait; the first is also the last.
    """

    def __init__(self, cycle: Sequence[str]) -> None:
        super().__init__(cycle[-1], "this ask would wait for itself: " + " → ".join(map(repr, cycle)))
        self.cycle = tuple(cycle)


class MailboxFull(ActorError):
    """The mailbox holds as many messages as it may, and its policy is to say so.

    Attributes:
        capacity: how many messages it may hold.
        message: the message that was refused.
    """

    def __init__(self, path: str, capacity: int, message: object = None) -> None:
        super().__init__(path, f"mailbox of {path!r} is full ({capacity} messages); slow down, or raise its capacity")
        self.capacity = capacity
        self.message = message


class MessageDiscarded(ActorError):
    """The message was dropped before it was handled.

    Attributes:
        reason: `"drop_oldest"`, `"drop_newest"`, `"expired"` or `"poison"`.
        message: the message that was dropped.
    """

    def __init__(self, path: str, reason: str, message: object = None) -> None:
        super().__init__(path, f"message to {path!r} was discarded: {reason}")
        self.reason = reason
        self.message = message


class Unresponsive(ActorError):
    """The actor was cancelled and did not stop; it was abandoned.

    Attributes:
        waited: how long its supervisor waited, in seconds.
    """

    def __init__(self, path: str, waited: float) -> None:
        super().__init__(
            path, f"actor {path!r} did not stop within {waited:g} s of being cancelled; something in it swallows that"
        )
        self.waited = waited


class ForeignCancellation(ActorError):
    """A library cancelled a future that the handler awaited; nobody asked for the handler to be cancelled.

    A handler that raises `GeneratorExit`, with which Python closes coroutines, has failed in this way too.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path, f"what the handler of {path!r} awaited was cancelled by somebody else")


class ScopeLeftOpen(ActorError):
    """A handler, a hook or a task of the actor ended inside a cancel scope or a task group that it had entered.

    Leave them in the handler that entered them, best with `with`. What shall stay open from one message to the next
    needs an actor with a task of its own, `ChildOptions(dedicated=True)`, which opens it in `started()` and closes it
    in `stopped()`.
    """

    def __init__(self, path: str) -> None:
        super().__init__(
            path,
            f"{path!r} entered a cancel scope or a task group and did not leave it; use `with`, or open it in"
            " `started()` and close it in `stopped()` of an actor with ChildOptions(dedicated=True)",
        )


class LinkedActorFailed(ActorError):
    """An actor that this one is linked to ended abnormally, so this one fails too.

    Attributes:
        peer: the path of the actor that ended.
        cause: why it did, if it failed; also `__cause__`.
    """

    def __init__(self, path: str, peer: str, reason: str, cause: BaseException | None = None) -> None:
        super().__init__(path, f"actor {path!r} fails with {peer!r}, to which it is linked and which ended ({reason})")
        self.peer = peer
        self.cause = cause
        self.__cause__ = cause


class RestartLimitExceeded(ActorError):
    """Children failed more often than their supervisor allows, so the supervisor failed too.

    Attributes:
        child: the path of the child that failed last.
        max_restarts: how many restarts are allowed in one window.
        period: the length of the window, in seconds.
        cause: the last failure; also `__cause__`.
    """

    def __init__(self, path: str, child: str, max_restarts: int, period: float, cause: BaseException | None) -> None:
        why = "" if cause is None else f"; last cause: {type(cause).__name__}: {cause}"
        super().__init__(path, f"{child!r} failed beyond {max_restarts} restarts in {period:g} s under {path!r}{why}")
        self.child = child
        self.max_restarts = max_restarts
        self.period = period
        self.cause = cause
        self.__cause__ = cause


class InvalidTransition(ActorError):
    """The state machine has no edge for this event in this state; the state stays as it was.

    Attributes:
        state: the state the machine is in.
        event: the event that came.
    """

    def __init__(self, path: str, state: object, event: object) -> None:
        super().__init__(path, f"{path!r} has no transition for {event!s} in state {state!s}")
        self.state = state
        self.event = event


class ChildLimitExceeded(ActorError):
    """A supervisor has as many children as it may.

    Attributes:
        max_children: how many it may have.
    """

    def __init__(self, path: str, max_children: int) -> None:
        super().__init__(path, f"{path!r} may have {max_children} children and has; stop one, or raise max_children")
        self.max_children = max_children


class NameTaken(ActorError):
    """A sibling has that name already, or another actor is registered under it.

    Attributes:
        owner: the path of the actor that has the name.
    """

    def __init__(self, path: str, owner: str | None = None) -> None:
        if owner is None:
            message = f"there is an actor at {path!r} already; choose another name, or stop that one first"
        else:
            message = f"the name {path!r} is registered for {owner!r}; choose another one, or unregister that first"
        super().__init__(path, message)
        self.owner = path if owner is None else owner


class UnknownActor(ActorError, LookupError):
    """No actor lives at that path."""

    def __init__(self, path: str) -> None:
        super().__init__(path, f"no actor at {path!r}; system.inspect() shows those there are")


class SystemClosed(TinyLLMError):
    """The actor system is closed or closing, and takes nothing new."""

    def __init__(self, name: str) -> None:
        super().__init__(f"actor system {name!r} is not running; use it inside `async with ActorSystem(…)`")
        self.name = name


# --- set-up ---------------------------------------------------------------------------------------


class ConfigurationError(TinyLLMError, ValueError):
    """What was asked for cannot be set up as it was written."""


class UnknownModel(ConfigurationError):
    """No adapter knows that model name."""


class UnknownStore(ConfigurationError):
    """No adapter knows that store URL."""


class UnknownPrompt(ConfigurationError, LookupError):
    """No source has that prompt, or that version or label of it.

    Attributes:
        name: of the prompt.
        version: that was asked for; None for the newest.
        label: that was asked for.
    """

    def __init__(self, name: str, version: int | None, label: str | None, why: str) -> None:
        which = "" if version is None else f" in version {version}"
        if label is not None:
            which = f" with label {label!r}"
        super().__init__(f"no prompt {name!r}{which}: {why}")
        self.name = name
        self.version = version
        self.label = label


class MissingCredential(ConfigurationError):
    """A key that the provider needs is not set."""


class MissingDependency(ConfigurationError, ImportError):
    """An optional package is not installed; the message holds the command that installs it."""


class UnknownSetting(ConfigurationError):
    """The configuration file has a key that means nothing; the message names the nearest one that does.

    Attributes:
        key: as it is written, with its section.
        nearest: the known key that is most like it, if one is.
    """

    def __init__(self, key: str, file: str, nearest: str | None = None) -> None:
        hint = f"did you mean {nearest!r}?" if nearest else "`tinyllm-actors config show` lists the known ones"
        super().__init__(f"{file}: {key!r} means nothing here; {hint}")
        self.key = key
        self.nearest = nearest


class DatasetInvalid(ConfigurationError):
    """A line of a dataset, or of the results of a run, cannot be used.

    Attributes:
        source: the file, or what stands for it.
        line: which line, counted from 1; None if it is the whole.
    """

    def __init__(self, source: str, line: int | None, problem: str) -> None:
        place = source if line is None else f"{source}, line {line}"
        super().__init__(f"{place}: {problem}")
        self.source = source
        self.line = line


class UnknownPrice(ConfigurationError):
    """A budget limits dollars, and the price of the model is not known, which is not zero.

    Attributes:
        model: its name.
        budget: the name of the budget.
    """

    def __init__(self, model: str, budget: str) -> None:
        super().__init__(
            f"budget {budget!r} limits dollars and the price of model {model!r} is unknown; give it with "
            "known_models={name: ModelInfo(price=Price(…))}, or give the budget an assumed_price"
        )
        self.model = model
        self.budget = budget


# --- models ---------------------------------------------------------------------------------------


class ModelError(TinyLLMError):
    """A model call failed.

    Attributes:
        retryable: the same request may succeed later.
        retry_after: seconds that the provider asks to wait, if it said so.
        output_started: part of the answer had arrived.
        partial: the text that had arrived.
        status: the HTTP status, if there was one.
        model: the model that was called.
    """

    default_retryable = False

    def __init__(
        self,
        message: str,
        *,
        retryable: bool | None = None,
        retry_after: float | None = None,
        output_started: bool = False,
        partial: str = "",
        status: int | None = None,
        model: str | None = None,
    ) -> None:
        super().__init__(message)
        self.retryable = self.default_retryable if retryable is None else retryable
        self.retry_after = retry_after
        self.output_started = output_started
        self.partial = partial
        self.status = status
        self.model = model


class RateLimited(ModelError):
    """Too many requests or tokens for now (429)."""

    default_retryable = True


class QuotaExceeded(ModelError):
    """The account has no credit or quota left; waiting does not help."""


class Overloaded(ModelError):
    """The provider cannot serve now (500, 502, 503, 504, 529)."""

    default_retryable = True


class ModelUnavailable(ModelError):
    """The provider cannot be reached: refused, reset or unresolved before an answer came."""

    default_retryable = True


class ModelTimeout(ModelError, TimeoutError):
    """The provider was silent for longer than the idle time-out."""

    default_retryable = True


class ContextWindowExceeded(ModelError):
    """The request is longer than the model's context."""


class AuthenticationFailed(ModelError):
    """The provider refused the credentials (401, 403)."""


class RequestRejected(ModelError):
    """The provider refused the request (other 4xx, content policy)."""


class MalformedResponse(ModelError):
    """The provider answered something that cannot be understood."""

    default_retryable = True


class OutputInvalid(MalformedResponse):
    """The model's answer does not fit the type that was asked for; the model may correct it if it is told how.

    Attributes:
        text: what the model answered; also `partial`.
        fields: what does not fit: `loc`, a path of keys and indexes joined by dots, and `message`; none if the answer
            is no JSON, or no answer.
        correction: what to tell the model.
        refused: it is a refusal, which seldom changes when it is asked again.
    """

    default_retryable = False

    def __init__(
        self,
        message: str,
        *,
        text: str,
        fields: Sequence[Mapping[str, str]] = (),
        correction: str = "",
        refused: bool = False,
        model: str | None = None,
    ) -> None:
        super().__init__(message, partial=text, model=model)
        self.text = text
        self.fields = tuple(fields)
        self.correction = correction
        self.refused = refused


class StreamInterrupted(ModelError):
    """The answer broke off in the middle; `partial` holds what had arrived."""

    default_retryable = True


class ProviderBusy(ModelError):
    """The limits of the model leave no turn for this call in time. It was not sent."""

    default_retryable = True

    def __init__(self, model: str, detail: str, *, retry_after: float | None = None) -> None:
        super().__init__(
            f"model {model!r} is busy: {detail}; wait longer, raise its Limits, or give a fallback",
            retry_after=retry_after,
            model=model,
        )


class CircuitOpen(ModelError):
    """The model failed so often in a row that it is left alone for a while. The call was not sent."""

    default_retryable = True

    def __init__(self, model: str, retry_after: float | None) -> None:
        when = "while one call is on trial" if retry_after is None else f"for {retry_after:.3g} s more"
        super().__init__(
            f"model {model!r} failed too often and is left alone {when}", retry_after=retry_after, model=model
        )


# --- tools ----------------------------------------------------------------------------------------


class ToolError(TinyLLMError):
    """A tool call failed; the model is told the message, so it must hold no secret.

    Attributes:
        tool: the name of the tool.
    """

    def __init__(self, tool: str, message: str) -> None:
        super().__init__(message)
        self.tool = tool


class UnknownTool(ToolError):
    """The model asked for a tool that it was not given."""


class InvalidArguments(ToolError):
    """The arguments do not fit the tool's schema."""


class ToolDenied(ToolError):
    """A person did not allow the call, or was not asked; it did not run."""


class ToolRateLimited(ToolError):
    """The tool was called so often that this call's turn comes too late.

    Attributes:
        retry_after: seconds until it may be called.
    """

    retryable = True

    def __init__(self, tool: str, message: str, *, retry_after: float) -> None:
        super().__init__(tool, message)
        self.retry_after = retry_after


class ToolCrashed(ToolError):
    """The process in which an isolated tool ran died, or sent nonsense; the message says how."""


class ToolTimeout(ToolError, TimeoutError):
    """The tool took longer than its time-out; its work was cancelled."""


class ToolRetry(ToolError):
    """Raised by a tool: the model should call it again with other arguments; the message says how."""

    def __init__(self, message: str, *, tool: str = "") -> None:
        super().__init__(tool, message)


class FetchFailed(TinyLLMError):
    """A document cannot be had from the web, or may not; the message is fit for a model."""


class LoadError(TinyLLMError):
    """A document cannot be read; trying again brings nothing, unless it changes.

    Attributes:
        source: where it comes from, as it was asked for.
    """

    def __init__(self, source: str, message: str) -> None:
        super().__init__(f"{source!r} {message}")
        self.source = source
        self.reason = message


class DocumentMalformed(LoadError):
    """It is not what its name or its first bytes say, is damaged, or broke what reads it."""


class DocumentTooLarge(LoadError):
    """It has more bytes, pages, rows, parts or depth than `LoadLimits` allow."""


class DocumentRefused(LoadError):
    """It may not be read (outside of the root, a symbolic link, encrypted), or nothing here reads its kind."""


class LoadTimeout(LoadError, TimeoutError):
    """Reading it took too long; the process that did was killed."""


class IsolatedFailure(TinyLLMError):
    """A tool raised an exception in its own process, of a class that this one need not know.

    Attributes:
        type_name: the name of the class.
    """

    def __init__(self, type_name: str, message: str) -> None:
        super().__init__(f"{type_name}: {message}")
        self.type_name = type_name


# --- stores of conversations ------------------------------------------------------------------------


class TracingError(TinyLLMError):
    """The host of traces, prompts and datasets did not do what was asked."""


class StoreError(TinyLLMError):
    """A store of conversations or of vectors failed; where nothing else is said, nothing was written.

    Attributes:
        retryable: the same call may succeed later.
        keys: the conversations that it is about; empty where it is about the whole store.
    """

    default_retryable = False

    def __init__(self, message: str, *, keys: Sequence[str] = (), retryable: bool | None = None) -> None:
        super().__init__(message)
        self.retryable = self.default_retryable if retryable is None else retryable
        self.keys = tuple(keys)

    def about(self, key: str) -> StoreError:
        """Return the same error for one conversation, caused by this one: what failed a batch failed each of it."""
        twin = type(self).__new__(type(self), *self.args)
        vars(twin).update(vars(self), keys=(key,))
        twin.__cause__ = self
        return twin


class StoreUnavailable(StoreError):
    """The store cannot be reached, or is not open."""

    default_retryable = True


class StoreBusy(StoreError, TimeoutError):
    """Somebody else held the store for longer than its time-out."""

    default_retryable = True


class StoreFull(StoreError):
    """The store has no room left; the same call succeeds once somebody has made some."""

    default_retryable = True


class StoreReadOnly(StoreError):
    """The store may be read, not written."""


class OutcomeUnknown(StoreError):
    """The store broke off while it committed: all of the batch is durable, or none of it.

    Append the same entries again, after a new claim if the grant may be lost: those that are there already are
    recognised by their ids, so none is lost and none is there twice.
    """

    default_retryable = True


class Fenced(StoreError):
    """Somebody else claimed the conversation since, or deleted it; nothing was written.

    Stop acting for it. Whoever claims it again starts from what the store holds.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        named = ", ".join(map(repr, list(keys)[:5])) + (f" and {len(keys) - 5} more" if len(keys) > 5 else "")
        super().__init__(f"the grant of {named} is no longer valid: claimed by somebody else, or deleted", keys=keys)


class EntryRejected(StoreError):
    """The entry cannot be stored as it is: too large, not encodable, out of place, or its id has other content."""


class UnsupportedEntry(StoreError):
    """The entry was written by a newer version of this library, or of a package that adds entries; upgrade it."""


class CorruptJournal(StoreError):
    """What was read is not what was written; nothing is skipped, so the conversation cannot be used.

    Restore it from a backup or an export, or delete it.

    Attributes:
        sequence: the first entry that is damaged; 0 where it is not about one entry.
    """

    def __init__(self, message: str, *, keys: Sequence[str] = (), sequence: int = 0) -> None:
        super().__init__(message, keys=keys)
        self.sequence = sequence


class UnknownCollection(StoreError, LookupError):
    """The vector store has no such collection."""

    def __init__(self, name: str, store: str) -> None:
        super().__init__(f"{store!r} has no collection {name[:80]!r}; create it first", keys=(name,))


class CollectionConflict(StoreError):
    """There is a collection of that name already, of other dimensions or another metric."""


class InputRejected(StoreError, ValueError):
    """What was given cannot be kept or asked as it is; nothing was done. The message says what is wrong with what."""


class VectorRejected(InputRejected):
    """The vector holds something that is no finite number, or has no direction where one is needed."""


class DimensionMismatch(VectorRejected):
    """The vector has another length than those of the collection.

    Attributes:
        found: its length.
        wanted: theirs.
    """

    def __init__(self, what: str, found: int, wanted: int) -> None:
        super().__init__(
            f"{what} has {found} dimensions and the collection {wanted}; embed it with the model of the collection"
        )
        self.found = found
        self.wanted = wanted


class FilterRejected(InputRejected):
    """The filter is too large, or holds a key or a value that no row can have."""


# --- MCP servers ----------------------------------------------------------------------------------


class McpError(TinyLLMError):
    """A call to an MCP server failed.

    Attributes:
        server: what the server is called here.
        reason: the message without that.
        retryable: the same call may succeed later. The server may have done it already: repeat what may happen twice.
        retry_after: seconds that the server asks to wait, if it said so.
    """

    default_retryable = False

    def __init__(
        self, server: str, message: str, *, retryable: bool | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(f"MCP server {server!r}: {message}")
        self.server = server
        self.reason = message
        self.retryable = self.default_retryable if retryable is None else retryable
        self.retry_after = retry_after


class McpUnavailable(McpError):
    """The server cannot be reached, or the connection broke off; the session connects again."""

    default_retryable = True


class McpTimeout(McpError, TimeoutError):
    """The server did not answer in time; it was told that nobody waits any more."""

    default_retryable = True


class McpMalformed(McpError):
    """What the server sent cannot be understood, or is more than may be sent at once."""


class McpRefused(McpError):
    """The server answered with an error.

    Attributes:
        code: the code of JSON-RPC.
        status: the status of HTTP, if that was the error.
    """

    def __init__(
        self,
        server: str,
        message: str,
        *,
        code: int,
        status: int | None = None,
        retryable: bool | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(server, message, retryable=retryable, retry_after=retry_after)
        self.code = code
        self.status = status


class ConversationBusy(TinyLLMError):
    """As many turns wait in the conversation as may, or one is in progress that must end first; try again later.

    Attributes:
        key: which conversation.
        queued: how many turns wait.
    """

    retryable = True

    def __init__(self, key: str, queued: int) -> None:
        super().__init__(f"conversation {key!r} is busy: {queued} turns wait; try again when they have ended")
        self.key = key
        self.queued = queued


class ConversationQuarantined(TinyLLMError):
    """The conversation failed too often and is not started any more, until somebody releases or deletes it.

    Attributes:
        key: which conversation.
        cause: the last failure.
        failures: how many there were.
    """

    def __init__(self, key: str, cause: BaseException, failures: int) -> None:
        super().__init__(
            f"conversation {key!r} is quarantined after {failures} failures, the last of which was"
            f" {type(cause).__name__}: {cause}; mend the cause and release() it, or delete() it"
        )
        self.key = key
        self.cause = cause
        self.failures = failures
        self.__cause__ = cause


class ConversationDeleted(TinyLLMError):
    """Somebody deleted the conversation before the turn had ended; what is sent from now on begins a new one.

    Attributes:
        key: which conversation.
    """

    def __init__(self, key: str) -> None:
        super().__init__(f"conversation {key!r} was deleted before the turn had ended; send it again to begin anew")
        self.key = key


class EvaluationFailed(TinyLLMError):
    """An evaluator has no score for what it was given; that is a failed evaluation, and not a score of 0."""


class UnknownTurn(TinyLLMError, LookupError):
    """The conversation has no such turn, or none is in progress.

    Attributes:
        key: which conversation.
        turn_id: the name that was given; None for the turn in progress.
    """

    def __init__(self, key: str, turn_id: str | None) -> None:
        what = "no turn in progress" if turn_id is None else f"no turn {turn_id!r}"
        super().__init__(f"conversation {key!r} has {what}; send one with content=…")
        self.key = key
        self.turn_id = turn_id


# --- functions and agents -------------------------------------------------------------------------


class FunctionFailed(TinyLLMError):
    """An error dictionary, raised by whoever prefers exceptions.

    Attributes:
        result: the whole dictionary.
    """

    def __init__(self, result: Any) -> None:
        super().__init__(str(result.get("message", "the function failed")))
        self.result = result


class RunStopped(TinyLLMError):
    """An agent's run ended at a limit, or was ended; what was done until then is kept."""


class BudgetExceeded(RunStopped):
    """A model call does not fit into what its budget leaves.

    Attributes:
        budget: the name of the budget.
        limit: what it has too little of: `"tokens"`, `"usd"` or `"calls"`.
        used: how much was used.
        maximum: how much may be.
        wanted: how much the call might have needed.
        retry_after: seconds until the budget's next period; None if it has none.
        source: the `Budget` itself, to extend it.
    """

    def __init__(
        self,
        budget: str,
        limit: str,
        *,
        used: float,
        maximum: float,
        wanted: float,
        retry_after: float | None = None,
        source: object = None,
    ) -> None:
        left = max(0.0, maximum - used)
        super().__init__(
            f"budget {budget!r} has max_{limit}={maximum:g}, of which {used:g} are used; the next model call may need "
            f"{wanted:g} and {left:g} are left; raise max_{limit}, or ask for less"
            + ("" if retry_after is None else f"; the next period begins in {retry_after:.0f} s")
        )
        self.budget = budget
        self.limit = limit
        self.used = used
        self.maximum = maximum
        self.wanted = wanted
        self.retry_after = retry_after
        self.retryable = retry_after is not None
        self.source = source


class StepLimitExceeded(RunStopped):
    """The run needed more model calls than it may make.

    Attributes:
        max_steps: how many it may make.
    """

    def __init__(self, max_steps: int) -> None:
        super().__init__(f"the run reached its limit of {max_steps} model calls; raise max_steps or simplify the task")
        self.max_steps = max_steps


class TimeLimitExceeded(RunStopped, TimeoutError):
    """The run needed more time than it may take.

    Attributes:
        max_seconds: how much it may take.
    """

    def __init__(self, max_seconds: float) -> None:
        super().__init__(f"the run reached its limit of {max_seconds:g} s; raise max_seconds or simplify the task")
        self.max_seconds = max_seconds


class DelegationTooDeep(RunStopped):
    """More agents would work inside of one another than one of them allows.

    Attributes:
        max_depth: how many may.
        agents: the paths of those that do, the innermost first.
    """

    def __init__(self, max_depth: int, agents: Sequence[str]) -> None:
        chain = " inside of ".join(repr(agent) for agent in agents)
        super().__init__(f"agents may be {max_depth} deep, and this would be one more: {chain}; raise max_depth")
        self.max_depth = max_depth
        self.agents = tuple(agents)


class RunCancelled(RunStopped):
    """Somebody cancelled the run; the message is the reason that was given."""


class UnknownApproval(TinyLLMError, LookupError):
    """No such call waits for a person: it was decided, it expired, or it never was.

    Attributes:
        call_id: which call was meant.
        waiting: those that do wait.
    """

    def __init__(self, call_id: str, waiting: Sequence[str]) -> None:
        known = ", ".join(repr(name) for name in waiting) or "none"
        super().__init__(f"no call {call_id!r} waits for a person; those that do: {known}")
        self.call_id = call_id
        self.waiting = tuple(waiting)
