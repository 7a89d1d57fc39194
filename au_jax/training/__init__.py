"""Training: the step, the loop, scoring, checkpoints and what a checkpoint says of itself."""
