"""The entry point: `python launch.py --config=configs/NAME.py[:VARIANT]`."""

import functools
import gc
from pathlib import Path

from absl import app, flags, logging
from ml_collections import config_flags

from au_jax import cli
from au_jax.process.large_pages import restart_with_large_pages

OF_CONFIGS = "run, select, report, benchmark, compare"
# The modes that read each flag; with any other it is refused.
MODES = {
    "config": f"{OF_CONFIGS}, export",
    "workdir": f"{OF_CONFIGS}, predict, serve, export",
    "data_dir": "run, select, benchmark, compare, prepare",
    "dataset": "prepare",
    "raw": "prepare, benchmark",
    "landmarks": "prepare",
    "name": "prepare",
    "output": "predict, export",
    "stage": "predict, serve, export",
    "overlay": "predict",
    "report": "predict",
    "faces": "predict",
    "host": "serve",
    "from": "select",
    "crops": "prepare",
    "input": "predict",
    "formats": "export",
    "half": "export",
    "columns": "prepare",
    "render": "prepare",
    "processes": "prepare",
    "allow_outside": "prepare",
    "every": "predict",
    "baseline": "predict",
    "port": "serve",
    "dry": "benchmark",
    "share": "run",
}


config_flags.DEFINE_config_file("config", help_string="configs/NAME.py[:VARIANT].")
for name, default, text in (
    ("mode", "run", "run, select, report, benchmark, compare, predict, serve, export, prepare."),
    (
        "workdir",
        None,
        "The run's folder, runs/NAME-VARIANT by default; starter: the one that ships.",
    ),
    ("data_dir", None, "Where data sets lie; AU_JAX_CACHE or ~/.cache/au_jax."),
    (
        "dataset",
        "",
        "prepare: emotionet, affwild2, affectnet, bp4d, disfa, gft, people (face identities: a "
        "folder with one subfolder per person), rendered_faces, csv, module:function.",
    ),
    (
        "raw",
        "",
        "prepare: the raw files' folder, or table (csv, gft), or a checkout of ICT-FaceKit "
        "(rendered_faces). benchmark: a photograph or video.",
    ),
    (
        "landmarks",
        "models",
        "prepare: models, dataset, a folder of OpenFace CSVs, or aligned (the images are crops).",
    ),
    ("name", "", "prepare csv, people, rendered_faces: what to call the data set."),
    ("output", "", "predict: the table to write, a new .csv or .parquet; export: a new folder."),
    ("stage", "", "predict, serve, export: the stage; the last that predicts if empty."),
    ("overlay", "", "predict: a folder for copies of the inputs with boxes and AUs drawn in."),
    ("report", "", "predict: a page FILE.html that shows what the table says, with pictures."),
    ("faces", "largest", "predict: largest or all, of each image."),
    ("host", "127.0.0.1", "serve: the address; 0.0.0.0 lets other machines open the page."),
):
    flags.DEFINE_string(name, default, text)
for name, text in (
    ("from", "select: the runs whose networks vote, RUN1,RUN2."),
    ("crops", "prepare: closeup, wide, arcface, box, five_point, as_is; the set's own if empty."),
    ("input", "predict: photographs, videos, folders, patterns; or 0 for a camera."),
    ("formats", "export: jax, pytorch, stablehlo, onnx; the first three if empty."),
    ("columns", "prepare csv: the table's columns, image=FILE,AU01=inner_brow,..."),
    (
        "render",
        "prepare rendered_faces: opt, noisy, test (pictures), clips (videos), frames, seed, look, "
        "test_look (everyday, other), strength (of label errors), size; as opt=2400,noisy=8000.",
    ),
):
    flags.DEFINE_list(name, [], text)
flags.DEFINE_boolean(
    "allow_outside", False, "prepare: read images that a table or link names outside of --raw."
)
flags.DEFINE_boolean(
    "share",
    False,
    "run: give the same command several times, say once for each GPU; each process takes the "
    "stages that no other one runs.",
)
flags.DEFINE_boolean("half", False, "export: weights for au_jax in half precision.")
flags.DEFINE_integer("processes", 0, "prepare: how many to work with; 0: one per core.")
flags.DEFINE_integer("every", 1, "predict: look at every Nth frame of a video.")
flags.DEFINE_boolean(
    "baseline",
    False,
    "predict: columns AU01_above_baseline, ...: by how much an AU's logit is above the person's "
    "own neutral level, which a tenth of a track's frames in a video are below. They are empty for "
    "tracks of fewer than 10 frames, are no probabilities, and change no decision.",
)
flags.DEFINE_integer("port", 7860, "serve: the port; 0 takes a free one.", 0, 65535)
flags.DEFINE_boolean(
    "dry",
    False,
    "benchmark: memory, FLOPs and checks of every training's step for CPUs, GPUs and TPUs, from "
    "shapes alone, as a table and in dry.json in the workdir. With and without it "
    "--config.devices=8 shares the batch out over 8 devices, which a CPU stands in for.",
)


# The modes that take training steps, which large memory pages are for.
_TRAINING = ("run", "benchmark", "compare")


def _modes():
    """The modes over a config; a mistyped flag, and a mode that trains nothing, need not wait."""
    from au_jax.experiment import modes

    # To look for garbage among all that the imports made takes a tenth of the time of a selection.
    gc.freeze()
    return modes


def main(arguments: list[str]) -> None:
    logging.set_verbosity(logging.FATAL)  # libraries log errors with a trace before they raise them
    given = flags.FLAGS
    cli.check_flags(given, MODES, arguments[1:])
    if given.mode in _TRAINING:
        restart_with_large_pages()
    cli.start()
    data_dir = Path(given.data_dir) if given.data_dir else cli.cache_dir()

    @functools.cache
    def config():
        return cli.load_config(given.config, given.mode)

    def workdir() -> Path:
        return Path(given.workdir) if given.workdir else cli.default_workdir(config())

    def benchmark() -> None:
        if given.raw:
            cli.benchmark_raw(given)
            return
        cli.imagine_devices(config().devices)
        if given.dry:
            _modes().measure_dry(config(), workdir(), data_dir)
        else:
            _modes().measure(config(), data_dir)

    voting = [Path(run) for run in given["from"].value or ()]
    actions = {
        "run": lambda: _modes().run(config(), workdir(), data_dir, given.share),
        "select": lambda: _modes().select(config(), workdir(), data_dir, voting),
        "report": lambda: cli.report(workdir()),
        "benchmark": benchmark,
        "compare": lambda: _modes().compare(config(), workdir(), data_dir),
        "prepare": lambda: cli.prepare(given, data_dir),
        "export": lambda: cli.export(given, workdir()),
        "predict": lambda: cli.predict(given),
        "serve": lambda: cli.serve(given),
    }
    cli.dispatch(actions, given.mode)


if __name__ == "__main__":
    app.run(main, flags_parser=cli.parse)
