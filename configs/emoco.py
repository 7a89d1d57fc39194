"""EmoCo: emotion-aware contrastive pretraining, then linear probes and finetuning for AUs.

    python launch.py --config=configs/emoco.py

Sun, Zeng and Shan, "Emotion-aware Contrastive Learning for Facial Action Unit Detection" (FG 2021).

    variant     data         time on two cores           mean F1 to expect (test)
    default     drawn faces  8 to 12 min (measured)      EmoCo: linear 0.33, finetuned 0.43
    ablation    drawn faces  15 min (an estimate)        not run at full length yet
    lambda      drawn faces  25 min (an estimate)        not run at full length yet
    labels      drawn faces  12 min (an estimate)        not run at full length yet
    paper       AffectNet, then GFT: linear and finetuned
                about five days on one GPU (an estimate, not measured); paper: 0.530, 0.586
    disfa, bp4d the data set's three folds, from the encoders of `paper`
                about a day on one GPU (an estimate, not measured); paper: 0.586, 0.619 finetuned
    imagenet    GFT from ImageNet weights: --config.model.weights=FILE

`default` has no pretraining, MoCo, the classifier of emotions and EmoCo, each with a linear probe
and finetuned, on all labelled people and on a tenth of them, and the maps of Fig. 5. `ablation` is
Table IV, `lambda` Fig. 4, `labels` F1 over the share of labelled people. `paper` needs AffectNet
and GFT prepared in one --data_dir with --crops=five_point; `disfa` and `bp4d` start from its run in
runs/emoco-paper, which comes first (--config.stages.NAME.start names another). How the paper
finetunes, and how its linear layer is fitted, it does not say: that is ours.
"""

import dataclasses
from typing import Any

from configs import base
from configs.paper_figures import EMOCO_ABLATION, EMOCO_F1, EMOCO_QUOTED

VARIANTS = ("default", "ablation", "lambda", "labels", "paper", "disfa", "bp4d", "imagenet")
AUS: dict[str, tuple[str, ...]] = {
    data: tuple(f"AU{au:02}" for au in numbers)
    for data, numbers in {
        "gft": (1, 2, 4, 6, 10, 12, 14, 15, 23, 24),
        "disfa": (1, 2, 4, 6, 9, 12, 25, 26),
        "bp4d": (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24),
    }.items()
}
# AffectNet's seven of the paper; its faces of contempt count as unknown.
EMOTIONS = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger")
# torchvision's names of MoCo v2's operations: RandomResizedCrop, ColorJitter, GaussianBlur.
MOCO_V2 = {
    "flip": 0.5,
    "resized_crop": 1.0,
    "jitter": 0.8,
    "brightness_strength": 0.4,
    "contrast_strength": 0.4,
    "saturation_strength": 0.4,
    "hue_strength": 0.1,
    "greyscale": 0.2,
    "blur": 0.5,
    **dict.fromkeys(("brightness", "contrast", "saturation", "hue", "downsample", "cutout"), 0.0),
}
# MoCo v1's differs in three fields of a stage: --config.stages.emoco.augmentation.jitter=1.0,
# ...hue_strength=0.4 and ...blur=0.0. Its own code has the greyscale before the jitter.


@dataclasses.dataclass(frozen=True)
class Pretraining:
    """A pretraining of the encoder.

    Attributes:
      label: as tables call it. method: its name in au_jax/methods; `options` are its constants.
    """

    label: str
    method: str = "emoco"
    options: dict[str, Any] = dataclasses.field(default_factory=dict)


PRETRAININGS = {
    "moco": Pretraining("MoCo", "moco"),
    "emotion": Pretraining("Emotions alone (L_emo)", options={"contrast": False}),
    "emoco": Pretraining("EmoCo"),
    # Table IV, without finetuning: one queue, no intra-class normalisation, L_cont alone.
    "one_queue": Pretraining("EmoCo with one queue", options={"multi_queue": False}),
    "l2": Pretraining("EmoCo with L2 norm", options={"intra_class_normalization": False}),
    "contrast": Pretraining(
        "L_cont alone", options={"intra_class_normalization": False, "emotion_weight": 0.0}
    ),
}


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """How encoders are compared: by probes and finetunings on one data set.

    Attributes:
      train: the split that is learned from. scored: those that are scored, the first one first.
      crop: the stored crop. aus: the AUs, or their `group`.
      finetuning: fields of the train stages: what of the sections differs.
      batch: examples of their steps.
    """

    train: str
    scored: tuple[str, ...]
    crop: str
    aus: tuple[str, ...] = ()
    group: str = "all"
    finetuning: dict[str, Any] = dataclasses.field(default_factory=dict)
    batch: int = 32

    def encode(self, config, name: str, start: str) -> str:
        """The features of the splits by the encoder called `name`."""
        return base.add_stage(
            config,
            f"encode_{name}",
            "encode",
            start=start,
            splits=(self.train, *self.scored),
            crop=self.crop,
        )

    def linear(self, config, name: str, percent: int = 100, **row: Any) -> None:
        """A probe on the encoder `name`, learned from a share of the people, and its row."""
        self._row(
            config,
            base.add_stage(
                config,
                f"linear_{name}{_suffix(percent)}",
                "linear_probe",
                features=f"encode_{name}",
                split=self._share(percent),
                validate=self.scored,
                aus=self.aus,
                group=self.group,
            ),
            row,
        )

    def finetune(
        self, config, name: str, start: str, percent: int = 100, model=None, **row: Any
    ) -> None:
        """A training from the encoder `start` with a linear output for each AU, and its row."""
        self._row(
            config,
            base.add_stage(
                config,
                f"finetune_{name}{_suffix(percent)}",
                "train",
                start=start,
                streams={"labelled": {"split": self._share(percent), "share": self.batch}},
                epoch_stream="labelled",
                crop=self.crop,
                aus=self.aus,
                group=self.group,
                validate=self.scored,
                options={"damping": 0.5, "label_smoothing": 0.0},
                model=model or {},
                **self.finetuning,
            ),
            row,
        )

    def _share(self, percent: int) -> str:
        return self.train if percent == 100 else f"{self.train}%{percent}"

    def _row(self, config, stage: str, fields: dict[str, Any]) -> None:
        """A row of the table: the last epoch at the threshold 0.5."""
        base.add_stage(
            config,
            f"{stage}_row",
            "select",
            inputs=(stage,),
            split=self.scored[0],
            test=self.scored[1:],
            score="f1",
            **fields,
        )


def _suffix(percent: int) -> str:
    return "" if percent == 100 else f"_{percent}"


def get_config(variant: str | None = None):
    config = base.base()
    config.name = "emoco"
    config.variant = base.check_variant(variant, VARIANTS)
    config.headline = "f1"
    config.model.dropout = 0.0
    if config.variant in ("paper", "disfa", "bp4d", "imagenet"):
        _paper(config)
    else:
        _small(config)
    return config


# ---- On the embedded drawn faces ----

STARTS = ("scratch", "moco", "emotion", "emoco")


def _small(config) -> None:
    """Short; sizes, lengths and rates are ours."""
    config.data.size = 56
    config.data.synthetic.update(size=80, opt=1600, noisy=3200)
    config.model.backbone = "ownnet2"
    config.model.image_size = 48
    config.optimizer.update(name="adam", learning_rate=1e-3, schedule="cosine")
    config.augmentation.update(greyscale=0.1, downsample=0.0, cutout=0.0)
    config.train.update(epochs=4, steps_per_epoch=75)
    drawn = Evaluation("opt-train", ("opt-val", "test"), "closeup", group="expression")
    tables = {
        "default": _table,
        "ablation": _ablation,
        "lambda": _lambda,
        "labels": _labels,
    }
    tables[config.variant](config, drawn)


def _pretrain(config, name: str, pretraining: Pretraining, **options: Any) -> str:
    """One small pretraining; the key encoder follows faster than in the paper's 200 epochs.

    So short a training needs a large lambda: with the paper's 1 the contrastive loss leaves the
    emotions unlearned. It also needs a low rate: as the key encoder follows fast, a higher one lets
    the networks tell new keys from queued ones by their drift alone, and all features collapse.
    """
    options = {**pretraining.options, **options}
    if pretraining.method == "emoco":
        options.setdefault("emotion_weight", 20.0)
    if options.get("contrast", True):
        options |= {"momentum": 0.99, "queue": 1024 if pretraining.method == "moco" else 128}
    return base.add_stage(
        config,
        name,
        "train",
        method=pretraining.method,
        options=options,
        streams={"faces": {"split": "noisy", "share": 64}},
        epoch_stream="faces",
        crop="closeup",
        validate=(),
        optimizer={"learning_rate": 3e-4},
        augmentation={**MOCO_V2, "resized_crop_smallest": 0.7, "blur": 0.0},
        train={"epochs": 10, "steps_per_epoch": 100},
    )


def _table(config, drawn: Evaluation) -> None:
    for number, name in enumerate(STARTS):
        label, start = _from(config, name)
        drawn.encode(config, name, start)
        for percent in (100, 10):
            people = "" if percent == 100 else f", {percent} % of the people"
            linear, finetuned = (
                {
                    "label": f"{label}: {words}{people}",
                    "against": tuple(
                        f"{kind}_{other}{_suffix(percent)}_row" for other in STARTS[:number]
                    ),
                }
                for kind, words in (("linear", "linear"), ("finetune", "finetuned"))
            )
            drawn.linear(config, name, percent, **linear)
            drawn.finetune(config, name, start, percent, **finetuned)
    encoded = tuple(f"encode_{name}" for name in ("emotion", "emoco"))
    base.add_stage(config, "maps", "feature_map", inputs=encoded, split="test")


def _from(config, name: str) -> tuple[str, str]:
    """The label of a start, and the stage to start from, which is added."""
    if name == "scratch":
        return "No pretraining", ""
    return PRETRAININGS[name].label, _pretrain(config, name, PRETRAININGS[name])


def _ablation(config, drawn: Evaluation) -> None:
    for name, (linear, finetuned) in EMOCO_ABLATION.items():
        label, start = _from(config, name)
        drawn.encode(config, name, start)
        drawn.linear(config, name, label=f"{label}: linear", paper=linear)
        drawn.finetune(config, name, start, label=f"{label}: finetuned", paper=finetuned)


def _lambda(config, drawn: Evaluation) -> None:
    for kind, norm in (("emoco", "intra-class norm"), ("l2", "L2 norm")):
        for weight in (1.0, 5.0, 20.0, 100.0):
            name = f"{kind}_{weight:g}"
            start = _pretrain(config, name, PRETRAININGS[kind], emotion_weight=weight)
            drawn.encode(config, name, start)
            label = f"{norm}, lambda {weight:g}"
            curve: dict[str, Any] = {"curve": "lambda", "at": weight}
            linear, finetuned = f"{norm}, linear", f"{norm}, finetuned"
            drawn.linear(config, name, label=f"{label}: linear", line=linear, **curve)
            drawn.finetune(
                config, name, start, label=f"{label}: finetuned", line=finetuned, **curve
            )


def _labels(config, drawn: Evaluation) -> None:
    for name in ("scratch", "moco", "emoco"):
        label, start = _from(config, name)
        drawn.encode(config, name, start)
        for percent in (1, 5, 10, 50, 100):
            curve: dict[str, Any] = {
                "curve": "share of the labelled people, %",
                "at": float(percent),
            }
            line = f"{label}: linear"
            drawn.linear(config, name, percent, label=f"{line}, {percent} %", line=line, **curve)
            line = f"{label}: finetuned"
            drawn.finetune(
                config, name, start, percent, label=f"{line}, {percent} %", line=line, **curve
            )


# ---- The paper's data sets ----


def _paper(config) -> None:
    data = config.variant if config.variant in ("disfa", "bp4d") else "gft"
    config.data.name = data
    config.model.backbone = "resnet50"
    config.model.image_size = 224
    config.optimizer.update(name="sgd", learning_rate=0.03, momentum=0.9, weight_decay=1e-4)
    config.optimizer.schedule = "cosine"
    config.augmentation.update(downsample=0.0, cutout=0.0)
    config.train.epochs = 200
    if data == "gft":
        train, scored = "train", ("test",)
    else:
        config.folds = 3
        config.data.folds = "published"
        train, scored = "full-train", ("full-test",)
    finetuning = {"optimizer": {"learning_rate": 0.01}, "train": {"epochs": 10}}
    evaluation = Evaluation(
        train, scored, "five_point", aus=AUS[data], finetuning=finetuning, batch=64
    )
    if config.variant == "imagenet":
        config.model.weights = "resnet50.pth"
        evaluation.encode(config, "imagenet", "")
        evaluation.linear(config, "imagenet", label="ImageNet: linear")
        evaluation.finetune(config, "imagenet", "", label="ImageNet: finetuned")
        return
    if data == "gft":
        alexnet = {"backbone": "alexnet"}
        evaluation.finetune(
            config, "alexnet", "", model=alexnet, label="AlexNet", **_printed(data, "alexnet")
        )
    evaluation.finetune(config, "scratch", "", label="ResNet-50", **_printed(data, "resnet50"))
    for name in ("moco", "emotion", "emoco"):
        label = PRETRAININGS[name].label
        start = f"runs/emoco-paper:{name}" if data != "gft" else _pretrain_paper(config, name)
        evaluation.encode(config, name, start)
        evaluation.linear(config, name, label=f"{label}: linear", **_printed(data, name))
        printed = _printed(data, f"{name}_finetuned")
        evaluation.finetune(config, name, start, label=f"{label}: finetuned", **printed)
    for number, (label, text) in enumerate(EMOCO_QUOTED[data].items()):
        config.quoted[f"row{number:02}"] = {"label": label, **_figures(data, text)}


def _pretrain_paper(config, name: str) -> str:
    pretraining = PRETRAININGS[name]
    emotions = {"emotions": EMOTIONS} if pretraining.method == "emoco" else {}
    return base.add_stage(
        config,
        name,
        "train",
        method=pretraining.method,
        options={**pretraining.options, **emotions},
        streams={"faces": {"split": "affectnet:train", "share": 256}},
        epoch_stream="faces",
        crop="five_point",
        validate=(),
        augmentation=MOCO_V2,
    )


def _printed(data: str, row: str) -> dict[str, Any]:
    """The paper's figures of a row of ours, as fields of its selection."""
    return _figures(data, EMOCO_F1[data].get(row, ""))


def _figures(data: str, text: str) -> dict[str, Any]:
    figures = [round(float(figure) / 100, 3) for figure in text.split()]
    if not figures:
        return {}
    return {"paper": figures[-1], "paper_au": dict(zip(AUS[data], figures, strict=False))}
