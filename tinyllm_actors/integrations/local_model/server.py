"""The program that runs llama.cpp, in a process of its own. It imports nothing of this library.

It is run by path and isolated (`python -I server.py`), so that neither the parent's environment nor its folder
changes what is imported. The protocol with its parent:

- stdin, one line of JSON: a `Settings` object. Then nothing; its end means that the parent is gone.
- stdout, one line of JSON: `{"address": "http://127.0.0.1:…"}`, or `{"error": "…"}` and exit code 1. Its end means
  that this process is gone.
- stderr: llama.cpp's errors, no more.

The process never outlives its parent: kill -9 of the parent closes the pipe, and once a second the program looks
whether it has been given to another parent, in case a forked sibling holds the pipe open.
"""

from __future__ import annotations

import importlib
import json
import os
import pathlib
import select
import signal
import sys
from typing import Any, TypedDict

__all__ = ["Settings"]

_LOOK = 1.0
"""How often to look for the parent, in seconds."""

_ERRORS_ONLY = 1
"""The verbosity at which llama.cpp writes errors and nothing else."""


class Settings(TypedDict):
    """What the parent asks for.

    Attributes:
        runtime: the folder that holds the package with llama.cpp.
        weights: the GGUF file.
        context: tokens in the cache, shared evenly by the slots.
        slots: requests that are worked on at once.
        threads: for computing.
        prompt_cache_mib: memory for prompts that had to leave their slot; 0 keeps none.
        api_key: what requests must carry.
    """

    runtime: str
    weights: str
    context: int
    slots: int
    threads: int
    prompt_cache_mib: int
    api_key: str


def start(settings: Settings) -> Any:
    """Return llama.cpp's server, loaded and listening. It holds the interpreter's lock until then."""
    sys.path.append(settings["runtime"])
    llama: Any = importlib.import_module("xllamacpp")  # it has no stubs
    params = llama.CommonParams()
    params.model.path = settings["weights"]
    params.model_alias = {pathlib.Path(settings["weights"]).stem}
    params.n_ctx = settings["context"]
    params.n_parallel = settings["slots"]
    params.cpuparams.n_threads = settings["threads"]
    params.cpuparams.poll = 0  # idle threads sleep instead of spinning
    params.cache_ram_mib = settings["prompt_cache_mib"]  # 8 GiB if not said
    params.cache_idle_slots = settings["prompt_cache_mib"] > 0
    params.api_keys = [settings["api_key"]]
    params.hostnames = ["127.0.0.1"]
    params.port = 0  # a free one, chosen when it is bound
    params.ui = False
    params.fit_params = False  # it halves the time to start; without a graphics card there is nothing to fit
    params.verbosity = _ERRORS_ONLY
    return llama.Server(params)


def wait_for_the_end(parent: int, stdin: int) -> None:
    """Return when the parent is gone or has closed our stdin."""
    while os.getppid() == parent:
        readable, _, _ = select.select([stdin], [], [], _LOOK)
        if readable and not os.read(stdin, 4096):
            return


def main() -> None:
    """Serve until the parent is gone."""
    parent = os.getppid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    # What llama.cpp prints must not get into the protocol.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    settings: Settings = json.loads(sys.stdin.readline())
    try:
        server = start(settings)
        said = {"address": server.listening_address}
    except Exception as error:
        server, said = None, {"error": f"{type(error).__name__}: {error}"}
    out.write(json.dumps(said) + "\n")
    out.flush()
    if server is None:
        sys.exit(1)
    wait_for_the_end(parent, 0)
    # Destroying the server waits for what it is working on, which nobody will read.
    os._exit(0)


if __name__ == "__main__":
    main()
