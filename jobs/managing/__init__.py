"""How runs stand, and what can be done about it: status, logs, cancel, retry, drop."""

__all__ = ["arguments", "cancel", "drop", "logs", "retry", "status_table"]
