"""What tests of tracers share: the receiver can be imported, also where tests run from a wheel."""

from __future__ import annotations

import sys
from pathlib import Path

from pydantic import TypeAdapter

if (_here := str(Path(__file__).parent)) not in sys.path:
    sys.path.append(_here)

TypeAdapter(int)  # the first one reads the plugins of pydantic, which no test should do inside of its event loop
