"""What tests of evaluations share."""

from __future__ import annotations

from pydantic import TypeAdapter

TypeAdapter(int)  # the first one reads the plugins of pydantic, which no test should do inside of its event loop
