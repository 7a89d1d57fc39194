"""ABAW3's system: IResNet100 with a feature pyramid, three pretrainings, a per-AU ensemble.

    python launch.py --config=configs/abaw3.py

Jiang et al., "Facial Action Unit Recognition With Multi-models Ensembling" (2022,
https://arxiv.org/abs/2203.13046).

    variant        data         time                          mean F1 to expect (test)
    default        drawn clips  9 min 30 s on two cores       balanced 0.38 to 0.42, ensemble 0.32
                                (measured)                    to 0.39 (measured, four runs)
    ladder         drawn clips  three times as long           the means, in RESULTS.md
    balance        drawn clips  3 min (measured)              see RESULTS.md
    paper          Aff-Wild2, Glint360K, AffectNet, three AU sets
                   weeks on one GPU, most of it Glint360K (an estimate, not measured); paper: 0.731
    paper_weights  the same, from insightface's weights in the file glint360k_r100.pth
                   (--config.stages.NAME.model.weights=FILE names another)

`default` is Table 1, each row of which adds something to the one above, then the whole system from
each of the three pretrainings, smoothing of the logits over the frames of a video, and the
ensemble: for every AU the model and epoch with the highest F1. RESULTS.md says what was measured,
and why smoothing and the parts of the network add nothing in so small a recipe. `paper` needs the
sets prepared in one --data_dir with --crops=arcface, the identities by --dataset=people
--name=glint360k --landmarks=aligned.
"""

import dataclasses
from typing import Any

from configs import base
from configs.paper_figures import ABAW3_ENSEMBLE, ABAW3_ENSEMBLE_AU, ABAW3_LADDER

VARIANTS = ("default", "ladder", "balance", "paper", "paper_weights")
# The loss weight W of each AU (section 3.3).
WEIGHTS = {
    "AU01": 1,
    "AU02": 2,
    "AU04": 1,
    "AU06": 1,
    "AU07": 1,
    "AU10": 1,
    "AU12": 1,
    "AU15": 6,
    "AU23": 6,
    "AU24": 5,
    "AU25": 1,
    "AU26": 5,
}
# The parts that the network gains, fields of `models.iresnet.IResNet`.
_WHOLE = ("coordinate_attention", "pyramid", "context")
# Those of the pretraining on AUs (section 4.1).
PRETRAINED = tuple(f"AU{au:02}" for au in (1, 2, 4, 5, 6, 7, 9, 10, 11, 12, 15, 17, 20, 24, 26))


@dataclasses.dataclass(frozen=True)
class System:
    """What a row of Table 1 has.

    Attributes:
      start: the stage that the backbone comes from, or "".
      balance: whether the stream of videos is balanced.
      terms: of the loss. weighted: whether W counts. label_smoothing: its strength.
      parts: of the network, fields of `models.iresnet.IResNet`.
      large_batch, more_data: whether the batch is the large one; whether further sets teach AUs.
    """

    start: str = ""
    balance: bool = False
    terms: tuple[str, ...] = ("bce",)
    weighted: bool = False
    label_smoothing: float = 0.0
    parts: tuple[str, ...] = ()
    large_batch: bool = False
    more_data: bool = False


# Table 1 by the paper's names of its columns: the row's label, and what it adds. The paper does not
# say what "sa" is. That W comes with the multi-label loss is our reading.
LADDER: dict[str, tuple[str, dict[str, Any]]] = {
    "r100": ("IResNet (r100)", {}),
    "glint": ("+ pretrained on face identities (glint)", {"start": "identity"}),
    "bal": ("+ data balance (bal)", {"balance": True}),
    "mll": ("+ weighted multi-label loss (mll)", {"terms": ("multi_label",), "weighted": True}),
    "ca": ("+ coordinate attention (ca)", {"parts": _WHOLE[:1]}),
    "ls": ("+ label smoothing (ls)", {"label_smoothing": 0.1}),
    "b+m": ("+ BCE and multi-label loss (b+m)", {"terms": ("bce", "multi_label")}),
    "fpn": ("+ feature pyramid (fpn)", {"parts": _WHOLE[:2]}),
    "bs256": ("+ large batch (bs256)", {"large_batch": True}),
    "ssh": ("+ context modules (ssh)", {"parts": _WHOLE}),
    "data": ("+ further AU data (data)", {"more_data": True}),
}


@dataclasses.dataclass(frozen=True)
class Setting:
    """The data that a ladder is climbed on, and its sizes.

    Attributes:
      train, validate: the split that is learned from, and those scored, the first chosen on.
      crop: the stored crop of all data sets.
      aus: the AUs that are learned. weighted: whether W, which is Aff-Wild2's, fits them.
      identity, expression: the splits of two pretrainings.
      au_sets: the splits of the third, and of "data".
      pretrained: the AUs of the third.
      batch, large_batch: examples of a step, without further data.
      windows: of the smoothing.
      balance: fields of a balanced stream, see `stages.train.StreamConfig`.
      margin: options of the pretraining on identities. weights: a PyTorch file in its place.
      pyramid_rate: the learning rate of networks with the pyramid; 0: as of the others.
      pretraining: sections of the stages of all three pretrainings.
    """

    train: str
    validate: tuple[str, ...]
    crop: str
    aus: tuple[str, ...]
    weighted: bool
    identity: str
    expression: str
    au_sets: tuple[str, ...]
    pretrained: tuple[str, ...]
    batch: int
    large_batch: int
    windows: tuple[int, ...]
    balance: dict[str, Any]
    margin: dict[str, float] = dataclasses.field(default_factory=dict)
    weights: str = ""
    pyramid_rate: float = 0.0
    pretraining: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)


def get_config(variant: str | None = None):
    config = base.base()
    config.name = "abaw3"
    config.variant = base.check_variant(variant, VARIANTS)
    config.headline = "f1"
    config.model.dropout = 0.0  # the network's own stands before its last layer but one
    config.augmentation.update(greyscale=0.0, downsample=0.0, cutout=0.0)
    jitter = ("brightness", "contrast", "saturation", "hue")
    config.augmentation.update(dict.fromkeys(jitter, 0.3))
    setting = _paper(config) if config.variant.startswith("paper") else _small(config)
    if config.variant == "paper_weights":
        setting = dataclasses.replace(setting, weights="glint360k_r100.pth")
    if config.variant == "balance":
        _balance(config, setting)
    else:
        _table(config, setting)
    if config.variant == "ladder":
        config.seeds = 3
    return config


def _small(config) -> Setting:
    """Sizes, lengths and rates of the small run are ours."""
    config.data.size = 37
    config.data.synthetic.update(size=80, opt=1600, noisy=1600, test=8, clips=1000, clip_frames=6)
    config.model.backbone = "iresnet10"
    config.model.image_size = 32
    config.model.fields.update(width=16, dropout=0.1)
    config.optimizer.update(name="adam", learning_rate=3e-3, schedule="cosine")
    config.train.update(epochs=3, steps_per_epoch=200)
    drawn = ("AU01", "AU02", "AU04", "AU06", "AU10", "AU12", "AU15", "AU24", "AU25", "AU26")
    return Setting(
        train="clips-train",
        validate=("clips-val", "clips_test"),
        crop="closeup",
        aus=drawn,
        weighted=False,  # no drawn AU is as rare as those that W is for
        identity="noisy",
        expression="noisy",
        au_sets=("opt",),
        pretrained=tuple(au for au in PRETRAINED if au not in ("AU07", "AU11")),
        batch=24,
        large_batch=32,
        windows=(1, 3, 5),
        balance={"resample": "ml_ros"},
        margin={"scale": 16.0, "margin": 0.2},
        pyramid_rate=1e-3,
        pretraining={"train": {"epochs": 4, "steps_per_epoch": 150}},
    )


def _paper(config) -> Setting:
    """AffectNet and three AU sets stand for the paper's private ones.

    How to pretrain it does not say: lengths and rates are ours, and so is the batch before "bs256".
    """
    config.data.name = "affwild2"
    config.model.backbone = "iresnet100"
    config.model.image_size = 112
    config.model.fields.dropout = 0.6
    config.optimizer.update(name="sgd", learning_rate=1e-3, momentum=0.9, weight_decay=5e-4)
    config.optimizer.update(schedule="steps", boundaries=(4 / 15, 6 / 15, 8 / 15), factor=0.1)
    config.train.epochs = 15
    return Setting(
        train="train",
        validate=("validation",),
        crop="arcface",
        aus=tuple(WEIGHTS),
        weighted=True,
        identity="glint360k:train",
        expression="affectnet:train",
        au_sets=("emotionet:opt", "bp4d:full", "disfa:full"),
        pretrained=tuple(au for au in PRETRAINED if au != "AU11"),  # which none of the sets has
        batch=128,
        large_batch=256,
        windows=(15,),
        balance={"resample": "bal", "balanced": True},
        pretraining={
            "train": {"epochs": 20},
            "optimizer": {"learning_rate": 0.02, "schedule": "cosine"},
        },
    )


def _table(config, setting: Setting) -> None:
    """Table 1, then the whole system from each start, and the ensemble."""
    if not setting.weights:
        _pretrain(config, "identity", setting)
    system = System()
    above: tuple[str, ...] = ()
    for number, (name, printed) in enumerate(ABAW3_LADDER.items(), 1):
        if name not in LADDER:
            config.quoted[f"row{number:02}"] = {
                "label": f"+ {name} (unexplained)",
                "paper": printed,
            }
            continue
        label, changes = LADDER[name]
        system = dataclasses.replace(system, **changes)
        row = name.replace("+", "")
        against = above
        if name != "mll" or setting.weighted:
            stage = _train(config, row, setting, system)
        else:  # where every W is 1, Eq. 5 is the binary cross entropy that "bal" has learned from
            label += f"; W is 1, which makes it {stage}"
            against = ()
        _row(config, row, setting, (stage,), label=label, paper=printed, against=against)
        above = (f"{row}_row",)
    trained = ("data", "from_expression", "from_aus")
    members = tuple(f"{name}_row" for name in trained)
    smooth: dict[str, Any] = {"label": "smoothed", "windows": setting.windows, "depth": 1}
    _row(config, "data_smooth", setting, ("data",), against=members[:1], **smooth)
    for number, (kind, learned) in enumerate((("expression", "emotions"), ("aus", "AUs")), 1):
        start = _pretrain(config, kind, setting)
        whole = dataclasses.replace(system, start=start)
        stage = _train(config, f"from_{kind}", setting, whole)
        label = f"the same, pretrained on {learned} instead"
        _row(config, stage, setting, (stage,), label=label, against=members[:number])
        against = (members[number],)
        _row(config, f"{stage}_smooth", setting, (stage,), against=against, **smooth)
    best: dict[str, Any] = {"epoch_rule": "best", "combine": "best"}
    label = "best model and epoch of each AU"
    _row(config, "ensemble_plain", setting, trained, label=label, against=members, **best)
    _row(
        config,
        "ensemble",
        setting,
        trained,
        label=f"{label}, smoothed",
        against=("ensemble_plain_row",),
        windows=setting.windows,
        paper=ABAW3_ENSEMBLE,
        paper_au={au: ABAW3_ENSEMBLE_AU[au] for au in setting.aus},
        **best,
    )


def _balance(config, setting: Setting) -> None:
    """The ways to balance data one by one, from scratch."""
    for name, label, balance in (
        ("none", "no balance", {}),
        ("ml_ros", "ML-ROS", {"resample": "ml_ros"}),
        ("bal", "the paper's resampling (bal)", {"resample": "bal"}),
        ("batches", "balanced batches", {"balanced": True}),
        ("bal_batches", "bal and balanced batches", {"resample": "bal", "balanced": True}),
    ):
        stage = _train(
            config, name, dataclasses.replace(setting, balance=balance), System(balance=True)
        )
        against = () if name == "none" else ("none_row",)
        _row(config, stage, setting, (stage,), label=label, against=against)


def _pretrain(config, name: str, setting: Setting) -> str:
    """One of the three pretrainings: on identities of the plain network, as its weights are public.

    The others are of the whole network.
    """
    if name == "aus":
        aus, method, splits = setting.pretrained, "multi_label", setting.au_sets
    elif name == "expression":
        aus, method, splits = (), "expression", (setting.expression,)
    else:
        aus, method, splits = (), "face_identity", (setting.identity,)
    share = setting.large_batch // len(splits)
    parts = () if name == "identity" else _WHOLE
    return base.add_stage(
        config,
        name,
        "train",
        method=method,
        options=setting.margin if name == "identity" else {},
        streams={_stream(split): {"split": split, "share": share} for split in splits},
        epoch_stream=_stream(splits[0]),
        aus=aus,
        crop=setting.crop,
        validate=setting.validate if aus else (),
        model={"fields": _fields(parts)},
        **{**_rate(setting, parts), **setting.pretraining},
    )


def _train(config, name: str, setting: Setting, system: System) -> str:
    weighted = system.weighted and setting.weighted
    batch = setting.large_batch if system.large_batch else setting.batch
    videos: dict[str, Any] = {"split": setting.train, "share": batch}
    streams = {"videos": videos | (setting.balance if system.balance else {})}
    if system.more_data:
        share = batch // 2 // len(setting.au_sets)
        streams |= {_stream(s): {"split": s, "share": share} for s in setting.au_sets}
    model: dict[str, Any] = {"fields": _fields(system.parts)}
    start = system.start
    if start == "identity" and setting.weights:
        start, model["weights"] = "", setting.weights
    return base.add_stage(
        config,
        name,
        "train",
        method="multi_label",
        options={
            "terms": system.terms,
            "weights": tuple(WEIGHTS[au] for au in setting.aus) if weighted else (),
            "label_smoothing": system.label_smoothing,
        },
        start=start,
        streams=streams,
        epoch_stream="videos",
        aus=setting.aus,
        crop=setting.crop,
        validate=setting.validate,
        model=model,
        **_rate(setting, system.parts),
    )


def _row(config, name: str, setting: Setting, inputs: tuple[str, ...], **fields: Any) -> None:
    """A row of the table: by the last epoch unless `fields` say otherwise."""
    base.add_stage(
        config,
        f"{name}_row",
        "select",
        inputs=inputs,
        split=setting.validate[0],
        test=setting.validate[1:],
        score="f1",
        **fields,
    )


def _rate(setting: Setting, parts: tuple[str, ...]) -> dict[str, Any]:
    """The section `optimizer` of a network with these parts, where its rate is another one."""
    if setting.pyramid_rate and "pyramid" in parts:
        return {"optimizer": {"learning_rate": setting.pyramid_rate}}
    return {}


def _fields(parts: tuple[str, ...]) -> dict[str, bool]:
    """The fields of a network with these parts alone."""
    return {part: part in parts for part in _WHOLE}


def _stream(split: str) -> str:
    """The name of a further set's stream: the data set's, or the split's."""
    return split.partition(":")[0]
