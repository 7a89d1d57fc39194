"""Reads the shapes of a face from a checkout of ICT-FaceKit (github.com/ICT-VGL/ICT-FaceKit, MIT).

The folder `FaceXModel` holds OBJ files of one topology: the mean head, heads that differ from it by
one standard deviation of a shape of identity, and the mean head with one expression each.
"""

import dataclasses
import hashlib
import itertools
import os
from pathlib import Path

import numpy as np

from au_jax.errors import UserError

NEUTRAL = "generic_neutral_mesh"
IDENTITIES = tuple(f"identity{number:03d}" for number in range(60))
# The expressions in use. Those of the first line come for the person's own left and right.
SIDED = (
    *("browDown", "browInnerUp", "browOuterUp", "cheekRaiser", "cheekSquint", "eyeBlink"),
    *("eyeLookDown", "eyeLookIn", "eyeLookOut", "eyeLookUp", "eyeSquint", "eyeWide"),
    *("mouthDimple", "mouthFrown", "mouthLowerDown", "mouthPress", "mouthSmile", "mouthStretch"),
    *("mouthUpperUp", "noseSneer"),
)
UNSIDED = (
    *("jawOpen", "mouthClose", "mouthPucker", "mouthRollLower", "mouthRollUpper"),
    *("mouthShrugLower", "mouthShrugUpper"),
)
BLENDSHAPES = (*(f"{stem}_{side}" for stem in SIDED for side in "RL"), *UNSIDED)

# The parts of the head, and the materials they are made of. The rest (tear fluid, the inside of the
# iris, blending meshes for engines of games) is not drawn.
PARTS = ("face", "head", "socket", "gums", "teeth", "eye", "lashes")
_ALWAYS = ("face", "head", "eye", "lashes")  # the others may lie too far back
MATERIALS = {
    "M_Face": "face",
    "M_BackHead": "head",
    "M_GumsTongue": "gums",
    "M_Teeth": "teeth",
    "M_ScleraLeft": "eye",
    "M_ScleraRight": "eye",
    "M_EyeLashes": "lashes",
}
SOCKETS_FROM = (
    11248  # from this vertex on, "head" is the inside of the mouth and of the eye sockets
)
SEEN_FROM = 6.0  # z in cm: teeth and gums farther back are never seen

# The vertices of the 68 Multi-PIE landmarks (README of ICT-FaceKit).
LANDMARKS = (
    *(1225, 1888, 1052, 367, 1719, 1722, 2199, 1447, 966, 3661, 4390, 3927, 3924, 2608, 3272, 4088),
    *(3443, 268, 493, 1914, 2044, 1401, 3615, 4240, 4114, 2734, 2509, 978, 4527, 4942, 4857, 1140),
    *(2075, 1147, 4269, 3360, 1507, 1542, 1537, 1528, 1518, 1511, 3742, 3751, 3756, 3721, 3725),
    *(3732, 5708, 5695, 2081, 0, 4275, 6200, 6213, 6346, 6461, 5518, 5957, 5841, 5702, 5711, 5533),
    *(6216, 6207, 6470, 5517, 5966),
)
STILL = 1e-4  # cm: a vertex that moves less does not move
VERSION = 1  # of the cached file's contents


@dataclasses.dataclass(frozen=True, eq=False)
class FaceKit:
    """A head, how people's heads differ from it, and how expressions move it.

    Attributes:
      neutral: float32 [V, 3], cm, the mean head; only vertices that are drawn.
      identity: float32 [60, V, 3], offsets of one standard deviation of each shape of identity.
      names: of the blendshapes, [B].
      moved, offsets: of each blendshape, int32 [K] which vertices move and float32 [K, 3] how far.
      triangles: int32 [T, 3], anticlockwise seen from outside.
      part: int8 [V], position in `PARTS`.
      landmarks: int32 [68], the vertices of the Multi-PIE landmarks.
    """

    neutral: np.ndarray
    identity: np.ndarray
    names: tuple[str, ...]
    moved: tuple[np.ndarray, ...]
    offsets: tuple[np.ndarray, ...]
    triangles: np.ndarray
    part: np.ndarray
    landmarks: np.ndarray

    def of(self, *parts: str) -> np.ndarray:
        """Which vertices belong to one of `parts`: bool [V]."""
        return np.isin(self.part, [PARTS.index(part) for part in parts])

    def triangles_of(self, *parts: str) -> np.ndarray:
        """The triangles of `parts`: int32 [K, 3]."""
        return np.ascontiguousarray(self.triangles[self.of(*parts)[self.triangles[:, 0]]])


def load(raw: Path, cache: Path) -> FaceKit:
    """Reads a checkout, once: the next time from a file in the folder `cache`.

    Args:
      raw: the checkout of ICT-FaceKit, the folder that holds `FaceXModel`.

    Raises:
      UserError: files are missing or damaged.
    """
    shapes = files(raw)
    digest = hashlib.sha256(str(VERSION).encode())
    for file in shapes.values():
        stat = file.stat()
        digest.update(f"{file.name} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    cached = cache / f"face_kit-{digest.hexdigest()[:16]}.npz"
    if not cached.exists():
        cache.mkdir(parents=True, exist_ok=True)
        _write(_read(shapes), cached)
    return _load(cached)


def files(raw: Path) -> dict[str, Path]:
    """The files of a checkout that are read, by the names of their shapes.

    Raises:
      UserError: some are missing.
    """
    names = (NEUTRAL, *IDENTITIES, *BLENDSHAPES)
    of_name = {name: raw / "FaceXModel" / f"{name}.obj" for name in names}
    missing = [file.name for file in of_name.values() if not file.is_file()]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise UserError(
            f"{raw / 'FaceXModel'} lacks {', '.join(missing[:3])}{more}; give --raw the folder of "
            "a checkout of github.com/ICT-VGL/ICT-FaceKit"
        )
    return of_name


def _read(files: dict[str, Path]) -> FaceKit:
    neutral = _vertices(files[NEUTRAL])
    triangles, part = _faces(files[NEUTRAL], neutral)
    kept = np.unique(triangles)
    place = np.full(len(neutral), -1, np.int32)
    place[kept] = np.arange(len(kept), dtype=np.int32)
    if len(neutral) <= max(LANDMARKS) or (place[np.array(LANDMARKS)] < 0).any():
        raise UserError(f"{files[NEUTRAL]} lacks faces at landmarks; check the file out again")
    lacking = [name for name in _ALWAYS if PARTS.index(name) not in part]
    if lacking:
        raise UserError(f"{files[NEUTRAL]} has no faces of {lacking[0]}; check the file out again")
    landmarks = place[np.array(LANDMARKS)]

    def offsets(name: str) -> np.ndarray:
        vertices = _vertices(files[name])
        if len(vertices) != len(neutral):
            raise UserError(
                f"{files[name]} has {len(vertices)} vertices, {files[NEUTRAL].name} has "
                f"{len(neutral)}; check the file out again"
            )
        return (vertices - neutral)[kept].astype(np.float32)

    identity = np.stack([offsets(name) for name in IDENTITIES])
    expressions = [offsets(name) for name in BLENDSHAPES]
    moved = [np.flatnonzero(np.abs(e).max(1) > STILL).astype(np.int32) for e in expressions]
    return FaceKit(
        neutral=neutral[kept].astype(np.float32),
        identity=identity,
        names=BLENDSHAPES,
        moved=tuple(moved),
        offsets=tuple(e[m] for e, m in zip(expressions, moved, strict=True)),
        triangles=place[triangles],
        part=part[kept],
        landmarks=landmarks,
    )


def _damaged(file: Path, line: bytes) -> UserError:
    return UserError(
        f"{file} has a line that cannot be read, '{line.decode(errors='replace')[:40]}'; check the "
        "file out again"
    )


def _vertices(file: Path) -> np.ndarray:
    """The vertices of an OBJ file: float64 [V, 3]."""
    lines = [line for line in file.read_bytes().splitlines() if line.startswith(b"v ")]
    values = b" ".join(line[2:] for line in lines).split()
    try:
        vertices = np.array(values, np.float64).reshape(len(lines), 3)
    except ValueError:
        for line in lines:
            try:
                np.array(line[2:].split(), np.float64).reshape(3)
            except ValueError:
                raise _damaged(file, line) from None
        raise
    if not np.isfinite(vertices).all():
        raise _damaged(file, lines[int(np.argmin(np.isfinite(vertices).all(1)))])
    return vertices


def _faces(file: Path, vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The triangles that are drawn, int32 [T, 3], and the part of each vertex, int8 [V]."""
    part = np.full(len(vertices), -1, np.int8)
    triangles: list[tuple[int, int, int]] = []
    name = None
    for line in file.read_bytes().splitlines():
        if line.startswith(b"usemtl "):
            name = MATERIALS.get(line.split()[1].decode())
        elif line.startswith(b"f ") and name:
            try:
                corners = [int(corner.split(b"/")[0]) - 1 for corner in line.split()[1:]]
            except ValueError:
                raise _damaged(file, line) from None
            if len(corners) < 3 or not 0 <= min(corners) <= max(corners) < len(vertices):
                raise _damaged(file, line)
            inside = name == "head" and corners[0] >= SOCKETS_FROM
            here = PARTS.index("socket" if inside else name)
            if name in ("teeth", "gums") and vertices[corners, 2].mean() < SEEN_FROM:
                continue
            # A vertex that two parts share stays with the first, so that skin has no seams.
            for corner in corners:
                if part[corner] < 0:
                    part[corner] = here
            triangles += [(corners[0], a, b) for a, b in itertools.pairwise(corners[1:])]
    if not triangles:
        raise UserError(f"{file} has no faces of the known materials; check the file out again")
    return np.array(triangles, np.int32), part


def _write(kit: FaceKit, file: Path) -> None:
    ends = np.cumsum([len(m) for m in kit.moved])[:-1]
    temporary = file.with_name(f".{os.getpid()}.{file.name}")
    try:
        with temporary.open("wb") as out:
            np.savez(
                out,
                neutral=kit.neutral,
                identity=kit.identity,
                names=np.array(kit.names),
                moved=np.concatenate(kit.moved),
                offsets=np.concatenate(kit.offsets),
                ends=ends,
                triangles=kit.triangles,
                part=kit.part,
                landmarks=kit.landmarks,
            )
        os.replace(temporary, file)
    except OSError as error:
        raise UserError(f"cannot write {file}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _load(file: Path) -> FaceKit:
    with np.load(file, allow_pickle=False) as stored:
        ends = stored["ends"]
        return FaceKit(
            neutral=stored["neutral"],
            identity=stored["identity"],
            names=tuple(map(str, stored["names"])),
            moved=tuple(np.split(stored["moved"], ends)),
            offsets=tuple(np.split(stored["offsets"], ends)),
            triangles=stored["triangles"],
            part=stored["part"],
            landmarks=stored["landmarks"],
        )
