"""Rendered faces with known action units, from the shapes of ICT-FaceKit.

`scene` says what a picture holds, `population` samples people and `scenes` what happens to them,
`face_kit` reads the shapes, `expression` moves them, `skin` paints them, `rasterizer` makes pixels
of them, `surroundings` draws what is behind and before the face, `camera` degrades the picture.
"""
