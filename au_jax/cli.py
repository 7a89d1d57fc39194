"""The command line: flags parsed with one clear sentence for each mistake."""

import os
import runpy
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from absl import flags
from ml_collections import ConfigDict

from au_jax.errors import UserError, unknown

CACHE = "AU_JAX_CACHE"


def cache_dir() -> Path:
    """Where data sets and compiled steps are kept unless a flag says otherwise."""
    return Path(os.environ.get(CACHE) or Path.home() / ".cache" / "au_jax")


def start() -> None:
    """Makes JAX ready: compiled steps are kept, and processes on several hosts find each other."""
    import jax

    # A second start of the same config then begins at once.
    jax.config.update("jax_compilation_cache_dir", str(cache_dir() / "xla"))
    if "JAX_COORDINATOR_ADDRESS" in os.environ:
        jax.distributed.initialize()


def imagine_devices(count: int) -> None:
    """Makes the CPU appear as `count` devices, for a step that is not run; 0 leaves it as it is.

    It must be called before JAX looks for devices. On a machine with accelerators these are used;
    `JAX_PLATFORMS=cpu` hides them.
    """
    import jax

    if count:
        jax.config.update("jax_num_cpu_devices", count)


def load_config(config: ConfigDict | None) -> ConfigDict:
    """The config that the flags name, with the fields of its stages set."""
    if config is None:
        raise UserError("name a config: --config=configs/noisy_student.py")
    if stage_overrides:
        from au_jax.experiment import overrides

        overrides.apply(config, stage_overrides)
    return config


def default_workdir(config: ConfigDict) -> Path:
    return Path("runs") / f"{config.name}-{config.variant}"


# Fields of stages, which are set when the config is there (`experiment.overrides`).
OF_STAGES = "--config.stages."
stage_overrides: list[str] = []


def parse(arguments: Sequence[str]) -> list[str]:
    """Parses the command line as `app.run` asks; ends the process with a sentence on a mistake."""
    stage_overrides[:] = [a.removeprefix(OF_STAGES) for a in arguments if a.startswith(OF_STAGES)]
    arguments = [a for a in arguments if not a.startswith(OF_STAGES)]
    sys.argv[:] = arguments  # which ml_collections reads, too
    for named in (a.removeprefix("--config=") for a in arguments if a.startswith("--config=")):
        if not Path(named.partition(":")[0]).is_file():
            shipped = ", ".join(sorted(f"configs/{p.name}" for p in Path("configs").glob("*.py")))
            fail(UserError(f"there is no file {named}; configs here: {shipped or 'none'}"))
    try:
        return flags.FLAGS(list(arguments))
    except (AttributeError, KeyError, TypeError) as error:  # ml_collections: there is no such field
        fail(_unknown_field(arguments) or UserError(f"bad --config field: {error}"))
    except flags.Error as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        cause = [line for line in lines if line.startswith("ValueError: ")]
        if cause:
            fail(UserError(cause[-1].removeprefix("ValueError: ")))
        fail(UserError(lines[0]))


def _unknown_field(arguments: Sequence[str]) -> UserError | None:
    """The error for the first `--config.FIELD` that the config does not have."""
    named = [a.removeprefix("--config=") for a in arguments if a.startswith("--config=")]
    if not named:
        return UserError("name the config as --config=configs/NAME.py before its fields")
    file, _, variant = named[-1].partition(":")
    get_config = runpy.run_path(file)["get_config"]
    config = get_config(variant) if variant else get_config()
    for argument in arguments:
        if not argument.startswith("--config."):
            continue
        section, path = config, argument.removeprefix("--config.").split("=")[0].split(".")
        for depth, field in enumerate(path):
            if not isinstance(section, ConfigDict) or field not in section:
                where = ".".join(["config", *path[:depth]])
                names = (
                    section if isinstance(section, ConfigDict) else ("no fields, it is a value",)
                )
                return unknown(f"field of {where}", field, names)
            section = section[field]
    return None


def prepare(asked: flags.FlagValues, data_dir: Path) -> None:
    """`--mode=prepare`: from raw files to a data set in `data_dir`."""
    from au_jax.prepare import run as preparation

    for flag in ("dataset", "raw"):
        if not asked[flag].value:
            raise UserError(f"--mode=prepare needs --{flag}; see README.md, Your own data")
    columns = {}
    for pair in asked.columns:
        field, equals, column = pair.partition("=")
        if not (field and equals and column):
            raise UserError(f"--columns has '{pair}'; write FIELD=COLUMN, such as image=path")
        columns[field] = column
    preparation.run(
        asked.dataset,
        Path(asked.raw),
        data_dir,
        crops=asked.crops,
        landmarks=asked.landmarks,
        name=asked.name,
        columns=columns or None,
        processes=asked.processes,
    )


def export(asked: flags.FlagValues, workdir: Path) -> None:
    """`--mode=export`: the networks of a run, to take along in the folder `--output`."""
    from au_jax.export.run import export as write

    if not asked.output:
        raise UserError("--mode=export needs --output=DIR, a new folder for the networks")
    write(workdir, Path(asked.output), asked.stage or None, asked.formats)


def predict(asked: flags.FlagValues) -> None:
    """`--mode=predict`: from photographs and videos to a table of faces and AUs."""
    from au_jax.predict import run as prediction

    for flag in ("workdir", "input", "output"):
        if not asked[flag].value:
            raise UserError(f"--mode=predict needs --{flag}; see README.md, Predict")
    prediction.predict(
        Path(asked.workdir),
        asked.input,
        Path(asked.output),
        stage=asked.stage or None,
        every=asked.every,
        faces=asked.faces,
        overlay=Path(asked.overlay) if asked.overlay else None,
        report=Path(asked.report) if asked.report else None,
        baseline=asked.baseline,
    )


def serve(asked: flags.FlagValues) -> None:
    """`--mode=serve`: a page to try a model on pictures and videos."""
    from au_jax.serve import run as serving

    if not asked.workdir:
        raise UserError("--mode=serve needs --workdir; see README.md, Try a model on a page")
    serving.serve(Path(asked.workdir), asked.host, asked.port, asked.stage or None)


def benchmark_raw(asked: flags.FlagValues) -> None:
    """`--mode=benchmark --raw=FILE`: how fast faces are found, or a video is predicted."""
    from au_jax.benchmark import faces
    from au_jax.predict import speed

    raw = Path(asked.raw)
    if not speed.is_video(raw):
        faces.show(raw)
    elif asked.workdir:
        speed.show(Path(asked.workdir), raw)
    else:
        raise UserError("--mode=benchmark --raw=VIDEO needs --workdir, whose networks are measured")


def fail(error: UserError) -> NoReturn:
    """Prints the sentence and ends the process with code 1."""
    print(f"error: {error}", file=sys.stderr, flush=True)
    sys.exit(1)


def dispatch(modes: dict[str, Callable[[], None]], mode: str) -> None:
    """Runs the chosen mode; a user's mistake ends in one sentence and code 1, Ctrl-C in 130."""
    if mode not in modes:
        fail(unknown("mode", mode, modes))
    try:
        modes[mode]()
    except UserError as error:
        fail(error)
    except KeyboardInterrupt:
        print("stopped; the same command goes on from what is kept", file=sys.stderr, flush=True)
        sys.exit(130)  # as a shell says of SIGINT
