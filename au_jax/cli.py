"""The command line: flags parsed with one clear sentence for each mistake."""

import os
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from absl import flags
from ml_collections import ConfigDict

from au_jax import starter
from au_jax.errors import NO_ROOM, UserError, unknown
from au_jax.experiment import config_file
from au_jax.files import atomic_files
from au_jax.process import repeated_errors

CACHE = "AU_JAX_CACHE"
COORDINATOR = "JAX_COORDINATOR_ADDRESS"
# Seconds without a sign of life after which a process on another host is taken to be lost.
_LOST_AFTER = 30
# What is in XLA's message where another process has ended in the middle of an exchange.
_SIGNS_OF_LOSS = ("Gloo", "UNAVAILABLE", "heartbeat")


def cache_dir() -> Path:
    """Where data sets and compiled steps are kept unless a flag says otherwise."""
    return Path(os.environ.get(CACHE) or Path.home() / ".cache" / "au_jax")


def start() -> None:
    """Makes JAX ready: compiled steps are kept, and processes on several hosts find each other.

    Ends the process with a sentence where the cache or the other hosts that the environment names
    cannot be used.
    """
    repeated_errors.pass_over()
    try:
        _start()
    except UserError as error:
        fail(error)


def _start() -> None:
    import jax

    # A second start of the same config then begins at once.
    kept = cache_dir() / "xla"
    atomic_files.make_folder(kept, f"the cache ({CACHE})")
    jax.config.update("jax_compilation_cache_dir", str(kept))
    _join_processes()


def _join_processes() -> None:
    """Joins the other processes where this is one of several: CONTRIBUTING.md has the commands.

    Slurm says so itself to what `srun` starts, a TPU pod where `JAX_COORDINATOR_ADDRESS` is set;
    elsewhere `JAX_NUM_PROCESSES` and `JAX_PROCESS_ID` are needed beside that.

    Raises:
      UserError: one of the two is no number; the address is none, or cannot be used.
    """
    import jax

    def number(variable: str) -> int | None:
        value = os.environ.get(variable)
        if value is not None and not value.isdecimal():
            raise UserError(f"the variable {variable} is '{value}'; give a whole number")
        return None if value is None else int(value)

    count, place = number("JAX_NUM_PROCESSES"), number("JAX_PROCESS_ID")
    address = os.environ.get(COORDINATOR)
    # An interactive shell of Slurm has the variables of a job, but is a step of one task.
    of_slurm = int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1
    if not of_slurm and address is None:
        return
    try:
        if address is not None:
            _check_address(address)
        jax.distributed.initialize(
            num_processes=count,
            process_id=place,
            heartbeat_timeout_seconds=_LOST_AFTER,
            shutdown_timeout_seconds=_LOST_AFTER,
        )
    except (OSError, ValueError, RuntimeError) as error:
        named = "Slurm's processes" if address is None else f"{COORDINATOR}={address}"
        raise UserError(f"{named} cannot be used: {' '.join(str(error).split())}") from error


def _check_address(address: str) -> None:
    """Raises UserError where an address is not HOST:PORT, OSError where there is no such host."""
    host, _, port = address.rpartition(":")
    if not (host and port.isdecimal() and 0 < int(port) < 2**16):
        raise UserError(f"{COORDINATOR}={address} is no address; write HOST:PORT")
    socket.getaddrinfo(host.strip("[]"), int(port))


def imagine_devices(count: int) -> None:
    """Makes the CPU appear as `count` devices, for a benchmark; 0 leaves it as it is.

    It must be called before JAX looks for devices. On a machine with accelerators these are used;
    `JAX_PLATFORMS=cpu` hides them.
    """
    import jax

    if count:
        jax.config.update("jax_num_cpu_devices", count)


def load_config(config: ConfigDict | None, mode: str) -> ConfigDict:
    """The config that the flags name, with the fields of its stages set, checked.

    Raises:
      UserError: there is none; a field is not what it may be; a flag has no effect.
    """
    if config is None:
        raise UserError("name a config: --config=configs/noisy_student.py")
    from au_jax.experiment import check, effects, overrides

    overrides.apply(config, config_fields)
    check.check(config)
    given = [argument.partition("=")[0] for argument in config_fields]
    effects.check_given(config, given, mode)
    return config


def default_workdir(config: ConfigDict) -> Path:
    return Path("runs") / f"{config.name}-{config.variant}"


CONFIG = "--config="
# Fields of the config, which are set when it is there (`experiment.overrides`).
FIELD = "--config."
config_fields: list[str] = []


def parse(arguments: Sequence[str]) -> list[str]:
    """Parses the command line as `app.run` asks; ends the process with a sentence on a mistake."""
    arguments = _joined(arguments)
    config_fields[:] = [a.removeprefix(FIELD) for a in arguments if a.startswith(FIELD)]
    arguments = [a for a in arguments if not a.startswith(FIELD)]
    sys.argv[:] = arguments  # which ml_collections reads, too
    files = [a.removeprefix(CONFIG) for a in arguments if a.startswith(CONFIG)]
    try:
        for named in files:
            config_file.load(named)
        if config_fields and not files:
            raise UserError(
                f"name the config that {FIELD}{config_fields[0]} sets a field of: "
                f"{CONFIG}configs/NAME.py"
            )
        return flags.FLAGS(arguments)
    except UserError as error:
        fail(error)
    except flags.Error as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        fail(UserError(lines[0]))


def _joined(arguments: Sequence[str]) -> list[str]:
    """The arguments with two dashes, and `--config FILE` and `--config.FIELD VALUE` as one."""
    joined: list[str] = []
    for argument in arguments:
        if argument.startswith("-config"):
            argument = f"-{argument}"
        last = joined[-1] if joined else ""
        waiting = last == "--config" or (last.startswith(FIELD) and "=" not in last)
        if waiting and not argument.startswith("--"):
            joined[-1] = f"{last}={argument}"
        else:
            joined.append(argument)
    return joined


def check_flags(asked: flags.FlagValues, modes: Mapping[str, str], words: Sequence[str]) -> None:
    """Ends the process where the command line says what the mode does not read.

    Args:
      modes: {flag: the modes that read it, separated by commas}.
      words: what stands on the command line and is no flag.
    """
    if asked.mode not in {mode for reading in modes.values() for mode in reading.split(", ")}:
        return  # `dispatch` lists those that there are
    if words:
        fail(UserError(f"'{words[0]}' is no flag; write --FLAG=VALUE, without blanks around ="))
    for flag, reading in modes.items():
        if asked[flag].present and asked.mode not in reading.split(", "):
            fail(
                UserError(
                    f"--{flag} means nothing with --mode={asked.mode}; it is for {reading}, so "
                    "leave it out"
                )
            )


def prepare(asked: flags.FlagValues, data_dir: Path) -> None:
    """`--mode=prepare`: from raw files to a data set in `data_dir`."""
    from au_jax.prepare import run as preparation

    for flag in ("dataset", "raw"):
        if not asked[flag].value:
            raise UserError(f"--mode=prepare needs --{flag}; see README.md, Your own data")
    columns = _pairs(asked, "columns", "FIELD=COLUMN, such as image=path")
    render = _pairs(asked, "render", "FIELD=VALUE, such as opt=2400")
    preparation.run(
        asked.dataset,
        Path(asked.raw),
        data_dir,
        crops=asked.crops,
        landmarks=asked.landmarks,
        name=asked.name,
        columns=columns or None,
        processes=asked.processes,
        outside=asked.allow_outside,
        render=render or None,
    )


def _pairs(asked: flags.FlagValues, flag: str, form: str) -> dict[str, str]:
    """The pairs FIELD=VALUE of a list on the command line.

    Raises:
      UserError: one of them is none, or a field stands there twice.
    """
    pairs: dict[str, str] = {}
    for pair in asked[flag].value or ():
        field, equals, value = pair.partition("=")
        if not (field and equals and value):
            raise UserError(f"--{flag} has '{pair}'; write {form}")
        if field in pairs:
            raise UserError(f"--{flag} gives {field} twice; leave one out")
        pairs[field] = value
    return pairs


def report(workdir: Path) -> None:
    """`--mode=report`, which needs little of the stack."""
    from au_jax.report import run as reporting

    reporting.report(workdir)


def export(asked: flags.FlagValues, workdir: Path) -> None:
    """`--mode=export`: the networks of a run, to take along in the folder `--output`."""
    from au_jax.export.run import export as write

    if not asked.output:
        raise UserError("--mode=export needs --output=DIR, a new folder for the networks")
    write(workdir, Path(asked.output), asked.stage or None, asked.formats, asked.half)


def predict(asked: flags.FlagValues) -> None:
    """`--mode=predict`: from photographs and videos to a table of faces and AUs."""
    from au_jax.predict import run as prediction

    for flag in ("workdir", "input", "output"):
        if not asked[flag].value:
            raise UserError(f"--mode=predict needs --{flag}; see README.md, Predict")
    prediction.predict(
        starter.folder_of(asked.workdir),
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
    """`--mode=serve`: a page to try a model on pictures and videos; the starter by default."""
    from au_jax.serve import run as serving

    workdir = starter.folder_of(asked.workdir or starter.NAME)
    serving.serve(workdir, asked.host, asked.port, asked.stage or None)


def benchmark_raw(asked: flags.FlagValues) -> None:
    """`--mode=benchmark --raw=FILE`: how fast faces are found, or a video is predicted."""
    from au_jax.benchmark import faces
    from au_jax.predict import speed

    raw = Path(asked.raw)
    if not speed.is_video(raw):
        faces.show(raw)
    elif asked.workdir:
        speed.show(starter.folder_of(asked.workdir), raw)
    else:
        raise UserError("--mode=benchmark --raw=VIDEO needs --workdir, whose networks are measured")


def fail(error: UserError) -> NoReturn:
    """Prints the sentence and ends the process with code 1."""
    print(f"error: {error}", file=sys.stderr, flush=True)
    sys.exit(1)


def dispatch(modes: dict[str, Callable[[], None]], mode: str) -> None:
    """Runs the chosen mode; a user's mistake ends in one sentence and code 1, Ctrl-C in 130.

    So does the loss of another process where XLA raises an error for it, as on CPUs. On GPUs an
    exchange waits for the lost process; JAX then ends this one by itself after `_LOST_AFTER`.
    """
    if mode not in modes:
        fail(unknown("mode", mode, modes))
    try:
        modes[mode]()
    except UserError as error:
        fail(error)
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        what = error.filename or "a file"
        fail(
            UserError(
                f"cannot write {what}: {os.strerror(error.errno)}; free some space and give the "
                "same command again, which goes on from what is kept"
            )
        )
    except KeyboardInterrupt:
        print("stopped; the same command goes on from what is kept", file=sys.stderr, flush=True)
        sys.exit(130)  # as a shell says of SIGINT
    except Exception as error:  # XLA raises several kinds.
        if not any(sign in str(error) for sign in _SIGNS_OF_LOSS) or _process_count() == 1:
            raise
        reason = str(error).partition("\n")[0]
        print(
            f"error: another process is lost ({reason}); give all hosts the same command again, "
            "which goes on from what is kept",
            file=sys.stderr,
            flush=True,
        )
        os._exit(1)  # An ordinary exit waits for the other process, and then aborts.


def _process_count() -> int:
    """How many processes work together."""
    import jax

    return jax.process_count()
