"""The face as 3-D curves that the action units move.

Coordinates are the head's own, in millimetres of the mean face: u to the image's right (the
person's left), v down, both from the point between the resting eyes; z to the camera. A feature is
drawn in (u, v) and laid on the face's relief by `depth`. Arrays of paired features begin with the
side: 0 the image's left, 1 its right. How each AU moves skin follows the descriptions of the Facial
Action Coding System (Ekman, Friesen and Hager, 2002); the amounts are ours.
"""

import numpy as np

from au_jax.data.synthetic_faces.population import COLUMN, ImageSpec

SIDE = np.array([-1.0, 1.0])[:, None]
# Points that no expression moves: eye corners (image left to right), nose wings, nose base.
RIGID = np.array([[-46.5, 0], [-17.5, 0], [17.5, 0], [46.5, 0], [-15, 44], [15, 44], [0, 51]])

_LID = np.linspace(-1, 1, 11)  # along an eyelid, inner to outer corner
_BROW = np.linspace(0, 1, 9)  # along a brow, inner to outer end
_LIP = np.linspace(-1, 1, 21)  # along the mouth, image left to right
_LIP_SIDE = (_LIP > 0).astype(int)
_ANGLE = np.linspace(0, 2 * np.pi, 14, endpoint=False)
_CIRCLE = np.stack([np.cos(_ANGLE), np.sin(_ANGLE)], -1)
_PIVOT = np.array([0.0, 62.0, -15.0])  # where the head turns on the neck


def rotation(angles: np.ndarray) -> np.ndarray:
    """Rotation matrix [3, 3] of pitch, yaw, roll (degrees; signs as in `records.Record.pose`).

    Roll is applied first, then pitch, then yaw: the yaw axis stays with the body.
    """
    from scipy.spatial.transform import Rotation  # imports for long, and not all data are drawn

    pitch, yaw, roll = angles
    return Rotation.from_euler("zxy", [roll, pitch, yaw], degrees=True).as_matrix()


def project(points: np.ndarray, angles: np.ndarray, distance: float) -> np.ndarray:
    """Turns the head and projects with perspective: [..., 3] mm -> [..., 2] mm in the image."""
    turned = (points - _PIVOT) @ rotation(angles).T + _PIVOT
    return turned[..., :2] * (distance / (distance - turned[..., 2:]))


def depth(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """z of the resting face's skin at (u, v)."""
    v = np.minimum(v, 114)
    egg = 88 * np.sqrt(np.maximum(1 - (u / 79) ** 2 - ((v - 15) / 125) ** 2, 0.02))
    ridge = np.interp(v, (-12, 0, 40, 46, 54), (0, 5, 25, 22, 0)) * np.exp(-((u / 11) ** 2))
    lips = 8 * np.exp(-((u / 30) ** 2) - ((v - 72) / 13) ** 2)
    chin = 11 * np.exp(-((u / 26) ** 2) - ((v - 106) / 14) ** 2)
    sockets = -6 * np.exp(-(((np.abs(u) - 32) / 14) ** 2) - (v / 10) ** 2)
    return egg + ridge + lips + chin + sockets


def _arc(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.stack(np.broadcast_arrays(u, v), -1)


def _bump(t: np.ndarray, power: float) -> np.ndarray:
    return (1 - t * t).clip(0) ** power


class Motion:
    """How far each AU moves the skin, 0 to about 1 (intensity 5).

    `motion[12]` is AU12 on both sides, [2, 1]; `motion.mean(12)` the face's, for what is midline.
    """

    def __init__(self, spec: ImageSpec):
        amount = (spec.activation * spec.asymmetry / 5).clip(0, 1) ** 0.8
        moved = amount * spec.person.expressiveness
        self._sides = moved[..., None]
        self._mean = moved.mean(0).tolist()

    def __getitem__(self, number: int) -> np.ndarray:
        return self._sides[:, COLUMN[number]]

    def mean(self, number: int) -> float:
        return self._mean[COLUMN[number]]


def face_curves(spec: ImageSpec, m: Motion) -> dict[str, np.ndarray]:
    """Every curve of the face in head coordinates: name -> [..., 3] mm."""
    flat = _eyes(spec, m) | _brow_and_forehead(spec, m) | _nose_and_cheeks(spec, m)
    mouth = _mouth(spec, m)
    flat |= mouth | _around_mouth(spec, m, mouth)
    names = list(flat)
    uv = np.concatenate([flat[n].reshape(-1, 2) for n in names])
    solid = np.concatenate([uv, depth(uv[:, 0], uv[:, 1])[:, None]], -1)
    ends = np.cumsum([flat[n].size // 2 for n in names])[:-1]
    curves = {
        n: part.reshape(*flat[n].shape[:-1], 3)
        for n, part in zip(names, np.split(solid, ends), strict=True)
    }
    protrusion = 9 * m.mean(18)
    for name in ("upper_out", "upper_in", "lower_in", "lower_out"):
        curves[name][..., 2] += protrusion * _bump(_LIP, 0.5)
    return curves | _head(spec, m)


def _eyes(spec: ImageSpec, m: Motion) -> dict[str, np.ndarray]:
    p = spec.person
    centre = 32 * p.eye_distance * SIDE
    closed = (m[43] * 1.35).clip(0, 1)
    up = (6.2 * p.eye_size + 5.5 * m[5] - 0.8 * m[6] - 0.5 * m[4]) * (1 - closed) - 3.2 * closed
    low = 4.6 * p.eye_size - 2.6 * m[6] - 0.8 * m[9] - 0.6 * closed + 0.4 * m[5]
    tilt = -p.eye_tilt * _LID
    u = centre + SIDE * 14.5 * _LID
    upper = tilt - up * _bump(_LID, 0.75)
    lower = tilt + np.maximum(low, -up) * _bump(_LID, 0.8)
    crease_gap = 4.2 + 1.2 * m[43] * 2 - 2.2 * m[5] - 2.0 * m[4] - m[9] + 1.5 * m[2]
    out = {
        "eye_upper": _arc(u, upper),
        "eye_lower": _arc(u, lower),
        "orbit_upper": _arc(u, tilt - 13.5 * _bump(_LID, 0.5)),
        "orbit_lower": _arc(u, tilt + 11.5 * _bump(_LID, 0.5)),
        "crease": _arc(
            centre + SIDE * 15 * _LID, upper * 0.8 + tilt * 0.2 - crease_gap * _bump(_LID, 0.4) - 1
        ),
        "under_eye": _arc(
            centre + SIDE * np.linspace(-15, 14, 9),
            lower[:, 1:10] * 0.3 + 10.5 - 3.0 * m[6] + 3.5 * _bump(_LID[1:10], 0.7),
        ),
        "socket": np.stack(
            [centre + SIDE * (18 * _CIRCLE[:, 0] - 2), np.tile(-7 + 9 * _CIRCLE[:, 1], (2, 1))], -1
        ),
    }
    gaze = np.stack([centre[:, 0], np.zeros(2)], -1)[:, None] + spec.gaze
    for name, radius in (("iris", 6.3), ("pupil", 2.8), ("glint", 1.1)):
        shift = np.array([1.8, -2.2]) if name == "glint" else 0.0
        out[name] = gaze + shift + radius * _CIRCLE
    # Crow's feet fan out from the outer corner.
    reach = np.linspace(0, 1, 4)
    fan = np.array([-0.55, 0.05, 0.65])[:, None]
    start = (centre + SIDE * 18.5)[:, None]
    out["crow"] = _arc(
        start + SIDE[:, None] * (12 * np.cos(fan) * reach),
        np.tile(12 * np.sin(fan) * reach - 1 + 3 * fan, (2, 1, 1)),
    )
    return out


def _brow_and_forehead(spec: ImageSpec, m: Motion) -> dict[str, np.ndarray]:
    p = spec.person
    t = _BROW
    inner = 13 * p.eye_distance - 4.5 * m[4] - 1.5 * m[9]
    outer = 53 * p.eye_distance
    u = SIDE * (inner + (outer - inner) * t)
    rise = 13 * m[1] * (1 - t) ** 1.3 + 13 * m[2] * t**0.9 * (1 - 0.25 * t**4)
    fall = 9 * m[4] * (1 - 0.4 * t) + 4.5 * m[9] * (1 - t) ** 1.5
    arch = 4.5 * p.brow_arch * np.sin(np.pi * t**1.3 * 0.92)
    v = -23.5 - p.brow_height - arch + 2.5 * t**3 - rise + fall
    thick = 5.2 * p.brow_thickness * np.array([0.75, 1, 1, 0.95, 0.88, 0.78, 0.65, 0.48, 0.15])
    v = np.minimum(v, -12.5)
    brow = np.concatenate(
        [_arc(u, v - thick / 2), _arc(u[:, ::-1], (v + thick / 2)[:, ::-1])], axis=1
    )
    # Horizontal lines: in the middle with AU01, above the outer brows with AU02.
    s = np.linspace(-1, 1, 7)
    level = np.array([0.0, 9.0, 17.5])[:, None]
    lift1, lift2 = m.mean(1), m[2][:, None]
    side_u = np.linspace(19, 50, 7)
    return {
        "brow": brow,
        "forehead_mid": _arc(
            17 * s * np.ones_like(level), -41 - p.brow_height - 6 * lift1 - level + 1.5 * s**2
        ),
        "forehead_side": _arc(
            SIDE[:, None] * side_u * np.ones((1, 3, 1)),
            -43 - p.brow_height - 6 * lift2 - level - 4 * np.sin(np.linspace(0, np.pi, 7)),
        ),
        "glabella": _arc(
            SIDE * (4.2 + 1.5 * np.linspace(1, 0, 5) ** 2 - 1.2 * m[4]),
            np.tile(np.linspace(-33, -11, 5), (2, 1)),
        ),
        "glabella_bulge": _arc(
            np.array([-11, 0, 11, 6, 0, -6.0]), np.array([-28, -31, -28, -15, -12, -15.0])
        ),
        "nose_root": _arc(7 * s[1:6], -7 + 1.5 * s[1:6] ** 2),
    }


def _nose_and_cheeks(spec: ImageSpec, m: Motion) -> dict[str, np.ndarray]:
    p = spec.person
    w, base = p.nose_width, 50 * p.nose_length
    lift = 3.5 * m[9] + 1.2 * m[10]
    wing = 15.5 * w + 2.5 * m[9] + 0.8 * m[12]
    t = np.linspace(0, 1, 7)
    ala_u = SIDE * wing + SIDE * 2.5 * np.sin(np.pi * t) - SIDE * 6 * t**3
    ala_v = base - 15 + 14 * t - lift
    step = np.array([0.0, 0.5, 1.0])
    row = np.array([4.0, 10.5, 17.0])[:, None]
    smile = m[12]
    fold_t = np.linspace(0, 1, 9)
    mouth_corner = 25 * p.mouth_width + 9 * m[12] + 13 * m[20] - 12 * m[18]
    fold_end = mouth_corner + 7 + 3 * smile
    bulge = np.sin(np.pi * fold_t)
    fold_u = SIDE * (wing + 2 + (fold_end - wing - 2) * fold_t**1.1 + (2 + 5 * smile) * bulge)
    fold_v = (
        base
        - 10
        - 4 * m[10]
        - 3 * m[9]
        + (36 - 10 * smile + 5 * m[15]) * fold_t
        - 3 * m[10] * bulge
    )
    rise = 7 * m[6] + 3 * m[12]
    return {
        "ala": _arc(ala_u, ala_v),
        "nostril": np.stack(
            [
                SIDE * (7 * w + 1.5 * m[9]) + (4.2 * w + m[9]) * _CIRCLE[:, 0],
                base - 2.2 - 0.8 * lift + 1.9 * _CIRCLE[:, 1],
            ],
            -1,
        ),
        "nose_side": np.stack(
            [
                SIDE * np.array([4, 5.5, 7, 9]) * np.ones((2, 4)),
                np.tile([-8.0, 6, 24, base - 8], (2, 1)),
            ],
            -1,
        ),
        "nose_flank": np.stack(
            [
                SIDE * np.concatenate([[4, 5.5, 8.5], [1, 1, 1]]) * np.ones((2, 6))
                + np.concatenate([np.zeros((2, 3)), SIDE * (wing - 1) * [[1, 0.7, 0.55]]], -1),
                np.concatenate(
                    [np.tile([-8.0, 8, 30], (2, 1)), base - lift - [[6, 12, 22]] * np.ones((2, 1))],
                    -1,
                ),
            ],
            -1,
        ),
        "nose_ridge": _arc(np.zeros(4), np.array([2, 15, 28, base - 10])),
        "nose_tip": _arc(6 * w * _CIRCLE[:, 0], base - 9 + 5 * _CIRCLE[:, 1]),
        "nose_outline": np.concatenate(
            [
                _arc(np.array([0.0, -5, 5]), np.array([2.0, 2, 2])),
                _arc(ala_u[0, 1:6], ala_v[0, 1:6]),
                _arc(ala_u[1, 1:6], ala_v[1, 1:6]),
                _arc(np.array([0.0, -6, 6]), np.array([base - 2, base - 6, base - 6])),
            ]
        ),
        "nose_shadow": _arc(15 * w * _CIRCLE[:, 0], base + 4 + 5 * _CIRCLE[:, 1]),
        "bridge_lines": _arc(
            SIDE[:, None] * (2.5 + 8.5 * step * np.ones_like(row)),
            np.tile(row - 2.5 * step, (2, 1, 1)),
        ),
        "fold": _arc(fold_u, fold_v),
        "cheek": np.stack(
            [
                SIDE * (39 + 15 * _CIRCLE[:, 0]),
                31 - rise + 10 * _CIRCLE[:, 1] + 0 * SIDE,
            ],
            -1,
        ),
        "cheek_under": _arc(
            SIDE * (39 + 17 * np.linspace(-1, 1, 9)),
            41 - rise + 7 * _bump(np.linspace(-1, 1, 9), 0.6),
        ),
    }


def _jaw_shift(v: np.ndarray, m: Motion) -> np.ndarray:
    """How far AU26, and a little AU28, lowers the skin at height v, mm."""
    below = ((v - 58) / 45).clip(0, 1)
    return (21 * m.mean(26) + 3 * m.mean(28)) * below * below * (3 - 2 * below)


def _mouth(spec: ImageSpec, m: Motion) -> dict[str, np.ndarray]:
    p = spec.person
    parted = m.mean(25)
    drop = 21 * m.mean(26)
    gap = 7.5 * parted + 0.8 * drop * min(1.0, 2.2 * parted)
    narrow = 1 - 0.07 * m.mean(26) - 0.08 * m.mean(24)
    half = (25 * p.mouth_width + 9 * m[12] + 12 * m[20] - 12 * m[18] + 2 * m[15]) * narrow
    rest = 72 - p.mouth_height
    pulled = -10.5 * m[12] + 11 * m[15] + 1.5 * m[20] - 1.5 * m[10] + m[17]
    corner_v = rest - p.corner_rest + pulled + 0.35 * drop
    middle = rest + 0.12 * drop - 7.0 * m.mean(17) - 0.8 * m.mean(10)
    t, a = _LIP, np.abs(_LIP)
    u = half[_LIP_SIDE, 0] * t
    # The line between the lips; AU10 lifts the upper lip along its whole width.
    line = middle + (corner_v[_LIP_SIDE, 0] - middle) * a**1.7
    lifted = (8.5 * m[10] + 1.5 * m[9])[_LIP_SIDE, 0] * (1 - a**5) ** 0.8
    upper_in = line - 0.28 * gap * _bump(t, 0.7) - 0.75 * lifted
    lower_in = line + 0.72 * gap * _bump(t, 0.7) - 0.75 * lifted * max(0.0, 1 - parted / 0.2)
    lower_in = np.maximum(lower_in, upper_in)
    thin = (1 - 0.78 * m.mean(24)) * (1 - 0.25 * m.mean(20)) * (1 - 0.93 * m.mean(28))
    red = p.lip_thickness * thin * (1 + 0.45 * m.mean(18)) * (1 - 0.15 * m.mean(12))
    cupid = 1 - 0.22 * np.exp(-((t / 0.13) ** 2)) * (1 - 0.8 * m.mean(10))
    upper_out = upper_in - 7 * red * _bump(t, 0.8) * cupid - 0.25 * lifted
    lower_out = lower_in + 9 * red * (1 + 0.25 * m.mean(17)) * _bump(t, 0.65)
    teeth = upper_in + min(6.0, max(0.0, 0.7 * (gap - 2.5))) * (1 - a**4)
    tongue = np.maximum(upper_in + 9, lower_in - 0.4 * gap * _bump(t, 2.0))
    corner = half * SIDE
    bow = np.sin(np.linspace(0, np.pi, 5))
    shaven = np.minimum(upper_out - 7 * _bump(t, 0.5), 66)
    return {
        "upper_out": _arc(u, upper_out),
        "upper_in": _arc(u, upper_in),
        "lower_in": _arc(u, lower_in),
        "lower_out": _arc(u, lower_out),
        "lip_line": _arc(u, 0.5 * (upper_in + lower_in)),
        "teeth": _arc(u, np.minimum(teeth, lower_in)),
        "tongue": _arc(u, np.minimum(tongue, lower_in)),
        # The bands of skin that pressed lips push out.
        "press_upper": _arc(0.85 * u, upper_out - 3.2 - 0.5 * _bump(t, 1)),
        "press_lower": _arc(0.85 * u, lower_out + 3.0 + 0.5 * _bump(t, 1)),
        "moustache": np.concatenate(
            [_arc(1.05 * u, upper_out - 1.0), _arc(0.95 * u[::-1], shaven[::-1])]
        ),
        "corner": _arc(corner + SIDE * [-2.5, 0.5, 2.0], corner_v + np.array([0.6, 0, -0.6])),
        "corner_pull": _arc(corner + SIDE * (4 + 2.5 * bow), corner_v + np.linspace(-6, 6, 5)),
        "pouch": _arc(corner + SIDE * [-3.0, 1.5, 4.0, 4.5], corner_v + np.array([2, 3.5, 7, 12])),
        "stretch_lines": _arc(
            corner[:, None] + SIDE[:, None] * (np.array([[5.0], [9.5]]) + 2.2 * bow),
            corner_v[:, None] + np.linspace(-9, 11, 5),
        ),
    }


def _around_mouth(
    spec: ImageSpec, m: Motion, mouth: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    p = spec.person
    half = 0.5 * float(np.ptp(mouth["lip_line"][:, 0]))
    top = float(mouth["upper_out"][:, 1].min())
    cupid = float(mouth["upper_out"][10, 1])
    bottom = float(mouth["lower_out"][10, 1])
    chin = 105 * p.chin_length + 21 * m.mean(26) - 7 * m.mean(17)
    nose = 54 * p.nose_length
    s = np.linspace(-1, 1, 9)
    furrow = bottom + 6.5 - 1.5 * m.mean(17) + (3.5 * m.mean(17) - 1) * s**2
    dots = np.array([[-11, 2], [-5, -4], [1, 3], [7, -3], [12, 3], [-8, 8], [4, 9], [-2, -9]])
    short = np.array([[-1.9, -1.3], [2.2, 1.4]])
    above, below = np.array([-0.75, -0.4, 0, 0.4, 0.75]), np.array([-0.6, -0.2, 0.2, 0.6])
    return {
        "philtrum": _arc(
            np.array([[-3.0, -3.6], [3.0, 3.6]]), np.array([nose, max(cupid - 1, nose)])
        ),
        "lip_shadow": _arc(15 * s, bottom + 5.5 - 4 * s**2),
        "mentolabial": _arc(18 * s, furrow),
        "chin_boss": _arc(14 * _CIRCLE[:, 0], chin - 2 + 8 * _CIRCLE[:, 1]),
        "chin_dots": np.array([0, 0.5 * (bottom + chin) + 4]) + dots[:, None] + short,
        # Radial lines of puckered or sucked-in lips.
        "pucker_lines": _arc(
            above[:, None] * (half + np.array([0, 4.0])), top + np.array([1.0, -6.5])
        ),
        "pucker_lines_low": _arc(
            below[:, None] * (half + np.array([0, 3.0])), bottom + np.array([-1.0, 5.5])
        ),
    }


_ARC = np.radians(np.linspace(-100, 100, 15))
_SPHERE = np.array(
    [
        (np.cos(b) * np.sin(a), -np.sin(b), np.cos(b) * np.cos(a))
        for b in np.radians((-30, -8, 12, 32, 52, 72, 90))
        for a in np.radians(np.arange(0, 360, 24))
    ]
)
_JAW_V = np.array([18.0, 42, 62, 80, 95, 106, 112])
_JAW_HALF = np.array([73.0, 70, 64, 55, 43, 29, 14])
_JAW_BACK = np.array([-5.0, -5, 2, 12, 24, 36, 46])


def _head(spec: ImageSpec, m: Motion) -> dict[str, np.ndarray]:
    p = spec.person
    skull = _SPHERE * (75 * p.face_width, 92, 97) + (0, -26, -10)
    half = _JAW_HALF * np.interp(_JAW_V, (18, 62, 112), (1, p.jaw_width, p.jaw_width))
    v = _JAW_V * np.interp(_JAW_V, (60, 112), (1, p.chin_length)) + _jaw_shift(_JAW_V, m)
    v = v - 6.0 * m.mean(17) * (_JAW_V > 100)
    v += np.where(_JAW_V > 90, -1.5 * m.mean(28), 0)
    front = depth(np.zeros(7), _JAW_V)
    jaw = np.stack(
        [
            half[:, None] * p.face_width * np.sin(_ARC),
            np.broadcast_to(v[:, None], (7, 15)),
            _JAW_BACK[:, None] + (front - _JAW_BACK)[:, None] * np.cos(_ARC).clip(0) ** 0.8,
        ],
        -1,
    )
    top = -66 - p.hairline
    levels = np.array([top, top + 18, -28, -6.0])
    wide = 74 * p.face_width * np.sqrt((1 - ((levels + 26) / 92) ** 2).clip(0.05))
    wide *= (0.84, 0.93, 0.97, 0.98)
    arc = _ARC * 0.86
    brow_front = depth(np.zeros(4), levels) - 3
    sideward = 14 * (1 - np.cos(arc)) * np.array([[1], [1], [0], [0]])  # the hairline's arch
    forehead = np.stack(
        [
            wide[:, None] * np.sin(arc),
            levels[:, None] + sideward,
            brow_front[:, None] * np.cos(arc).clip(0) ** 0.8 - 8,
        ],
        -1,
    )
    ear = np.stack(
        [
            SIDE * 75 * p.face_width + 3 * SIDE * _CIRCLE[:, 0],
            14 + 17 * _CIRCLE[:, 1] + 0 * SIDE,
            -9 + 9 * _CIRCLE[:, 0] + 0 * SIDE,
        ],
        -1,
    )
    return {
        "skull": skull,
        "jaw": jaw.reshape(-1, 3),
        "forehead": forehead.reshape(-1, 3),
        "ear": ear,
        "beard": jaw[3:].reshape(-1, 3),
        # Upper and lower edge of the hair over the forehead.
        "fringe": np.stack([forehead[0] + (0, -24, -6), forehead[0] + (0, 26, 12)]),
        "neck": np.array([[-44.0, 70, -30], [44, 70, -30]]),
    }
