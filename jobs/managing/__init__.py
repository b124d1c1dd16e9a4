"""How runs stand, and what can be done about it: status, logs, cancel, retry."""

__all__ = ["arguments", "cancel", "logs", "retry", "status_table"]
