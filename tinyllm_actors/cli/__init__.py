"""The `tinyllm-actors` command: `demo` runs one job and shows its trace, `chat` is a conversation in the terminal.

`eval` runs datasets and compares runs, `config` checks and shows `tinyllm.yaml`.

Neither needs more than the library itself; `pip install 'tinyllm_actors[cli]'` adds history and editing of lines.
Exit codes: 0 for success, 1 for a failure (one sentence on standard error), 2 for wrong arguments, 130 and 143 for
Ctrl-C and a termination signal.
"""

from tinyllm_actors.cli.command import main

__all__ = ["main"]
