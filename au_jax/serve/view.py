"""HTML of predictions: a picture with boxes, bars of AUs, curves over time, a table to keep."""

import base64
import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from au_jax import html
from au_jax.aus import MEANING
from au_jax.metrics import decide
from au_jax.predict.answers import Row
from au_jax.serve.seen import Seen

# The width of a curve in its own units; it is stretched to that of the page.
_WIDTH = 1000


@dataclasses.dataclass(frozen=True)
class Bar:
    """One AU of one face."""

    au: str
    meaning: str
    probability: float
    threshold: float
    present: bool


@dataclasses.dataclass(frozen=True)
class Curve:
    """One AU of one face over the frames that were looked at.

    Attributes:
      lines: the points "x,y x,y ..." of each stretch of frames in which the face is seen.
      present, seen: frames in which the AU counts as present, and in which the face is seen.
    """

    au: str
    meaning: str
    threshold: float
    lines: list[str]
    present: int
    seen: int


def bars_of(row: Row, aus: Sequence[str], thresholds: Sequence[float]) -> list[Bar]:
    """The AUs of a face, in the order of `aus`."""
    decisions = decide(row.probabilities, np.array(thresholds))
    return [
        Bar(au, MEANING[au], float(p), t, bool(d))
        for au, p, t, d in zip(aus, row.probabilities, thresholds, decisions, strict=True)
    ]


def curves_of(seen: Seen, face: int, thresholds: Sequence[float]) -> list[Curve]:
    """The AUs of a face over time, in the order of `seen.aus`."""
    probabilities = seen.curves(face)
    places = np.linspace(0, _WIDTH, len(probabilities))
    found = ~np.isnan(probabilities[:, 0])
    ends = np.flatnonzero(np.diff(found)) + 1
    stretches = [s for s in np.split(np.arange(len(found)), ends) if found[s[0]]]
    present = decide(probabilities, np.array(thresholds)).sum(0)
    return [
        Curve(
            au,
            MEANING[au],
            thresholds[a],
            [_points(places[s], probabilities[s, a]) for s in stretches],
            int(present[a]),
            int(found.sum()),
        )
        for a, au in enumerate(seen.aus)
    ]


def _points(x: np.ndarray, probabilities: np.ndarray) -> str:
    if len(x) == 1:  # a short line, as a single point is not drawn
        x, probabilities = np.array([x[0] - 2, x[0] + 2]), probabilities.repeat(2)
    y = 100 - 100 * probabilities
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x.tolist(), y.tolist(), strict=True))


def picture(seen: Seen, image: int, face: int) -> str:
    """The picture, or the frame at place `image`, with a numbered box for each face."""
    shown = seen.images[image]
    found = [row.answer for row in seen.rows[image] if row.answer.face >= 0]
    boxes = []
    for answer in found:
        left, top, width, height = answer.box.tolist()
        number, chosen = answer.face, answer.face == face
        boxes.append(
            {"left": left, "top": top, "width": width, "height": height}
            | {"number": number, "chosen": chosen}
        )
    count = {0: "no face is found", 1: "one face"}.get(len(found), f"{len(found)} faces")
    where = f", {_when(seen, image)}" if seen.moving else ""
    return html.render(
        "serve/picture.html",
        source=f"data:image/jpeg;base64,{base64.b64encode(shown.jpeg).decode()}",
        width=shown.width,
        height=shown.height,
        unit=max(shown.width, shown.height) / 36,
        boxes=sorted(boxes, key=lambda box: box["chosen"]),
        meaning=f"{seen.name}: {count}",
        caption=f"{seen.name}{where}: {count}",
    )


def bars(seen: Seen, image: int, face: int, thresholds: Sequence[float]) -> str:
    """The AUs and the pose of one face in the picture or frame, as bars."""
    row = seen.row(image, face)
    if row is None:
        title = f"Face {face}" if face >= 0 else "No face is found"
        text = f"It is not seen in {_when(seen, image)}." if face >= 0 else ""
        return html.render("serve/bars.html", title=title, text=text, bars=[])
    answer = row.answer
    return html.render(
        "serve/bars.html",
        title=f"Face {face}",
        text=f"{pose(answer.pose)} Confidence: {answer.confidence:.2f}{_why(answer.doubts)}.",
        bars=bars_of(row, seen.aus, thresholds),
    )


def _why(doubts: str) -> str:
    return f" ({doubts})" if doubts else ""


def pose(angles: np.ndarray) -> str:
    """The head's pose [3], in degrees as `faces.face.Face` has it, in words."""
    if np.isnan(angles).any():
        return "The head's pose is not known."
    words = (("up", "down"), ("to the person's left", "to the person's right"))
    pitch, yaw, roll = (round(angle) for angle in angles.tolist())
    parts = [
        f"{abs(angle)}° {ways[angle < 0]}"
        for angle, ways in zip((pitch, yaw), words, strict=True)
        if angle
    ]
    if roll:
        parts.append(f"tilted {abs(roll)}° {'anti' if roll < 0 else ''}clockwise in the picture")
    turned = ", ".join(parts) or "straight ahead"
    return f"Head: {turned} (pitch {pitch}°, yaw {yaw}°, roll {roll}°)."


def curves(seen: Seen, image: int, face: int, thresholds: Sequence[float]) -> str:
    """The AUs of one face over the time of a video; nothing of a picture, or without a face."""
    if not seen.moving or face < 0:
        return ""
    last = len(seen.images) - 1
    return html.render(
        "serve/curves.html",
        title=f"Face {face} over time",
        curves=curves_of(seen, face, thresholds),
        now=_WIDTH * image / max(last, 1),
        start=_when(seen, 0),
        end=_when(seen, last),
    )


def _when(seen: Seen, image: int) -> str:
    """Which frame it is, and at which time, where that is known."""
    origin = seen.images[image].origin
    time = "" if math.isnan(origin.timestamp) else f" at {origin.timestamp:.2f} s"
    return f"frame {origin.frame}{time}"


def table_link(seen: Seen, thresholds: Sequence[float]) -> str:
    """A link that holds the whole table, so that no file of it lies on the server."""
    data = base64.b64encode(seen.csv(thresholds).encode()).decode()
    return html.render("serve/table_link.html", name=f"{Path(seen.name).stem}.csv", data=data)


def notice(text: str) -> str:
    """A sentence that stands out; nothing for none."""
    return html.render("serve/notice.html", text=text) if text else ""
