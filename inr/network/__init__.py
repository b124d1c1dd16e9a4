"""What learns: a network, its derivatives in closed form, and a trained one read back."""

__all__ = ["activations", "adjoint", "matmul", "model", "trained_network"]
