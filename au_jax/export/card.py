"""README.md of an exported folder: a model card for people, from what the run knows.

Mitchell et al., "Model Cards for Model Reporting" (FAT* 2019, https://arxiv.org/abs/1810.03993)
says what belongs into one.
"""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from au_jax import __version__
from au_jax.aus import MEANING
from au_jax.ensemble.selection import Member
from au_jax.export.chosen import Chosen, Network
from au_jax.export.stablehlo import program_name
from au_jax.files import atomic_files, file_forms
from au_jax.html.numbers import interval, number
from au_jax.run_dir import RunFolder


@functools.cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("au_jax.export", "."),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(number=number, interval=interval)
    return environment.get_template("card.md")


def write(
    path: Path,
    run: Path,
    chosen: Chosen,
    folder: str,
    formats: Sequence[str],
    left_out: Mapping[str, str],
    figures: Mapping[str, Any] | None,
) -> None:
    """Writes the card.

    Args:
      run: where the networks were trained.
      folder: the name of the exported folder.
      formats: those in it. left_out: why others of the default are not.
      figures: of the stage, see `stage_figures.of_run`.

    Raises:
      UserError: the file cannot be written, or a file of the run cannot be read.
    """
    of_run = RunFolder(run)
    config = atomic_files.read_json(of_run.config, file_forms.Order)
    data = atomic_files.read_json(of_run.data, file_forms.Data) if of_run.data.exists() else {}
    made_with = (
        atomic_files.read_json(of_run.environment, file_forms.Environment)
        if of_run.environment.exists()
        else {}
    )
    chosen_on = chosen.selection
    text = _template().render(
        folder=folder,
        config=config.get("name", "of its own"),
        variant=config.get("variant", ""),
        stage=chosen.stage,
        meaning=MEANING,
        aus=[
            {"au": au, "threshold": threshold, "members": members}
            for au, threshold, members in zip(
                chosen_on.aus, chosen_on.thresholds, chosen_on.members_per_au(), strict=True
            )
        ],
        link=chosen_on.link,
        stages=[_of_stage(run, networks) for networks in _by_stage(chosen)],
        first=chosen.networks[0],
        data=sorted({network.card.data for network in chosen.networks}),
        drawn=data.get("drawn", False),
        figures=figures,
        program=program_name(chosen.networks[0], chosen.networks[0].crops[0]),
        formats=formats,
        left_out=left_out,
        version=__version__,
        made_with=made_with,
    )
    atomic_files.write_text(path, text)


def _by_stage(chosen: Chosen) -> list[list[Network]]:
    together: dict[tuple[str, str], list[Network]] = {}
    for network in chosen.networks:
        member = network.members[0]
        together.setdefault((member.run, member.stage), []).append(network)
    return list(together.values())


def _of_stage(run: Path, networks: Sequence[Network]) -> dict[str, Any]:
    """What the card says of the checkpoints of one stage, beside their model card."""
    first = networks[0].members[0]
    counts = RunFolder(run / first.run).stage(first.stage).label_counts
    counted = atomic_files.read_json(counts) if counts.exists() else {}
    card = networks[0].card
    return {
        "names": [network.name for network in networks],
        "card": card,
        "spec": card.context.network,
        "votes": sorted({_through(m) for network in networks for m in network.members}),
        "rows": {
            stream: counted.get(stream, {}).get("rows", facts.records)
            for stream, facts in card.context.streams.items()
        },
    }


def _through(member: Member) -> str:
    """How a member sees images: its test crops, and the frames of a video that it averages."""
    return member.crops if member.window == 1 else f"{member.crops}, mean of {member.window} frames"
