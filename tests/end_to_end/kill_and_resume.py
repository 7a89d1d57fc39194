"""Kills a small recipe at random moments, again and again, and compares it with one never killed.

    python tests/end_to_end/kill_and_resume.py FOLDER [--kills=20] [--minutes=0] [--seed=0]

FOLDER gets the run that nothing interrupts, once, and in every round another one: its training, its
selection made anew, its report and its predictions are each killed and given the same command
again. All that they keep must be the same to the bit. With --minutes the rounds go on for as long,
and the most memory and open files of any process are printed, which must not grow.
"""

import argparse
import dataclasses
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "end_to_end")]

import numpy as np  # noqa: E402
import orbax.checkpoint as ocp  # noqa: E402
from test_recipe import SMALL  # noqa: E402

from au_jax.data.synthetic_faces.drawing import render  # noqa: E402
from au_jax.data.synthetic_faces.population import sample_spec  # noqa: E402
from au_jax.files.atomic_files import read_arrays  # noqa: E402
from au_jax.run_dir import RunFolder  # noqa: E402
from au_jax.training.checkpoint import Checkpoints  # noqa: E402

CONFIG = "--config=configs/noisy_student.py"
# A process is killed after this share of the processor time that its mode took uninterrupted, or
# later; before, it only imports.
IMPORTS = {"run": 0.15, "select": 0.4, "report": 0.4, "predict": 0.4}
TIMES = ("learning_rate", "images_per_second", "input_wait")


@dataclasses.dataclass
class Soak:
    """What is done with the processes of one call of this script.

    Attributes:
      folder: of the runs and their data. draw: the random moments.
      kills: how many have been made. moments: the modes and last lines of those killed.
      files: the most open files of any process.
      spent: the processor time of each mode, seconds, when nothing interrupted it.
    """

    folder: Path
    draw: random.Random
    kills: int = 0
    moments: list[str] = dataclasses.field(default_factory=list)
    files: int = 0
    spent: dict[str, float] = dataclasses.field(default_factory=dict)

    def launch(self, mode: str, workdir: Path, *flags: str, kill: bool = False) -> bool:
        """Runs one mode to its end, or kills it; returns whether it ended."""
        config = (
            () if mode in ("report", "predict") else (CONFIG, *SMALL, f"--data_dir={self.data}")
        )
        log = self.folder / "log.txt"
        with open(log, "w") as out:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "launch.py",
                    f"--mode={mode}",
                    f"--workdir={workdir}",
                    *config,
                    *flags,
                ],
                cwd=ROOT,
                env={**os.environ, "AU_JAX_CACHE": str(self.folder / "cache"), "XLA_FLAGS": ""},
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        moment = self.draw.uniform(IMPORTS[mode], 1) * self.spent.get(mode, 0)
        spent = 0.0
        while process.poll() is None and not (kill and spent > moment):
            self.files = max(self.files, _open_files(process.pid))
            time.sleep(0.02)
            spent = max(spent, _processor_time(process.pid))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()
            self.kills += 1
            lines = log.read_text().split("\n")
            last = next((line for line in reversed(lines) if line.strip()), "")
            self.moments.append(f"{mode}: {last.strip()[-70:]}")
            return False
        text = log.read_text()
        assert process.returncode == 0, text
        assert "Traceback" not in text, text
        if not kill:
            self.spent.setdefault(mode, spent)
        return True

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def finish(self, mode: str, workdir: Path, *flags: str, kills: int) -> None:
        """Kills a mode up to so many times, each time giving the same command again, to its end."""
        for _ in range(kills):
            ended = self.launch(mode, workdir, *flags, kill=True)
            if ended or (mode == "predict" and (workdir / "table.csv").exists()):
                return
        self.launch(mode, workdir, *flags)

    def round(self, workdir: Path, kills: int) -> None:
        """A whole recipe, its selections made again, its report, and predictions with it."""
        of_modes = kills // 5
        self.finish("run", workdir, kills=kills - 3 * of_modes)
        self.finish("select", workdir, kills=of_modes)
        self.finish("run", workdir, kills=0)  # makes what a killed selection left undone
        self.finish("report", workdir, kills=of_modes)
        table = workdir / "table.csv"
        flags = (f"--input={self.folder / 'faces'}", f"--output={table}")
        self.finish("predict", workdir, *flags, kills=of_modes)


def _processor_time(process: int) -> float:
    """Seconds that a process has used of all cores together."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _open_files(process: int) -> int:
    try:
        return len(os.listdir(f"/proc/{process}/fd"))
    except OSError:
        return 0


def kept(workdir: Path) -> Iterator[tuple[str, object]]:
    """(name, value) of all that a run keeps and that must be the same whatever killed it."""
    run = RunFolder(workdir)
    for path in sorted(workdir.rglob("*")):
        name = str(path.relative_to(workdir))
        assert "unfinished" not in name, f"{path} was left"
        if path.suffix == ".npz":
            yield from ((f"{name}:{n}", array) for n, array in read_arrays(path).items())
        elif path.suffix in (".csv", ".json") and path.name != "environment.json":
            yield name, path.read_text()
        elif path.suffix == ".png":
            yield name, "there"
        elif path.name == "metrics.jsonl":
            for line in map(json.loads, path.read_text().splitlines()):
                yield f"{name}:{line['epoch']}", {k: v for k, v in line.items() if k not in TIMES}
    for stage in sorted((workdir / "stages").iterdir()):
        yield f"{stage.name}/DONE", run.stage(stage.name).done
        for kind in ("model", "state"):
            if (stage / kind).exists():
                yield from _checkpoints(stage / kind)


def _checkpoints(folder: Path) -> Iterator[tuple[str, object]]:
    import jax

    items = ocp.args.Composite(tree=ocp.args.StandardRestore())
    with Checkpoints.of_models(folder) as checkpoints:
        for number in checkpoints.numbers():
            tree = checkpoints._manager.restore(number, args=items)["tree"]
            for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
                yield f"{folder.parent.name}/{folder.name}/{number}{path}", np.asarray(leaf)


def compare(first: Path, second: Path) -> int:
    """Asserts that two runs kept the same; returns how many things were compared."""
    one, other = dict(kept(first)), dict(kept(second))
    assert one.keys() == other.keys(), one.keys() ^ other.keys()
    for name, value in one.items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(value, other[name], err_msg=name)
        else:
            assert value == other[name], (name, value, other[name])
    return len(one)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=20, help="of a round")
    parser.add_argument("--minutes", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    folder = asked.folder.absolute()
    (folder / "faces").mkdir(parents=True, exist_ok=True)
    for number in range(40):
        face = folder / "faces" / f"{number}.jpg"
        face.write_bytes(render(sample_spec(0, "opt", number), 240)["wide"])
    soak = Soak(folder, random.Random(asked.seed))
    times = folder / "spent.json"
    if not times.exists():
        for _ in range(2):  # the second time nothing is compiled
            shutil.rmtree(folder / "whole", ignore_errors=True)
            soak.spent.clear()
            soak.round(folder / "whole", 0)
        times.write_text(json.dumps(soak.spent))
    soak.spent |= json.loads(times.read_text())
    end = time.monotonic() + 60 * asked.minutes
    rounds = 0
    while not rounds or time.monotonic() < end:
        rounds += 1
        shutil.rmtree(folder / "killed", ignore_errors=True)
        soak.moments.clear()
        soak.round(folder / "killed", asked.kills)
        count = compare(folder / "whole", folder / "killed")
        for moment in soak.moments:
            print(f"  killed in {moment}")
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
        print(
            f"round {rounds}: {soak.kills} kills so far, {count} things the same to the bit; at "
            f"most {memory} MiB and {soak.files} open files in a process",
            flush=True,
        )


if __name__ == "__main__":
    main()
