"""What is learned: an image, its diffusion, and their derivatives."""

__all__ = ["sequences"]
