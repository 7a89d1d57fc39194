"""Prediction for a user's own photographs and videos: from files to a table of faces and AUs.

`inputs` says which files are meant and `frames` reads them one image after another; `face_crops`
finds the faces of an image and cuts out what the networks read. `pipeline` does both in threads
ahead of the networks. `answers` puts the networks' logits together frame by frame, with `tracks`
for the faces of a video and `smoother` for its frames. `rows` says what the table's columns are,
and `partial_table` keeps it whole through a kill; `parquet` turns it into that format, and
`overlay` draws it into copies of the images. `run` is `--mode=predict`, `speed` measures its parts,
and `model` is what `au_jax.load` gives, with `face_predictions` for what it answers.
"""
