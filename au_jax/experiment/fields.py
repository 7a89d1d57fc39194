"""Every field of a config, and what each may be: one tree that follows from the config itself.

A field's range or set of words stands beside its default, as an annotation (`au_jax.allowed`), with
its owner: the stage, method, backbone, augmentation or optimiser that it belongs to. Those of the
fields whose defaults stand in configs/base.py stand here, in the same order.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from au_jax import allowed, methods, models
from au_jax.allowed import (
    AU,
    CountOrNone,
    Decay,
    Form,
    Line,
    Name,
    OneOf,
    Positive,
    Range,
    Seed,
    Share,
    Unique,
)
from au_jax.augment import Augment, ImageSize
from au_jax.data.synthetic_faces.config import SyntheticFacesConfig
from au_jax.errors import UserError
from au_jax.experiment.resolve import SECTIONS, fields_of
from au_jax.models.backbone import Padding
from au_jax.models.network_spec import BACKBONE_CONVENTIONS
from au_jax.stage_name import StageName
from au_jax.stages import KINDS
from au_jax.stages.train import StreamConfig
from au_jax.training.optimizer import make_optimizer

Tree = dict[str, Any]  # {field: its annotation, or the tree of a section}


def _folder_name(text: str) -> None:
    if not text or text in (".", "..") or "/" in text or "\\" in text or len(text) > 100:
        raise UserError(f"'{text}' is no name of a folder")


def _no_or_folder_name(text: str) -> None:
    if text:
        _folder_name(text)


def _folds(text: str) -> None:
    if text not in ("random", "published") and Path(text).suffix != ".csv":
        raise UserError(f"'{text}' names no folds")


def _stage_name(text: str) -> None:
    _folder_name(text)
    StageName.parse(text)


_Threads = Annotated[int, Range(ge=0, le=100_000)]
_Times = Annotated[int, Range(ge=1, le=10**6)]
_OfRun = Annotated[str, Form(_no_or_folder_name, "a name without slashes")]
_Kind = Annotated[str, OneOf(KINDS)]
# The names of PyTorch's forms of a step, which stand with them (`compare.step.VARIANTS`); they are
# written out here, as that module needs PyTorch.
_Variant = Annotated[str, OneOf(("eager", "channels_last", "compile", "amp", "compile_amp"))]

TOP: Tree = {
    "name": _OfRun,
    "variant": _OfRun,
    "seed": Seed,
    "seeds": Annotated[int, Range(ge=1, le=1000)],
    "folds": Annotated[int, Range(ge=0, le=1000)],
    "devices": _Threads,
    "headline": Annotated[str, OneOf(("final_score", "f1"))],
    "data": {
        "name": Annotated[str, Form(_folder_name, "the name of a data set")],
        "size": Annotated[int, Range(ge=0, le=2048)],
        "val_fraction": Annotated[float, Range(gt=0, lt=1)],
        "split_seed": Seed,
        "folds": Annotated[str, Form(_folds, "random, published, or a file FILE.csv")],
        "present_from": Annotated[int, Range(ge=0, le=5)],
        "threads": _Threads,
        "synthetic": {},  # see `SyntheticFacesConfig`
    },
    "model": {
        "backbone": Annotated[str, OneOf(models.BACKBONES, outside="backbone")],
        "image_size": ImageSize,
        "fields": {},  # see the backbone's class
        "weights": Line,
        "precision": Annotated[str, OneOf(("float32", "bfloat16"))],
        "remat": bool,
        "dropout": Decay,
        "pose_branch": bool,
        "padding": Padding | None,
        "bn_epsilon": Positive | None,
        "bn_momentum": Decay | None,
        "image_mean": tuple[Share, Share, Share] | None,
        "image_std": tuple[Positive, Positive, Positive] | None,
    },
    "optimizer": {},  # see `make_optimizer`
    "augmentation": {},  # see `Augment`
    "train": {
        "epochs": Annotated[int, Range(ge=1, le=100_000)],
        "times": Annotated[float, Range(gt=0, le=1000)],
        "steps_per_epoch": CountOrNone,
        "steps": CountOrNone,
        "score_batch": Annotated[int, Range(ge=1, le=100_000)],
        "accumulate": Annotated[int, Range(ge=1, le=10_000)],
    },
    "checkpoint": {"keep": _Times},
    "compare": {
        "steps": _Times,
        "seeds": Annotated[int, Range(ge=1, le=1000)],
        "double": bool,
        "own_augmentation": bool,
        "rounds": Annotated[int, Range(ge=0, le=10_000)],
        "round_steps": _Times,
        "variants": Annotated[tuple[_Variant, ...], Unique()],
        "threads": _Threads,
    },
    "quoted": Mapping[Name, Mapping[str, Any]],
    "stages": {},
    "order": Annotated[
        tuple[Annotated[str, Form(_stage_name, "the name of a stage")], ...], Unique(least=1)
    ],
}
_QUOTED: Tree = {"label": Line, "paper": Share, "paper_au": Mapping[AU, Share]}


def tree_of(config: Mapping[str, Any]) -> Tree:
    """What every field of a config may be, those that it leaves unset, too.

    Args:
      config: its fields, as `ConfigDict.to_dict` gives them; the sections are there.

    Raises:
      UserError: a stage, or what others of its fields follow from (its kind, method and backbone),
        is not what it may be.
    """
    synthetic = _fields_of(SyntheticFacesConfig, but=("workers",))
    return {
        **TOP,
        "data": {**TOP["data"], "synthetic": synthetic},
        **_sections(),
        "model": {**TOP["model"], "fields": _of_backbone(config["model"], {}, "model")},
        "quoted": dict.fromkeys(config["quoted"], _QUOTED),
        "stages": {name: of_stage(config, name) for name in config["stages"]},
    }


def _sections() -> Tree:
    """The sections that stages inherit, but for the fields of the backbone."""
    augmentation = _fields_of(Augment, but=("image_size",))
    return {
        "model": TOP["model"],
        "optimizer": _fields_of(make_optimizer, but=("steps", "return")),
        "augmentation": {name: hint | None for name, hint in augmentation.items()},
        "train": TOP["train"],
    }


def of_stage(config: Mapping[str, Any], name: str) -> Tree:
    """What every field of the stage `name` may be; see `tree_of`."""
    path = f"stages.{name}"
    stage = section(config["stages"], name, path)
    kind = require(stage.get("kind", ""), _Kind, f"{path}.kind")
    hints = allowed.hints_of(KINDS[kind])
    tree = {"kind": _Kind, **{field: hints[field] for field in fields_of(kind)}}
    for inherited in SECTIONS:
        if inherited in tree:
            tree[inherited] = _sections()[inherited]
    if "model" in tree:
        changed = section(stage, "model", f"{path}.model")
        fields = _of_backbone(config["model"], changed, f"{path}.model")
        tree["model"] = {**TOP["model"], "fields": fields}
    if "streams" in tree:
        of_stream = _fields_of(StreamConfig)
        tree["streams"] = dict.fromkeys(section(stage, "streams", f"{path}.streams"), of_stream)
    if "options" in tree:
        default = {field.name: field.default for field in dataclasses.fields(KINDS[kind])}
        method = stage.get("method", default["method"])
        require(method, hints["method"], f"{path}.method")
        tree["options"] = methods.allowed_options(method)
    return tree


def _of_backbone(top: Mapping[str, Any], changed: Mapping[str, Any], path: str) -> Tree:
    """What the further fields of the backbone that the section at `path` names may be."""
    backbone = changed.get("backbone", top.get("backbone", ""))
    require(backbone, TOP["model"]["backbone"], f"{path}.backbone")
    elsewhere = (*BACKBONE_CONVENTIONS, "dtype", "remat")  # which have a place of their own
    fields = models.allowed_fields(backbone)
    return {field: hint for field, hint in fields.items() if field not in elsewhere}


def _fields_of(owner: Any, but: tuple[str, ...] = ()) -> Tree:
    """The annotations of an owner itself, not of the classes that it is derived from."""
    hints = allowed.hints_of(owner)
    return {name: hints[name] for name in owner.__annotations__ if name not in but}


def section(within: Mapping[str, Any], name: str, path: str) -> Mapping[str, Any]:
    """The section `name`, empty where it is not there.

    Raises:
      UserError: there is a value in its place.
    """
    value = within.get(name, {})
    if not isinstance(value, Mapping):
        raise UserError(
            f"--config.{path} is {allowed.shown(value)}, but it is a section; set its fields"
        )
    return value


def require(value: Any, hint: Any, path: str) -> Any:
    """Returns a value that is as its annotation says.

    Raises:
      UserError: it is not; the sentence names the field, the value and what is allowed.
    """
    try:
        right = allowed.allows(value, hint)
    except UserError as error:
        raise UserError(f"--config.{path}: {error}") from error
    if not right:
        raise UserError(f"--config.{path} is {allowed.shown(value)}; give {allowed.describe(hint)}")
    return value
