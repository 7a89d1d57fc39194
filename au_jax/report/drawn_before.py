"""Charts that the report before drew from the same values, which are taken as they are.

Drawing takes most of the time of a report, and few charts change from one report of a run to the
next. Every chart's PNG file names, as a text in it, a hash of what it was drawn from.
"""

import contextlib
import dataclasses
import functools
import hashlib
import importlib.metadata
import io
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from au_jax.report import charts

_KEY = "Drawn from"
# Of every PNG file: the signature, and the first chunk, behind which texts may stand.
_HEAD = 8 + 25


def drawn(file: Path, draw: Callable[..., bytes], *values: Any) -> bytes:
    """The PNG `draw(*values)`, read from `file` where that was drawn from the same.

    Args:
      draw: a function of `charts`.
      values: dataclasses, mappings, sequences, arrays, numbers and texts.
    """
    digest = hashlib.blake2b(digest_size=16)
    for value in (_drawing(), draw.__name__, *values):
        _feed(digest, value)
    said = digest.hexdigest()
    with contextlib.suppress(OSError, SyntaxError, ValueError):  # missing, damaged, or no PNG
        png = file.read_bytes()
        if _text(png) == said:
            return png
    return _with_text(draw(*values), said)


@functools.cache
def _drawing() -> str:
    """What charts follow from besides their values: the code that draws them."""
    code = Path(charts.__file__).read_bytes()
    return f"{importlib.metadata.version('matplotlib')} {hashlib.blake2b(code).hexdigest()}"


def _feed(digest: hashlib.blake2b, value: Any) -> None:
    if dataclasses.is_dataclass(value):
        parts = [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]
        _feed(digest, (type(value).__name__, *parts))
    elif isinstance(value, np.ndarray) and value.dtype != object:
        digest.update(f"{value.dtype}{value.shape}".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, Mapping):
        _feed(digest, list(value.items()))
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        digest.update(f"[{len(value)}".encode())
        for part in value:
            _feed(digest, part)
    else:
        digest.update(f"{type(value).__name__} {value!r};".encode())


def _text(png: bytes) -> str | None:
    """What the chart was drawn from; raises an error where the file is damaged."""
    with Image.open(io.BytesIO(png)) as image:
        image.verify()
        return image.info.get(_KEY)


def _with_text(png: bytes, text: str) -> bytes:
    content = b"tEXt" + f"{_KEY}\0{text}".encode("latin-1")
    length = struct.pack(">I", len(content) - 4)
    return png[:_HEAD] + length + content + struct.pack(">I", zlib.crc32(content)) + png[_HEAD:]
