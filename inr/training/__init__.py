"""How it learns: one optimiser step after the other, measured and saved."""

__all__ = [
    "allocator",
    "compilation",
    "fit",
    "fused_batch",
    "optimizers",
    "schedules",
    "trainer",
]
