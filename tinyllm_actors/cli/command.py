"""What the command line says: the arguments, and what becomes of failures. Everything else is imported when needed."""

from __future__ import annotations

import argparse
import io
import os
import sys
from typing import TYPE_CHECKING, Any, Final

from tinyllm_actors.cli.arguments import add_config, add_eval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinyllm_actors.cli.program import Main

__all__ = ["main"]

BACKENDS: Final = ("asyncio", "uvloop", "trio")
INTERRUPTED: Final = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    Args:
        arguments: without the name of the program; those of the process if left out.
    """
    _prepare_streams()
    options = _parser().parse_args(arguments)
    try:
        code = _run(options)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if options.debug:
            raise
        from tinyllm_actors.cli.plain import sentence

        print(f"tinyllm-actors: {sentence(error)}", file=sys.stderr)
        return 1


def _prepare_streams() -> None:
    """Make the standard files fit for what comes."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:  # closed: whatever is opened next would be taken for it
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - until the end
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # What models say may not fit the terminal's encoding; that is no reason to stop.
            stream.reconfigure(errors="backslashreplace")


def _run(options: argparse.Namespace) -> int:
    if options.command == "config":
        from tinyllm_actors.cli import config

        return config.check(options.file) if options.action == "check" else config.show(options.file)
    from tinyllm_actors.cli.program import run_program

    program: Main
    if options.command == "demo":
        from tinyllm_actors.cli.demo import demo

        program = demo(options.model, streamed=options.stream, debug=options.debug)
    elif options.command == "eval":
        from tinyllm_actors.cli.evaluation import evaluation

        program = evaluation(options)
    else:
        from tinyllm_actors.cli.chat import chat

        program = chat(
            options.model,
            system_role=options.system,
            tools=options.tools,
            trace=options.trace,
            debug=options.debug,
            store=options.store,
            key=options.key,
        )
    return run_program(program, options.backend)


class _Version(argparse.Action):
    """Prints the version of the installed package, and looks it up only then."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from importlib.metadata import version

        print(f"tinyllm-actors {version('tinyllm_actors')}")
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tinyllm-actors", description="Agents as supervised actors.")
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(dest="command", required=True, metavar="{demo,chat,eval,config}")

    demo = commands.add_parser(
        "demo",
        help="answer one question with a tool, and show each step",
        description="Answer one question with a tool.",
    )
    demo.add_argument("--stream", action="store_true", help="print the answer as it comes")

    chat = commands.add_parser("chat", help="talk to an agent", description="Talk to an agent; /help says how.")
    chat.add_argument("--system", metavar="TEXT", default=None, help="what the agent is told about its role")
    chat.add_argument(
        "--tools",
        action=argparse.BooleanOptionalAction,
        help="offer a tool, get_user_property; default: for all but the local model, which would call it at any word",
    )
    chat.add_argument(
        "--store",
        metavar="URL",
        help="keep the conversation, such as sqlite:///chats.db: it goes on where it stood, whatever ended the program",
    )
    chat.add_argument("--key", default="chat", help="which conversation of the store; default: %(default)s")
    chat.add_argument("--trace", action="store_true", help="show each transition of the agent and its parts")

    evals, settings = add_eval(commands), add_config(commands)
    for command in (demo, chat, evals[0]):
        command.add_argument(
            "--model",
            default="local",
            help="local (a small model inside the process), scripted (no model at all), or a name such as "
            "openai/gpt-4o-mini; default: %(default)s",
        )
    for command in (demo, chat, *evals):
        command.add_argument("--backend", choices=BACKENDS, default="asyncio", help="default: %(default)s")
    for command in (demo, chat, *evals, *settings):
        command.add_argument("--debug", action="store_true", help="log everything; show where a failure came from")
    return parser
