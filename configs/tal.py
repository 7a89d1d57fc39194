"""TAL's EmotioNet system (Shi et al., EmotioNet 2020): multi-view co-regularisation.

    python launch.py --config=configs/tal.py            # both ladders, some minutes on two cores
    python launch.py --config=configs/tal.py:ablation   # Table 3, small
    python launch.py --config=configs/tal.py:paper --data_dir=DIR   # EmotioNet, on GPUs

Two networks over one image agree on its labels by weights that differ. The base model confirms
labels of the large noisy set (set C), on which, with the manual set A, further models are trained
before they are finetuned on A. After training: the best epoch and threshold of each AU and a
linear ensemble of two backbones through ten test crops, all chosen on the manual set B, fourfold
expanded. Two models: expression AUs on the close-up crop, head-pose AUs on a box that is not
rotated. `default` and `ablation` are small, on the embedded synthetic faces.
"""

from typing import Any

from configs import base

VARIANTS = ("default", "ablation", "paper", "paper_ablation")
# Set B, on which everything is chosen.
CHOSEN_ON = "opt-val-expanded"
GROUPS: dict[str, dict[str, Any]] = {
    "expression": {"crop": "closeup", "flip": 0.5},
    "pose": {"crop": "box", "flip": 0.0},
}


def get_config(variant: str | None = None):
    config = base.base()
    config.name = "tal"
    config.variant = base.check_variant(variant, VARIANTS)
    small = config.variant in ("default", "ablation")
    config.data.name = "synthetic_faces" if small else "emotionet"
    (_small if small else _paper)(config)
    # Only what the paper names; how often is ours.
    config.augmentation.update(brightness=0.0, contrast=0.0, greyscale=0.0)
    config.augmentation.update(downsample=0.25, cutout=0.25)
    test = ("test",) if small else ()
    if config.variant.endswith("ablation"):
        _ablation(config, test, BACKBONES[small][0])
    else:
        _ladders(config, test, BACKBONES[small], small)
    return config


BACKBONES = {True: ("ownnet2", "ownnet3"), False: ("efficientnet_b4", "resnet101")}


def _small(config) -> None:
    """Sizes, lengths and rates of the small run are ours."""
    config.data.synthetic.update(size=80, opt=1200, noisy=4000)
    config.data.size = 56
    config.model.image_size = 48
    config.model.dropout = 0.2
    config.optimizer.update(name="adam", learning_rate=2e-3, schedule="cosine")
    config.train.update(epochs=6, steps_per_epoch=200)


def _paper(config) -> None:
    """The paper gives neither optimiser nor rate, batch, lengths or size: these are ours."""
    config.data.val_fraction = 0.1
    config.model.image_size = 224
    config.optimizer.update(name="adam", learning_rate=1e-4, schedule="constant")
    config.train.epochs = 100


# Both weights are MLCR's released ones; the paper gives none.
OPTIONS: dict[str, Any] = {
    "balance_alpha": 0.2,
    "balance_rule": "printed",
    "multi_view_weight": 400.0,
    "co_regularization_weight": 100.0,
    "signed": False,
}


def _train(
    config,
    name: str,
    group: str,
    backbone: str,
    *,
    batch: int,
    labels: str = "",
    start: str = "",
    aus: tuple[str, ...] = (),
    options: dict[str, Any] | None = None,
    **train: Any,
) -> str:
    """Adds one multi-view model; returns its stage's name.

    Args:
      batch: of set A alone; drawn equally from A and C (ours) where `labels` names the stage that
        confirmed the labels of C.
    """
    fields = GROUPS[group]
    crop = "wide" if config.data.name == "synthetic_faces" and group == "pose" else fields["crop"]
    share = batch // 2 if labels else batch
    streams = {"A": base.stream("opt-train", share)}
    if labels:
        streams["C"] = base.stream("noisy", share, labels=labels)
    base.add_train(
        config,
        name,
        streams=streams,
        epoch_stream="A",
        group=group,
        aus=aus,
        crop=crop,
        validate=("opt-val", CHOSEN_ON),
        method="multi_view",
        options={**OPTIONS, **(options or {})},
        start=start,
        model={"backbone": backbone},
        augmentation={"flip": fields["flip"]},
        train=train,
    )
    return name


def _ladders(config, test: tuple[str, ...], backbones: tuple[str, str], small: bool) -> None:
    batch = 16 if small else 100
    short: dict[str, Any] = {"epochs": 4, "steps_per_epoch": 100} if small else {}
    first, second = backbones

    def models(prefix: str, group: str, **fields: Any) -> tuple[str, ...]:
        return tuple(
            _train(config, f"{prefix}_{n}", group, backbone, batch=batch, **fields)
            for n, backbone in enumerate(backbones, 1)
        )

    def row(name: str, inputs: tuple[str, ...], label: str, paper: float, **rules: Any) -> None:
        base.add_select(
            config,
            name,
            inputs=inputs,
            split=CHOSEN_ON,
            test=test,
            label=label,
            paper=paper,
            **rules,
        )

    plain = models("base", "expression")
    base.add_filter_labels(config, "confirmed", teacher=plain[0], split="noisy")
    pretrained = models("pretrained", "expression", labels="confirmed")
    finetuned = tuple(
        _train(config, f"finetuned_{n}", "expression", net, batch=batch, start=start, **short)
        for n, (net, start) in enumerate(zip(backbones, pretrained, strict=True), 1)
    )
    linear = {"combine": "linear"}
    crops = {**linear, "crops": "five_flip"}
    chosen = {**crops, "epochs": "best"}
    row("expression_step_1", plain[:1], f"17 AUs: base model ({first})", 0.8030)
    row("expression_step_2", plain, f"+ ensemble (with {second})", 0.8174, **linear)
    row("expression_step_3", plain, "+ ten test crops", 0.8223, **crops)
    row("expression_step_4", finetuned, "+ pretrained on A and C", 0.8259, **crops)
    row("expression_step_5", finetuned, "+ best epoch of each AU", 0.8361, **chosen)
    row(
        "expression_step_6",
        finetuned,
        "+ best threshold of each AU",
        0.8454,
        **chosen,
        thresholds="best",
    )
    pose = models("pose", "pose", **(short if small else {}))
    chosen = {**linear, "epochs": "best"}
    row("pose_step_1", pose[:1], f"6 AUs: base model ({first})", 0.6168)
    row("pose_step_2", pose, f"+ ensemble (with {second})", 0.6245, **linear)
    row("pose_step_3", pose, "+ best epoch of each AU", 0.6350, **chosen)
    row("pose_step_4", pose, "+ best threshold of each AU", 0.6396, **chosen, thresholds="best")
    both = (*finetuned, *pose)
    row("final", both, "all 23 AUs: the last steps of both", 0.0, **chosen, thresholds="best")


# Table 3 on the 12 AUs of the 2018 challenge: what is left out, how, and the paper's score.
ABLATION: dict[str, tuple[str, dict[str, Any], float]] = {
    "base": ("base model", {}, 0.8080),
    "no_multi_view": ("without the multi-view loss", {"multi_view_weight": 0.0}, 0.8019),
    "no_co_regularization": (
        "without the co-regularisation loss",
        {"co_regularization_weight": 0.0},
        0.7885,
    ),
    "no_balancing": ("without batch balancing", {"balance_alpha": 0.0}, 0.8019),
}


def _ablation(config, test: tuple[str, ...], backbone: str) -> None:
    batch = 16 if config.data.name == "synthetic_faces" else 100
    for name, (label, options, paper) in ABLATION.items():
        _train(
            config,
            name,
            "expression",
            backbone,
            batch=batch,
            aus=base.EMOTIONET_2018,
            options=options,
        )
        base.add_select(
            config,
            f"{name}_row",
            inputs=(name,),
            split=CHOSEN_ON,
            test=test,
            label=label,
            depth=int(name != "base"),
            paper=paper,
        )
