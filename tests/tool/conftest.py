"""Tools in processes of their own need a module that any process can import."""

from __future__ import annotations

import sys
from pathlib import Path

if (_here := str(Path(__file__).parent)) not in sys.path:
    sys.path.append(_here)
