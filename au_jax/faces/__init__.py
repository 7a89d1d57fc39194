"""Faces in images: found, landmarked, posed and cut out, offline and without an accelerator.

`finder` says what a face is and what finds one; `mediapipe` finds them with models, `given` takes
landmarks that a data set or OpenFace brings; `pose` and `align` work on the 68 points of either.
"""
