"""Agreement of a training in JAX with its counterpart in PyTorch: losses, gradients, scores."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch

from au_jax import augment, log, metrics, models, sharding
from au_jax.compare import input_pipeline, layers
from au_jax.compare import methods as counterparts
from au_jax.compare.counterpart import Counterpart
from au_jax.compare.step import TorchTraining
from au_jax.compare.subject import Subject
from au_jax.data.pipeline import ordered_batches
from au_jax.data.sources import Source
from au_jax.errors import UserError
from au_jax.export.pytorch import networks
from au_jax.models.network_spec import PRECISIONS
from au_jax.training.loop import Training, started_state
from au_jax.training.scoring import NO_FACE_LOGIT, make_scorer
from au_jax.training.start import backbones
from au_jax.training.step import TrainState, init_state, make_train_step

# The relative difference of two losses from which they are said to part.
PARTED = 1e-3
# Of a first loss in float32, and of JAX's distance from float64 over PyTorch's: above these a
# difference is more than rounding.
_ROUNDING, _TIMES = 1e-4, 10.0
# Of a layer's outputs; deep layers of the same weights differ by some 1e-5.
_LAYER = 1e-3
# A gradient smaller than this share of all gradients' norm is noise about 0 and is measured by it.
_SMALL = 1e-4

Gradients = Mapping[str, np.ndarray]


def measure(
    subject: Subject,
    training: Training,
    *,
    steps: int,
    seeds: int,
    double: bool,
    own_augmentation: bool,
) -> dict[str, Any]:
    """Trains both sides for `steps` from each of the seeds, in float32, and compares them.

    Args:
      subject: without dropout. training: the same on the side of JAX; its method, which may compute
        in another precision, is not used.
      double: whether the first step is done in float64 by JAX, too.
      own_augmentation: whether PyTorch augments by itself, after the first step, whose gradients
        are always those of the same images.

    Returns:
      {"loss": {"jax", "torch", "torch_double", "relative", "step"}, "gradients": {"each": {name:
      pairs}, "largest": pairs, "where"}, "bisection": text or None, "double": {"loss",
      "gradients"}: the largest relative differences in float64, or None, "curves": {"jax", "torch",
      "parted", "largest"}, "final": {"split", "figures": {figure: both}, "au": {AU: both}} or
      None}. "pairs" are the relative differences "jax_torch", "jax_double" and "torch_double";
      "both" are {"jax", "torch"}: F1 of each seed; "parted" and "step" count from 1. The step is
      the first whose loss is not 0, as it is where a method's queues are empty.

    Raises:
      UserError: PyTorch is to augment for a method that makes several views of each image.
    """
    subject = subject.in_precision("float32")
    training = dataclasses.replace(training, method=subject.method())
    sides = _Sides(subject, training)
    first_step = sides.first_step()
    with log.progress("agreement", steps * seeds, "step") as bar:
        runs = [
            sides.train(training.seed + seed, steps, own_augmentation, bar) for seed in range(seeds)
        ]
    return {
        **first_step,
        "double": in_double(subject, training) if double else None,
        "curves": curves(runs[0].jax, runs[0].torch),
        "final": _final(runs),
    }


def in_double(subject: Subject, training: Training) -> dict[str, float]:
    """The largest relative differences of the first step's loss and gradients in float64.

    Its draws are not those of float32.
    """
    with jax.enable_x64(True):
        subject = subject.in_precision("float64")
        sides = _Sides(subject, dataclasses.replace(training, method=subject.method()))
        return sides.first_step_in_double()


@dataclasses.dataclass(frozen=True)
class _Run:
    """Both sides' training from one seed: losses and final figures."""

    jax: list[float]
    torch: list[float]
    final: dict[str, Any] | None


@dataclasses.dataclass(frozen=True)
class _FirstStep:
    """The first step of JAX's side whose loss is not 0.

    Attributes:
      state: before the step. drawn: what it draws, see `Counterpart.draw`.
      loss: in nats. gradients: of `state.params`, a tree like it.
    """

    state: TrainState
    drawn: Any
    loss: float
    gradients: Any


class _Sides:
    """A training on both sides."""

    def __init__(self, subject: Subject, training: Training):
        self._subject, self._training = subject, training
        self._method = training.method
        self._mesh = sharding.make_mesh(1)
        self._step = make_train_step(self._method, training.optimizer, self._mesh)
        self._score = make_scorer(self._method, self._mesh, training.score_batch, training.threads)
        self._draw = jax.jit(counterpart_of(subject).draw)

    def train(self, seed: int, steps: int, own_augmentation: bool, bar: Any) -> _Run:
        """Both sides' training of `steps` steps from one seed."""
        state = self._begin(seed)
        pytorch = self._torch(state)
        own = self._augmented_by_torch(seed, steps) if own_augmentation else None
        batches = dataclasses.replace(self._training, seed=seed).batches()
        losses: tuple[list[float], list[float]] = ([], [])
        for batch in itertools.islice(batches, steps):
            on_device = sharding.put_batch(batch, self._mesh)
            key = jax.random.fold_in(state.key, state.step)
            drawn = self._draw(state.method_state, on_device, state.step, key)
            if own is not None:
                drawn = own(state, key)
            state, logs = self._step(state, on_device)
            losses[0].append(float(logs["loss"]))
            losses[1].append(pytorch.step(drawn))
            bar.update()
        return _Run(*losses, self._final(state, pytorch.counterpart))

    def _begin(self, seed: int) -> TrainState:
        state = init_state(self._method, self._training.optimizer, seed, self._mesh)
        if self._training.start is not None:
            state = started_state(state, self._training.start, self._method)
        return state

    def _torch(self, state: TrainState, dtype: torch.dtype = torch.float32) -> TorchTraining:
        """PyTorch's side with the weights of JAX's."""
        settings = {**self._subject.optimizer, "steps": self._subject.context.steps}
        training = TorchTraining(
            counterpart_of(self._subject), settings, device=torch_device(), dtype=dtype
        )
        training.load(*jax.device_get((state.params, state.batch_stats, state.method_state)))
        return training

    def _first_with_loss(self, state: TrainState) -> _FirstStep:
        """Trains JAX's side from `state` up to the first step whose loss is not 0."""
        gradient = jax.jit(jax.value_and_grad(self._method.loss, has_aux=True))
        for batch in self._training.batches():
            on_device = sharding.put_batch(batch, self._mesh)
            key = jax.random.fold_in(state.key, state.step)
            (loss, _), grads = gradient(
                state.params, state.batch_stats, state.method_state, on_device, state.step, key
            )
            if loss:
                drawn = self._draw(state.method_state, on_device, state.step, key)
                return _FirstStep(state, drawn, float(loss), jax.device_get(grads))
            state, _ = self._step(state, on_device)
        raise UserError(
            f"the loss of method {self._subject.card.method} is 0 at every step, so that there is "
            "nothing to compare"
        )

    def first_step(self) -> dict[str, Any]:
        """Losses and gradients of both sides, and of PyTorch in float64, see `measure`."""
        first = self._first_with_loss(self._begin(self._training.seed))
        state, drawn = first.state, first.drawn
        single, double = self._torch(state), self._torch(state, torch.float64)
        ours = single.counterpart.state(first.gradients, {})
        compared = gradients(ours, single.gradients(drawn), double.gradients(drawn))
        losses = {"jax": first.loss}
        for name, dtype in (("torch", torch.float32), ("torch_double", torch.float64)):
            losses[name] = self._torch(state, dtype).step(drawn)
        losses["relative"] = _relative_loss(losses["jax"], losses["torch"])
        losses["step"] = int(state.step) + 1
        near = compared["largest"]["jax_double"] <= _TIMES * max(
            compared["largest"]["torch_double"], _ROUNDING / _TIMES
        )
        bisection = None
        if not (losses["relative"] <= _ROUNDING and near):  # NaN is neither
            bisection = self._bisect(state, drawn)
        return {"loss": losses, "gradients": compared, "bisection": bisection}

    def _bisect(self, state: TrainState, drawn: Any) -> str:
        """A sentence that names the first layer of a backbone whose outputs differ."""
        spec = self._subject.context.network
        network = models.create(spec.backbone, PRECISIONS[spec.precision], **spec.fields)
        images = next(np.asarray(leaf) for leaf in jax.tree.leaves(drawn) if leaf.ndim == 4)
        images = (images - np.array(spec.image_mean, np.float32)) / np.array(
            spec.image_std, np.float32
        )
        params, batch_stats = jax.device_get((state.params, state.batch_stats))
        counterpart = self._torch(state).counterpart
        names = layers.module_names(counterpart.state, params)
        for path, variables in backbones(params, batch_stats).items():
            inside = {p[len(path) :]: n for p, n in names.items() if p[: len(path)] == path}
            prefix = next(iter(inside.values())).partition("backbone.")[0] + "backbone"
            difference = layers.first_difference(
                network,
                variables,
                counterpart.module.get_submodule(prefix).cpu(),
                {p: n.removeprefix(f"{prefix}.") for p, n in inside.items()},
                images,
                _LAYER,
            )
            if difference is not None:
                return f"In {prefix} {difference}."
        return (
            "All layers of the backbones agree, so that the difference lies in what follows them, "
            "or in the gradient of an activation whose input rounding has moved across a kink; "
            "--config.compare.double=True, which hardly rounds, tells which."
        )

    def first_step_in_double(self) -> dict[str, float]:
        """See `in_double`."""
        state = self._begin(self._training.seed)
        state = dataclasses.replace(
            state,
            **{
                part: jax.tree.map(_widened, getattr(state, part))
                for part in ("params", "batch_stats", "method_state")
            },
        )
        first = self._first_with_loss(state)
        pytorch = self._torch(first.state, torch.float64)
        ours = pytorch.counterpart.state(first.gradients, {})
        theirs = pytorch.gradients(first.drawn)
        their_loss = self._torch(first.state, torch.float64).step(first.drawn)
        return {
            "loss": _relative_loss(first.loss, their_loss),
            "gradients": gradients(ours, theirs, theirs)["largest"]["jax_torch"],
        }

    def _augmented_by_torch(self, seed: int, steps: int) -> Callable[[TrainState, jax.Array], Any]:
        """(state, key) -> what the next step draws, of images that PyTorch has augmented."""
        plain = self._subject.without_augmentation()
        draw = jax.jit(counterpart_of(plain).draw)
        batches: Iterator[input_pipeline.Batch] = iter(
            input_pipeline.loader(
                self._subject.streams,
                self._subject.context.augmentation,
                self._subject.context.aus,
                seed=seed,
                steps=steps,
                workers=self._subject.readers,
            )
        )

        def drawn(state: TrainState, key: jax.Array) -> Any:
            batch = {
                name: {field: values.numpy() for field, values in fields.items()}
                for name, fields in next(batches).items()
            }
            for fields in batch.values():
                fields["image"] = fields["image"][:, 0].transpose(0, 2, 3, 1)
            on_device = sharding.put_batch(batch, self._mesh)
            of_step = draw(state.method_state, on_device, state.step, key)
            images = sum(len(leaf) for leaf in jax.tree.leaves(of_step) if leaf.ndim == 4)
            if images != self._subject.images_per_step:
                raise UserError(
                    f"method {self._subject.card.method} makes several views of each image, which "
                    "--config.compare.own_augmentation has no counterpart of; leave it out"
                )
            return of_step

        return drawn

    def _final(self, state: TrainState, counterpart: Counterpart) -> dict[str, Any] | None:
        """SUMMARYs of both sides on the first validation split; None where there is none."""
        if not self._training.validation:
            return None
        split, source = next(iter(self._training.validation.items()))
        kept = self._method.kept(state.params, state.batch_stats, state.method_state)
        logits = {
            "jax": self._score(kept, source),
            "torch": self._torch_scores(counterpart, source),
        }
        aus = self._method.aus
        labels = source.aligned(aus).table.labels
        summaries = {
            side: metrics.summary(aus, metrics.probabilities(of_side), labels)
            for side, of_side in logits.items()
        }
        return {"split": split, **summaries}

    def _torch_scores(self, counterpart: Counterpart, source: Source) -> np.ndarray:
        """What `make_scorer` gives, from PyTorch's side."""
        device, logits = torch_device(), []
        for batch in ordered_batches(source, self._training.score_batch, self._training.threads):
            crops = augment.center_crop(
                jnp.asarray(batch["image"]), self._subject.context.image_size
            )
            images = torch.from_numpy(np.asarray(crops).transpose(0, 3, 1, 2).copy())
            of_batch = counterpart.predict(
                images.to(device), torch.from_numpy(batch["pose"]).to(device)
            )
            logits.append(of_batch.float().cpu().numpy()[batch["valid"]])
        scores = np.concatenate(logits)
        scores[~source.table.face] = NO_FACE_LOGIT
        return scores


def _widened(array: jax.Array) -> jax.Array:
    return array.astype(jnp.float64) if array.dtype == jnp.float32 else array


def counterpart_of(subject: Subject) -> Counterpart:
    """The method in PyTorch, its BatchNorms keeping the biased variance as those in JAX do."""
    card = subject.card
    counterpart = counterparts.create(card.method, card.context, card.options)
    networks.biased_batch_norm(counterpart.module)
    return counterpart


def torch_device() -> str:
    """The device that PyTorch trains on."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def curves(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, Any]:
    """Both sides' losses, the first step, from 1, at which they part, and the largest difference.

    Differences are relative to PyTorch's loss.
    """
    differences = [_relative_loss(a, b) for a, b in zip(ours, theirs, strict=True)]
    parted = [step for step, d in enumerate(differences, 1) if not d <= PARTED]
    return {
        "jax": list(ours),
        "torch": list(theirs),
        "parted": parted[0] if parted else None,
        "largest": float(np.max(differences)),  # NaN where one is
    }


def _relative_loss(ours: float, theirs: float) -> float:
    return abs(ours - theirs) / max(abs(theirs), 1e-12)


def gradients(ours: Gradients, theirs: Gradients, double: Gradients) -> dict[str, Any]:
    """The relative differences of gradients: of JAX, of PyTorch, and of PyTorch in float64.

    Each is the norm of an array's difference over the array's norm in float64. A gradient that is
    0 but for rounding, such as that of a bias before BatchNorm, is measured by a share of the norm
    of all gradients instead.

    Returns:
      {"each": {name: pairs}, "largest": pairs, "where": the array of the largest "jax_torch"}, see
      `measure`.
    """
    whole = np.sqrt(sum(np.sum(np.square(array, dtype=np.float64)) for array in double.values()))

    def relative(name: str, a: Gradients, b: Gradients) -> float:
        norm = max(float(np.linalg.norm(double[name])), _SMALL * float(whole), 1e-30)
        return float(np.linalg.norm(a[name].astype(np.float64) - b[name]) / norm)

    each = {
        name: {
            "jax_torch": relative(name, ours, theirs),
            "jax_double": relative(name, ours, double),
            "torch_double": relative(name, theirs, double),
        }
        for name in double
    }
    # NumPy's maximum and its place are those of NaN, where an array has it.
    largest = {
        pair: float(np.max([of_array[pair] for of_array in each.values()]))
        for pair in ("jax_torch", "jax_double", "torch_double")
    }
    where = list(each)[np.argmax([of_array["jax_torch"] for of_array in each.values()])]
    return {"each": each, "largest": largest, "where": where}


def _final(runs: Sequence[_Run]) -> dict[str, Any] | None:
    """The final figures of all seeds side by side."""
    finals = [run.final for run in runs if run.final is not None]
    if not finals:
        return None
    sides = ("jax", "torch")
    return {
        "split": finals[0]["split"],
        "figures": {
            figure: {side: [final[side][figure] for final in finals] for side in sides}
            for figure in ("f1", "final_score")
        },
        "au": {
            au: {side: [final[side]["au"][au]["f1"] for final in finals] for side in sides}
            for au in finals[0]["jax"]["au"]
        },
    }
