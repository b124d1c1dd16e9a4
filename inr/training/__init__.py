"""How it learns: one optimiser step after the other, measured and saved."""

__all__ = [
    "allocator",
    "batches",
    "compilation",
    "evaluation",
    "fit",
    "optimizers",
    "schedules",
    "step",
]
