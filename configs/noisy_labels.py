"""One method for clean and noisy labels: a row of the tables of ReCoT (Li et al., BMVC 2023).

    python launch.py --config=configs/noisy_labels.py:mixup   # any name of METHODS, small

`configs/recot.py` runs them side by side. All share data, initial weights, augmentation, batch and
number of steps; what differs is the objective. Values that their own papers or ReCoT's do not give
are ours: the weights of `kd`, `net_noisy`, `nr`, `mlct`, the ramp-up of `mt` and `cot_2018`.
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


@dataclasses.dataclass(frozen=True)
class Rival:
    """A row of the tables.

    Attributes:
      label: as the tables call it.
      method: its name in au_jax/methods; `options` are its constants.
      paper: mean F1 on EmotioNet, BP4D and DISFA in the paper; 0 where it has none.
      streams: that it learns from.
      views: networks of it that begin from the same two sets of weights.
    """

    label: str
    method: str
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    paper: tuple[float, float, float] = (0.0, 0.0, 0.0)
    streams: tuple[str, ...] = ("clean", "noisy")

    def paper_on(self, data: str) -> float:
        return dict(zip(AUS, self.paper, strict=True))[data]


RECOT: dict[str, Any] = {
    "views": 2,
    "noisy_weight": 1.0,
    "consistency_weight": 1.0,
    "alpha": 1.0,
    "beta": 0.1,
    "gamma": 0.9,
    "mu": 0.5,
    "phi": 0.9,
}


def _recot(label: str, paper: float, refined: bool = True, **changed: Any) -> Rival:
    """ReCoT or a part of it; `refined`: with label refinement, after a third of the epochs."""
    options = {**RECOT, **changed, "refine_from": -1 if refined else 0}
    return Rival(label, "recot", options, (paper, 0.0, 0.0))


# The order is that of Tables 1 to 3.
METHODS: dict[str, Rival] = {
    "baseline": Rival(
        "Baseline (clean)", "supervised", {"views": 1}, (0.659, 0.616, 0.576), ("clean",)
    ),
    "mlct": Rival("MLCT", "mlct", {"handed_share": 0.1, "handed_weight": 1.0}, (0.634, 0.0, 0.0)),
    "mt": Rival(
        "Mean teacher",
        "mean_teacher",
        {"decay": 0.999, "consistency_weight": 10.0},
        (0.637, 0.622, 0.593),
    ),
    "cot_2018": Rival(
        "CoT (Qiao et al. 2018)",
        "deep_co_training",
        {"agreement_weight": 10.0, "difference_weight": 0.5, "epsilon": 0.02},
        (0.655, 0.0, 0.0),
    ),
    "mlcr": Rival("MLCR", "mlcr", {}, (0.681, 0.593, 0.592)),
    "mixup": Rival("Mixup", "mixup", {"concentration": 1.0}, (0.553, 0.626, 0.592)),
    "bs_soft": Rival(
        "BS-S", "bootstrapping", {"weight": 0.95, "hard": False}, (0.592, 0.617, 0.585)
    ),
    "bs_hard": Rival("BS-H", "bootstrapping", {"weight": 0.8, "hard": True}, (0.595, 0.621, 0.580)),
    "kd": Rival("KD", "distillation", {"soft_weight": 1.0}, (0.665, 0.633, 0.601)),
    "nr": Rival("NR", "noise_residual", {"noisy_weight": 1.0}, (0.669, 0.626, 0.590)),
    "recot": dataclasses.replace(_recot("ReCoT", 0.706), paper=(0.706, 0.648, 0.626)),
    # Table 4 (a) and (b); the components are at alpha = beta = gamma = 1 there.
    "noisy": Rival("Baseline (noisy)", "supervised", {"views": 1}, (0.456, 0.0, 0.0), ("noisy",)),
    "both": Rival("Baseline (clean and noisy)", "supervised", {"views": 1}, (0.592, 0.0, 0.0)),
    "ensemble": Rival(
        "Baseline + ensemble", "supervised", {"views": 2}, (0.668, 0.0, 0.0), ("clean",)
    ),
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
    config.train.update(epochs=6, steps_per_epoch=200)


def add(
    config,
    names: tuple[str, ...],
    *,
    data: str = "emotionet",
    clean: str = "opt-train",
    noisy: str = "noisy",
    split: str = "opt-val",
    test: tuple[str, ...] = ("test",),
    batch: int = 16,
) -> None:
    """Adds the methods `names`, each with its row of the table.

    Args:
      data: whose AUs, ratios and paper's figures: emotionet, bp4d or disfa.
      clean, noisy: the splits of the two streams; half of the batch each.
      split: that every epoch is scored on. test: that the last epoch is scored on.
      batch: images of a step.
    """
    # The baseline of BP4D and DISFA labels EmotioNet's images; distillation takes it, too.
    relabelled = noisy if ":" in noisy else ""
    if relabelled or "kd" in names:
        names = ("baseline", *(name for name in names if name != "baseline"))
    for name in names:
        rival = METHODS[name]
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
        if options.get("refine_from"):
            options["refine_from"] = max(1, config.train.epochs // 3)
        if rival.method == "mlcr":
            count = len(AUS[data])
            options.update(multi_view_weight=400 / count, co_regularization_weight=100 / count)
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
            paper=rival.paper_on(data),
        )
        if name == "baseline" and (relabelled or "kd" in names):
            base.add_pseudo_label(config, "labelled", teacher=name, split=noisy)
