"""Adapters: the only place that names a vendor. Each is imported when it is first used."""
