"""What must hold whatever a user types or delivers: a result, or one sentence on the culprit.

A refusal is a `UserError` (exit code 1 of `launch.py`) of one line that names one of the things
that may be at fault. Any other exception is a stack trace for the user, and fails the test.
"""

import dataclasses
import subprocess
from collections.abc import Callable, Collection
from typing import Any

from au_jax.errors import UserError

LONGEST = 2000  # characters of a sentence


@dataclasses.dataclass(frozen=True)
class Refused:
    """How something was refused.

    Attributes:
      sentence: the error.
    """

    sentence: str


def outcome(action: Callable[[], Any], culprits: Collection[str]) -> Any:
    """What `action` returns, or `Refused` where it refuses as it should.

    Args:
      culprits: the files, rows, fields or flags one of which a refusal must name.
    """
    try:
        return action()
    except UserError as error:
        return Refused(checked(str(error), culprits))


def checked(sentence: str, culprits: Collection[str]) -> str:
    """Returns a refusal that is one sentence and names a culprit."""
    assert sentence.strip() == sentence
    assert 10 < len(sentence) < LONGEST, sentence
    assert "\n" not in sentence, sentence
    assert "Traceback" not in sentence, sentence
    assert any(culprit in sentence for culprit in culprits), (
        f"{sentence!r} names none of {culprits}"
    )
    return sentence


def outcome_of_process(done: subprocess.CompletedProcess[str], culprits: Collection[str]) -> Any:
    """What a process printed, or `Refused` where it ended as `launch.py` does on a mistake."""
    assert "Traceback" not in done.stderr, done.stderr
    if done.returncode == 0:
        return done.stdout
    assert done.returncode == 1, (done.returncode, done.stderr)
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: "), last
    return Refused(checked(last.removeprefix("error: "), culprits))
