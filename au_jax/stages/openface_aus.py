"""OpenFace's own AUs as a baseline (Magdeburg, Fig. 2), from the CSV files that it wrote."""

import dataclasses
from pathlib import Path

import numpy as np

from au_jax import aus, log
from au_jax.allowed import Line
from au_jax.data.records import Crop
from au_jax.data.sources import Source
from au_jax.data.split_name import Split
from au_jax.errors import UserError
from au_jax.faces.openface import OpenFace
from au_jax.stages.base import Stage, StageContext, score_once


@dataclasses.dataclass(frozen=True)
class OpenFaceAUs(Stage):
    """What OpenFace says of the expression AUs of images, with nothing learned.

    It writes scores/SPLIT/1.npz for every split of `validate` and `test`, with the numbers of
    `OpenFace.action_units` for logits. AUs that OpenFace does not know are left out; where it found
    no face, all are absent, as the paper has it.

    Attributes:
      folder: the CSV files, as for `--mode=prepare --landmarks=FOLDER`.
      crop: a crop that is stored (its images are not read).
      validate, test: splits that are scored.
    """

    folder: Line
    crop: Crop = "closeup"
    validate: tuple[Split, ...] = ("opt-val",)
    test: tuple[Split, ...] = ("test",)

    def run(self, context: StageContext) -> None:
        """Reads the files and scores what they say.

        Raises:
          UserError: see `check`; or a split's images have no file, a file is none of OpenFace's, or
            the records are frames of videos.
        """
        openface = self._open(context.folder.name)

        def logits_of(source: Source) -> tuple[np.ndarray, tuple[str, ...]]:
            images = _images(source)
            said = [openface.action_units(image) for image in images]
            found = [of_face for of_face in said if of_face is not None]
            if not found:
                raise UserError(
                    f"{self.folder} has no .csv file with a face for the {len(source)} images of "
                    f"'{source.name}', such as {images[0]}; name the folder that OpenFace "
                    "wrote for them"
                )
            known = set.intersection(*map(set, found))
            names = tuple(au for au in aus.group(source.aus, "expression") if au in known)
            absent = dict.fromkeys(names, -1.0)
            rows = [[(of_face or absent)[au] for au in names] for of_face in said]
            log.say(
                f"  {source.name}: OpenFace found {len(found)} of {len(source)} faces, and knows "
                f"{len(names)} AUs"
            )
            return np.array(rows, np.float32), names

        score_once(context, (*self.validate, *self.test), self.crop, logits_of)

    def check(self, context: StageContext) -> None:
        """Finds now whether there is a folder.

        Raises:
          UserError: there is none.
        """
        self._open(context.folder.name)

    def _open(self, stage: str) -> OpenFace:
        if not self.folder:
            raise UserError(
                f"stage {stage} reads the .csv files that OpenFace wrote; give "
                f"--config.stages.{stage}.folder=FOLDER"
            )
        return OpenFace(Path(self.folder))


def _images(source: Source) -> list[str]:
    """The path of each record's image within the raw data set."""
    paths = [key.partition("/")[2].rpartition("#")[0] for key in source.table.keys.tolist()]
    if not all(paths) or (source.table.frame >= 0).any():
        kind = "frames of videos" if all(paths) else "no images of a data set"
        raise UserError(
            f"the records of '{source.name}' are {kind}; OpenFace's AUs are read for those that "
            "--mode=prepare made of image files"
        )
    return paths
