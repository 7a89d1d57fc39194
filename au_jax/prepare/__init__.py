"""Data preparation, `--mode=prepare`: from the raw files of a data set to records to train on.

`run` is the whole of it. `readers` turn label files into rows, `row_index` keeps all rows in one
SQLite file, `worker` makes records of them in several processes (`data.image_io` reads their
images, `au_jax.faces` finds and cuts out the faces), `tfds_builder` puts the shard files together
into a TFDS data set, and `audit` shows what became of every row.
"""
