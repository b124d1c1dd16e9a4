"""What the numbers say: factors, rankings, weightings. Knows no matplotlib."""

__all__ = [
    "choices",
    "factors",
    "fields",
    "learning_rates",
    "loss_weightings",
    "paired",
    "ranking",
    "settings_table",
]
