"""ReCoT (Li et al., BMVC 2023): co-training two views with clean and noisy labels.

    python launch.py --config=configs/recot.py            # baselines and ReCoT, small
    python launch.py --config=configs/recot.py:table      # and all methods of Table 1, small
    python launch.py --config=configs/recot.py:ablation   # Table 4, small
    python launch.py --config=configs/recot.py:emotionet --data_dir=DIR   # or bp4d, disfa; on GPUs

The small variants are on the embedded synthetic faces. `emotionet` draws three random divisions;
`bp4d` and `disfa` run the three published folds of subjects, their noisy set being 50,000 images of
EmotioNet, labelled by that fold's baseline. All methods of Table 1 run there, and nothing is chosen
on a test fold. `configs/noisy_labels.py` says what the methods are.
"""

from configs import base
from configs.noisy_labels import ABLATION, TABLE, add, small

VARIANTS = ("default", "table", "ablation", "emotionet", "bp4d", "disfa")
_LAST = {"emotionet": 70, "bp4d": 25, "disfa": 25}


def get_config(variant: str | None = None):
    config = base.base()
    config.name = "recot"
    config.variant = base.check_variant(variant, VARIANTS)
    if config.variant in _LAST:
        _paper(config, config.variant)
        return config
    small(config)
    baselines = ("baseline", "noisy", "both")
    methods = {"table": (*baselines, *TABLE[1:]), "ablation": ABLATION}
    add(config, methods.get(config.variant, (*baselines, "recot")))
    return config


def _paper(config, data: str) -> None:
    config.headline = "f1"
    config.folds = 3
    config.data.name = data
    config.model.backbone = "resnet34"
    config.model.image_size = 224
    config.model.dropout = 0.0
    config.model.padding = "torch"
    config.model.bn_epsilon = 1e-5
    config.optimizer.update(name="adam", learning_rate=1e-3, schedule="constant")
    # Colour jitter is named, its strength is not given.
    config.augmentation.update(brightness=0.8, contrast=0.8, saturation=0.8, hue=0.8)
    config.augmentation.update(greyscale=0.2, downsample=0.0, cutout=0.0)
    config.train.epochs = _LAST[data]
    if data == "emotionet":
        config.data.val_fraction = 5722 / 20722
        split, noisy = "opt", "noisy#50000"
    else:
        config.data.folds = "published"
        config.data.present_from = 2 if data == "disfa" else 0
        split, noisy = "full", "emotionet:noisy#50000"
    add(
        config,
        TABLE,
        data=data,
        clean=f"{split}-train",
        noisy=noisy,
        split=f"{split}-test",
        test=(),
        batch=100,
        lambda_n=1.0,
    )
