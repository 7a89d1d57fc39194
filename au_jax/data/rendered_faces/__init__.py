"""Rendered faces with known action units, from the shapes of ICT-FaceKit.

`scene` says what a picture holds; `population` samples people and scenes from `looks`, and
`expressions` what faces do in them. `face_kit` reads the shapes, `expression` moves them, `skin`
paints them, `rasterizer` makes pixels of them; `backdrops` and `occluders` draw what is behind and
before the face, `camera` takes the picture, and `picture` does it all. `annotators` label it.
"""
