"""The painter of a head on a background: flat colours, multiplied by shading and fine relief."""

import cv2
import numpy as np

from au_jax.data.synthetic_faces.anatomy import Motion, depth, project, rotation
from au_jax.data.synthetic_faces.population import ImageSpec

SHIFT = 4  # OpenCV's fixed-point coordinates: 1/16 pixel
_FLAT = 128  # this shading or relief leaves the colour as it is


class Painter:
    """Holds what the drawing steps share: the image, the relief layers and where things are."""

    def __init__(
        self,
        image: np.ndarray,
        at: dict[str, np.ndarray],
        spec: ImageSpec,
        motion: Motion,
        scale: float,
        centre: np.ndarray,
        rng: np.random.Generator,
    ):
        """Prepares to paint `spec` on `image` (uint8 [S, S, 3], changed in place).

        Args:
          at: the face's curves in pixels, fixed-point, by name.
          scale: pixels per millimetre; `centre`: pixel of the point between the eyes at rest.
        """
        self.image, self.at, self.spec, self.m = image, at, spec, motion
        self.scale, self.centre, self.rng = scale, centre, rng
        side = image.shape[0]
        self.fine = np.full((side, side), _FLAT, np.uint8)
        self.broad = np.full((side // 2 + 1, side // 2 + 1), _FLAT, np.uint8)
        self.turn = rotation(spec.angles)
        # How much each side of the face is turned to the camera, 0 to 1.
        normals = np.array([[-0.75, 0, 0.66], [0.75, 0, 0.66]]) @ self.turn.T
        self.seen = (normals[:, 2] / 0.3).clip(0, 1)

    # -- strokes -----------------------------------------------------------------------------

    def fill(self, points: np.ndarray, colour) -> None:
        cv2.fillPoly(self.image, [points], _colour(colour), cv2.LINE_AA, SHIFT)

    def line(self, points: np.ndarray, colour, mm: float = 1.5, closed: bool = False) -> None:
        thick = max(1, round(mm * self.scale))
        cv2.polylines(self.image, [points], closed, _colour(colour), thick, cv2.LINE_AA, SHIFT)

    def crease(self, points: np.ndarray, strength: float, mm: float = 1.6) -> None:
        """A line in the fine relief: darker for positive strength, lighter for negative."""
        if abs(strength) >= 3:
            value = float(np.clip(_FLAT - strength, 20, 250))
            thick = max(1, round(mm * self.scale))
            cv2.polylines(self.fine, [points], False, value, thick, cv2.LINE_AA, SHIFT)

    def bulge(self, points: np.ndarray, strength: float) -> None:
        """An area of the broad relief: lighter for positive strength, darker for negative."""
        if abs(strength) >= 2:
            value = float(np.clip(_FLAT + strength, 20, 250))
            cv2.fillPoly(self.broad, [points], value, cv2.LINE_AA, SHIFT + 1)

    def strength(self, number: int, side: int) -> float:
        """Intensity of an AU as a share of its maximum, faded where that side is turned away."""
        return float(self.m[number][side, 0] * self.seen[side])

    # -- the image -------------------------------------------------------------------------

    def paint(self) -> None:
        at, p = self.at, self.spec.person
        self.body()
        head = cv2.convexHull(np.concatenate([at["skull"], at["jaw"]]))
        self.skull()
        self.fill(cv2.convexHull(np.concatenate([at["forehead"], at["jaw"]])), p.skin)
        self.beard()
        self.eyes()
        self.brows()
        self.nose()
        self.mouth()
        self.upper_face_relief()
        self.middle_face_relief()
        self.lower_face_relief()
        self.near_ears()
        if p.hair_style == "fringe":
            upper, lower = at["fringe"]
            for i in range(len(upper) - 1):  # strand by strand: the whole may fold over itself
                strand = np.stack([upper[i], upper[i + 1], lower[i + 1], lower[i]])
                cv2.fillConvexPoly(self.image, strand, _colour(p.hair), cv2.LINE_8, SHIFT)
                cv2.fillConvexPoly(self.fine, strand, _FLAT, cv2.LINE_8, SHIFT)
        self.shade(head)
        if self.spec.occluder == "sunglasses":
            self.glasses((25, 25, 28))
        elif p.glasses:
            self.glasses(None)
        self.occluder()

    def body(self) -> None:
        p, rng = self.spec.person, self.rng
        if p.hair_style == "long":
            low = self.centre + np.array([[-88, 120], [88, 120]]) * self.scale
            points = np.concatenate([self.at["skull"], np.rint(low * 16).astype(np.int32)])
            self.fill(cv2.convexHull(points), p.hair * 0.85)
        jaw = self.at["neck"] / 2**SHIFT
        foot = self.centre + np.array([[50, 165], [-50, 165]]) * self.scale
        neck = np.rint(np.concatenate([jaw, foot]) * 2**SHIFT).astype(np.int32)
        self.fill(neck, p.skin * 0.72)
        cloth = (rng.uniform(30, 210) + rng.normal(0, 35, 3)).clip(5, 250)
        width = rng.uniform(130, 185)
        shoulders = np.array(
            [
                (-width, 260), (-width, 215), (-width * 0.85, 178), (-70, 158), (-48, 140),
                (-25, 158), (0, 166), (25, 158), (48, 140), (70, 158), (width * 0.85, 178),
                (width, 215), (width, 260),
            ]
        )  # fmt: skip
        lean = np.radians(rng.normal(0, 4))  # bodies are not upright either
        shoulders += shoulders[:, :1] * (0, np.tan(lean))
        points = np.rint((self.centre + shoulders * self.scale) * 2**SHIFT).astype(np.int32)
        self.fill(points, cloth)
        if rng.random() < 0.5:  # a collar or pattern
            self.line(points[3:10], cloth * 0.6, 5)

    def skull(self) -> None:
        p = self.spec.person
        for s in range(2):
            self.fill(self.at["ear"][s], p.skin * 0.88)
        self.fill(cv2.convexHull(self.at["skull"]), p.skin if p.hair_style == "bald" else p.hair)

    def near_ears(self) -> None:
        for s, sign in enumerate((-1.0, 1.0)):
            if (self.turn @ (sign, 0, 0))[2] > 0.2:
                self.fill(self.at["ear"][s], self.spec.person.skin * 0.92)
                self.line(self.at["ear"][s], self.spec.person.skin * 0.65, 1.5, closed=True)

    def beard(self) -> None:
        p, at = self.spec.person, self.at
        if p.beard == "none":
            return
        colour = p.skin + (0.3 if p.beard == "stubble" else 0.85) * (p.hair - p.skin)
        if p.beard != "moustache":
            self.fill(cv2.convexHull(at["beard"]), colour)
        self.fill(at["moustache"], colour)

    def eyes(self) -> None:
        p, at = self.spec.person, self.at
        lid = p.skin * 0.95 + p.make_up * (np.array([95.0, 60, 85]) - p.skin) * 0.3
        white = np.array([225.0, 228, 232])
        for s in range(2):
            upper, lower = at["eye_upper"][s], at["eye_lower"][s]
            self.fill(np.concatenate([upper, lower[::-1]]), white)
            self.fill(at["iris"][s], p.iris)
            self.fill(at["pupil"][s], (12, 12, 14))
            self.fill(at["glint"][s], (235, 235, 235))
            self.fill(np.concatenate([at["orbit_upper"][s], upper[::-1]]), lid)
            self.fill(np.concatenate([at["orbit_lower"][s], lower[::-1]]), p.skin)
            self.line(lower, p.skin * 0.72, 1.0)
            self.line(upper, np.minimum(p.skin * 0.3, 60), 1.6 + 1.2 * p.make_up)
            self.crease(at["crease"][s], 30 * self.seen[s])
            self.bulge(at["socket"][s], -16)

    def brows(self) -> None:
        p = self.spec.person
        colour = p.skin + 0.8 * (p.hair * 0.8 - p.skin)
        if p.hair.mean() > 130:  # fair hair still shows brows
            colour = p.skin * 0.62
        for s in range(2):
            self.fill(self.at["brow"][s], colour)

    def nose(self) -> None:
        p, at = self.spec.person, self.at
        if abs(self.spec.angles[1]) > 18:  # the nose covers what lies behind it
            self.fill(cv2.convexHull(at["nose_outline"]), p.skin)
        light = self.turn.T @ self.spec.light
        for s, sign in enumerate((-1.0, 1.0)):
            toward = float(light @ (0.85 * sign, 0, 0.5)) - 0.45
            self.bulge(at["nose_flank"][s], 34 * toward - 6)
            self.fill(at["nostril"][s], p.skin * 0.35)
            self.crease(at["ala"][s], (26 + 30 * self.m[9][s, 0]) * self.seen[s])
        self.bulge(at["nose_shadow"], -20)
        self.crease(at["nose_ridge"], -14, 4)
        self.bulge(at["nose_tip"], 14)

    def mouth(self) -> None:
        p, at, m = self.spec.person, self.at, self.m
        if m.mean(25) > 0.05:
            self.fill(np.concatenate([at["upper_in"], at["lower_in"][::-1]]), (28, 22, 50))
            self.fill(np.concatenate([at["upper_in"], at["teeth"][::-1]]), (205, 218, 225))
            self.fill(np.concatenate([at["tongue"], at["lower_in"][::-1]]), (75, 70, 150))
        lip = p.lips + m.mean(28) * 0.7 * (p.skin * 0.85 - p.lips)
        self.fill(np.concatenate([at["upper_out"], at["upper_in"][::-1]]), lip * 0.92)
        self.fill(np.concatenate([at["lower_in"], at["lower_out"][::-1]]), lip)
        if m.mean(25) <= 0.05:
            self.line(at["lip_line"], lip * (0.5 - 0.2 * m.mean(24) - 0.2 * m.mean(28)), 1.4)
        self.crease(at["lower_in"][7:14] // 2 + at["lower_out"][7:14] // 2, -14 * (1 - m.mean(28)))
        for s in range(2):
            self.crease(at["corner"][s], 40 * self.seen[s], 2)

    # -- wrinkles, bulges and furrows --------------------------------------------------------

    def upper_face_relief(self) -> None:
        at, m, age = self.at, self.m, self.spec.person.age
        rest = 40 * max(age - 0.25, 0)
        for row in range(3):
            weight = (1.0, 0.85, 0.65)[row]
            self.crease(at["forehead_mid"][row], weight * (rest + 44 * m.mean(1)))
            for s in range(2):
                self.crease(at["forehead_side"][s, row], weight * (rest + 44 * self.strength(2, s)))
        frown = m.mean(4)
        self.bulge(at["glabella_bulge"], -26 * frown)
        for s in range(2):
            self.crease(at["glabella"][s], 24 * age + 52 * m[4][s, 0], 1.6)
        self.crease(at["nose_root"], 35 * frown + 45 * m.mean(9))

    def middle_face_relief(self) -> None:
        at, m, age = self.at, self.m, self.spec.person.age
        for s in range(2):
            cheek, smile = self.strength(6, s), self.strength(12, s)
            for ray in range(3):
                self.crease(at["crow"][s, ray], 30 * age * self.seen[s] + 45 * cheek)
            self.crease(at["under_eye"][s], 26 * age + 38 * cheek + 20 * self.strength(9, s))
            self.bulge(at["cheek"][s], 8 + 22 * cheek + 10 * smile)
            self.crease(at["cheek_under"][s], 22 * cheek, 2.5)
            for row in range(3):
                self.crease(at["bridge_lines"][s, row], 6 * age + 55 * m[9][s, 0])
            upper = 62 * self.strength(10, s) + 40 * self.strength(9, s)
            whole = (8 + 40 * age) * self.seen[s] + 55 * smile + 18 * self.strength(15, s)
            self.crease(at["fold"][s], whole, 2)
            self.crease(at["fold"][s, :6], max(upper, whole), 2.4)
            self.crease(at["corner_pull"][s], 45 * smile, 2)

    def lower_face_relief(self) -> None:
        at, m, age = self.at, self.m, self.spec.person.age
        for row in at["philtrum"]:
            self.crease(row, 14 * (1 - m.mean(20)))
        self.bulge(at["chin_boss"], 10 + 40 * m.mean(17) - 8 * m.mean(20))
        self.crease(at["lip_shadow"], 24 - 10 * m.mean(20), 3)
        self.crease(at["mentolabial"], 6 + 12 * age + 80 * m.mean(17), 2.4)
        for dot in at["chin_dots"]:
            self.crease(dot, 80 * m.mean(17), 2.2)
        for ray in (*at["pucker_lines"], *at["pucker_lines_low"]):
            self.crease(ray, 42 * max(m.mean(18), 0.75 * m.mean(28)), 1.3)
        press = max(m.mean(24), 0.6 * m.mean(28))
        self.crease(at["press_upper"], -34 * press, 3)
        self.crease(at["press_lower"], -34 * press, 3)
        for s in range(2):
            self.crease(at["pouch"][s], 14 * age + 58 * self.strength(15, s), 2.2)
            for row in range(2):
                self.crease(at["stretch_lines"][s, row], 46 * self.strength(20, s), 1.3)

    def shade(self, head: np.ndarray) -> None:
        """Multiplies the head's colours by the light on an egg and by both reliefs."""
        side = self.image.shape[0]
        small = side // 4
        grid = (np.arange(small, dtype=np.float32) + 0.5) * 4
        middle = project(np.array([0.0, 0, 0]), self.spec.angles, self.spec.distance)
        x = (grid - self.centre[0]) / self.scale - float(middle[0])
        y = ((grid - self.centre[1]) / self.scale - float(middle[1]))[:, None]
        # The egg's quadric x^T q x = 1, solved for the z nearer to the camera.
        q = (self.turn * (1 / np.array([84.0, 132, 105]) ** 2)) @ self.turn.T
        q = q.astype(np.float32)
        b = q[0, 2] * x + q[1, 2] * y
        c = q[0, 0] * x * x + 2 * q[0, 1] * x * y + q[1, 1] * y * y - 1
        z = (np.sqrt(np.maximum(b * b - q[2, 2] * c, 0)) - b) / q[2, 2]
        normal = [q[i, 0] * x + q[i, 1] * y + q[i, 2] * z for i in range(3)]
        length = np.sqrt(normal[0] ** 2 + normal[1] ** 2 + normal[2] ** 2)
        light = self.spec.light
        facing = (normal[0] * light[0] + normal[1] * light[1] + normal[2] * light[2]) / length
        ambient = self.spec.ambient
        egg = _FLAT * (ambient + (1.12 - ambient) * np.maximum(facing, 0))
        egg += self.rng.normal(0, 1.5, egg.shape)
        shade = cv2.resize(egg.clip(0, 255).astype(np.uint8), (side, side))
        broad = cv2.resize(cv2.blur(cv2.blur(self.broad, (5, 5)), (5, 5)), (side, side))
        fine = cv2.GaussianBlur(self.fine, (3, 3), 0)
        shade = cv2.multiply(cv2.multiply(shade, broad, scale=1 / _FLAT), fine, scale=1 / _FLAT)
        mask = np.zeros((side, side), np.uint8)
        cv2.fillPoly(mask, [head], 255, cv2.LINE_AA, SHIFT)
        shade = cv2.copyTo(shade, mask, np.full((side, side), _FLAT, np.uint8))
        cv2.multiply(self.image, cv2.merge([shade] * 3), self.image, scale=1 / _FLAT)

    # -- what hides the face -----------------------------------------------------------------

    def glasses(self, lens) -> None:
        angle = np.linspace(0, 2 * np.pi, 16, endpoint=False)
        eye = 32 * self.spec.person.eye_distance
        frames = []
        for sign in (-1, 1):
            u = sign * eye + 22 * np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** 0.8
            v = 2 + 17 * np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** 0.8
            frames.append(np.stack([u, v, depth(u * 0 + sign * eye, v * 0) + 9], -1))
        bridge = np.array([[-eye + 21, -3, 92.0], [0, -5, 96], [eye - 21, -3, 92]])
        points = np.concatenate([*frames, bridge])
        flat = project(points, self.spec.angles, self.spec.distance)
        fixed = np.rint((flat * self.scale + self.centre) * 2**SHIFT).astype(np.int32)
        for s in range(2):
            ring = fixed[16 * s : 16 * s + 16]
            if lens is not None:
                self.fill(ring, lens)
            self.line(ring, (30, 28, 32), 2.0, closed=True)
        self.line(fixed[32:], (30, 28, 32), 2.0)

    def occluder(self) -> None:
        rng, kind, mm = self.rng, self.spec.occluder, self.scale

        def at(u: float, v: float) -> np.ndarray:
            flat = project(np.array([u, v, 80.0]), self.spec.angles, self.spec.distance)
            return flat * mm + self.centre

        def fixed(points) -> np.ndarray:
            return np.rint(np.asarray(points) * 2**SHIFT).astype(np.int32)

        if kind == "hand":
            tip = at(rng.uniform(-45, 45), rng.uniform(45, 95))
            away = np.array([rng.uniform(-0.8, 0.8), 1.0])
            across = np.array([1.0, -away[0]]) * 13 * mm
            skin = self.spec.person.skin
            for finger in range(4):
                start = tip + across * (finger - 1.5) - away * rng.uniform(0, 14) * mm
                path = fixed([start, tip + across * (finger - 1.5) + away * 60 * mm])
                self.line(path, skin * 0.6, 16)
                self.line(path, skin * 0.93, 13)
            palm = tip + away * 95 * mm
            centre = fixed(palm).tolist()
            axes = fixed([36 * mm, 48 * mm]).tolist()
            cv2.ellipse(
                self.image, centre, axes, 0, 0, 360, _colour(skin * 0.9), -1, cv2.LINE_AA, SHIFT
            )
        elif kind == "bar":
            middle = at(rng.uniform(-60, 60), rng.uniform(-60, 100))
            along = np.array([np.cos(a := rng.uniform(0, np.pi)), np.sin(a)]) * 260 * mm
            colour = rng.uniform(10, 240, 3)
            self.line(fixed([middle - along, middle + along]), colour, rng.uniform(12, 30))
        elif kind == "scarf":
            top = rng.uniform(52, 92)
            edge = [at(u, top + rng.uniform(-4, 4)) for u in (-75, -40, 0, 40, 75)]
            low = self.centre + np.array([[110, 175], [-110, 175]]) * mm
            self.fill(fixed([*edge, *low]), rng.uniform(20, 230, 3))


def _colour(values) -> tuple[float, float, float]:
    b, g, r = (float(min(max(v, 0), 255)) for v in values)
    return b, g, r
