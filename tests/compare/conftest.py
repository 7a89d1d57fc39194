"""One thread for PyTorch: the tests run beside each other, and its threads wait for one another."""

import torch

torch.set_num_threads(1)
