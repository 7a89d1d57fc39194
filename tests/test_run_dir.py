import numpy as np

from au_jax.run_dir import Scores, StageFolder


def test_scores_through_other_crops_lie_beside_those_of_the_centre(tmp_path):
    folder = StageFolder(tmp_path / "stage")
    assert folder.scored_splits() == []
    columns = {name: np.array(["a", "b"]) for name in ("keys", "subject", "video")}
    for crops, logit in (("center", 1.0), ("five_flip", 2.0)):
        logits = np.full((2, 1), logit, np.float32)
        labels, frame = np.zeros((2, 1), np.int8), np.zeros(2, np.int32)
        scores = Scores(
            logits=logits, labels=labels, aus=np.array(["AU01"]), frame=frame, **columns
        )
        folder.write_scores("test", 7, scores, crops)
    assert (folder.path / "scores" / "test" / "7.npz").exists()
    assert (folder.path / "scores" / "test@five_flip" / "7.npz").exists()
    assert folder.read_scores("test", 7).logits.max() == 1
    assert folder.read_scores("test", 7, "five_flip").logits.min() == 2
    assert folder.scored_splits() == ["test"]
