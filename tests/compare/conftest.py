"""PyTorch on one thread, and compact stand-ins for its libraries of networks."""

import torch
from stand_ins import stand_ins  # noqa: F401

# The tests run beside each other, and PyTorch's threads wait for one another.
torch.set_num_threads(1)
