"""Where the user types: a plain prompt, or one with history and editing where prompt_toolkit is installed."""

from __future__ import annotations

import importlib.util
import os
import sys
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Final

import anyio
import anyio.to_thread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinyllm_actors.cli.keyboard import Keyboard
    from tinyllm_actors.cli.program import Interrupts

__all__ = ["Prompt", "make_prompt"]

SIGN: Final = "> "
HOW_TO_LEAVE: Final = "(Ctrl-D or /quit leaves)"


class Prompt(ABC):
    """Asks the user for a line."""

    @abstractmethod
    async def line(self) -> str | None:
        """Return the next line; None when there are no more."""


def make_prompt(keyboard: Keyboard, interrupts: Interrupts, commands: Sequence[str]) -> Prompt:
    """Return the best prompt for what standard input and output are.

    Args:
        keyboard: where lines come from without prompt_toolkit.
        interrupts: at a terminal, Ctrl-C drops the line and nothing else.
        commands: what the Tab key completes.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return _Silent(keyboard)
    if importlib.util.find_spec("prompt_toolkit") is None or os.environ.get("TERM", "dumb") == "dumb":
        return _Plain(keyboard, interrupts)
    return _Edited(commands)


class _Silent(Prompt):
    """For pipes and files: lines, and no sign of waiting for them."""

    def __init__(self, keyboard: Keyboard) -> None:
        self._keyboard = keyboard

    async def line(self) -> str | None:
        return await self._keyboard.line()


class _Plain(Prompt):
    """For a terminal as it is."""

    def __init__(self, keyboard: Keyboard, interrupts: Interrupts) -> None:
        self._keyboard = keyboard
        self._interrupts = interrupts

    async def line(self) -> str | None:
        while True:
            print(SIGN, end="", flush=True)
            with anyio.CancelScope() as scope, self._interrupts.taken_by(scope.cancel):
                line = await self._keyboard.line()
                if line is None:
                    print()
                return line
            self._keyboard.discard()
            print(f"\n{HOW_TO_LEAVE}")


class _Edited(Prompt):
    """For a terminal, with prompt_toolkit.

    It needs an asyncio loop, so it gets one of its own in a thread, whatever the program runs on.
    """

    def __init__(self, commands: Sequence[str]) -> None:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.completion import WordCompleter

        completer = WordCompleter(list(commands), sentence=True)
        self._session: PromptSession[str] = PromptSession(completer=completer, complete_while_typing=False)
        self._given_up = False

    async def line(self) -> str | None:
        lines: list[str | None] = []
        self._given_up = False
        async with anyio.create_task_group() as group:
            group.start_soon(self._give_up_when_cancelled)
            lines.append(await anyio.to_thread.run_sync(self._ask))
            group.cancel_scope.cancel()
        return lines[0]

    def _ask(self) -> str | None:
        while not self._given_up:
            try:
                return self._session.prompt(SIGN, handle_sigint=False, pre_run=self._leave_if_given_up)
            except KeyboardInterrupt:
                print(HOW_TO_LEAVE)
            except EOFError:
                break
        return None

    async def _give_up_when_cancelled(self) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            self._given_up = True
            application: Any = self._session.app
            if application.is_running and application.loop is not None:
                application.loop.call_soon_threadsafe(self._leave_if_given_up)

    def _leave_if_given_up(self) -> None:
        application = self._session.app
        if self._given_up and application.is_running and not application.is_done:
            application.exit(exception=EOFError())
