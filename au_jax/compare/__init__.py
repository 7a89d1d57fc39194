"""Comparison with PyTorch: its networks, our weights in its names, and trainings side by side.

Nothing here is imported by the other modes, and modules that import PyTorch are imported only by
what needs it, so that a training or a prediction never loads it.
"""

# How to get PyTorch and its libraries, for the sentences that miss one.
INSTALL = 'install it with: pip install "au-jax[compare]"'
