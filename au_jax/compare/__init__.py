"""Comparison with PyTorch: trainings side by side, from the same weights on the same batches.

Nothing here is imported by the other modes, and modules that import PyTorch are imported only by
what needs it, so that a training or a prediction never loads it.
"""
