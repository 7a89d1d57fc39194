"""Faces in images: finding, landmarks, pose and crops, offline and without an accelerator.

`face` says what a face is. `mediapipe` finds faces with models, `openface` takes landmarks that a
data set or OpenFace brings. `pose` and `align` work on the 68 points of either, with `mean_face` as
their measure.
"""
