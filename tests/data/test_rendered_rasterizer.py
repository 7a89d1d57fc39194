"""The rasteriser, against triangles whose pixels are worked out by hand."""

import numpy as np
import pytest

pytest.importorskip("numba", reason="rendered faces need Numba: pip install -e '.[render]'")

from au_jax.data.rendered_faces import rasterizer

SIDE = 8
CAMERA = (0.0, 0.0, 1.0)
DARK = np.zeros(3)


def lamps(
    key=CAMERA, key_colour=DARK, fill=CAMERA, fill_colour=DARK, above=DARK, below=DARK, wrap=0.0
):
    rows = [key, key_colour, fill, fill_colour, above, below, np.full(3, wrap)]
    return np.array(rows, np.float32)


AMBIENT = lamps(above=np.ones(3), below=np.ones(3))


def draw(screen, triangles, light=AMBIENT, normal=CAMERA, blended=False, image=None, **columns):
    """Rasterises white triangles; `columns` are attributes of all vertices by name."""
    screen = np.array(screen, np.float32)
    attributes = np.zeros((len(screen), rasterizer.COLUMNS), np.float32)
    attributes[:, :3] = attributes[:, [rasterizer.OPEN, rasterizer.LIT]] = 1
    attributes[:, :3] = columns.pop("colour", 1.0)
    for name, value in columns.items():
        if name not in ("detail", "height"):
            attributes[:, getattr(rasterizer, name.upper())] = value
    image = np.zeros((SIDE, SIDE, 3), np.float32) if image is None else image
    depth = np.full((SIDE, SIDE), rasterizer.FAR, np.float32)
    detail = np.asarray(columns.get("detail", np.zeros((2, 2, 4))), np.float32)
    rasterizer.rasterize(
        image,
        depth,
        screen,
        np.tile(np.array(normal, np.float32), (len(screen), 1)),
        attributes,
        np.array(triangles, np.int32),
        detail,
        # The relief has the texture's texels: the rasteriser looks no further than these.
        np.asarray(columns.get("height", np.zeros(detail.shape[:2])), np.float32),
        np.float32(0.1),
        np.array([0, 1, 0], np.float32),
        light,
        blended,
    )
    return image, depth


# Rows count down, so a triangle that faces the camera runs anticlockwise as seen.
CORNER = [[0, 0, 1], [0, 4, 1], [4, 0, 1]]


def test_covers_the_pixels_inside_and_on_the_edges():
    image, depth = draw(CORNER, [[0, 1, 2]])
    rows, columns = np.mgrid[:SIDE, :SIDE]
    inside = rows + columns <= 4
    np.testing.assert_array_equal(image[..., 0] > 0, inside)
    np.testing.assert_array_equal(depth, np.where(inside, np.float32(1), rasterizer.FAR))


def test_leaves_out_what_faces_away_or_has_no_area():
    image, _ = draw([*CORNER, [2, 2, 1]], [[0, 2, 1], [1, 3, 2]])
    assert not image.any()


def test_a_triangle_outside_the_picture_is_cut():
    image, _ = draw([[-20, -20, 1], [-20, 60, 1], [60, -20, 1]], [[0, 1, 2]])
    np.testing.assert_allclose(image, 1, rtol=1e-6)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_nearer_triangle_wins_in_any_order(order):
    screen = [*CORNER, *np.add(CORNER, [0, 0, 1]).tolist()]
    triangles = np.array([[0, 1, 2], [3, 4, 5]])[list(order)]
    colours = np.repeat([[1.0, 0, 0], [0, 1.0, 0]], 3, axis=0)
    image, depth = draw(screen, triangles, colour=colours)
    assert image[1, 1].tolist() == [0, 1, 0]
    assert depth[1, 1] == 2


def test_attributes_and_depth_are_interpolated():
    screen = [[0, 0, 0], [0, 4, 4], [4, 0, 8]]
    colours = np.array([[0, 0, 0], [0.4, 0, 0], [0, 0.8, 0]])
    image, depth = draw(screen, [[0, 1, 2]], colour=colours)
    # Row 1, column 2: a quarter of the second corner, half of the third.
    np.testing.assert_allclose(image[1, 2], [0.1, 0.4, 0], atol=1e-6)
    assert depth[1, 2] == pytest.approx(5)


def test_a_pixels_light_follows_the_formula():
    key, fill, normal = np.array([0.6, 0.0, 0.8]), np.array([0.0, 0.8, 0.6]), (0.0, 0.6, 0.8)
    light = lamps(
        *(key, [0.5, 0.6, 0.7], fill, [0.1, 0.2, 0.3], [0.4, 0.4, 0.5], [0.2, 0.1, 0.1], 0.25)
    )
    image, _ = draw(
        CORNER, [[0, 1, 2]], light, normal, colour=[0.8, 0.5, 0.4], gloss=0.3, open=0.9, lit=0.7
    )
    wrap = 0.25 * np.array([1.3, 1.0, 0.8])
    diffuse = (0.64 + wrap) / (1 + wrap)
    ambient = 0.8 * np.array([0.4, 0.4, 0.5]) + 0.2 * np.array([0.2, 0.1, 0.1])
    halfway = (key + CAMERA) / np.linalg.norm(key + CAMERA)
    shine = 0.3 * 0.7 * (halfway @ normal) ** 16
    colour = np.array([0.8, 0.5, 0.4])
    key_colour = np.array([0.5, 0.6, 0.7])
    expected = colour * (
        0.9 * (ambient + 0.96 * np.array([0.1, 0.2, 0.3])) + 0.7 * diffuse * key_colour
    )
    np.testing.assert_allclose(image[1, 1], expected + shine * key_colour, rtol=1e-5)


def test_a_wet_surface_has_a_narrower_highlight():
    light, normal = lamps(CAMERA, np.ones(3)), (0.0, 0.28, 0.96)
    dry, _ = draw(CORNER, [[0, 1, 2]], light, normal, gloss=0.5, colour=0.0)
    wet, _ = draw(CORNER, [[0, 1, 2]], light, normal, gloss=0.9, colour=0.0)
    assert dry[1, 1, 0] == pytest.approx(0.5 * 0.96**16, rel=1e-5)
    assert wet[1, 1, 0] == pytest.approx(0.9 * 0.96**256, rel=1e-4)


def test_the_texture_lies_over_the_vertices_colour():
    detail = np.zeros((3, 3, 4))
    detail[1, 1] = 0.0, 0.3, 0.0, 0.6  # premultiplied
    across = np.array([0.0, 0.0, 1.9])
    image, _ = draw(CORNER, [[0, 1, 2]], colour=0.5, detail=detail, along=1.0, across=across)
    np.testing.assert_allclose(image[0, 0], 0.5)
    # At column 2, half way: texel 0.95 between 0 and 1.
    alpha = 0.95 * 0.6
    expected = [0.5 * (1 - alpha), 0.5 * (1 - alpha) + 0.95 * 0.3, 0.5 * (1 - alpha)]
    np.testing.assert_allclose(image[0, 2], expected, rtol=1e-5)


def test_relief_bends_the_normal_and_valleys_are_darker():
    # It rises by 0.03 cm a texel of 0.1 cm to the right: the normal leans left, (-0.3, 0, 1).
    slope = np.tile(np.arange(3) * 0.03, (3, 1))
    light = lamps((-1.0, 0.0, 0.0), np.ones(3))
    image, _ = draw(CORNER, [[0, 1, 2]], light, height=slope, across=0.5, along=0.5)
    assert image[1, 1, 0] == pytest.approx(0.3 / np.hypot(1, 0.3), rel=1e-4)
    # It rises upwards: lit from below.
    light = lamps((0.0, -1.0, 0.0), np.ones(3))
    image, _ = draw(CORNER, [[0, 1, 2]], light, height=slope.T[::-1], across=0.5, along=0.5)
    assert image[1, 1, 0] == pytest.approx(0.3 / np.hypot(1, 0.3), rel=1e-4)
    image, _ = draw(CORNER, [[0, 1, 2]], height=np.full((2, 2), -0.1))
    assert image[1, 1, 0] == pytest.approx(1 / (1 + 0.1 * rasterizer.VALLEY))


def test_blended_triangles_mix_from_both_sides_and_keep_the_depth():
    image = np.full((SIDE, SIDE, 3), 0.2, np.float32)
    _, depth = draw(CORNER, [[0, 2, 1]], blended=True, image=image, alpha=0.25)
    np.testing.assert_allclose(image[1, 1], 0.2 + 0.25 * 0.8)
    assert (depth == rasterizer.FAR).all()


def test_normals_and_cavity_of_a_pyramid():
    # A top over a square; its neighbours' mean lies 1 below it, so it is a ridge.
    vertices = np.array([[1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0], [0, 0, 1], [9, 9, 9]])
    triangles = np.array([[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4]], np.int32)
    normals, cavity = rasterizer.normals_and_cavity(vertices.astype(np.float32), triangles)
    np.testing.assert_allclose(normals[4], [0, 0, 1], atol=1e-6)
    # The two triangles at (1, 0, 0) have the normals (1, +-1, 1).
    np.testing.assert_allclose(normals[0], np.array([1, 0, 1]) / np.sqrt(2), atol=1e-6)
    # The edges from a triangle's first corner both measure sqrt 2: the length is 2.
    assert cavity[4] == pytest.approx(-1 / 2, rel=1e-4)
    assert normals[5].tolist() == [0, 0, 0]
    assert cavity[5] == 0
    # The same from below is a hollow.
    _, hollow = rasterizer.normals_and_cavity(
        vertices.astype(np.float32), triangles[:, ::-1].copy()
    )
    assert hollow[4] == pytest.approx(1 / 2, rel=1e-4)


def test_a_square_casts_its_shadow_along_the_light():
    # A square of side 4 at height 5 under a lamp from straight above (z), over three points.
    square = [[-2, -2, 5], [2, -2, 5], [2, 2, 5], [-2, 2, 5]]
    points = [[0, 0, 0], [6, 0, 0], [0, 0, 4.9]]
    vertices = np.array(square + points, np.float32)
    triangles = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    bias = np.float32(0.5)
    lit = rasterizer.shadow(
        vertices, triangles, np.eye(3, dtype=np.float32), 40, np.float32(10), bias
    )
    # In the shadow; beside it; so near below the square that the bias spares it. The square itself
    # is lit.
    np.testing.assert_array_equal(lit, [1, 1, 1, 1, 0, 1, 1])
    # From the side (+x) the shadow misses all three.
    axes = np.array([[0, 0, -1], [0, 1, 0], [1, 0, 0]], np.float32)
    assert (rasterizer.shadow(vertices, triangles, axes, 40, np.float32(10), bias) == 1).all()
