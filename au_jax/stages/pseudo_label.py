"""Self-training: a teacher labels a split.

Werner, Saxen and Al-Hamadi (Magdeburg, EmotioNet 2020), section 2: hard labels for all AUs ([D] of
ours: the paper does not say hard or soft).
"""

from collections.abc import Callable

import numpy as np
from jax.sharding import Mesh

from au_jax import log, run_dir
from au_jax.data.sources import Source
from au_jax.ensemble import selection
from au_jax.ensemble.member_scores import Scoring, read_selection
from au_jax.metrics import decide
from au_jax.run_dir import StageFolder


def pseudo_label(
    folder: StageFolder,
    *,
    teacher: StageFolder,
    split: str,
    source: Callable[[str, str], Source],
    mesh: Mesh,
    threads: int,
) -> None:
    """Writes labels/SPLIT.npz: keys str [N], aus str [A], labels int8 [N, A], probabilities [N, A].

    Args:
      teacher: a finished train stage (its last epoch labels) or select stage.
      source: (split, crop) -> the records.
    """
    chosen = read_selection(teacher)
    workdir = teacher.path.parent.parent
    scores = Scoring(workdir, source, mesh, threads).of_members(chosen, split)
    probabilities = selection.apply(chosen, [(s.aus.tolist(), s.logits) for s in scores])
    labels = decide(probabilities, chosen.thresholds).astype(np.int8)
    run_dir.write_arrays(
        folder.labels(split),
        {
            "keys": scores[0].keys,
            "aus": np.array(chosen.aus),
            "labels": labels,
            "probabilities": probabilities.astype(np.float32),
        },
    )
    share = labels.mean(0)
    log.say(
        f"  {len(labels)} records of {split} labelled by {teacher.name}; present: "
        + ", ".join(f"{au} {p:.0%}" for au, p in zip(chosen.aus, share, strict=True))
    )
