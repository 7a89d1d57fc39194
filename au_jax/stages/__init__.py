"""Kinds of stages by name: one file each, a dataclass of its fields with a function `run`."""

from au_jax.stages.base import Stage, StageContext
from au_jax.stages.encode import Encode
from au_jax.stages.exported import Exported
from au_jax.stages.feature_map import FeatureMap
from au_jax.stages.filter_labels import FilterLabels
from au_jax.stages.linear_probe import LinearProbe
from au_jax.stages.openface_aus import OpenFaceAUs
from au_jax.stages.pose_svm import PoseSVM
from au_jax.stages.pseudo_label import PseudoLabel
from au_jax.stages.select import Select
from au_jax.stages.train import Train

KINDS: dict[str, type] = {
    "train": Train,
    "pseudo_label": PseudoLabel,
    "filter_labels": FilterLabels,
    "encode": Encode,
    "linear_probe": LinearProbe,
    "select": Select,
    "pose_svm": PoseSVM,
    "openface_aus": OpenFaceAUs,
    "exported": Exported,
    "feature_map": FeatureMap,
}

__all__ = ["KINDS", "Stage", "StageContext"]
