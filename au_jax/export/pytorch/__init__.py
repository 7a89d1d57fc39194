"""Networks in PyTorch: their definitions, our weights by their names, and a folder of both.

Modules that import PyTorch (`networks`, `load`) are imported only by what needs it, so that a
training, a prediction or a plain export never loads it.
"""

# How to get PyTorch and its libraries, for the sentences that miss one.
INSTALL = 'install it with: pip install "au-jax[compare]"'
