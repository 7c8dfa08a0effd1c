"""The Function: an actor that works like a web API. See `states` for the life of a call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, cast

from tinyllm_actors.errors import InvalidTransition
from tinyllm_actors.function.evaluation import EvaluatorSet
from tinyllm_actors.function.ref import Call, FunctionRef
from tinyllm_actors.function.result import failure, success
from tinyllm_actors.function.states import FUNCTION, States, Step
from tinyllm_actors.function.validation import validator_for
from tinyllm_actors.kernel import Actor
from tinyllm_actors.kernel.envelope import CURRENT
from tinyllm_actors.kernel.events import CallFailed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tinyllm_actors.function.result import Failure, Result
    from tinyllm_actors.function.tracing.observation import Kind
    from tinyllm_actors.function.validation import Check
    from tinyllm_actors.kernel.event_stream import Moves

__all__ = ["Function"]

_NONE = (None, None, None)  # shared: an agent has five Functions, most of which validate nothing
_MACHINE = FUNCTION.name
_MOVES = {edge: FUNCTION.walk(edge[0], edge[1:]) for edge in FUNCTION.edges}
_BEGUN = {state: FUNCTION.walk(state, (Step.CALL, Step.RUN)) for state, step in FUNCTION.edges if step is Step.CALL}
_INITIALISED = ((States.INIT, "init", States.INIT),)
_PLAIN_END = (Step.VALIDATE, Step.PROCESS, Step.VALIDATE, Step.COMPLETE)
_ENDED_PLAINLY = {state: FUNCTION.walk(state, _PLAIN_END) for state in (States.RUNNING, States.OUTPUT_VALIDATION)}


class Function(Actor):
    """Validates its input, runs, validates its output, processes it, validates that, and answers a dictionary.

    Override `run`, and `process_output` and `close` where needed. Whatever they raise becomes an error dictionary;
    the actor lives on. Only a broken invariant (an illegal transition) is a crash.

    ```python
    >>> import anyio
    >>> from pydantic import BaseModel
    >>> from tinyllm_actors import ActorSystem, Function
    >>> class Number(BaseModel):
    ...     n: int
    >>> class Double(Function):
    ...     input_validator = Number
    ...     async def run(self, n: int) -> dict[str, int]:
    ...         return {"n": 2 * n}
    >>> async def main() -> None:
    ...     async with ActorSystem("service") as system:
    ...         double = await system.spawn(Double)
    ...         print(await double(n=21))
    ...         print((await double(n="many"))["message"])
    >>> anyio.run(main)
    {'status': 'success', 'output': {'n': 42}}
    input validation failed: n: Input should be a valid integer, unable to parse string as an integer, got 'many'

    ```

    Args:
        name: what it is called in the log; left out, the name of its class.
        input_validator: a pydantic model, any type pydantic understands, or a function, for the arguments of the call.
        output_validator: the same for what `run` returns.
        processed_output_validator: the same for what `process_output` returns.
        run_evaluators: what scores the output (Functions, or plain functions).
        processed_output_evaluators: what scores the processed output.
        strict: validate without conversions.
        required: in a chain, whether its failure ends the chain.
        user_id: on whose behalf it works, for traces.
        session_id: as part of what, for traces.
        observation_kind: what its calls are in traces, such as `"retriever"`; left out, what its class says.
    """

    ref_type = FunctionRef

    state: States = States.INIT
    display_name: str | None = None
    observation_kind: Kind = "span"
    input_validator: ClassVar[Any] = None
    output_validator: ClassVar[Any] = None
    processed_output_validator: ClassVar[Any] = None
    required: bool = True
    user_id: str | None = None
    session_id: str | None = None

    _checks_input: ClassVar[bool] = False
    _has_hooks: ClassVar[bool] = False
    _validators: tuple[Check | None, Check | None, Check | None] | None = None
    _evaluators: tuple[EvaluatorSet, EvaluatorSet] | None = None
    _entered_at: float = 0.0
    _actor_path: str | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._checks_input = cls._validate_input is not Function._validate_input
        cls._has_hooks = cls.process_output is not Function.process_output or cls.close is not Function.close

    def __init__(
        self,
        *,
        name: str | None = None,
        input_validator: Any = None,
        output_validator: Any = None,
        processed_output_validator: Any = None,
        run_evaluators: Sequence[Any] = (),
        processed_output_evaluators: Sequence[Any] = (),
        strict: bool | None = None,
        required: bool = True,
        user_id: str | None = None,
        session_id: str | None = None,
        observation_kind: Kind | None = None,
    ) -> None:
        if observation_kind is not None:
            self.observation_kind = observation_kind
        self.display_name = name
        self.required = required
        self.user_id = user_id
        self.session_id = session_id
        validators = (
            validator_for(input_validator or self.input_validator, strict=strict),
            validator_for(output_validator or self.output_validator, strict=strict),
            validator_for(processed_output_validator or self.processed_output_validator, strict=strict),
        )
        self._validators = _NONE if validators == _NONE else validators
        if run_evaluators or processed_output_evaluators:
            self._evaluators = (
                EvaluatorSet(self, run_evaluators, ""),
                EvaluatorSet(self, processed_output_evaluators, "proc:"),
            )

    @property
    def name(self) -> str:
        """What it is called in the log."""
        return self.display_name or type(self).__name__

    def _identity(self) -> dict[str, str]:
        """Return the options that its parts are given, so that their traces belong to the same user and session."""
        known = {"user_id": self.user_id, "session_id": self.session_id}
        return {key: value for key, value in known.items() if value is not None}

    # --- what subclasses define --------------------------------------------------------------------

    async def run(self, **arguments: Any) -> Any:
        """Do the work; gets the validated arguments and returns the output."""
        raise NotImplementedError(f"{type(self).__name__} does not define run()")

    async def process_output(self, **output: Any) -> Any:
        """Turn the validated output into what the caller gets. Gets the output's items as keyword arguments."""
        return output

    async def close(self, **output: Any) -> None:
        """Finish a successful call, after everything else."""

    # --- a call ------------------------------------------------------------------------------------

    async def started(self) -> None:
        """Start the evaluators and enter INIT; subclasses end with `await super().started()`."""
        for evaluators in self._evaluators or ():
            await evaluators.start()
        self._publish(_INITIALISED)

    def machine_states(self) -> Mapping[str, str]:
        """Return where the call is, or how the last one ended."""
        return {FUNCTION.name: self.state}

    async def receive(self, message: Any) -> Any:
        """Handle a call. Subclasses with messages of their own handle those first."""
        if type(message) is Call:
            return await self._call(message.arguments)
        raise TypeError(f"{self.name} takes calls only, got {type(message).__name__}; use `await ref(argument=value)`")

    async def _call(self, arguments: dict[str, Any], run: Callable[..., Awaitable[Any]] | None = None) -> Result:
        """Take one call through the machine.

        Args:
            arguments: as the caller gave them.
            run: what to do instead of `run()`; a stream passes what also tells its reader.
        """
        tracing = self.kernel_cell.system.tracing
        observation = None if tracing is None else tracing.begin(self, arguments)
        try:
            try:
                inputs = self._accept(arguments)
                output = await (run or self.run)(**inputs)
                if self._ends_plainly():
                    result: Result = success(output)
                else:
                    self._step(Step.VALIDATE)
                    validator = (self._validators or self._class_validators())[1]
                    if validator is not None:
                        output = validator(output)
                    result = await self._conclude(inputs, output)
            except Exception as error:
                result = await self._fail(arguments, error)
        except BaseException as error:
            self._cancel(error)
            if observation is not None:
                observation.hub.break_off(observation, error)
            raise
        if observation is not None:
            observation.hub.finish(observation, result)
        return result

    def _accept(self, arguments: dict[str, Any]) -> dict[str, Any]:
        if not self._checks_input and (self._validators or self._class_validators())[0] is None:
            moves = _BEGUN.get(self.state)
            if moves is not None:  # nothing can happen between the two
                self.state = moves[-1][2]
                if self.kernel_cell.system.events_stream.transitions:
                    self._publish(moves)
                return arguments
        self._step(Step.CALL)
        inputs = self._validate_input(arguments)
        self._step(Step.RUN)
        return inputs

    def _validate_input(self, arguments: dict[str, Any]) -> dict[str, Any]:
        validator = (self._validators or self._class_validators())[0]
        return arguments if validator is None else validator(arguments)

    def _ends_plainly(self) -> bool:
        """Complete the call in one move, if there is nothing to check, process or score.

        That holds for most calls inside of an agent, and the moves one by one would be a fifth of their cost. Who
        listens is told of each of them all the same; they happen at the same moment.
        """
        if self._has_hooks or self._evaluators is not None:
            return False
        _, output_check, processed_check = self._validators or self._class_validators()
        if output_check is not None or processed_check is not None or self.state not in _ENDED_PLAINLY:
            return False
        moves = _ENDED_PLAINLY[self.state]
        self.state = moves[-1][2]
        if self.kernel_cell.system.events_stream.transitions:
            self._publish(moves)
        return True

    async def _conclude(self, inputs: dict[str, Any], output: Any) -> Result:
        """Everything after the output is valid."""
        evaluations: list[dict[str, Any]] = []
        evaluators = self._evaluators
        if evaluators is not None and evaluators[0]:
            self._step(Step.EVALUATE)
            evaluations += await evaluators[0].evaluate(input=inputs, output=output, error=None)
        self._step(Step.PROCESS)
        processed = output
        if type(self).process_output is not Function.process_output:
            processed = await _spread(self.process_output, output)
        self._step(Step.VALIDATE)
        validator = (self._validators or self._class_validators())[2]
        if validator is not None:
            processed = validator(processed)
        if evaluators is not None and evaluators[1]:
            self._step(Step.EVALUATE)
            evaluations += await evaluators[1].evaluate(input=inputs, output=processed, error=None)
        if type(self).close is not Function.close:
            self._step(Step.CLOSE)
            await _spread(self.close, processed)
        self._step(Step.COMPLETE)
        result = success(processed)
        if evaluations:
            result["evaluations"] = evaluations
        return result

    async def _fail(self, arguments: dict[str, Any], error: Exception, partial: Any = None) -> Failure:
        """End the call with an error dictionary; the evaluators that have not run see the error.

        Raises:
            InvalidTransition: `error` itself, if it is one of this Function's own machine: that is no failed call.
        """
        if isinstance(error, InvalidTransition) and isinstance(error.event, Step):
            raise error
        state = self.state
        result = failure(error, state=state, partial=partial)
        evaluations: list[dict[str, Any]] = []
        for evaluators in self._evaluators or ():
            evaluations += await evaluators.evaluate(input=arguments, output=None, error=result, unseen_only=True)
        if evaluations:
            result["evaluations"] = evaluations
        self._step(Step.FAIL)
        self.context.system.events_stream.publish(CallFailed(self.context.path, self.name, state, error))
        return result

    def _cancel(self, error: BaseException) -> None:
        """End a call that was cancelled, even while it failed: neither success nor failure. A crash ends all calls."""
        if not isinstance(error, Exception) and (self.state, Step.CANCEL) in FUNCTION.edges:
            self._step(Step.CANCEL)

    def _class_validators(self) -> tuple[Check | None, Check | None, Check | None]:
        """Return the validators of a subclass whose constructor does not call this one's."""
        self._validators = (
            validator_for(self.input_validator),
            validator_for(self.output_validator),
            validator_for(self.processed_output_validator),
        )
        return self._validators

    def _step(self, step: Step) -> None:
        """Move the machine.

        Raises:
            InvalidTransition: the table has no such edge.
        """
        try:
            moves = _MOVES[self.state, step]
        except KeyError:
            raise InvalidTransition(self.name, self.state, step) from None
        self.state = moves[0][2]
        if self.kernel_cell.system.events_stream.transitions:
            self._publish(moves)

    def _publish(self, moves: Moves) -> None:
        system = self.kernel_cell.system
        if system.events_stream.transitions:
            now = system.now()
            entered, self._entered_at = self._entered_at, now
            self._publish_of(_MACHINE, moves, now - entered if entered else 0.0)

    def _publish_of(self, machine: str, moves: Moves, elapsed: float) -> None:
        cell = self.kernel_cell
        # What `self.context.message_id` and `cell.path` say, at a third of the cost: half of a line of the log.
        current = CURRENT.get()
        message_id = current.id if current is not None and current.receiver is cell else 0
        path = self._actor_path
        if path is None:
            path = self._actor_path = cell.path
        cell.system.events_stream.publish_moves(path, self.name, machine, moves, message_id, elapsed)


async def _spread(hook: Any, value: Any) -> Any:
    """Call a hook with a dictionary's items as keyword arguments; anything else as its only argument."""
    if type(value) is dict or isinstance(value, Mapping):
        return await hook(**cast("Mapping[str, Any]", value))
    return await hook(value)
