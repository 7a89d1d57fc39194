"""Files of a run as a cut disk, an editor or another program may leave them."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

_CONTENTS = (b"", b"null", b"[]", b"5", b"{}", b"\xff\xfe", b'"', b"[" * 99_999, b"\0" * 64)
_VALUES: tuple[Any, ...] = (None, True, -1, 0, 7, 1.5, 10**400, float("nan"), "", "x", [], {}, [[]])


@st.composite
def damages(draw, path: Path) -> bytes:
    """What may stand in the place of the content of a file that ends in .json or .npz."""
    content = path.read_bytes()
    if draw(st.integers(0, 3)) == 0:
        cut = draw(st.integers(0, len(content) - 1))
        return draw(st.sampled_from((*_CONTENTS, content[:cut], content[cut:])))
    return draw(_json(content) if path.suffix == ".json" else _arrays(content))


@st.composite
def _json(draw, content: bytes) -> bytes:
    """One value in it is another one, or missing."""
    whole = json.loads(content)
    places = list(_places(whole))
    if not places:
        return b"5"
    holder, key = draw(st.sampled_from(places))
    value = draw(st.sampled_from((*_VALUES, "drop", "double")))
    if value == "drop":
        del holder[key]
    else:
        holder[key] = [holder[key], holder[key]] if value == "double" else value
    return json.dumps(whole).encode()


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """(what holds it, its key or position) of every value within a value."""
    for key in value if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])


@st.composite
def _arrays(draw, content: bytes) -> bytes:
    """One of its arrays is another one, or missing."""
    with np.load(io.BytesIO(content)) as stored:
        arrays = dict(stored)
    name = draw(st.sampled_from(sorted(arrays)))
    array = arrays.pop(name)
    changed = {
        "drop": lambda: None,
        "short": lambda: array[:-1] if array.ndim else array[None],
        "narrow": lambda: array[..., :-1] if array.ndim else array[None],
        "flat": lambda: array.ravel()[:1],
        "text": lambda: array.astype(str),
        "bytes": lambda: array.astype("S"),
        "nan": lambda: np.full(array.shape, np.nan, np.float32),
        "seven": lambda: np.full(array.shape, 7, array.dtype),
        "complex": lambda: np.zeros(array.shape, np.complex64),
        "empty": lambda: np.zeros((0, *array.shape[1:]), array.dtype),
        "other": lambda: array[::-1] if array.ndim else array[None],
    }[
        draw(
            st.sampled_from(
                [
                    *("drop", "short", "narrow", "flat", "text", "bytes"),
                    *("nan", "seven", "complex", "empty", "other"),
                ]
            )
        )
    ]()
    if changed is not None:
        arrays[name] = changed
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()
