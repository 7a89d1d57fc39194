"""Drawn faces with known action units: the embedded data set.

`population` samples people, images and videos (`time_course` says how faces move in these),
`anatomy` turns them into 3-D geometry, `drawing` into images, `annotators` labels them with errors
(`data.systematic_detector`, by the `conditions` of an image), `config` says what is drawn and
`builder` stores it as a TFDS data set.
Only `builder` needs TFDS, so a rendering child process (`worker`) starts in a tenth of a second.
"""
