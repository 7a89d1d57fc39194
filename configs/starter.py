"""The starter model: AUs of photographs, learned from rendered faces alone, and trainings from it.

    python launch.py --mode=prepare --dataset=rendered_faces --raw=ICT-FaceKit --data_dir=DATA \\
        --render=opt=22500,noisy=0,test=1000
    python launch.py --config=configs/starter.py --data_dir=DATA

    variant   data                                 time on two cores      to expect
    default   rendered faces                       80 min (measured, two  F1 0.72 over 26 AUs
                                                   runs with --share)     (test)
    labels    rendered faces, few of another look  18 min (measured, one  see RESULTS.md
                                                   core)
    finetune  your own, prepared as --name=mine    3 to 7 min (measured)  depends on them
    evaluate  your own, prepared as --name=mine    14 s for 267 (measured) depends on them

`default` trains the members of the starter model: two networks of different size for the AUs of
the face, and one for the pose AUs, which also takes the angles of the head. Their labels are those
of the renders, which are all true, so that there is nothing for self-training to add. `test` shows
other people in another look. `labels` is the label efficiency: 10, 30, 100 and 300 faces of that
other look are learned from, from scratch and from the starter model, and other people of the same
look are tested on. From scratch there are three times as many steps, as fewer learn nothing.
`finetune` does the same with a prepared data set of your own, and `evaluate` scores the starter
model on it as it is, without any training.
"""

from typing import Any

from configs import base

VARIANTS = ("default", "labels", "finetune", "evaluate")
COUNTS = (10, 30, 100, 300)


def get_config(variant: str | None = None):
    config = base.base()
    config.name = "starter"
    config.variant = base.check_variant(variant, VARIANTS)
    config.headline = "f1"
    config.data.name = "rendered_faces"
    config.data.size = 86
    config.model.backbone = "ownnet3"
    config.model.image_size = 80
    config.optimizer.update(name="adam", learning_rate=2e-3, schedule="cosine")
    _photographs(config)
    if config.variant == "default":
        _members(config)
    elif config.variant == "labels":
        config.data.val_fraction = 0.5
        _as_it_is(config, "test-val", "expression")
        for count in COUNTS:
            _few(config, f"{count} faces", f"test-train#{count}", "test-val", f"_{count}")
    else:
        config.data.name = "mine"
        if config.variant == "finetune":
            _as_it_is(config, "full-val", "expression")
            _few(config, "your faces", "full-train", "full-val")
        else:
            _as_it_is(config, "full", "all")
    return config


def _photographs(config) -> None:
    """Augmentation towards photographs: dark, grey, blurred, small, and hidden in part."""
    config.augmentation.update(
        brightness=0.7,
        brightness_strength=0.6,
        contrast=0.7,
        contrast_strength=0.5,
        saturation=0.5,
        saturation_strength=0.6,
        hue=0.3,
        hue_strength=0.05,
        greyscale=0.2,
        blur=0.2,
        blur_smallest=0.3,
        blur_largest=1.5,
        downsample=0.3,
        downsample_smallest=0.35,
        cutout=0.3,
        cutout_side=0.3,
    )


def _members(config) -> None:
    config.data.val_fraction = 0.1
    config.model.dropout = 0.3
    config.train.update(epochs=16, steps_per_epoch=1000)
    opt = {"split": "opt-train", "share": 32}

    def train(name: str, group: str, **changed: Any) -> str:
        fields: dict[str, Any] = {"options": {"damping": 0.25}, "crop": "closeup"}
        return base.add_stage(
            config,
            name,
            "train",
            group=group,
            streams={"opt": opt},
            epoch_stream="opt",
            validate=("opt-val", "test"),
            **{**fields, **changed},
        )

    large = train("large", "expression")
    small = train(
        "small", "expression", model={"backbone": "ownnet2"}, train={"times": 0.5}, seed=1
    )
    pose = train(
        "pose",
        "pose",
        crop="wide",
        model={"backbone": "ownnet2", "pose_branch": True, "image_size": 48},
        train={"times": 0.125},
    )

    def row(name: str, inputs: tuple[str, ...], **fields: Any) -> None:
        base.add_stage(config, name, "select", inputs=inputs, test=("test",), score="f1", **fields)

    row("large_row", (large, pose), label="OwnNet3")
    row("small_row", (small, pose), label="OwnNet2")
    row("fusion", (large, small, pose), label="both (mean of scores)")
    row(
        "final",
        (large, small, pose),
        label="both, shrunken thresholds",
        threshold_rule="shrunken",
        calibration="platt",
    )


def _as_it_is(config, tested: str, group: str) -> None:
    """Scores the starter model, at its own thresholds."""
    stage = base.add_stage(config, "starter", "exported", group=group, validate=(tested,), test=())
    base.add_stage(
        config,
        "starter_row",
        "select",
        inputs=(stage,),
        split=tested,
        test=(),
        label="the starter model as it is",
    )


def _few(config, label: str, learned: str, tested: str, suffix: str = "") -> None:
    """Learns the AUs of the face from few labels, from scratch and from the starter model."""
    config.model.dropout = 0.3
    config.train.update(epochs=5, steps_per_epoch=60)
    for name, start, rate, times, title in (
        ("scratch", "", 2e-3, 3.0, "from scratch"),
        ("started", "starter", 1e-4, 1.0, "from the starter model"),
    ):
        stage = base.add_stage(
            config,
            f"{name}{suffix}",
            "train",
            group="expression",
            start=start,
            crop="closeup",
            options={"damping": 0.25},
            streams={"opt": {"split": learned, "share": 16}},
            epoch_stream="opt",
            validate=(tested,),
            optimizer={"learning_rate": rate},
            train={"times": times},
        )
        base.add_stage(
            config,
            f"{name}{suffix}_row",
            "select",
            inputs=(stage,),
            split=tested,
            test=(),
            label=f"{label}, {title}",
        )
