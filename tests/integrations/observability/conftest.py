"""What tests of tracers share: the receiver can be imported, also where tests run from a wheel."""

from __future__ import annotations

import sys
from pathlib import Path

if (_here := str(Path(__file__).parent)) not in sys.path:
    sys.path.append(_here)
