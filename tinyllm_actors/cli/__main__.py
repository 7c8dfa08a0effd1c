"""`python -m tinyllm_actors.cli`: the command, where it is not on the path."""

import sys

from tinyllm_actors.cli.command import main

if __name__ == "__main__":
    sys.exit(main())
