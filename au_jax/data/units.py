"""Independent units of a split: the smallest groups that part no subject and no video."""

import numpy as np


def units(subject: np.ndarray, video: np.ndarray) -> np.ndarray:
    """Names the unit of each of N records, as `metrics.subject_numbers` takes them.

    Records of one subject, or of one video, are in one unit: frames of a video look alike, whoever
    is named in them. Where no video has several subjects, the units are the subjects.

    Args:
      subject, video: text [N], "" where unknown.

    Returns:
      text [N]: the first of the unit's subjects, or "video " and the first of its videos where it
      names none; "" for a record without either, which is a unit of its own.
    """
    subjects, subject_at = np.unique(subject, return_inverse=True)
    videos, video_at = np.unique(video, return_inverse=True)
    named = (subject != "") & (video != "")
    component = _connected(
        len(subjects) + len(videos), subject_at[named], len(subjects) + video_at[named]
    )
    texts = [*subjects.tolist(), *(f"video {name}" for name in videos.tolist())]
    first: dict[int, str] = {}
    for part, text in zip(component.tolist(), texts, strict=True):
        first.setdefault(part, text)
    names = np.array([first[part] for part in component.tolist()], np.str_)
    node_at = np.where(subject != "", subject_at, len(subjects) + video_at)
    return np.where((subject == "") & (video == ""), "", names[node_at])


def _connected(nodes: int, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The component, int [nodes], of each node of a graph of edges first[i] to second[i]."""
    if not len(first):
        return np.arange(nodes)
    from scipy.sparse import coo_array  # imports for long; images have no such edges
    from scipy.sparse.csgraph import connected_components

    links = coo_array((np.ones(len(first), np.int32), (first, second)), shape=(nodes, nodes))
    return connected_components(links, directed=False)[1]


def only_one(of_records: np.ndarray) -> bool:
    """Whether all records are in one unit, so that no part of them is of other people.

    Args:
      of_records: text [N], as `units` gives them.
    """
    names = np.unique(of_records).tolist()
    return len(names) == 1 and names[0] != ""
