"""What the numbers say: factors, rankings, weightings. Knows no matplotlib."""

__all__ = ["factors", "learning_rates", "loss_weightings", "ranking"]
