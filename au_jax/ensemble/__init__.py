"""Selections of trained checkpoints: how they are chosen, and prediction with them."""
