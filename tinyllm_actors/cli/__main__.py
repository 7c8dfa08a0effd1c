"""`python -m tinyllm_actors.cli`: the command, where it is not on the path."""

import sys

from tinyllm_actors.cli.command import main

sys.exit(main())
