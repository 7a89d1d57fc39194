"""TAL's EmotioNet system: multi-view co-regularisation, and what is chosen after training.

    python launch.py --config=configs/tal.py

Wang et al., "TAL EmotioNet Challenge 2020: Rethinking the Model Chosen Problem in Multi-Task
Learning" (CVPR Workshops 2020, https://arxiv.org/abs/2004.09862).

    variant          data         time                           final score to expect (test)
    default          drawn faces  36 min on one core, beside other work (measured)
                                                                 0.63 (17 AUs), 0.72 (6 AUs)
    ablation         drawn faces  5 min on one core (measured)   0.62 (base model)
    paper            EmotioNet, --data_dir=DIR
                     about a day on one GPU (an estimate, not measured); paper: 0.8454, 0.6396
    paper_ablation   EmotioNet, --data_dir=DIR
                     half a day on one GPU (an estimate, not measured); paper: 0.8080

Two networks over one image agree on its labels by weights that differ. The base model confirms
labels of the large noisy set (set C), on which, with the manual set A, further models are trained
before they are finetuned on A. After training: the best epoch and threshold of each AU and a
linear ensemble of two backbones through ten test crops, all chosen on the manual set B, fourfold
expanded. Two models: expression AUs on the close-up crop, head-pose AUs on a box that is not
rotated. `default` has both ladders of Table 1, `ablation` has Table 3; both are small, on the
embedded drawn faces. The paper's backbones start from ImageNet weights, so that its variants ask
for them: --config.model.weights='weights/{backbone}.pth', or =none.
"""

from typing import Any

from configs import base
from configs.paper_figures import TAL_ABLATION, TAL_EXPRESSION, TAL_POSE

VARIANTS = ("default", "ablation", "paper", "paper_ablation")
# Set B, on which everything is chosen.
SET_B = "opt-val-expanded"


def get_config(variant: str | None = None):
    config = base.base()
    config.name = "tal"
    config.variant = base.check_variant(variant, VARIANTS)
    config.model.dropout = 0.0  # the paper has none
    # Only what the paper names; how often is ours.
    config.augmentation.update(brightness=0.0, contrast=0.0, greyscale=0.0)
    config.augmentation.update(downsample=0.25, cutout=0.25)
    if config.variant == "default":
        _small(config)
        # Finetuning is short. In as few steps the pose models would say "absent" of every AU.
        short = {"times": 2 / 3, "steps_per_epoch": 100}
        # A base model so young is confident of few labels: with 0.9 it confirms 12 % of them.
        confirmed = {"threshold": 0.5}
        _ladders(config, "ownnet2", "ownnet3", (16, 32), "wide", ("test",), short, confirmed)
    elif config.variant == "ablation":
        _small(config)
        _ablation(config, "ownnet2", 16, ("test",))
    elif config.variant == "paper":
        _paper(config)
        _ladders(config, "efficientnet_b4", "resnet101", (100, 100), "box", (), {}, {})
    else:
        _paper(config)
        _ablation(config, "efficientnet_b4", 100, ())
    return config


def _small(config) -> None:
    """Sizes, lengths and rates of the small run are ours."""
    config.data.size = 56
    config.data.synthetic.update(size=80, opt=1200, noisy=4000)
    config.model.image_size = 48
    config.model.dropout = 0.2
    config.optimizer.update(name="adam", learning_rate=2e-3, schedule="cosine")
    config.train.update(epochs=6, steps_per_epoch=200)


def _paper(config) -> None:
    """The paper gives neither optimiser nor rate, batch, lengths or size: these are ours."""
    config.data.name = "emotionet"
    config.data.val_fraction = 0.1
    config.model.update(image_size=224, weights="ask")
    config.optimizer.update(name="adam", learning_rate=1e-4, schedule="constant")
    config.train.epochs = 100


def _ladders(
    config,
    first: str,
    second: str,
    batches: tuple[int, int],
    pose_crop: str,
    test: tuple[str, ...],
    finetuning: dict[str, Any],
    confirmed: dict[str, Any],
) -> None:
    """Table 1. The batches are of set A, and of sets A and C, of which they hold as much each."""
    of_a, of_both = batches
    expression = {"group": "expression", "crop": "closeup", "augmentation": {"flip": 0.5}}
    pose = {"group": "pose", "crop": pose_crop, "augmentation": {"flip": 0.0}}

    def train(name: str, fields: dict[str, Any], backbone: str, **changed: Any) -> str:
        common = {"method": "multi_view", "epoch_stream": "A", "validate": ("opt-val", SET_B)}
        streams = {"A": {"split": "opt-train", "share": of_a}}
        stage = {**common, "streams": streams, **fields, **changed}
        return base.add_stage(config, name, "train", model={"backbone": backbone}, **stage)

    def row(name: str, inputs: tuple[str, ...], label: str, paper: float, **rules: Any) -> None:
        ladder, _, step = name.rpartition("_")
        above = (f"{ladder}_{int(step) - 1}",) if ladder and step != "1" else ()
        base.add_stage(
            config,
            name,
            "select",
            inputs=inputs,
            split=SET_B,
            test=test,
            label=label,
            paper=paper,
            against=above,
            **rules,
        )

    plain = (train("base_1", expression, first), train("base_2", expression, second))
    base.add_stage(
        config, "confirmed", "filter_labels", teacher="base_1", split="noisy", **confirmed
    )
    streams = {
        "A": {"split": "opt-train", "share": of_both // 2},
        "C": {"split": "noisy", "share": of_both // 2, "labels": "confirmed"},
    }
    train("pretrained_1", expression, first, streams=streams)
    train("pretrained_2", expression, second, streams=streams)
    finetuned = (
        train("finetuned_1", expression, first, start="pretrained_1", train=finetuning),
        train("finetuned_2", expression, second, start="pretrained_2", train=finetuning),
    )
    # What the best epoch of each AU is measured against: one epoch, the best on average.
    average = {"epoch_rule": "best_average"}
    linear = {**average, "combine": "linear"}
    crops = {**linear, "crops": "five_flip"}
    epochs = {**crops, "epoch_rule": "best"}
    thresholds = {**epochs, "threshold_rule": "best"}
    paper = dict(enumerate(TAL_EXPRESSION, 1))
    row(
        "expression_step_1", plain[:1], f"expression AUs: base model ({first})", paper[1], **average
    )
    row("expression_step_2", plain, f"+ ensemble (with {second})", paper[2], **linear)
    row("expression_step_3", plain, "+ ten test crops", paper[3], **crops)
    row("expression_step_4", finetuned, "+ pretrained on A and C", paper[4], **crops)
    row("expression_step_5", finetuned, "+ best epoch of each AU", paper[5], **epochs)
    row("expression_step_6", finetuned, "+ best threshold of each AU", paper[6], **thresholds)

    posed = (train("pose_1", pose, first), train("pose_2", pose, second))
    epochs = {**linear, "epoch_rule": "best"}
    thresholds = {**epochs, "threshold_rule": "best"}
    paper = dict(enumerate(TAL_POSE, 1))
    row("pose_step_1", posed[:1], f"pose AUs: base model ({first})", paper[1], **average)
    row("pose_step_2", posed, f"+ ensemble (with {second})", paper[2], **linear)
    row("pose_step_3", posed, "+ best epoch of each AU", paper[3], **epochs)
    row("pose_step_4", posed, "+ best threshold of each AU", paper[4], **thresholds)
    seen = tuple(f"{name}:five_flip" for name in finetuned)
    row("final", (*seen, *posed), "all AUs: the last steps of both", 0.0, **thresholds)


# Table 3: what is left out, and how.
ABLATION: dict[str, tuple[str, dict[str, float]]] = {
    "base": ("base model", {}),
    "no_multi_view": ("without the multi-view loss", {"lambda_mv": 0.0}),
    "no_co_regularization": (
        "without the co-regularisation loss",
        {"lambda_cr": 0.0},
    ),
    "no_balancing": ("without batch balancing", {"balance_alpha": 0.0}),
}


def _ablation(config, backbone: str, batch: int, test: tuple[str, ...]) -> None:
    for name, (label, options) in ABLATION.items():
        base.add_stage(
            config,
            name,
            "train",
            method="multi_view",
            options=options,
            streams={"A": {"split": "opt-train", "share": batch}},
            epoch_stream="A",
            aus=base.EMOTIONET_2018,
            crop="closeup",
            validate=("opt-val", SET_B),
            model={"backbone": backbone},
        )
        base.add_stage(
            config,
            f"{name}_row",
            "select",
            inputs=(name,),
            split=SET_B,
            test=test,
            epoch_rule="best_average",
            label=label,
            depth=int(name != "base"),
            paper=TAL_ABLATION[name],
            against=() if name == "base" else ("base_row",),
        )
