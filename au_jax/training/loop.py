"""The one training loop: steps, epochs, scores after each, and exact resume.

After every epoch the model is kept and scored; the whole training state is kept of the last two, so
that a run killed at any moment and started again ends with the same bits as one that was not.
"""

import collections
import contextlib
import dataclasses
import functools
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import optax
from clu import parameter_overview
from jax.sharding import Mesh

from au_jax import log, metrics, sharding
from au_jax.data.pipeline import BatchRows, Stream, ordered_batches, training_batches
from au_jax.data.sources import Source
from au_jax.errors import UserError
from au_jax.files import atomic_files
from au_jax.methods.base import Method
from au_jax.run_dir import StageFolder
from au_jax.training import finite, memory
from au_jax.training.checkpoint import Checkpoints
from au_jax.training.input_wait import InputWait
from au_jax.training.scoring import Scorer, make_scorer, with_labels
from au_jax.training.step import TrainState, init_state, make_train_step

if TYPE_CHECKING:
    import grain

# The host runs at most this many steps ahead of the devices, which bounds the memory of waiting
# batches; logs are read that late, so that reading them never holds the devices up.
_STEPS_AHEAD = 8
# The share of an epoch that the devices wait for input from which it is said.
_WORTH_SAYING = 0.1


@dataclasses.dataclass(frozen=True)
class Training:
    """All that a training stage needs.

    Attributes:
      method: what is trained. optimizer: how.
      learning_rate: the optimiser's schedule, step -> rate, for the log.
      streams: by name, labels aligned to `method.aus`.
      validation: the sources that every epoch is scored on, by split.
      epochs, steps_per_epoch: how long.
      seed: of initialisation, noise and order.
      threads: that read and decode images.
      score_batch: examples in a batch of scoring.
      keep: every so-manieth epoch's model is kept, and the last one's.
      start: (params, batch_stats) as initialised -> those to start from (imported weights).
    """

    method: Method
    optimizer: optax.GradientTransformation
    learning_rate: Callable[[int], Any]
    streams: Mapping[str, Stream]
    validation: Mapping[str, Source]
    epochs: int
    steps_per_epoch: int
    seed: int
    threads: int
    score_batch: int
    keep: int = 1
    start: Callable[[Any, Any], tuple[Any, Any]] | None = None

    @property
    def steps(self) -> int:
        return self.epochs * self.steps_per_epoch

    def from_disk(self) -> "Training":
        """The same, which reads and decodes every image each time, so that this can be timed."""
        streams = {
            name: dataclasses.replace(
                stream, source=dataclasses.replace(stream.source, decoded=None)
            )
            for name, stream in self.streams.items()
        }
        return dataclasses.replace(self, streams=streams)

    def rows(self) -> BatchRows:
        """Which rows of each stream make each batch."""
        return BatchRows.of(self.streams, self.seed, self.steps)

    def batches(self) -> "grain.DatasetIterator":
        return training_batches(
            self.streams,
            seed=self.seed,
            steps=self.steps,
            threads=self.threads,
            process=jax.process_index(),
            processes=jax.process_count(),
        )


def train(folder: StageFolder, training: Training, mesh: Mesh) -> None:
    """Trains, or goes on with, the stage in `folder` until its last epoch is kept and scored.

    Raises:
      UserError: the devices do not divide a stream's share; a batch of scoring does not fit into
        the memory; loss, gradient or weights are not finite; the disk is full; a checkpoint is
        damaged or of another model; what earlier epochs kept is missing.
    """
    method, streams = training.method, training.streams
    sharding.check_shares({n: s.share for n, s in streams.items()}, mesh.devices.size)
    state = init_state(method, training.optimizer, training.seed, mesh)
    _describe_parameters(folder, state)
    step = make_train_step(method, training.optimizer, mesh)
    score = make_scorer(method, mesh, training.score_batch, training.threads)
    fields = f"--config.stages.{folder.in_config}."
    memory.check_batch(
        method.predict,
        jax.eval_shape(method.kept, state.params, state.batch_stats, state.method_state),
        training.validation.values(),
        training.score_batch,
        mesh,
        f"{fields}train.score_batch",
    )
    passes = functools.partial(_pass, streams, mesh, training)
    batches = training.batches()
    with (
        Checkpoints.of_states(folder.state) as states,
        Checkpoints.of_models(folder.model) as models,
        contextlib.ExitStack() as closing,
    ):
        done = 0
        if states.numbers():
            state = states.restore(states.numbers()[-1], state, batches)
            done = int(state.step) // training.steps_per_epoch
            _check_kept(folder, training, models.numbers(), done)
            log.say(f"  goes on after epoch {done}")
        else:
            if len(models.numbers()) > 1:
                log.say(f"  {folder.state} keeps no training state, so it is trained anew")
            if training.start is not None:
                state = started_state(state, training.start, method)
        models.delete_after(done)
        epoch_log = closing.enter_context(log.EpochLog(folder.path, folder.metrics, done))
        bar = closing.enter_context(
            log.progress(folder.name, training.steps, "step", done * training.steps_per_epoch)
        )
        for epoch in range(done + 1, training.epochs + 1):
            started = time.perf_counter()
            state, logs, waited = run_epoch(
                step, state, batches, training.steps_per_epoch, mesh, bar, fields
            )
            seconds = time.perf_counter() - started
            if method.end_of_epoch is not None:
                state = method.end_of_epoch(state, passes)
            variables = method.kept(state.params, state.batch_stats, state.method_state)
            models.save(epoch, variables)
            if method.label_tables is not None:
                _keep_tables(folder, epoch, method, state, streams)
            figures = {
                "step": int(state.step),
                **logs,
                "learning_rate": float(training.learning_rate(int(state.step) - 1)),
                "images_per_second": _images(streams) * training.steps_per_epoch / seconds,
                "input_wait": waited / seconds,
                **_score_epoch(folder, epoch, training, score, variables),
            }
            # The state is saved last and vouches for all that the epoch left before it.
            models.wait()
            epoch_log.write(epoch, figures)
            states.save(int(state.step), state, batches)
            if (epoch - 1) % training.keep:
                models.delete(epoch - 1)
            _say_epoch(epoch, training, figures, time.perf_counter() - started)


def _describe_parameters(folder: StageFolder, state: TrainState) -> None:
    """Writes the table of all parameters into the stage's folder, and says how many there are."""
    if jax.process_index() == 0:
        rows = parameter_overview.get_parameter_overview(state.params, include_stats=False)
        atomic_files.write_text(folder.parameters, rows + "\n")
    log.say(f"  {sum(leaf.size for leaf in jax.tree.leaves(state.params)):,} parameters")


def started_state(state: TrainState, start: Callable, method: Method) -> TrainState:
    """The state of a training that begins with the weights that `start` gives."""
    params, batch_stats = start(*jax.tree.map(sharding.gather, (state.params, state.batch_stats)))
    method_state = jax.device_get(state.method_state)
    if method.started is not None:
        # Copies: the step donates the whole state, so that no array may be in it twice.
        method_state = jax.tree.map(np.array, method.started(params, batch_stats, method_state))
    parts = {"params": params, "batch_stats": batch_stats, "method_state": method_state}
    laid_out = jax.tree.map(lambda leaf: leaf.sharding, state)
    return dataclasses.replace(
        state,
        **{name: jax.device_put(part, getattr(laid_out, name)) for name, part in parts.items()},
    )


def _check_kept(folder: StageFolder, training: Training, models: Sequence[int], done: int) -> None:
    """Finds what has been lost of the epochs that are not trained again.

    Raises:
      UserError: a model or scores of theirs are missing.
    """
    for epoch in range(1, done + 1):
        needed = [folder.scores(split, epoch) for split in training.validation]
        if epoch % training.keep == 0 or epoch == training.epochs:
            needed.append(folder.model / str(epoch))
        for path in needed:
            there = epoch in models if path.parent == folder.model else path.exists()
            if not there:
                raise UserError(
                    f"{path} is missing, though epoch {done} has been reached; restore it, or "
                    f"delete {folder.path} to train the stage again"
                )


def _keep_tables(
    folder: StageFolder,
    epoch: int,
    method: Method,
    state: TrainState,
    streams: Mapping[str, Stream],
) -> None:
    """Keeps what the method makes of its streams' labels, beside the labels themselves."""
    assert method.label_tables is not None
    for name, table in method.label_tables(state.method_state).items():
        if jax.process_index() == 0:
            arrays = {
                "aus": np.array(method.aus, np.str_),
                "probabilities": np.asarray(jax.device_get(table)),
                "labels": streams[name].source.table.labels,
            }
            if "true" in streams[name].columns:
                arrays["true"] = streams[name].columns["true"]
            atomic_files.write_arrays(folder.label_table(name, epoch), arrays)


def _images(streams: Mapping[str, Stream]) -> int:
    return sum(s.share for s in streams.values())


def run_epoch(
    step: Callable,
    state: TrainState,
    batches: "grain.DatasetIterator",
    steps: int,
    mesh: Mesh,
    bar,
    fields: str = "--config.",
) -> tuple[TrainState, dict[str, float], float]:
    """Runs `steps` steps.

    Args:
      fields: where the fields of the training are set, for the sentence on one that goes wrong.

    Returns:
      The state, the mean of every log over the steps, and the seconds in which the devices waited
      for the next batch.
    """
    waiting: collections.deque = collections.deque()
    sums: collections.Counter = collections.Counter()

    numbers = itertools.count(bar.n + 1)

    def read_one() -> None:
        logs = jax.device_get(waiting.popleft())
        finite.check(logs.pop("finite"), float(logs["loss"]), next(numbers), fields)
        sums.update({name: float(value) for name, value in logs.items()})
        bar.set_postfix(loss=f"{logs['loss']:.4f}", refresh=False)

    with jax.transfer_guard("disallow"), InputWait() as wait:
        for _ in range(steps):
            batch = sharding.put_batch(next(batches), mesh)
            given = wait.given()
            state, logs = step(state, batch)
            wait.runs(given, logs["loss"])
            waiting.append(logs)
            if len(waiting) > _STEPS_AHEAD:
                read_one()
            bar.update()
        while waiting:
            read_one()
    return state, {name: total / steps for name, total in sums.items()}, wait.seconds


def _score_epoch(
    folder: StageFolder, epoch: int, training: Training, score: Scorer, variables
) -> dict[str, float]:
    """Scores the kept network on every validation split; returns the figures for the log."""
    figures = {}
    for split, source in training.validation.items():
        scores = with_labels(score(variables, source), source, training.method.aus)
        if jax.process_index() == 0:
            folder.write_scores(split, epoch, scores)
        summary = metrics.summary(
            training.method.aus, metrics.probabilities(scores.logits), scores.labels
        )
        for figure in ("final_score", "f1", "accuracy"):
            if summary[figure] is not None:
                figures[f"{split}/{figure}"] = summary[figure]
    return figures


def _pass(streams: Mapping[str, Stream], mesh: Mesh, training: Training, stream: str):
    """The device batches of one stream's source in order, for a method's end of epoch."""
    devices = mesh.devices.size
    size = -(-training.score_batch // devices) * devices
    for batch in ordered_batches(
        streams[stream].source, size, training.threads, jax.process_index(), jax.process_count()
    ):
        yield sharding.put_batch(batch, mesh)


def _say_epoch(
    epoch: int, training: Training, figures: Mapping[str, float], seconds: float
) -> None:
    scores = [f"{n} {v:.4f}" for n, v in figures.items() if n.endswith("final_score")]
    left = time.strftime("%H:%M:%S", time.gmtime(seconds * (training.epochs - epoch)))
    parts = [f"loss {figures['loss']:.4f}", *scores, f"{figures['images_per_second']:.0f} images/s"]
    if figures["input_wait"] > _WORTH_SAYING:
        parts.append(f"{figures['input_wait']:.0%} of the time waiting for input")
    log.say(f"  epoch {epoch}/{training.epochs}: {', '.join(parts)}, {left} left")
