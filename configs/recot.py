"""ReCoT: co-training of two views with clean and noisy labels, beside twelve rivals.

    python launch.py --config=configs/recot.py

Li et al., "ReCoT: Regularized Co-Training for Facial Action Unit Recognition with Noisy Labels"
(BMVC 2023).

    variant          data         time                              F1 to expect (test)
    default          drawn faces  10 min on two cores (measured:    clean 0.57, ReCoT 0.59
                                  12 beside other work)
    table            drawn faces  an hour and a half on one core    see RESULTS.md
                                  (measured row by row)
    ablation         drawn faces  an hour on two cores (estimated)  see RESULTS.md
    emotionet, bp4d, disfa        the data set, --data_dir=DIR
                     each one to three days on one GPU (an estimate, not measured);
                     paper: 0.706, 0.648, 0.626
    emotionet_ablation, emotionet_ablation_scratch    EmotioNet, --data_dir=DIR
                     one to three days on one GPU (an estimate, not measured);
                     paper: 0.706, 0.697

`default` has the three baselines and ReCoT, `table` all methods of Table 1, `ablation` Table 4,
which `emotionet_ablation` has at the paper's size, and `emotionet_ablation_scratch` without
pretraining. The other paper variants ask for ImageNet weights of ResNet-34:
--config.model.weights=FILE, or =none.
`emotionet` draws three random divisions; `bp4d` and `disfa` run the three published folds of
subjects, their noisy set being 50,000 images of EmotioNet, labelled by that fold's baseline. All
methods of Table 1 run there, and nothing is chosen on a test fold. `configs/noisy_labels.py` says
what the methods are.
"""

from typing import Any

from configs import base
from configs.noisy_labels import ABLATION, PAPER_WEIGHTS, TABLE, add, small

VARIANTS = (
    "default",
    "table",
    "ablation",
    "emotionet",
    "bp4d",
    "disfa",
    "emotionet_ablation",
    "emotionet_ablation_scratch",
)
BASELINES = ("baseline", "noisy", "both")


def get_config(variant: str | None = None):
    config = base.base()
    config.name = "recot"
    config.variant = base.check_variant(variant, VARIANTS)
    if config.variant == "default":
        small(config)
        add(config, (*BASELINES, "recot"))
    elif config.variant == "table":
        small(config)
        add(config, (*BASELINES, *TABLE[1:]))
    elif config.variant == "ablation":
        small(config)
        add(config, ABLATION)
    elif config.variant.startswith("emotionet"):
        _paper(config, epochs=70)
        config.data.name = "emotionet"
        config.data.val_fraction = 5722 / 20722
        # One pass over the 15,000 clean images at 50 a step, of which "noisy" sees none.
        config.train.steps_per_epoch = 300
        names, scratch = TABLE, config.variant.endswith("_scratch")
        if "ablation" in config.variant:
            names = ABLATION
        if scratch:
            config.model.weights = ""
        _table(config, names, "opt", "noisy#50000", scratch=scratch)
    else:
        _paper(config, epochs=25)
        config.data.name = config.variant
        config.data.folds = "published"
        config.data.present_from = 2 if config.variant == "disfa" else 0
        # A step on clean images alone sees twice as many, so that two passes are as many steps.
        _table(config, TABLE, "full", "emotionet:noisy#50000", alone={"times": 2.0})
    return config


def _paper(config, epochs: int) -> None:
    config.headline = "f1"
    config.folds = 3
    config.model.backbone = "resnet34"
    config.model.image_size = 224
    config.model.update(dropout=0.0, weights="ask")
    config.optimizer.update(name="adam", learning_rate=1e-3, schedule="constant")
    # Colour jitter is named, its strength is not given.
    config.augmentation.update(brightness=0.8, contrast=0.8, saturation=0.8, hue=0.8)
    config.augmentation.update(greyscale=0.2, downsample=0.0, cutout=0.0)
    config.train.epochs = epochs


def _table(config, names: tuple[str, ...], split: str, noisy: str, **changed: Any) -> None:
    add(
        config,
        names,
        data=config.data.name,
        clean=f"{split}-train",
        noisy=noisy,
        split=f"{split}-test",
        test=(),
        batch=100,
        split_batch=True,
        weights=PAPER_WEIGHTS,
        **changed,
    )
