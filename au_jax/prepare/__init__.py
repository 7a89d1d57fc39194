"""Data preparation: from raw files of a data set to records that can be trained on."""
