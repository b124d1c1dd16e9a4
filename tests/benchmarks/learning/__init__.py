"""What networks learn: which one is best, and what derivatives alone tell them."""
