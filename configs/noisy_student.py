"""Magdeburg's noisy student (Werner, Saxen, Al-Hamadi, EmotioNet 2020).

    python launch.py --config=configs/noisy_student.py          # some minutes on two cores
    python launch.py --config=configs/noisy_student.py:control  # longer, with the control below
    python launch.py --config=configs/noisy_student.py:table1   # the whole tree, small
    python launch.py --config=configs/noisy_student.py:paper --data_dir=DIR   # EmotioNet, on GPUs

A teacher learns the manually labelled faces and labels the large set; a student with one output
per AU and data set learns both; once for the expression AUs (close-up crop) and once for the pose
AUs (wide crop, head angles as input). Members are fused by their mean. The default is small, on
the embedded synthetic faces, and has one of each idea; its two widths of OwnNet stand for the
paper's architectures, as MobileNetV3 and EfficientNet learn nothing from scratch in a minute on two
cores. `control` asks whether self-training is worth its time: it is longer, and has a teacher that
goes on, on its labelled faces alone, until it has seen as many pictures as teacher and student.
`emotionet_small` is the default on a prepared `emotionet`. The paper's own scores (its opt-val) are
0.7531 for the teacher T.0 and 0.7800 for the fusion A+B.
"""

from typing import Any

from configs import base

VARIANTS = ("default", "emotionet_small", "control", "table1", "paper")
# What differs between the two groups of AUs; the rates are the paper's.
GROUPS: dict[str, dict[str, Any]] = {
    "expression": {"crop": "closeup", "rate": 0.1, "damping": 0.5, "pose_branch": False},
    "pose": {"crop": "wide", "rate": 0.01, "damping": 0.7, "pose_branch": True},
}


def get_config(variant: str | None = None):
    config = base.base()
    config.name = "noisy_student"
    config.variant = base.check_variant(variant, VARIANTS)
    if config.variant in ("default", "emotionet_small", "control"):
        _small(config)
    else:
        _paper(config)
        if config.variant == "table1":
            _shrink(config)
    return config


def _train(
    config,
    name: str,
    group: str,
    backbone: str,
    *,
    learns: str = "opt",
    teacher: str = "",
    split: str = "opt-train",
    batch: int = 16,
    **overrides: Any,
) -> str:
    """Adds one network; returns its stage's name.

    Args:
      learns: opt (manual labels only), both (and the large set with its given labels), pseudo (and
        the large set as `teacher` labels it), shared (the same without multi-task outputs), noisy
        (the large set's given labels only).
      batch: drawn equally from the sets.
    """
    fields = GROUPS[group]
    if group == "pose" and learns == "both":
        learns = "opt"  # the given noisy labels have no pose AUs
    labels = ""
    if learns in ("pseudo", "shared"):
        labels = f"labels_{teacher}"
        if labels not in config.stages:
            base.add_pseudo_label(config, labels, teacher=teacher, split="noisy")
    head = "opt" if learns in ("shared", "noisy") else "noisy"
    noisy = {"noisy": base.stream("noisy", batch // 2, head=head, labels=labels)}
    streams = {
        "opt": {"opt": base.stream(split, batch)},
        "noisy": {"noisy": base.stream("noisy", batch)},
    }.get(learns, {"opt": base.stream(split, batch // 2), **noisy})
    rate = config.optimizer.learning_rate if config.optimizer.name == "adam" else fields["rate"]
    sections: dict[str, Any] = {
        "model": {"backbone": backbone, "pose_branch": fields["pose_branch"]},
        "optimizer": {"learning_rate": rate},
        "loss": {"damping": fields["damping"]},
    }
    for section, values in overrides.items():
        sections[section] = {**sections.get(section, {}), **values}
    base.add_train(
        config,
        name,
        streams=streams,
        epoch_stream="noisy" if learns == "noisy" else "opt",
        group=group,
        crop=fields["crop"],
        **sections,
    )
    return name


def _small(config) -> None:
    """One of each idea; sizes, optimiser, noise, damping and batches are ours.

    A student's batch holds as many labelled faces as its teacher's, and as many others.
    """
    on_emotionet, control = (config.variant == v for v in ("emotionet_small", "control"))
    # Few labelled faces and many others: where self-training has something to add.
    config.data.synthetic.update(size=80, opt=480, noisy=4000)
    config.data.size = 56
    config.model.image_size = 48
    if on_emotionet:
        config.data.name = "emotionet"
    else:
        config.data.val_fraction = 1 / 3
    config.model.dropout = 0.2
    config.optimizer.update(name="adam", learning_rate=2e-3, schedule="cosine")
    config.augmentation.update(cutout=0.0, greyscale=0.0, downsample=0.0)
    config.train.update(epochs=6 if control else 4, steps_per_epoch=400 if control else 300)
    test = () if on_emotionet else ("test",)

    def train(name: str, group: str, backbone: str = "ownnet2", **fields: Any) -> str:
        changed: dict[str, Any] = {"train": {"epochs": 1}} if group == "pose" else {}
        changed["loss"] = {"damping": 0.25 if group == "expression" else 0.5}
        batch = 16 if fields.get("learns", "opt") == "opt" else 32
        return _train(config, name, group, backbone, batch=batch, **{**changed, **fields})

    def row(name: str, inputs: tuple[str, ...], label: str, **fields: Any) -> None:
        base.add_select(config, name, inputs=inputs, test=test, label=label, **fields)

    teacher = train("teacher", "expression")
    pose_teacher = train("teacher_pose", "pose")
    row("T0", (teacher, pose_teacher), "T.0 OwnNet2 teacher (opt only)", paper=0.7531)
    students = {"learns": "pseudo", "teacher": teacher}
    student = train("student", "expression", **students)
    pose = train("student_pose", "pose", learns="pseudo", teacher=pose_teacher)
    wide = train("student_wide", "expression", "ownnet3", **students)
    second = train("second", "expression", learns="pseudo", teacher=student)
    shared = train("shared", "expression", learns="shared", teacher=teacher)
    both = train("teacher_both", "expression", learns="both")
    members = {
        "student_row": (student, 1, "OwnNet2 student"),
        "second_row": (second, 2, "OwnNet2 student of the student (2nd generation)"),
        "shared_row": (shared, 1, "OwnNet2 student without multi-task outputs"),
        "wide_row": (wide, 1, "OwnNet3 student"),
        "teacher_both_row": (both, 0, "OwnNet2 teacher (opt and given noisy labels)"),
    }
    if control:
        # Of 16 faces, where a student's step sees 32 and comes after the teacher's own steps.
        epochs = 3 * config.train.epochs
        longer = train("teacher_on", "expression", train={"epochs": epochs})
        members["teacher_on_row"] = (longer, 1, "control: the teacher goes on instead")
    for name, (stage, depth, label) in members.items():
        row(name, (stage, pose), label, depth=depth)
    base.add_pose_svm(config, "svm", split="opt-train", test=test)
    row("svm_row", ("svm",), "RBF-SVM on head angles (pose AUs)")
    fused = (student, second, shared, wide, pose_teacher, pose)
    row("fusion", fused, "Fusion (mean of scores)")
    best = {"epoch_rule": "best", "threshold_rule": "best"}
    row("final", fused, "Fusion, best epoch and threshold of each AU", **best)


# Table 1: name, network, what it learns, its teacher, depth in the tree, the paper's score.
TREE = (
    ("T0", "ownnet3", "opt", "", 0, 0.7531),
    ("T0_ownnet8", "ownnet8", "pseudo", "T0", 1, 0.7647),
    ("T0_efficientnet", "efficientnet_b0", "pseudo", "T0_ownnet8", 2, 0.7661),
    ("T1", "ownnet8", "opt", "", 0, 0.7637),
    ("B1", "mobilenet_v3_large", "pseudo", "T1", 1, 0.7680),
    ("A1", "efficientnet_b0", "pseudo", "T1", 1, 0.7699),
    ("A1_efficientnet", "efficientnet_b0", "pseudo", "A1", 2, 0.7694),
    ("A1_mobilenet", "mobilenet_v3_large", "pseudo", "A1", 2, 0.7671),
    ("A1_ownnet8", "ownnet8", "pseudo", "A1", 2, 0.7666),
    ("mobilenet_opt", "mobilenet_v3_large", "opt", "", 0, 0.7518),
    ("T2", "mobilenet_v3_large", "both", "", 0, 0.7603),
    ("T2_mobilenet", "mobilenet_v3_large", "pseudo", "T2", 1, 0.7623),
    # Two EfficientNet-B0 rows stand under T.2; that this one is of the row above is our reading.
    ("T2_efficientnet", "efficientnet_b0", "pseudo", "T2_mobilenet", 2, 0.7666),
    ("B2", "efficientnet_b0", "pseudo", "T2", 1, 0.7674),
    ("A2", "ownnet8", "pseudo", "T2", 1, 0.7706),
    ("A2_shared", "ownnet8", "shared", "T2", 1, 0.7634),
    ("efficientnet_opt", "efficientnet_b0", "opt", "", 0, 0.7602),
    ("T3", "efficientnet_b0", "both", "", 0, 0.7609),
    ("A3", "ownnet8", "pseudo", "T3", 1, 0.7684),
    ("B3", "mobilenet_v3_large", "pseudo", "T3", 1, 0.7680),
    ("ownnet8_noisy", "ownnet8", "noisy", "", 0, 0.0),  # Fig. 2's OwnNet8-Baseline
)
TITLES = {"ownnet3": "OwnNet3", "ownnet8": "OwnNet8", "mobilenet_v3_large": "MobileNetV3"}
LEARNS = {
    "opt": "teacher (opt only)",
    "both": "teacher (opt and training set)",
    "pseudo": "student",
    "shared": "student (no multi-task)",
    "noisy": "on the noisy labels only",
}
# Iterations of each network, and how many make one kept epoch (ours).
ITERATIONS = {
    "ownnet3": 500_000,
    "ownnet8": 500_000,
    "mobilenet_v3_large": 150_000,
    "efficientnet_b0": 300_000,
}
STEPS_PER_EPOCH = 10_000
FUSIONS = (
    ("A", ("A1", "A2", "A3"), 0.7767),
    ("B", ("B1", "B2", "B3"), 0.7754),
    ("A_and_B", ("A1", "A2", "A3", "B1", "B2", "B3"), 0.7800),
)


def _paper(config) -> None:
    """Table 1 and Fig. 2 with the paper's networks, sizes and iterations."""
    config.data.name = "emotionet"
    config.model.image_size = 224
    config.optimizer.weight_decay = 4e-6
    config.train.steps_per_epoch = STEPS_PER_EPOCH

    def row(name, backbone, learns, teacher, depth, paper, split="opt-train"):
        stages = tuple(
            _train(
                config,
                f"{name}_{group}",
                group,
                backbone,
                learns=learns,
                teacher=f"{teacher}_{group}" if teacher else "",
                split=split,
                train={"epochs": ITERATIONS[backbone] // STEPS_PER_EPOCH},
            )
            for group in GROUPS
            # The given noisy labels have no pose AUs.
            if group == "expression" or learns != "noisy"
        )
        member = name.removesuffix("_whole")
        titled = member[0] in "TAB" and member[1:2].isdigit() and "_" not in member
        title = (member + "*" * (member != name)) if titled else ""
        label = f"{title} {TITLES.get(backbone, 'EfficientNet-B0')} {LEARNS[learns]}".strip()
        base.add_select(config, name, inputs=stages, label=label, depth=depth, paper=paper, test=())

    for fields in TREE:
        row(*fields)
    base.add_pose_svm(config, "svm", split="opt-train", test=())
    base.add_select(config, "svm_row", inputs=("svm",), label="RBF-SVM on head angles", test=())
    for name, members, score in FUSIONS:
        inputs = tuple(f"{member}_{group}" for member in members for group in GROUPS)
        label = f"Fusion {name.replace('_and_', '+')}"
        base.add_select(config, name, inputs=inputs, label=label, paper=score, test=())
    # A+B*: the members retrained on the whole opt set; opt-val is then no test for them.
    tree = {fields[0]: fields for fields in TREE}
    for member in FUSIONS[-1][1]:
        _, backbone, learns, teacher, _, _ = tree[member]
        row(f"{member}_whole", backbone, learns, teacher, 0, 0.0, split="opt")
    inputs = tuple(f"{m}_whole_{group}" for m in FUSIONS[-1][1] for group in GROUPS)
    base.add_select(config, "A_and_B_whole", inputs=inputs, label="Fusion A+B*", test=())


def _shrink(config) -> None:
    """The paper's tree on the embedded synthetic faces, small enough for two cores."""
    config.data.name = "synthetic_faces"
    config.data.synthetic.update(size=80, opt=480, noisy=4000)
    config.data.size = 56
    config.data.val_fraction = 1 / 3
    config.model.image_size = 48
    config.train.steps_per_epoch = 40
    for name in config.order:
        stage = config.stages[name]
        if stage.kind == "train":
            stage.train.epochs = 4 if stage.group == "expression" else 2
            stage.optimizer.update(name="adam", learning_rate=2e-3, schedule="cosine")
        elif stage.kind in ("select", "pose_svm"):
            stage.test = ("test",)
