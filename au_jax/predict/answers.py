"""From the faces of images, some at a time, to probabilities and decisions in order."""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from au_jax.ensemble import selection
from au_jax.ensemble.predictor import Predictor
from au_jax.metrics import decide
from au_jax.predict.confidence import confidence, disagreements, doubts, grounds
from au_jax.predict.face_crops import Looked
from au_jax.predict.frames import Origin, Unusable
from au_jax.predict.smoother import Answer, Smoother
from au_jax.predict.tracks import Tracks

# Images that go through the networks together, at most.
_LARGEST_BATCH = 32
_NO_BOX, _NO_POSE = np.full(4, np.nan, np.float32), np.full(3, np.nan, np.float32)


@dataclasses.dataclass(frozen=True)
class Row:
    """What is known of one face, or that an image has none.

    Attributes:
      answer: the face; its number is -1 where there is none.
      probabilities: float32 [A], NaN where there is no face.
      decisions: bool [A], False where there is no face.
    """

    answer: Answer
    probabilities: np.ndarray
    decisions: np.ndarray


@dataclasses.dataclass(frozen=True)
class Step:
    """What one batch of images gave.

    Attributes:
      rows: those that are complete; smoothing holds some back.
      looked: the images of the batch. unusable: the inputs of the batch that cannot be used.
    """

    rows: Sequence[Row]
    looked: Sequence[Looked]
    unusable: Sequence[Unusable]

    @property
    def origins(self) -> list[Origin]:
        """Of all images and inputs of the batch."""
        return [i.origin for i in self.looked] + [i.origin for i in self.unusable]


def batch_of(count: int) -> int:
    """Images that go through the networks together where there are `count`, 0 for unknown."""
    return min(_LARGEST_BATCH, 1 << (count - 1).bit_length()) if count else _LARGEST_BATCH


class Answers:
    """Asks the networks, numbers the faces and smooths; what it holds back can be kept."""

    def __init__(self, predictor: Predictor, batch: int, state: dict[str, Any] | None = None):
        """Begins, or goes on with what `state` gave.

        Args:
          predictor: the networks.
          batch: faces in each batch of the networks, filled up so that nothing is compiled again.
          state: of another one with the same networks.
        """
        state = state or {"tracks": None, "smoother": None}
        self._predictor, self._batch = predictor, batch
        members = predictor.selection.members
        windows = [
            (members.index(dataclasses.replace(member, window=1)), member.window)
            for member in predictor.over_time.members
        ]
        self._aus = [predictor.member_aus[index] for index, _ in windows]
        self._tracks = Tracks(state["tracks"])
        self._smoother = Smoother(windows, state["smoother"])

    def state(self) -> dict[str, Any]:
        """All that a new one needs to go on, JSON-able."""
        return {"tracks": self._tracks.state(), "smoother": self._smoother.state()}

    def steps(self, images: Iterator[Looked | Unusable], size: int) -> Iterator[Step]:
        """What all the images give, `size` of them at a time; the last step is what was held back.

        The groups follow from the number of images alone, so that work that is taken up behind any
        of them has the same batches, and so the same bits.
        """
        while group := list(itertools.islice(images, size)):
            looked = [image for image in group if isinstance(image, Looked)]
            unusable = [image for image in group if isinstance(image, Unusable)]
            yield Step(self._rows(self._answers(looked)), looked, unusable)
        yield Step(self._rows(self._smoother.flush()), [], [])

    def _answers(self, looked: Sequence[Looked]) -> list[Answer]:
        """The answers for these images and those held back, as far as they are complete."""
        faces = [face for image in looked for face in image.faces]
        crops = [crops for image in looked for crops in image.crops]
        logits: list[np.ndarray] = []
        if faces:
            logits = self._predictor.member_logits(
                {crop: np.stack([of[crop] for of in crops]) for crop in self._predictor.crops},
                np.stack([face.pose for face in faces]),
                self._batch,
            )
            disagreed = disagreements(self._predictor.selection, self._predictor.member_aus, logits)
        ready, row = [], 0
        for image in looked:
            numbers = self._tracks.numbers(image.origin, image.faces)
            frame = []
            for number, face in zip(numbers, image.faces, strict=True):
                said = [of_member[row] for of_member in logits]
                of = grounds(face, float(disagreed[row]))
                frame.append(
                    Answer(
                        image.origin, number, face.box, confidence(of), doubts(of), face.pose, said
                    )
                )
                row += 1
            nothing = Answer(image.origin, -1, _NO_BOX, np.nan, "", _NO_POSE, [])
            ready += self._smoother.push(frame or [nothing])
        return ready

    def _rows(self, answers: Sequence[Answer]) -> list[Row]:
        chosen = self._predictor.over_time
        faces = [answer for answer in answers if answer.face >= 0]
        probabilities = np.full((len(answers), len(chosen.aus)), np.nan, np.float32)
        if faces:
            by_member = [
                (aus, np.stack([face.logits[member] for face in faces]))
                for member, aus in enumerate(self._aus)
            ]
            present = np.array([answer.face >= 0 for answer in answers])
            probabilities[present] = selection.apply(chosen, by_member)
        decisions = decide(probabilities, chosen.thresholds)
        return [Row(*row) for row in zip(answers, probabilities, decisions, strict=True)]
