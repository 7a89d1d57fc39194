"""Settings of a set of rendered faces (`--render`): how many, of which looks, from which seed."""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any

from au_jax import allowed
from au_jax.allowed import CountOrNone, OneOf, Range, Seed
from au_jax.data.made_splits import CLIP_SPLITS, MOST_FRAMES, SPLITS
from au_jax.data.rendered_faces.looks import LOOKS
from au_jax.errors import UserError, unknown


@dataclasses.dataclass(frozen=True)
class Settings:
    """A set of rendered faces.

    Attributes:
      opt, noisy, test: numbers of pictures of each split, 0 for no such split; a person has 8.
      clips: number of short videos of the split `clips`, each of another person; `clips_test` has a
        third as many. 0: no such splits.
      frames: of a clip.
      seed: other seeds give other people.
      look: of the splits `opt`, `noisy` and `clips`. test_look: of `test` and `clips_test`.
      strength: of the errors in the labels of `noisy`, see `systematic_detector`; 0: none.
      size: side of the rendered pictures, from which the crops are cut, pixels.
    """

    opt: CountOrNone = 2400
    noisy: CountOrNone = 4800
    test: CountOrNone = 1000
    clips: CountOrNone = 0
    frames: Annotated[int, Range(ge=1, le=MOST_FRAMES)] = 24
    seed: Seed = 0
    look: Annotated[str, OneOf(LOOKS)] = "everyday"
    test_look: Annotated[str, OneOf(LOOKS)] = "other"
    strength: Annotated[float, Range(ge=0, le=10)] = 1.0
    size: Annotated[int, Range(ge=96, le=1024)] = 224

    def look_of(self, split: str) -> str:
        """The look of a split's pictures."""
        return self.test_look if split in ("test", "clips_test") else self.look

    def numbers(self) -> dict[str, list[int]]:
        """Split -> the numbers of its pictures, ascending; splits without any are not named."""
        stills = {split: list(range(getattr(self, split))) for split in SPLITS}
        clips = dict(zip(CLIP_SPLITS, (self.clips, -(-self.clips // 3)), strict=True))
        frames = {
            split: [
                clip * MOST_FRAMES + frame for clip in range(count) for frame in range(self.frames)
            ]
            for split, count in clips.items()
        }
        return {split: numbers for split, numbers in (stills | frames).items() if numbers}


def parse(fields: Mapping[str, str]) -> Settings:
    """Reads settings as the flag `--render` gives them.

    Args:
      fields: name -> value as text.

    Raises:
      UserError: a name or a value is none that there is; no picture would be rendered.
    """
    hints = allowed.hints_of(Settings)
    known = [field.name for field in dataclasses.fields(Settings)]
    values: dict[str, Any] = {}
    for name, text in fields.items():
        if name not in known:
            raise unknown("field of --render", name, known)
        values[name] = _value(text, type(getattr(Settings, name)))
        if not allowed.allows(values[name], hints[name]):
            raise UserError(f"--render has {name}={text}; give {allowed.describe(hints[name])}")
    settings = Settings(**values)
    if not settings.numbers():
        raise UserError("--render asks for no pictures; give opt, noisy, test or clips a number")
    return settings


def _value(text: str, kind: type) -> object:
    """The text as a number where it is one and a number is asked for; else as it is."""
    try:
        return kind(text)
    except ValueError:
        return text
