"""The defaults that every config begins with, and the function that adds a stage to one.

A config names its stages: `config.stages.NAME`, run in the order of `config.order`. The sections
`model`, `optimizer`, `augmentation` and `train` stand at the top for all stages. A stage holds what
it changes and nothing else, but every field of it can be set:
`--config.stages.teacher.optimizer.learning_rate=0.05`. What kinds of stages there are, and their
fields with their defaults, stands in au_jax/stages.

What each field may be stands in au_jax/experiment/fields.py, in the order of this file.

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
    config.data.threads = 0  # that read and decode; 0: one for each core
    config.data.synthetic = ConfigDict()  # the size of the embedded data set
    config.data.synthetic.size = 104  # stored pixels
    config.data.synthetic.opt = 1600  # records, and those of the next two splits
    config.data.synthetic.noisy = 3200
    config.data.synthetic.test = 600
    config.data.synthetic.clips = 0  # short videos in the split clips; clips_test: a third as many
    config.data.synthetic.clip_frames = 24  # of each video
    config.data.synthetic.noise = "systematic"  # or independent: how labels of noisy err
    config.data.synthetic.strength = 1.0  # of systematic errors; 0: none
    config.data.synthetic.seed = 0

    config.model = ConfigDict()
    config.model.backbone = "ownnet3"  # a name of au_jax.models, or module:function
    config.model.image_size = 96
    config.model.fields = ConfigDict()  # the backbone's own, such as pyramid; see its class
    # A PyTorch file of ImageNet weights to start from, in whose name "{backbone}" stands for the
    # backbone's; "" or none for random weights. At "ask" a training asks for one of both.
    config.model.weights = ""
    config.model.precision = "float32"  # or bfloat16: compute; parameters stay float32
    config.model.remat = False  # on accelerators, blocks compute activations again: less memory
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
    config.augmentation.resized_crop = 0.0
    config.augmentation.flip = 0.5
    config.augmentation.brightness = 0.5
    config.augmentation.contrast = 0.5
    config.augmentation.saturation = 0.0
    config.augmentation.hue = 0.0
    config.augmentation.jitter = 0.0
    config.augmentation.greyscale = 0.1
    config.augmentation.blur = 0.0
    config.augmentation.downsample = 0.1
    config.augmentation.cutout = 0.5
    config.augmentation.resized_crop_smallest = config_dict.placeholder(float)
    config.augmentation.resized_crop_aspect = config_dict.placeholder(float)
    config.augmentation.brightness_strength = config_dict.placeholder(float)
    config.augmentation.contrast_strength = config_dict.placeholder(float)
    config.augmentation.saturation_strength = config_dict.placeholder(float)
    config.augmentation.hue_strength = config_dict.placeholder(float)
    config.augmentation.blur_smallest = config_dict.placeholder(float)
    config.augmentation.blur_largest = config_dict.placeholder(float)
    config.augmentation.downsample_smallest = config_dict.placeholder(float)
    config.augmentation.cutout_side = config_dict.placeholder(float)

    config.train = ConfigDict()
    config.train.epochs = 10
    config.train.times = 1.0  # a stage without epochs of its own trains for so many times these
    config.train.steps_per_epoch = 0  # 0: one pass over the stage's epoch_stream
    config.train.steps = 0  # in all; sets the number of epochs where it is not 0
    config.train.score_batch = 64
    # Gradient accumulation: the backbone sees each batch in so many parts, one after the other,
    # which is less memory and a third more work (au_jax/models/au_net.py).
    config.train.accumulate = 1

    config.checkpoint = ConfigDict()
    config.checkpoint.keep = 1  # every epoch's model; n: of every n-th epoch and the last only

    # --mode=compare: each training beside PyTorch, dropout and stochastic depth off on both sides.
    config.compare = ConfigDict()
    config.compare.steps = 20  # that both sides train, their losses and final figures compared
    config.compare.seeds = 1  # of that part; from 2 on, differences stand beside the seeds' spread
    config.compare.double = False  # JAX's first step in float64, too; else PyTorch's alone
    config.compare.own_augmentation = False  # each side augments by itself; else JAX for both
    config.compare.rounds = 5  # in which both sides take turns at being timed; 0: no speed
    config.compare.round_steps = 10  # of each side in a round
    config.compare.variants = ("eager", "channels_last", "compile", "amp", "compile_amp")
    config.compare.threads = 0  # cores that each side may use; 0: all that this process may

    # Rows of a paper's table that nobody runs here, shown beside our own in the order of their
    # names: {name: {"label", "paper", "paper_au": {AU: F1}}}, the fields as those of a selection.
    config.quoted = ConfigDict()

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
    return name


def check_variant(variant: str | None, known: tuple[str, ...]) -> str:
    """Returns the variant's name, "default" for none.

    Raises:
      ValueError: it is not one of `known`.
    """
    variant = variant or "default"
    if variant not in known:
        raise ValueError(f"unknown variant '{variant}'; known: {', '.join(known)}")
    return variant
