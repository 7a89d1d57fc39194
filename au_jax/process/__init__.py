"""The process that runs: its CPU cores, its memory pages, and what its threads print."""
