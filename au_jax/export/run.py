"""The course of `--mode=export`: from a run to a folder that needs no run, in several formats.

The folder holds README.md, what people should know of the networks; figures.json, what the run's
report says of them, if it does (`report.stage_figures`); model.json and networks/, what
`au_jax.load` reads (`ensemble.model_folder`); and a folder for each other format, pytorch/,
stablehlo/ and onnx/.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from au_jax import log
from au_jax.ensemble import model_folder
from au_jax.errors import UserError, unknown
from au_jax.export import card, onnx, stablehlo
from au_jax.export.chosen import Chosen, NoForm, choose
from au_jax.export.pytorch import folder as pytorch
from au_jax.files import atomic_files
from au_jax.report import stage_figures
from au_jax.run_dir import RunFolder
from au_jax.training import weights_file

Write = Callable[[Path], None]


def _jax(chosen: Chosen) -> Write:
    if not chosen.selection.aus:
        raise NoForm(f"stage {chosen.stage} is a pretraining, which tells no AUs")
    return lambda folder: model_folder.write_selection(folder, chosen.selection)


def _pytorch(chosen: Chosen) -> Write:
    pytorch.check(chosen)
    return lambda folder: pytorch.write(folder / "pytorch", chosen)


def _stablehlo(chosen: Chosen) -> Write:
    programs = stablehlo.make(chosen)
    return lambda folder: stablehlo.write(folder / "stablehlo", programs)


def _onnx(chosen: Chosen) -> Write:
    onnx.check(chosen)
    return lambda folder: onnx.write(folder / "onnx", chosen)


# What makes each format ready to be written, or raises NoForm.
FORMATS: dict[str, Callable[[Chosen], Write]] = {
    "jax": _jax,
    "pytorch": _pytorch,
    "stablehlo": _stablehlo,
    "onnx": _onnx,
}
# Those that need no further package.
_BY_DEFAULT = ("jax", "pytorch", "stablehlo")
# Those that read networks/, of which the second takes it in full precision alone.
_WITH_WEIGHTS = ("jax", "stablehlo")
_FULL_PRECISION = "stablehlo"


def export(
    run: Path,
    output: Path,
    stage: str | None = None,
    formats: Sequence[str] = (),
    half: bool = False,
) -> None:
    """Writes the networks of a trained run to a folder, whole or not at all.

    Args:
      run: the run's folder.
      output: the folder to write, which must not hold anything yet.
      stage: whose networks, see `chosen.choose`.
      formats: of `FORMATS`; with none the default ones, of which those are left out that a network
        has no form of.
      half: whether what `au_jax.load` reads is kept in half precision (`weights_file.write`), which
        leaves StableHLO out, as it reads the same file.

    Raises:
      UserError: `output` holds files or cannot be written; a format is unknown, needs a package
        that is not installed, or was named and a network has no form of it; see also `choose`.
    """
    for name in formats:
        if name not in FORMATS:
            raise unknown("format", name, FORMATS)
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UserError(f"--output={output} is there and not empty; name a new folder")
    if half and _FULL_PRECISION in formats:
        raise UserError(f"--half leaves no weights for {_FULL_PRECISION}; leave one of them out")
    if "onnx" in formats:
        onnx.check_installed()
    chosen = choose(run, stage)
    ready, left_out = _ready(chosen, formats, half)
    place = output.absolute()
    if place.parent.is_dir():
        atomic_files.sweep_beside(place.parent, [place.name])
    with atomic_files.replacing(place) as folder:
        folder.mkdir()
        if any(name in _WITH_WEIGHTS for name in ready):
            _write_networks(folder, chosen, half)
        for write in ready.values():
            write(folder)
        figures = stage_figures.of_run(RunFolder(run), chosen.stage)
        if figures:
            stage_figures.write(folder, figures)
        card.write(folder / "README.md", run, chosen, place.name, tuple(ready), left_out, figures)
    names = ", ".join(network.name for network in chosen.networks)
    log.say(f"{output} has {names} as {', '.join(ready)}; its README.md says how to load them")


def _ready(
    chosen: Chosen, formats: Sequence[str], half: bool
) -> tuple[dict[str, Write], dict[str, str]]:
    """What writes each format, and why those of the default that are missing are left out."""
    ready: dict[str, Write] = {}
    left_out: dict[str, str] = {}
    for name in dict.fromkeys(formats or _BY_DEFAULT):
        if half and name == _FULL_PRECISION:
            left_out[name] = "the weights are kept in half precision"
            continue
        try:
            ready[name] = FORMATS[name](chosen)
        except NoForm as error:
            if formats:
                raise UserError(f"{error}; leave {name} out of --formats") from error
            left_out[name] = str(error)
    if not ready:
        raise UserError(f"stage {chosen.stage} has no form to export: {left_out['pytorch']}")
    for name, reason in left_out.items():
        log.say(f"  without {name}: {reason}")
    return ready, left_out


def _write_networks(folder: Path, chosen: Chosen, half: bool) -> None:
    for network in chosen.networks:
        weights_file.write(model_folder.weights(folder, network.name), network.variables, half)
        network.card.to_file(model_folder.card(folder, network.name))
