"""Reading and writing of files: whole or not at all, in known forms, one process at a time."""
