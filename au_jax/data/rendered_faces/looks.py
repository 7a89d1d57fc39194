"""Looks of rendered faces: from which distributions people, light, cameras and places are drawn.

A data set for training and one for testing take different looks, so that a score on the second
does not reward what only the first one's pictures share. The ranges are ours and wide on purpose:
a network that has seen more variety than there is takes a photograph for one variety more (Tobin et
al., 2017, domain randomisation).
"""

import dataclasses

Range = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Look:
    """Distributions of what is in a picture besides the expression.

    Attributes:
      identity: standard deviation of the weights of the shapes of identity.
      darkness: alpha and beta of the beta distribution of how dark skin is, 0 to 1.
      skin_spread: standard deviation of a skin's brightness and hue, grey levels.
      shine: of the skin. glasses, tinted: shares of people with glasses, and of dark ones of these.
      make_up: share of people who may wear make-up that do.
      angles: standard deviations of pitch, yaw and roll, degrees, of most pictures.
      turned: share of the pictures whose angles are uniform up to `largest`.
      largest: largest pitch, yaw and roll, degrees.
      width: of the face, shares of the picture's side. off_centre: standard deviation of the face's
        place, shares of the side. distance: of the camera, cm.
      azimuth: of the key lamp, degrees to either side. elevation: of it, degrees.
      key, fill, ambient: strengths of the lamps and of the light of the surroundings.
      tint: standard deviation of how warm or cold a light is. coloured: share of lamps of any hue.
      shadow, wrap, exposure, gamma: see `scene.Light`.
      backdrops, occluders: kind -> weight, of `backdrops.BACKDROPS` and
        `occluders.OCCLUDERS`.
      blurred, moved, downscaled, noisy, grey: shares of pictures with a defect.
      blur, motion, downscale, noise, jpeg: ranges where there is one, see `scene.Defects`.
    """

    identity: float
    darkness: Range
    skin_spread: float
    shine: Range
    glasses: float
    tinted: float
    make_up: float
    angles: tuple[float, float, float]
    turned: float
    largest: tuple[float, float, float]
    width: Range
    off_centre: float
    distance: Range
    azimuth: float
    elevation: Range
    key: Range
    fill: Range
    ambient: Range
    tint: float
    coloured: float
    shadow: Range
    wrap: Range
    exposure: Range
    gamma: Range
    backdrops: dict[str, float]
    occluders: dict[str, float]
    blurred: float
    blur: Range
    moved: float
    motion: Range
    downscaled: float
    downscale: Range
    noisy: float
    noise: Range
    grey: float
    jpeg: tuple[int, int]


LOOKS = {
    "everyday": Look(
        identity=0.9,
        darkness=(1.1, 1.4),
        skin_spread=8.0,
        shine=(0.0, 0.8),
        glasses=0.14,
        tinted=0.15,
        make_up=0.5,
        angles=(9.0, 13.0, 7.0),
        turned=0.25,
        largest=(35.0, 60.0, 30.0),
        width=(0.40, 0.62),
        off_centre=0.035,
        distance=(45.0, 130.0),
        azimuth=75.0,
        elevation=(-15.0, 65.0),
        key=(0.3, 1.05),
        fill=(0.0, 0.4),
        ambient=(0.15, 0.6),
        tint=0.08,
        coloured=0.06,
        shadow=(0.3, 0.95),
        wrap=(0.0, 0.4),
        exposure=(0.75, 1.35),
        gamma=(1.9, 2.5),
        backdrops={
            "gradient": 1, "noise": 1.5, "rectangles": 2, "bokeh": 2, "stripes": 1, "two-tone": 1,
        },
        occluders={
            "none": 0.87, "hand": 0.04, "phone": 0.01, "cup": 0.01, "microphone": 0.01,
            "mask": 0.008, "scarf": 0.012, "hat": 0.03, "strands": 0.015,
        },
        blurred=0.35,
        blur=(0.3, 1.6),
        moved=0.05,
        motion=(2.0, 6.0),
        downscaled=0.3,
        downscale=(0.3, 0.9),
        noisy=0.5,
        noise=(0.004, 0.035),
        grey=0.08,
        jpeg=(40, 95),
    ),
    "other": Look(
        identity=1.15,
        darkness=(1.5, 1.2),
        skin_spread=12.0,
        shine=(0.2, 1.0),
        glasses=0.22,
        tinted=0.25,
        make_up=0.6,
        angles=(11.0, 17.0, 9.0),
        turned=0.2,
        largest=(35.0, 60.0, 30.0),
        width=(0.36, 0.68),
        off_centre=0.05,
        distance=(35.0, 200.0),
        azimuth=90.0,
        elevation=(-25.0, 75.0),
        key=(0.45, 1.2),
        fill=(0.0, 0.5),
        ambient=(0.10, 0.45),
        tint=0.12,
        coloured=0.12,
        shadow=(0.5, 1.0),
        wrap=(0.0, 0.25),
        exposure=(0.7, 1.5),
        gamma=(1.8, 2.6),
        backdrops={
            "gradient": 0.5, "noise": 1, "rectangles": 1, "bokeh": 3, "stripes": 3, "two-tone": 3,
        },
        occluders={
            "none": 0.76, "hand": 0.08, "phone": 0.015, "cup": 0.015, "microphone": 0.02,
            "mask": 0.01, "scarf": 0.02, "hat": 0.06, "strands": 0.02,
        },
        blurred=0.4,
        blur=(0.4, 1.8),
        moved=0.08,
        motion=(2.0, 7.0),
        downscaled=0.4,
        downscale=(0.3, 0.8),
        noisy=0.6,
        noise=(0.006, 0.045),
        grey=0.12,
        jpeg=(30, 90),
    ),
}  # fmt: skip
