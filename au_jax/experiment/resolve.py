"""The resolved fields of a stage: sections inherited from the top, every field checked by name."""

import dataclasses

from ml_collections import ConfigDict

from au_jax.errors import UserError, unknown
from au_jax.stage_name import StageName
from au_jax.stages import KINDS, Stage

# The sections that stand at the top of a config for all stages; a stage may override fields.
SECTIONS = ("model", "optimizer", "augmentation", "train")


def fields_of(kind: str) -> list[str]:
    """The names of the fields that a stage of this kind has.

    Raises:
      UserError: there is no such kind.
    """
    if kind not in KINDS:
        raise unknown("kind of stage", kind, KINDS)
    return [field.name for field in dataclasses.fields(KINDS[kind])]


def resolve(config: ConfigDict, name: StageName) -> Stage:
    """The stage `name` of a config; it reads the stages of its own seed and fold.

    Raises:
      UserError: the stage is of an unknown kind, or a field is unknown or missing.
    """
    given = config.stages[name.base].to_dict()
    kind = given.pop("kind", "")
    known = fields_of(kind)
    for field in given:
        if field not in known:
            raise unknown(f"field of config.stages.{name.base}", field, ("kind", *known))
    for section in SECTIONS:
        if section in known:
            whole = config[section].to_dict()
            changed = given.get(section, {})
            for field in changed:
                if field not in whole:
                    raise unknown(f"field of config.stages.{name.base}.{section}", field, whole)
            given[section] = whole | changed
            if section == "model":  # the top's backbone fields hold for the top's backbone only
                same = given[section]["backbone"] == whole["backbone"]
                shared = whole["fields"] if same else {}
                given[section]["fields"] = shared | changed.get("fields", {})
            if section == "train" and "epochs" in changed:
                given[section]["times"] = 1.0  # of its own number of epochs
    missing = [
        field.name
        for field in dataclasses.fields(KINDS[kind])
        if field.name not in given
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise UserError(f"config.stages.{name.base} lacks the fields {', '.join(missing)}")
    stage: Stage = KINDS[kind](**given)
    return stage.renamed(name.sibling)
