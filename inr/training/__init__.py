"""How it learns: one optimiser step after the other, measured and saved."""

__all__ = ["allocator", "compilation", "fit", "optimizers", "schedules", "step", "trainer"]
