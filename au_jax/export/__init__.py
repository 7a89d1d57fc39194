"""Trained networks to take along: a folder that needs no run, in the forms of several libraries.

`run` writes it. What `au_jax.load` reads of it is `ensemble.model_folder`; the other forms are
PyTorch's (`pytorch`), StableHLO and ONNX; `card` writes what people should know of it.
"""
