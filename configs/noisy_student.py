"""Magdeburg's noisy student (EmotioNet 2020), small, on the embedded synthetic faces.

    python launch.py --config=configs/noisy_student.py

A teacher learns the manually labelled faces, labels the large set, and a student with one output
per AU and data set learns both; once for the expression AUs (close-up crop) and once for the pose
AUs (wide crop, head angles as input). Their outputs are fused, and the best epoch and threshold of
each AU are chosen afterwards, from kept scores.
"""

from typing import Any

from configs import base


def get_config(variant: str | None = None):
    config = base.base()
    config.name = "noisy_student"
    config.variant = base.check_variant(variant, ("default",))
    groups: dict[str, dict[str, Any]] = {
        "expression": {"crop": "closeup", "rate": 0.1, "damping": 0.5, "pose_branch": False},
        "pose": {"crop": "wide", "rate": 0.05, "damping": 0.7, "pose_branch": True},
    }
    config.train.epochs = 8
    config.optimizer.weight_decay = 4e-6
    for group, fields in groups.items():
        common: dict[str, Any] = {
            "group": group,
            "crop": fields["crop"],
            "epoch_stream": "opt",
            "optimizer": {"learning_rate": fields["rate"]},
            "loss": {"damping": fields["damping"]},
            "model": {"pose_branch": fields["pose_branch"]},
        }
        base.add_train(
            config,
            f"teacher_{group}",
            streams={"opt": base.stream("opt-train", 16)},
            **common,
        )
        base.add_pseudo_label(config, f"labels_{group}", teacher=f"teacher_{group}", split="noisy")
        base.add_train(
            config,
            f"student_{group}",
            streams={
                "opt": base.stream("opt-train", 16),
                "noisy": base.stream("noisy", 16, head="noisy", labels=f"labels_{group}"),
            },
            **common,
        )
    teachers, students = (
        tuple(f"{role}_{group}" for group in groups) for role in ("teacher", "student")
    )
    base.add_select(config, "teachers", inputs=teachers, label="OwnNet3 teacher", paper=0.7531)
    base.add_select(
        config, "students", inputs=students, label="OwnNet3 student of the teacher", depth=1
    )
    base.add_select(config, "fusion", inputs=teachers + students, label="Fusion (mean)")
    base.add_select(
        config,
        "final",
        inputs=teachers + students,
        epochs="best",
        thresholds="best",
        label="Fusion, best epoch and threshold per AU",
    )
    return config
