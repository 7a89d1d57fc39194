"""One method for clean and noisy labels: a row of the tables of ReCoT (Li et al., BMVC 2023).

    python launch.py --config=configs/noisy_labels.py:mixup   # any name of METHODS, small

`configs/recot.py` runs them side by side. All share data, initial weights, augmentation, batch and
number of steps; what differs is the objective. Values that their own papers or ReCoT's do not give
are ours: the weights of `kd`, `net_noisy`, `nr`, `mlct`, `mt`, the ramp-up of `mt`, `cot_2018`.
"""

import dataclasses
from typing import Any

from configs import base

AUS: dict[str, tuple[str, ...]] = {
    "emotionet": base.EMOTIONET_2018,
    "bp4d": tuple(f"AU{au:02}" for au in (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24)),
    "disfa": tuple(f"AU{au:02}" for au in (1, 2, 4, 6, 9, 12, 25, 26)),
}
# r_k of selective learning, as MLCR's code has them; of DISFA they are ours.
RATIOS: dict[str, tuple[float, ...]] = {
    "emotionet": (0.2, 0.3, 0.2, 0.2, 0.5, 0.2, 0.5, 0.2, 0.1, 0.5, 0.2, 0.3),
    "bp4d": (0.3, 0.3, 0.5, 0.3, 0.3, 0.5, 0.3, 0.5, 0.3, 0.3, 0.3, 0.3),
    "disfa": (0.3,) * 8,
}
# F1 in % of every AU and their mean, as Tables 1 to 3 print them.
PAPER: dict[str, dict[str, str]] = {
    "emotionet": {
        "baseline": "60.2 45.4 72.8 51.5 81.4 65.4 91.2 53.0 46.7 95.0 61.7 66.6 65.9",
        "mlct": "57.8 44.8 73.7 50.1 82.8 58.1 91.8 44.8 37.1 95.1 61.6 63.4 63.4",
        "mt": "55.5 46.3 71.7 48.6 81.6 61.7 91.0 46.7 43.5 94.7 60.2 63.9 63.7",
        "cot_2018": "58.3 48.4 70.0 50.4 83.1 64.4 91.7 49.9 47.1 95.0 60.0 66.9 65.5",
        "mlcr": "61.4 49.3 75.9 54.1 83.5 68.3 92.0 50.8 53.5 95.2 65.1 68.1 68.1",
        "mixup": "40.9 29.3 65.1 39.0 77.6 54.9 90.8 32.8 41.9 93.4 46.1 52.3 55.3",
        "bs_soft": "49.0 36.4 67.8 45.6 78.9 54.5 90.6 37.8 46.0 93.4 50.2 59.9 59.2",
        "bs_hard": "48.0 36.5 67.9 45.9 79.1 55.5 90.6 37.7 49.6 93.4 50.3 59.0 59.5",
        "kd": "59.4 45.0 74.0 52.8 82.1 66.1 91.7 50.8 53.2 95.1 59.6 68.2 66.5",
        "nr": "61.7 49.5 73.0 53.1 81.3 65.0 91.3 51.9 54.3 94.8 61.0 66.2 66.9",
        "recot": "64.2 52.0 77.8 55.6 83.9 70.5 92.5 58.7 57.3 95.9 65.8 72.9 70.6",
    },
    "bp4d": {
        "baseline": "49.3 43.6 57.2 77.6 78.4 83.0 85.7 60.2 49.5 61.6 47.0 47.0 61.6",
        "mlcr": "45.5 40.0 48.6 76.4 77.0 81.6 85.7 62.8 39.2 61.8 41.0 51.8 59.3",
        "mt": "50.2 42.5 57.9 77.1 79.5 83.9 86.7 60.6 51.3 62.2 47.9 47.0 62.2",
        "bs_soft": "51.2 42.5 55.7 76.5 78.8 83.4 87.0 59.1 48.8 62.5 45.7 49.4 61.7",
        "bs_hard": "52.1 43.6 55.3 77.7 78.8 83.9 86.5 59.3 50.5 62.8 45.8 49.2 62.1",
        "mixup": "54.6 43.7 57.1 79.5 79.3 84.6 87.7 62.8 53.2 63.6 46.3 39.5 62.6",
        "nr": "50.1 44.1 56.0 77.4 78.9 83.5 86.6 59.1 50.0 62.3 49.7 53.7 62.6",
        "kd": "52.2 44.7 59.7 78.3 79.8 84.4 86.8 61.0 50.6 62.1 48.4 51.2 63.3",
        "recot": "51.5 47.8 58.9 79.2 80.2 84.9 88.4 61.6 53.3 64.6 51.8 55.4 64.8",
    },
    "disfa": {
        "baseline": "45.5 36.0 68.0 40.1 40.8 74.2 94.2 61.0 57.6",
        "mlcr": "42.7 31.8 65.6 47.5 49.9 77.0 93.7 65.2 59.2",
        "mt": "48.4 40.0 66.3 43.9 43.7 74.6 93.8 63.2 59.3",
        "bs_soft": "42.9 41.7 67.2 41.1 48.1 74.3 94.2 58.9 58.5",
        "bs_hard": "40.4 37.7 68.4 42.0 45.9 74.6 94.0 61.2 58.0",
        "mixup": "48.7 40.6 64.9 45.3 45.8 77.4 93.4 57.6 59.2",
        "nr": "43.2 35.2 67.9 45.8 48.3 75.1 94.5 62.2 59.0",
        "kd": "48.0 38.5 69.1 45.3 50.3 76.0 94.6 59.4 60.1",
        "recot": "51.3 36.2 66.8 50.1 52.4 78.8 95.3 69.7 62.6",
    },
}


@dataclasses.dataclass(frozen=True)
class Rival:
    """A row of the tables.

    Attributes:
      label: as the tables call it.
      method: its name in au_jax/methods; `options` are its constants.
      streams: that it learns from.
      ablation: mean F1 on EmotioNet in Table 4, with pretraining; 0 for the rows of `PAPER`.
    """

    label: str
    method: str
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    streams: tuple[str, ...] = ("clean", "noisy")
    ablation: float = 0.0


RECOT: dict[str, Any] = {
    "views": 2,
    "noisy_weight": 1.0,  # times lambda_n, see `add`
    "consistency_weight": 1.0,
    "alpha": 1.0,
    "beta": 0.1,
    "gamma": 0.9,
    # Low, as alpha and beta make p_noisy high wherever a label is not sure: with 0.5 the refined
    # labels were right less often than the given ones.
    "mu": 0.1,
    "phi": 0.9,
}


def _recot(label: str, ablation: float = 0.0, refined: bool = True, **changed: Any) -> Rival:
    """ReCoT or a part of it; `refined`: with label refinement, after two thirds of the epochs.

    K is where the network has converged, the paper says, and no more.
    """
    options = {**RECOT, **changed, "refine_after": 2 / 3 if refined else 0.0}
    return Rival(label, "recot", options, ablation=ablation)


def _supervised(label: str, *streams: str, views: int = 1, ablation: float = 0.0) -> Rival:
    return Rival(label, "supervised", {"views": views}, streams, ablation)


# The order is that of Tables 1 to 3.
METHODS: dict[str, Rival] = {
    "baseline": _supervised("Baseline (clean)", "clean"),
    "mlct": Rival("MLCT", "mlct", {"handed_share": 0.1, "handed_weight": 0.1}),
    "mt": Rival("Mean teacher", "mean_teacher", {"decay": 0.999, "consistency_weight": 1.0}),
    "cot_2018": Rival(
        "CoT (Qiao et al. 2018)",
        "deep_co_training",
        {"agreement_weight": 10.0, "difference_weight": 0.5, "epsilon": 0.02},
    ),
    "mlcr": Rival("MLCR", "mlcr", {"multi_view_weight": 400.0, "co_regularization_weight": 100.0}),
    "mixup": Rival("Mixup", "mixup", {"concentration": 1.0}),
    "bs_soft": Rival("BS-S", "bootstrapping", {"weight": 0.95, "hard": False}),
    "bs_hard": Rival("BS-H", "bootstrapping", {"weight": 0.8, "hard": True}),
    "kd": Rival("KD", "distillation", {"soft_weight": 1.0}),
    "nr": Rival("NR", "noise_residual", {"noisy_weight": 1.0}),
    "recot": _recot("ReCoT"),
    # Table 4 (a) and (b); the components are at alpha = beta = gamma = 1 there.
    "noisy": _supervised("Baseline (noisy)", "noisy", ablation=0.456),
    "both": _supervised("Baseline (clean and noisy)", "clean", "noisy", ablation=0.592),
    "ensemble": _supervised("Baseline + ensemble", "clean", views=2, ablation=0.668),
    "net_noisy": _recot(
        "Baseline + net_noisy", 0.669, False, views=1, consistency_weight=0.0, beta=1.0, gamma=1.0
    ),
    "cot": _recot("Baseline + CoT", 0.695, False, noisy_weight=0.0),
    "cot_net_noisy": _recot("Baseline + CoT + net_noisy", 0.698, False, beta=1.0, gamma=1.0),
    "recot_1_1_1": _recot("ReCoT, alpha beta gamma 1 1 1", 0.701, beta=1.0, gamma=1.0),
    "recot_1_1_09": _recot("ReCoT, alpha beta gamma 1 1 0.9", 0.701, beta=1.0),
    "recot_1_05_09": _recot("ReCoT, alpha beta gamma 1 0.5 0.9", 0.703, beta=0.5),
}
VARIANTS = tuple(METHODS)
TABLE = tuple(METHODS)[: tuple(METHODS).index("recot") + 1]
ABLATION = (
    "baseline",
    "noisy",
    "both",
    "net_noisy",
    "ensemble",
    "cot",
    "cot_net_noisy",
    "recot_1_1_1",
    "recot_1_1_09",
    "recot_1_05_09",
    "recot",
)


def get_config(variant: str | None = None):
    config = base.base()
    config.name = "noisy_labels"
    config.variant = base.check_variant(variant, VARIANTS)
    small(config)
    add(config, (config.variant,))
    return config


def small(config) -> None:
    """On the embedded synthetic faces, short; sizes, lengths and rates are ours."""
    config.headline = "f1"
    config.data.synthetic.update(size=80, opt=480, noisy=4000)
    config.data.size = 56
    config.data.val_fraction = 1 / 3
    config.model.image_size = 48
    config.model.backbone = "ownnet2"
    config.model.dropout = 0.2
    config.optimizer.update(name="adam", learning_rate=2e-3, schedule="cosine")
    config.augmentation.update(brightness=0.5, contrast=0.5, greyscale=0.1)
    config.augmentation.update(downsample=0.0, cutout=0.0)
    config.train.update(epochs=6, steps_per_epoch=400)


def add(
    config,
    names: tuple[str, ...],
    *,
    data: str = "emotionet",
    clean: str = "opt-train",
    noisy: str = "noisy",
    split: str = "opt-val",
    test: tuple[str, ...] = ("test",),
    batch: int = 32,
    lambda_n: float = 0.3,
) -> None:
    """Adds the methods `names`, each with its row of the table.

    Args:
      data: whose AUs, ratios and paper's figures: emotionet, bp4d or disfa.
      clean, noisy: the splits of the two streams; half of the batch each.
      split: that every epoch is scored on. test: that the last epoch is scored on.
      batch: images of a step.
      lambda_n: the weight of ReCoT's noisy head, which the paper does not give. In the short small
        trainings L_noisy, whose positives are averaged over few entries, would drown L_clean at 1.
    """
    # The baseline of BP4D and DISFA labels EmotioNet's images; distillation takes it, too.
    relabelled = noisy if ":" in noisy else ""
    if relabelled or "kd" in names:
        names = ("baseline", *(name for name in names if name != "baseline"))
    for name in names:
        rival = METHODS[name]
        printed = [round(float(figure) / 100, 3) for figure in PAPER[data].get(name, "").split()]
        labels = "labelled" if relabelled or name == "kd" else ""
        splits = {"clean": clean, "noisy": noisy}
        share = batch // len(rival.streams)
        streams = {
            stream: base.stream(
                splits[stream],
                share,
                labels=labels if stream == "noisy" else "",
                soft=name == "kd" and stream == "noisy",
            )
            for stream in rival.streams
        }
        options = dict(rival.options)
        if rival.method == "recot":
            options["noisy_weight"] *= lambda_n
        base.add_train(
            config,
            name,
            streams=streams,
            epoch_stream=rival.streams[0],
            crop="closeup",
            aus=AUS[data],
            validate=(split,),
            method=rival.method,
            options={**options, "selective_ratios": RATIOS[data]},
        )
        base.add_select(
            config,
            f"{name}_row",
            inputs=(name,),
            split=split,
            test=test,
            score="f1",
            label=rival.label,
            paper=printed[-1] if printed else rival.ablation,
            paper_au=dict(zip(AUS[data], printed, strict=False)),
        )
        if name == "baseline" and (relabelled or "kd" in names):
            base.add_pseudo_label(config, "labelled", teacher=name, split=noisy)
