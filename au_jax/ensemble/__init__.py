"""After training: selections of checkpoints, how they are chosen, and prediction with them."""
