"""What learns: a network, its derivatives in closed form, and a trained one read back."""

__all__ = ["adjoint", "matmul", "model", "passes", "predict", "tiling", "trained_network"]
