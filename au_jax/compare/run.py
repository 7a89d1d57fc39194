"""The comparison of a recipe's trainings with their counterparts in PyTorch, part by part."""

import functools
import importlib.metadata
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import torch
from rich.console import Console
from rich.table import Table

from au_jax import log, sharding
from au_jax.compare import agreement, methods, sides, speed
from au_jax.compare.step import VARIANTS
from au_jax.compare.subject import Subject
from au_jax.errors import UserError, unknown
from au_jax.files import atomic_files
from au_jax.process import cores
from au_jax.report import comparison
from au_jax.training.loop import Training
from au_jax.training.step import init_state

_PACKAGES = ("au-jax", "jax", "flax", "torch", "torchvision", "timm", "numpy")


def known(method: str) -> bool:
    """Whether a method has a counterpart in PyTorch."""
    return method in methods.KNOWN


def threads_of(threads: int) -> int:
    """The cores that each side uses: `threads`, or all that this process may use for 0.

    Raises:
      UserError: there are fewer, or `threads` is below 0.
    """
    field, usable = "--config.compare.threads", cores.usable()
    if threads > usable:
        raise UserError(
            f"{field}={threads}, but this process may use {usable}; give at most that, or 0 for all"
        )
    return cores.as_many(threads, field)


def measure(
    subjects: Mapping[str, tuple[Subject, Training]],
    *,
    recipe: str,
    remarks: list[str],
    steps: int,
    seeds: int,
    double: bool,
    own_augmentation: bool,
    rounds: int,
    round_steps: int,
    variants: Sequence[str],
    threads: int,
) -> dict[str, Any]:
    """Compares every training; returns the contents of compare.json.

    Args:
      subjects: by the names of their stages; without dropout.
      recipe, remarks: what the report says of the whole.
      steps, seeds, double, own_augmentation: see `agreement.measure`.
      rounds, round_steps: see `speed.measure`; 0 rounds for no speed.
      variants: of PyTorch, names of `step.VARIANTS`.
      threads: see `threads_of`.

    Raises:
      UserError: there is no such variant, or there are fewer cores than `threads`.
    """
    threads = threads_of(threads)
    for variant in variants:
        if variant not in VARIANTS:
            raise unknown("variant in config.compare.variants", variant, VARIANTS)
    torch.set_num_threads(threads)
    trainings = {}
    for name, (subject, training) in subjects.items():
        network = subject.context.network
        log.say(f"{name}: {subject.card.method} with {network.backbone}")
        trainings[name] = {
            "method": subject.card.method,
            "backbone": network.backbone,
            "image_size": subject.context.image_size,
            "images_per_step": subject.images_per_step,
            "precision": network.precision,
            "agreement": _agreement(
                subject,
                training,
                steps=steps,
                seeds=seeds,
                double=double,
                own_augmentation=own_augmentation,
            ),
            "speed": None,
            "no_speed": "",
        }
        if rounds:
            try:
                trainings[name]["speed"] = _speed(subject, variants, rounds, round_steps, threads)
            except (speed.SideFailed, UserError) as error:  # the agreement is found already
                trainings[name]["no_speed"] = str(error)
        trainings[name]["notes"] = _notes(subject, trainings[name])
    return {
        "recipe": recipe,
        "remarks": remarks,
        "made_with": _made_with(threads),
        "trainings": trainings,
    }


def _agreement(subject: Subject, training: Training, **options: Any) -> dict[str, Any]:
    # Accelerators else round the factors of products of float32 to some 10 bits.
    torch.backends.cudnn.allow_tf32 = False
    with jax.default_matmul_precision("highest"):
        return agreement.measure(subject, training, **options)


def _speed(
    subject: Subject, variants: Sequence[str], rounds: int, steps: int, threads: int
) -> dict[str, Any]:
    parcel = _parcel(subject)
    makers: dict[str, Callable[[], speed.Side]] = {
        speed.JAX: functools.partial(sides.JaxSide, subject),
        **{
            variant: functools.partial(sides.TorchSide, subject, parcel, variant, threads)
            for variant in variants
        },
    }
    precision = subject.context.network.precision
    return speed.measure(
        makers,
        images_per_step=subject.images_per_step,
        images_per_prediction=subject.images_per_prediction,
        comparable=[name for name in variants if sides.precision_of(name) == precision],
        rounds=rounds,
        steps=steps,
        threads=threads,
    )


def _parcel(subject: Subject) -> sides.Parcel:
    """The weights and the first batch of the training without augmentation, in host memory."""
    plain = subject.without_augmentation()
    mesh = sharding.make_mesh(1)
    state = init_state(plain.method(), plain.transformation(), plain.seed, mesh)
    batch = sharding.put_batch(sides.first_batch(plain), mesh)
    draw = jax.jit(agreement.counterpart_of(plain).draw)
    drawn = draw(state.method_state, batch, state.step, state.key)
    return sides.Parcel(
        *jax.device_get((state.params, state.batch_stats, state.method_state, drawn))
    )


def _notes(subject: Subject, training: Mapping[str, Any]) -> list[str]:
    """What is to be said of one training beside its figures."""
    network, compared = subject.context.network, training["agreement"]
    notes = [
        f"Method {subject.card.method}, network {network.backbone} at {training['image_size']} "
        f"pixels, {subject.images_per_step} images a step. Agreement is measured in float32, speed "
        f"in {network.precision}."
    ]
    double = compared["double"]
    if double:
        notes.append(
            f"With both sides in float64 the first losses differ by {double['loss']:.1e} and the "
            f"gradients by {double['gradients']:.1e} at most."
        )
    parted = compared["curves"]["parted"]
    if parted is not None:
        notes.append(f"The losses part by more than {agreement.PARTED:g} first at step {parted}.")
    if compared["loss"]["step"] > 1:
        notes.append(
            f"Loss and gradients are those of step {compared['loss']['step']}, as the loss is 0 "
            "before it."
        )
    if compared["bisection"]:
        notes.append(f"More than rounding differs. {compared['bisection']}")
    if training["no_speed"]:
        notes.append(f"The speed could not be measured: {training['no_speed']}")
    if training["speed"]:
        for variant, reason in training["speed"]["failed"].items():
            notes.append(f"PyTorch's variant {variant} fails here: {reason}")
    return notes


def _made_with(threads: int) -> dict[str, str]:
    """What both sides run on and with."""

    def version(package: str) -> str:
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            return "not installed"

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    return {
        "JAX's device": sharding.describe(sharding.make_mesh(1)),
        "PyTorch's device": gpu,
        "cores": str(threads),
        "processor": platform.processor() or platform.machine(),
        "load when it ended": f"{os.getloadavg()[0]:.1f}",
        "python": platform.python_version(),
        **{package: version(package) for package in _PACKAGES},
    }


def show(results: Mapping[str, Any]) -> None:
    """Prints both tables and what is to be said of them."""
    # What a variant fails with may have brackets.
    console = Console(width=max(140, Console().width), markup=False)
    tables = {
        "agreement (relative differences)": comparison.agreement_table(results),
        "speed (median, slowest and fastest round)": comparison.speed_table(results),
    }
    for title, (head, rows) in tables.items():
        if not rows:
            continue
        table = Table(*head, title=title)
        for row in rows:
            table.add_row(*row)
        console.print(table)
    for name, training in results["trainings"].items():
        for note in training["notes"][1:]:
            log.say(f"{name}: {note}")


def write(folder: Path, results: Mapping[str, Any]) -> None:
    """Writes compare.json, and the page report/compare.html, into a run's folder."""
    atomic_files.write_json(folder / "compare.json", results)
    comparison.write(folder / "report", results)
