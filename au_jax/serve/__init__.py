"""A page to try a trained model on pictures and videos, with Gradio.

`upload` says which files are taken and how large they may be. `look` asks the model about one of
them, and `seen` is what it found, whatever the thresholds are. `view` draws that as HTML, with
`about` for what the page says of the model. `page` puts the page together, and `run` is
`--mode=serve`: only these two import Gradio.
"""

# How to get Gradio, for the sentence that misses it.
INSTALL = 'install it with: pip install "au-jax[demo]"'
