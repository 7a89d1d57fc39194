"""The defaults that every config begins with, and the function that adds a stage to one.

A config names its stages: `config.stages.NAME`, run in the order of `config.order`. The sections
`model`, `optimizer`, `augmentation` and `train` stand at the top for all stages. A stage holds what
it changes and nothing else, but every field of it can be set:
`--config.stages.teacher.optimizer.learning_rate=0.05`. What kinds of stages there are, and their
fields with their defaults, stands in au_jax/stages.

A field that is None here is left to its owner: the imported weights or else the backbone
(au_jax/models/network_spec.py), or the augmentation (au_jax/augment.py).
"""

from typing import Any

from ml_collections import ConfigDict, config_dict

# The AUs of the EmotioNet challenge of 2018, which its automatic labels are of.
EMOTIONET_2018 = tuple(f"AU{au:02}" for au in (1, 2, 4, 5, 6, 9, 12, 17, 20, 25, 26, 43))


def base() -> ConfigDict:
    """The top of every config, with no stages."""
    config = ConfigDict()
    config.name = ""
    config.variant = ""
    config.seed = 0
    config.seeds = 1  # how often the whole recipe is run, each time from another seed
    config.folds = 0  # how many folds of the data every stage is run on; 0: no folds
    config.devices = 0  # how many to use; 0: all
    config.headline = "final_score"  # the figure that tables compare: final_score or f1

    config.data = ConfigDict()
    config.data.name = "synthetic_faces"
    config.data.size = 0  # pixels that crops are resized to when read; 0: as stored
    config.data.val_fraction = 0.2  # of the opt split's records, whole subjects
    config.data.split_seed = 0
    config.data.folds = "random"  # or published, or a .csv file of subjects and folds
    config.data.present_from = 0  # least intensity of a present AU; 0: labels as prepared
    config.data.threads = 2  # that read and decode
    config.data.synthetic = ConfigDict()  # the size of the embedded data set, in records
    config.data.synthetic.size = 104  # stored pixels
    config.data.synthetic.opt = 1600
    config.data.synthetic.noisy = 3200
    config.data.synthetic.test = 600
    config.data.synthetic.seed = 0

    config.model = ConfigDict()
    config.model.backbone = "ownnet3"  # a name of au_jax.models, or module:function
    config.model.image_size = 96
    config.model.weights = ""  # a PyTorch file of ImageNet weights to start from, if any
    config.model.precision = "float32"  # or bfloat16: compute; parameters stay float32
    config.model.dropout = 0.5
    config.model.pose_branch = False
    config.model.padding = config_dict.placeholder(str)  # same or torch
    config.model.bn_epsilon = config_dict.placeholder(float)
    config.model.bn_momentum = config_dict.placeholder(float)
    config.model.image_mean = config_dict.placeholder(tuple)  # of red, green, blue in [0, 1]
    config.model.image_std = config_dict.placeholder(tuple)

    config.optimizer = ConfigDict()
    config.optimizer.name = "sgd"  # or adam
    config.optimizer.learning_rate = 0.1
    config.optimizer.momentum = 0.0
    config.optimizer.weight_decay = 0.0  # of kernels, added to the gradient
    config.optimizer.schedule = "steps"  # or constant, cosine
    config.optimizer.boundaries = (0.5, 0.75)  # of all steps
    config.optimizer.factor = 0.33  # at each boundary

    config.augmentation = ConfigDict()  # how often each operation is done, and how strongly
    config.augmentation.flip = 0.5
    config.augmentation.brightness = 0.5
    config.augmentation.contrast = 0.5
    config.augmentation.saturation = 0.0
    config.augmentation.hue = 0.0
    config.augmentation.greyscale = 0.1
    config.augmentation.downsample = 0.1
    config.augmentation.cutout = 0.5
    config.augmentation.brightness_strength = config_dict.placeholder(float)
    config.augmentation.contrast_strength = config_dict.placeholder(float)
    config.augmentation.saturation_strength = config_dict.placeholder(float)
    config.augmentation.hue_strength = config_dict.placeholder(float)
    config.augmentation.downsample_smallest = config_dict.placeholder(float)
    config.augmentation.cutout_side = config_dict.placeholder(float)

    config.train = ConfigDict()
    config.train.epochs = 10
    config.train.times = 1.0  # a stage trains for so many times those epochs
    config.train.steps_per_epoch = 0  # 0: one pass over the stage's epoch_stream
    config.train.steps = 0  # in all; sets the number of epochs where it is not 0
    config.train.score_batch = 64

    config.checkpoint = ConfigDict()
    config.checkpoint.keep = 1  # every epoch's model; n: of every n-th epoch and the last only

    config.stages = ConfigDict()
    config.order = ()
    return config


def add_stage(config: ConfigDict, name: str, kind: str, **fields: Any) -> str:
    """Adds a stage at the end of the order; returns its name.

    Args:
      kind: a name of `au_jax.stages.KINDS`.
      fields: those that it changes; of a section, {field: value}.
    """
    if name in config.stages:
        raise ValueError(f"two stages are called {name}")
    config.stages[name] = ConfigDict({"kind": kind, **fields})
    config.order = (*config.order, name)
<<<<<<< HEAD
    return name
=======


def stream(
    split: str,
    share: int,
    head: str = "opt",
    labels: str = "",
    soft: bool = False,
) -> dict:
    """A part of every batch.

    Args:
      split: [DATA:]NAME[-PART][#RECORDS]. NAME is a split of the data set DATA (config.data.name
        where it is left out). PART is train or val, parted by subject (train or test where there
        are folds), or expanded or val-expanded (TAL's fourfold validation set). RECORDS of them
        are drawn at random.
      share: examples of each batch.
      head: the output layer that it trains, where the method has one for each stream.
      labels: the stage whose labels replace the data set's own, if any.
      soft: take that stage's probabilities, too.
    """
    return {"split": split, "share": share, "head": head, "labels": labels, "soft": soft}


def add_train(
    config: ConfigDict,
    name: str,
    *,
    streams: dict[str, dict],
    epoch_stream: str,
    crop: str,
    group: str = "all",
    aus: tuple[str, ...] = (),
    predict_head: str = "opt",
    validate: tuple[str, ...] = ("opt-val",),
    method: str = "multi_task",
    options: dict[str, Any] | None = None,
    start: str = "",
    **overrides: Any,
) -> None:
    """Adds a training stage.

    Args:
      streams: by name, see `stream`.
      epoch_stream: an epoch is one pass over this one, unless train.steps_per_epoch says otherwise.
      crop: the stored crop to read.
      group: the AUs to learn: expression, pose or all.
      aus: or the AUs by name, in this order.
      predict_head: the output layer that predicts.
      validate: splits that every epoch is scored on.
      method: see au_jax/methods; `options` are those arguments of it that no section has.
      start: the train stage whose last epoch is started from, if any.
      overrides: of the inherited sections, {section: {field: value}}.
    """
    stage = {
        "kind": "train",
        "method": method,
        "options": ConfigDict(options or {}),
        "group": group,
        "aus": aus,
        "crop": crop,
        "streams": streams,
        "epoch_stream": epoch_stream,
        "predict_head": predict_head,
        "validate": validate,
        "start": start,
        "seed": 0,  # added to config.seed
    }
    stage |= {section: _unset(config[section]) for section in INHERITED}
    _add(config, name, stage, overrides)


def add_pseudo_label(config: ConfigDict, name: str, *, teacher: str, split: str) -> None:
    """Adds a stage in which `teacher` (a train or select stage) labels every record of `split`."""
    _add(config, name, {"kind": "pseudo_label", "teacher": teacher, "split": split}, {})


def add_filter_labels(
    config: ConfigDict, name: str, *, teacher: str, split: str, threshold: float = 0.9
) -> None:
    """Adds TAL's filter: of the labels of `split`, those stay that `teacher` confirms.

    Args:
      threshold: of its confidence max(p, 1 - p); the paper gives no value.
    """
    stage = {"kind": "filter_labels", "teacher": teacher, "split": split, "threshold": threshold}
    _add(config, name, stage, {})


def add_select(
    config: ConfigDict,
    name: str,
    *,
    inputs: tuple[str, ...],
    split: str = "opt-val",
    test: tuple[str, ...] = ("test",),
    epoch_rule: str = "last",
    combine: str = "mean",
    threshold_rule: str = "default",
    score: str = "final_score",
    crops: str = "center",
    label: str = "",
    depth: int = 0,
    paper: float = 0.0,
    paper_au: dict[str, float] | None = None,
) -> None:
    """Adds a selection, made after training from kept scores.

    Args:
      inputs: the train stages whose checkpoints may be chosen.
      split: the validation split that choices are made on.
      test: splits that the finished selection is scored on.
      epoch_rule: last, or best (of each stage and AU).
      combine: mean, best (stage of each AU) or linear, over the stages that know the AU.
      threshold_rule: default (0.5), or best (of each AU).
      score: what best means, final_score or f1.
      crops: that every image is seen through: center, five or five_flip.
      label: its row in the report's table, under the rows above it by `depth` steps (a student
        under its teacher).
      paper: the paper's own figure for that row (see `config.headline`); 0 when it has none.
      paper_au: the same of each AU, where the paper prints it.
    """
    stage = {
        "kind": "select",
        "inputs": inputs,
        "split": split,
        "test": test,
        "epoch_rule": epoch_rule,
        "combine": combine,
        "threshold_rule": threshold_rule,
        "score": score,
        "crops": crops,
        "label": label or name,
        "depth": depth,
        "paper": paper,
        "paper_au": ConfigDict(paper_au or {}),
    }
    _add(config, name, stage, {})


def add_pose_svm(
    config: ConfigDict,
    name: str,
    *,
    split: str,
    crop: str = "wide",
    validate: tuple[str, ...] = ("opt-val",),
    test: tuple[str, ...] = ("test",),
) -> None:
    """Adds Magdeburg's baseline: an SVM on the head angles of `split` for each pose AU."""
    stage = {"kind": "pose_svm", "split": split, "crop": crop, "validate": validate, "test": test}
    _add(config, name, stage, {})
>>>>>>> 6bfba9f5d99613171614d18fe707a0a367dbfcd3


def check_variant(variant: str | None, known: tuple[str, ...]) -> str:
    """Returns the variant's name, "default" for none.

    Raises:
      ValueError: it is not one of `known`.
    """
    variant = variant or "default"
    if variant not in known:
        raise ValueError(f"unknown variant '{variant}'; known: {', '.join(known)}")
    return variant
