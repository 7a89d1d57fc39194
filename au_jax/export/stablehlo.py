"""Networks as StableHLO programs by `jax.export`: from uint8 crops to logits, on any platform.

    weights = safetensors.numpy.load_file("networks/NAME.safetensors")
    program = jax.export.deserialize(bytearray(open("stablehlo/PROGRAM.stablehlo", "rb").read()))
    logits = program.call(weights, images, pose)

A program is of the network of one stage through one choice of test crops. It takes the weights as
its argument, by the names that they have in their file: so it is a few hundred kilobytes, serves
every epoch of the stage, and the folder holds the weights once. It is traced twice, for the CPU
with the forms that `models.cpu_ops` has for it and for accelerators with XLA's own operators, and
takes the half of the platform that it runs on.
"""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from au_jax.ensemble.tta import through_crops
from au_jax.export.chosen import Chosen, Network, NoForm
from au_jax.files import atomic_files
from au_jax.models import cpu_ops
from au_jax.training import weights_file
from au_jax.training.model_card import ModelCard, kept_shapes

PLATFORMS = ("cpu", "cuda", "tpu")


@dataclasses.dataclass(frozen=True)
class Program:
    """A program and what it is of.

    Attributes:
      name: its file's. crops: the test crops that are part of it. networks: that it is of.
    """

    name: str
    crops: str
    networks: tuple[Network, ...]
    exported: jax.export.Exported


def program_name(network: Network, crops: str) -> str:
    """The name of the program of a network: its own without the epoch, and the test crops."""
    stage = network.name.partition("@")[0]
    return stage if crops == "center" else f"{stage}-{crops}"


def make(chosen: Chosen) -> list[Program]:
    """The programs of all networks, one for each stage and choice of test crops.

    Raises:
      NoForm: a network needs a batch of a known size, or is a pretraining's.
    """
    together: dict[tuple[str, str], list[Network]] = {}
    for network in chosen.networks:
        for crops in network.crops:
            together.setdefault((program_name(network, crops), crops), []).append(network)
    programs = []
    for (name, crops), networks in together.items():
        card = networks[0].card
        if not card.aus:
            raise NoForm(f"{networks[0].name} is a pretraining, which tells no AUs")
        try:
            exported = export(card, crops)
        # A network from outside this package may raise anything where the batch has no number.
        except Exception as error:
            reason = (str(error) or repr(error)).splitlines()[0]
            raise NoForm(f"{networks[0].name} has no program for any batch ({reason})") from error
        programs.append(Program(name, crops, tuple(networks), exported))
    return programs


def export(card: ModelCard, crops: str) -> jax.export.Exported:
    """The forward pass of a network through some test crops, for `PLATFORMS` and any batch.

    Its arguments are {name: array} of the weights (`weights_file.named`), images uint8 [B, S, S, 3]
    of the side S of the crops that the network was trained on, and, where the network reads it,
    pose float32 [B, 3] in degrees, NaN where not known. It returns logits float32 [B, A].
    """
    method = through_crops(card.create(), card.image_size, crops)
    shapes = kept_shapes(method)

    def traced_for(platform: str) -> Any:
        def forward(weights: dict[str, jax.Array], images: jax.Array, pose: jax.Array) -> jax.Array:
            with cpu_ops.traced_for(platform):
                return method.predict(weights_file.unnamed(weights, shapes), images, pose)

        return forward

    def on_any(
        weights: dict[str, jax.Array], images: jax.Array, pose: jax.Array | None = None
    ) -> jax.Array:
        if pose is None:
            pose = jnp.full((images.shape[0], 3), jnp.nan)
        return jax.lax.platform_dependent(
            weights, images, pose, cpu=traced_for("cpu"), default=traced_for("cuda")
        )

    (batch,) = jax.export.symbolic_shape("batch")
    side = card.crop_size
    inputs = [jax.ShapeDtypeStruct((batch, side, side, 3), np.uint8)]
    if card.context.network.pose_branch:
        inputs.append(jax.ShapeDtypeStruct((batch, 3), np.float32))
    weights = weights_file.named(shapes)
    return jax.export.export(jax.jit(on_any), platforms=PLATFORMS)(weights, *inputs)


def write(folder: Path, programs: list[Program]) -> None:
    """Writes programs to a new folder: NAME.stablehlo, and programs.json, what each is of.

    Raises:
      UserError: the folder cannot be written.
    """
    described = {}
    for program in programs:
        card = program.networks[0].card
        with atomic_files.replacing(folder / f"{program.name}.stablehlo") as temporary:
            temporary.write_bytes(program.exported.serialize())
        described[program.name] = {
            "networks": [network.name for network in program.networks],
            "aus": list(card.aus),
            "crop": card.crop,
            "crop_size": card.crop_size,
            "test_crops": program.crops,
            "pose": card.context.network.pose_branch,
        }
    atomic_files.write_json(folder / "programs.json", described)
