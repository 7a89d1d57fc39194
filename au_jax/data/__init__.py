"""Data sets as training reads them: records, splits of them, folds and batches.

`records` says what is stored of a face; `datasets` finds the folder of a data set, `sources` opens
a split of it, `splits` the records that a config's split name (`split_name`) stands for, `folds`
divides them by subject, `units` says who shares a video, and `corruptions` spoils their images for
validation. `pipeline` makes the batches. `image_io` reads a user's own images and videos, and
`crop_jpeg` is how crops of them are stored. `synthetic_faces` is the embedded data set. All of it
is NumPy only.
"""
