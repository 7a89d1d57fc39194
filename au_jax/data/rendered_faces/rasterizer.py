"""Triangles to pixels: normals, a lamp's shadow, and a z-buffer that lights every pixel.

Compiled by Numba and kept on disk, so that the next process compiles nothing. One thread and no
fast-math: the same input gives the same bytes everywhere.
"""

import numpy as np

from au_jax.errors import UserError

try:
    from numba import njit
except ModuleNotFoundError as error:
    raise UserError(
        'rendered faces need Numba, which is not installed; run pip install -e ".[render]"'
    ) from error

# The columns of the vertices' attributes.
RED, GREEN, BLUE, GLOSS, OPEN, LIT, ALPHA, ACROSS, ALONG = range(9)
COLUMNS = 9
FAR = -np.inf  # the depth where nothing was drawn
WET = 0.5  # a surface glossier than this has narrow highlights
BEHIND = 0.15  # cm: a lash this far behind the skin is still drawn over it
EDGE = -1e-5  # a pixel on the edge of a triangle belongs to it
VALLEY = 7.0  # how much darker skin is per cm that it lies below its surroundings


@njit(cache=True, fastmath=False, nogil=True)
def normals_and_cavity(vertices, triangles):
    """The vertices' normals, and how deep each lies between its neighbours.

    The cavity is the height of the mean of the neighbours above the vertex, along its normal, over
    the mean length of its triangles: positive in creases, negative on ridges.

    Args:
      vertices: float32 [V, 3]. triangles: int32 [T, 3], anticlockwise seen from outside.

    Returns:
      Normals float32 [V, 3] of length 1 (0 for a vertex of no triangle), cavity float32 [V].
    """
    count = len(vertices)
    normals = np.zeros((count, 3), np.float32)
    sums = np.zeros((count, 5), np.float32)  # the neighbours' sum, their number, sum of lengths
    for t in range(len(triangles)):
        a, b, c = vertices[triangles[t, 0]], vertices[triangles[t, 1]], vertices[triangles[t, 2]]
        ux, uy, uz = b[0] - a[0], b[1] - a[1], b[2] - a[2]
        vx, vy, vz = c[0] - a[0], c[1] - a[1], c[2] - a[2]
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        length = np.sqrt(ux * ux + uy * uy + uz * uz + vx * vx + vy * vy + vz * vz)
        for j in range(3):
            i = triangles[t, j]
            p, q = vertices[triangles[t, (j + 1) % 3]], vertices[triangles[t, (j + 2) % 3]]
            normals[i, 0] += nx
            normals[i, 1] += ny
            normals[i, 2] += nz
            for k in range(3):
                sums[i, k] += p[k] + q[k]
            sums[i, 3] += 2
            sums[i, 4] += 2 * length
    cavity = np.zeros(count, np.float32)
    for i in range(count):
        if sums[i, 3] == 0:
            continue
        n = normals[i]
        n /= np.sqrt(n[0] * n[0] + n[1] * n[1] + n[2] * n[2]) + np.float32(1e-9)
        height = np.float32(0)
        for k in range(3):
            height += n[k] * (sums[i, k] / sums[i, 3] - vertices[i, k])
        cavity[i] = height / (sums[i, 4] / sums[i, 3] + np.float32(1e-6))
    return normals, cavity


@njit(cache=True, fastmath=False, nogil=True)
def shadow(vertices, triangles, lamp, cells, reach, bias):
    """How much of a lamp's light each vertex gets, by a map of depths along the light.

    Args:
      vertices: float32 [V, 3], cm. triangles: int32 [T, 3], what casts the shadow.
      lamp: float32 [3, 3], rows: to the light's right, up, and towards the lamp.
      cells: of the map on each axis. reach: half the map's side, cm.
      bias: a vertex is in the shadow of what is this much nearer to the lamp, cm.

    Returns:
      float32 [V], 0 in the shadow to 1 in the light: the share of the 3 x 3 cells around a vertex
      that lie free.
    """
    count = len(vertices)
    seen = np.empty((count, 3), np.float32)
    nearest = np.full((cells, cells), np.float32(-1e9))
    half = np.float32(0.5) * cells
    for i in range(count):
        for k in range(3):
            d = (
                lamp[k, 0] * vertices[i, 0]
                + lamp[k, 1] * vertices[i, 1]
                + lamp[k, 2] * vertices[i, 2]
            )
            seen[i, k] = (d / reach + np.float32(1)) * half if k < 2 else d
    for t in range(len(triangles)):
        a, b, c = seen[triangles[t, 0]], seen[triangles[t, 1]], seen[triangles[t, 2]]
        area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        if area <= np.float32(1e-9):
            continue
        left = max(int(np.ceil(min(a[0], b[0], c[0]))), 0)
        right = min(int(np.floor(max(a[0], b[0], c[0]))), cells - 1)
        bottom = max(int(np.ceil(min(a[1], b[1], c[1]))), 0)
        top = min(int(np.floor(max(a[1], b[1], c[1]))), cells - 1)
        for y in range(bottom, top + 1):
            for x in range(left, right + 1):
                w1 = ((x - a[0]) * (c[1] - a[1]) - (y - a[1]) * (c[0] - a[0])) / area
                w2 = ((b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0])) / area
                w0 = 1 - w1 - w2
                if w0 < 0 or w1 < 0 or w2 < 0:
                    continue
                depth = np.float32(w0 * a[2] + w1 * b[2] + w2 * c[2])
                if depth > nearest[y, x]:
                    nearest[y, x] = depth
    lit = np.ones(count, np.float32)
    for i in range(count):
        x, y = int(np.rint(seen[i, 0])), int(np.rint(seen[i, 1]))
        all_cells = dark = 0
        for row in range(max(y - 1, 0), min(y + 2, cells)):
            for column in range(max(x - 1, 0), min(x + 2, cells)):
                all_cells += 1
                if nearest[row, column] > seen[i, 2] + bias:
                    dark += 1
        if all_cells:
            lit[i] = np.float32(1) - np.float32(dark) / np.float32(all_cells)
    return lit


@njit(cache=True, fastmath=False, nogil=True)
def rasterize(
    image, depth, screen, normals, attributes, triangles, detail, height, texel, up, lamps, blended
):
    """Draws triangles into `image` and `depth`, lit pixel by pixel.

    With n the normal, k the key lamp, f the fill lamp, h halfway between k and the camera, w the
    lamp's wrap, a pixel is

        colour * (open * (ambient(n) + max(n.f, 0) * fill)
                  + lit * max((n.k + w) / (1 + w), 0) * key) + gloss * lit * max(n.h, 0)^p * key

    where ambient goes from the light from below (n down) to that from above (n up), and p is 16,
    or 256 on a wet surface. The red of the key lamp wraps farther and the blue less far: light
    that enters skin comes out red beyond the edge of the shadow.

    Args:
      image: float32 [H, W, 3], linear RGB, drawn over. depth: float32 [H, W], as `screen`'s.
      screen: float32 [V, 3], pixels to the right, pixels down, and cm towards the camera.
      normals: float32 [V, 3], in the camera's coordinates.
      attributes: float32 [V, 9], the columns above; ACROSS and ALONG are texels of `detail`.
      triangles: int32 [T, 3]; those that face away are left out, unless `blended`.
      detail: float32 [R, C, 4], premultiplied RGBA, laid over the vertices' colour.
      height: float32 [R, C], cm, the skin's relief: it bends the normals, and valleys are darker.
      texel: cm. up: float32 [3], the texture's upward direction in the camera's coordinates.
      lamps: float32 [7, 3]: direction and colour of key and of fill, colour from above and from
        below, wrap (three times).
      blended: whether to blend by ALPHA and leave `depth` as it is (lashes).
    """
    rows, columns = depth.shape
    key, key_colour, fill, fill_colour = lamps[0], lamps[1], lamps[2], lamps[3]
    above, below = lamps[4], lamps[5]
    wrap = (lamps[6, 0] * np.float32(1.3), lamps[6, 1], lamps[6, 2] * np.float32(0.8))
    half = np.empty(3, np.float32)
    half[0], half[1], half[2] = key[0], key[1], key[2] + np.float32(1)
    half /= np.sqrt(half[0] * half[0] + half[1] * half[1] + half[2] * half[2])
    last_row, last_column = detail.shape[0] - 1.001, detail.shape[1] - 1.001
    one = np.float32(1)
    v = np.empty(COLUMNS, np.float32)
    over = np.empty(4, np.float32)
    for t in range(len(triangles)):
        i0, i1, i2 = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        a, b, c = screen[i0], screen[i1], screen[i2]
        # Rows count downwards, so a triangle that faces the camera has a negative area.
        area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        if abs(area) < np.float32(1e-9) or (area > 0 and not blended):
            continue
        left = max(int(np.ceil(min(a[0], b[0], c[0]))), 0)
        right = min(int(np.floor(max(a[0], b[0], c[0]))), columns - 1)
        top = max(int(np.ceil(min(a[1], b[1], c[1]))), 0)
        bottom = min(int(np.floor(max(a[1], b[1], c[1]))), rows - 1)
        for y in range(top, bottom + 1):
            for x in range(left, right + 1):
                px, py = np.float32(x) - a[0], np.float32(y) - a[1]
                w1 = (px * (c[1] - a[1]) - py * (c[0] - a[0])) / area
                w2 = ((b[0] - a[0]) * py - (b[1] - a[1]) * px) / area
                w0 = one - w1 - w2
                if w0 < EDGE or w1 < EDGE or w2 < EDGE:
                    continue
                z = w0 * a[2] + w1 * b[2] + w2 * c[2]
                if z <= (depth[y, x] - np.float32(BEHIND) if blended else depth[y, x]):
                    continue
                for k in range(COLUMNS):
                    v[k] = w0 * attributes[i0, k] + w1 * attributes[i1, k] + w2 * attributes[i2, k]
                nx = w0 * normals[i0, 0] + w1 * normals[i1, 0] + w2 * normals[i2, 0]
                ny = w0 * normals[i0, 1] + w1 * normals[i1, 1] + w2 * normals[i2, 1]
                nz = w0 * normals[i0, 2] + w1 * normals[i1, 2] + w2 * normals[i2, 2]
                scale = one / (np.sqrt(nx * nx + ny * ny + nz * nz) + np.float32(1e-9))
                nx, ny, nz = nx * scale, ny * scale, nz * scale

                # The texture at the pixel, between four texels.
                along = min(max(v[ALONG], np.float32(0)), np.float32(last_row))
                across = min(max(v[ACROSS], np.float32(0)), np.float32(last_column))
                r, s = int(along), int(across)
                fr, fs = along - np.float32(r), across - np.float32(s)
                for k in range(4):
                    over[k] = (one - fr) * (
                        (one - fs) * detail[r, s, k] + fs * detail[r, s + 1, k]
                    ) + fr * ((one - fs) * detail[r + 1, s, k] + fs * detail[r + 1, s + 1, k])
                h00, h01 = height[r, s], height[r, s + 1]
                h10, h11 = height[r + 1, s], height[r + 1, s + 1]
                relief = (one - fr) * ((one - fs) * h00 + fs * h01) + fr * (
                    (one - fs) * h10 + fs * h11
                )
                slope_across = ((one - fr) * (h01 - h00) + fr * (h11 - h10)) / texel
                slope_up = ((one - fs) * (h00 - h10) + fs * (h01 - h11)) / texel
                # Across: up x normal; upwards: normal x across.
                tx, ty, tz = (
                    up[1] * nz - up[2] * ny,
                    up[2] * nx - up[0] * nz,
                    up[0] * ny - up[1] * nx,
                )
                scale = one / (np.sqrt(tx * tx + ty * ty + tz * tz) + np.float32(1e-6))
                tx, ty, tz = tx * scale, ty * scale, tz * scale
                bx, by, bz = ny * tz - nz * ty, nz * tx - nx * tz, nx * ty - ny * tx
                nx -= slope_across * tx + slope_up * bx
                ny -= slope_across * ty + slope_up * by
                nz -= slope_across * tz + slope_up * bz
                scale = one / (np.sqrt(nx * nx + ny * ny + nz * nz) + np.float32(1e-9))
                nx, ny, nz = nx * scale, ny * scale, nz * scale
                valley = one / (one + np.float32(VALLEY) * max(-relief, np.float32(0)))

                toward_key = nx * key[0] + ny * key[1] + nz * key[2]
                toward_fill = max(nx * fill[0] + ny * fill[1] + nz * fill[2], np.float32(0))
                shine = max(nx * half[0] + ny * half[1] + nz * half[2], np.float32(0))
                for _ in range(8 if v[GLOSS] > WET else 4):
                    shine *= shine
                shine *= v[GLOSS] * v[LIT]
                upward = np.float32(0.5) + np.float32(0.5) * ny
                for k in range(3):
                    diffuse = max((toward_key + wrap[k]) / (one + wrap[k]), np.float32(0))
                    ambient = upward * above[k] + (one - upward) * below[k]
                    light = (
                        v[OPEN] * (ambient + toward_fill * fill_colour[k])
                        + v[LIT] * diffuse * key_colour[k]
                    )
                    colour = v[k] * (one - over[3]) + over[k]
                    value = colour * valley * light + shine * key_colour[k]
                    if blended:
                        image[y, x, k] += v[ALPHA] * (value - image[y, x, k])
                    else:
                        image[y, x, k] = value
                if not blended:
                    depth[y, x] = z
