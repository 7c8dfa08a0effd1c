"""`tinyllm-actors chat`: a conversation in the terminal."""

from __future__ import annotations

import sys
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import anyio

from tinyllm_actors.agent import Agent
from tinyllm_actors.cli.demo import get_user_property
from tinyllm_actors.cli.echo import EchoModel
from tinyllm_actors.cli.keyboard import Keyboard
from tinyllm_actors.cli.models import find_model, is_local
from tinyllm_actors.cli.plain import one_line
from tinyllm_actors.cli.progress import progress
from tinyllm_actors.cli.prompt import make_prompt
from tinyllm_actors.cli.turn import dim, show_turn
from tinyllm_actors.function import FunctionRef
from tinyllm_actors.kernel import ActorSystem, configure_console_log
from tinyllm_actors.memory import BufferMemory

if TYPE_CHECKING:
    from tinyllm_actors.cli.durable import DurableChat
    from tinyllm_actors.cli.program import Interrupts, Main
    from tinyllm_actors.function import Result
    from tinyllm_actors.kernel import ConsoleLog

__all__ = ["COMMANDS", "chat"]

COMMANDS: Final = {
    "/help": "show this",
    "/tree": "show the actors, and what each is doing",
    "/cancel": "stop the answer that is being given, as Ctrl-C does; the conversation goes on",
    "/quit": "leave, as Ctrl-D does",
}

SAMPLING: Final = {"temperature": 0.3, "repeat_penalty": 1.1}
"""For an embedded model, which says the same thing again and again without. It was the best of four that were tried."""

MEMORY: Final = 40
"""Messages that the agent remembers."""

MAX_AHEAD: Final = 100
"""Lines that are read while an answer is being given."""


def chat(
    model_name: str,
    *,
    system_role: str | None,
    tools: bool | None,
    trace: bool,
    debug: bool,
    store: str | None = None,
    key: str = "chat",
) -> Main:
    """Return the program. Its exit code is 1 if its input was no terminal and an answer failed.

    Args:
        model_name: as `find_model` takes it.
        system_role: what the agent is told about its role; None for the usual.
        tools: offer a tool; None for all but the local model, which would call it whatever is said.
        trace: log transitions.
        debug: log the lifecycles of the actors, too.
        store: where the conversation is kept, such as `"sqlite:///chats.db"`; None to forget it.
        key: which conversation of the store.
    """

    async def main(interrupts: Interrupts) -> int:
        log = configure_console_log(level="debug" if debug else "info" if trace else "critical")
        async with ActorSystem("chat", log_transitions=trace or debug) as system:
            said = 0
            async with progress(f"loading the model {model_name!r}", log=log):
                model = await find_model(model_name, SAMPLING)
                offered = tools if tools is not None else isinstance(model, EchoModel) or not is_local(model_name)
                role: dict[str, Any] = {} if system_role is None else {"system_role": system_role}
                spec = Agent.spec(
                    model=model,
                    tools=[get_user_property] if offered else [],
                    memory=BufferMemory.spec(buffer_size=MEMORY),
                    **role,
                )
                agent: FunctionRef | DurableChat
                if store is None:
                    agent = await system.spawn(spec, name="Agent")
                else:
                    from tinyllm_actors.cli.durable import DurableChat

                    kept = (await system.conversations(spec, store=store, recover=False))[key]
                    said = len(await kept.history())
                    agent = DurableChat(kept)
            if sys.stdin.isatty():
                log.line(f"Talking to {model.name}. /help lists the commands, Ctrl-D leaves.")
            conversation = _Conversation(system, agent, log, interrupts)
            if said:
                log.line(dim(f"({said} messages so far)"))
                await conversation.go_on()
            await conversation.run()
        return 0 if sys.stdin.isatty() or not conversation.failures else 1

    return main


class _Conversation:
    """Takes line after line: commands at once, everything else as a turn of the agent.

    Attributes:
        failures: turns that ended in an error.
    """

    def __init__(
        self, system: ActorSystem, agent: FunctionRef | DurableChat, log: ConsoleLog, interrupts: Interrupts
    ) -> None:
        self.failures = 0
        self._system = system
        self._agent = agent
        self._log = log
        self._interrupts = interrupts
        self._keyboard = Keyboard(encoding=sys.stdin.encoding or "utf-8")
        self._prompt = make_prompt(self._keyboard, interrupts, list(COMMANDS))
        self._ahead: deque[str] = deque()

    async def go_on(self) -> None:
        """Show the end of a turn that an earlier process did not finish, if there is one."""
        if not isinstance(self._agent, FunctionRef) and await self._agent.has_open_turn():
            await self._turn(None)

    async def run(self) -> None:
        """Converse until the user leaves."""
        while True:
            line = self._ahead.popleft() if self._ahead else await self._prompt.line()
            if line is None or line.strip() == "/quit":
                return
            if not self._command(line):
                await self._turn(line)

    def _command(self, line: str) -> bool:
        """Do what a command says; False if the line is none."""
        word = line.strip()
        if not word.startswith("/") or len(word.split()) > 1:
            return not word
        if word == "/help":
            width = max(map(len, COMMANDS))
            self._log.urgent_line("\n".join(f"{name:{width}}  {what}" for name, what in COMMANDS.items()))
        elif word == "/tree":
            self._log.urgent_line(self._system.inspect().render())
        elif word == "/cancel":
            self._log.urgent_line("(there is nothing to stop)")
        else:
            self._log.urgent_line(f"(there is no command {one_line(word, 40)}; /help lists them)")
        return True

    async def _turn(self, content: str | None) -> None:
        result: Result | None = None
        with anyio.CancelScope() as scope, self._interrupts.taken_by(lambda: self._stop(scope)):
            async with anyio.create_task_group() as group:
                group.start_soon(self._listen, scope)
                result = await show_turn(self._agent, content, self._log)
                group.cancel_scope.cancel()
        if result is None:
            self._log.line("(stopped)")
        elif result["status"] == "error":
            self.failures += 1
            print(f"tinyllm-actors: {one_line(result['message'], 1000)}", file=sys.stderr, flush=True)

    def _stop(self, scope: anyio.CancelScope) -> None:
        """Stop the turn; asked again while it does not stop, end the program."""
        if scope.cancel_called:
            self._interrupts.end()
        scope.cancel()

    async def _listen(self, turn: anyio.CancelScope) -> None:
        """Read what is typed during a turn. `/cancel` stops it; questions wait, and so do commands behind them.

        At a terminal the user means what is on the screen: nothing but questions waits.
        """
        at_terminal = sys.stdin.isatty()
        while len(self._ahead) < MAX_AHEAD:
            line = await self._keyboard.line()
            if line is None:
                return  # the prompt will be told so, too
            word = line.strip()
            if word == "/cancel" and (at_terminal or not self._ahead):
                turn.cancel()
            elif not (at_terminal and word in {"/tree", "/help"} and self._command(word)):
                self._ahead.append(line)
