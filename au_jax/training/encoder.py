"""A frozen encoder: a backbone that turns faces into pooled feature vectors, and is not trained.

Linear probes are fitted on its features; that of a pretraining, of ImageNet or of random weights.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from au_jax import __version__, allowed, augment, sharding
from au_jax.data.sources import Source
from au_jax.errors import UserError
from au_jax.files import atomic_files
from au_jax.methods.base import Variables
from au_jax.models import AUNet
from au_jax.models.network_spec import NetworkSpec
from au_jax.run_dir import Features, StageFolder
from au_jax.training.checkpoint import ONLY_EPOCH, Checkpoints, save_only
from au_jax.training.scoring import make_pass


@dataclasses.dataclass(frozen=True)
class Encoder:
    """A network without outputs: encoder.json of an encode stage, beside its weights.

    Attributes:
      network: its backbone is what counts.
      image_size: pixels of the side of the input.
      crop: the stored crop that it reads. crop_size: its pixels.
    """

    network: NetworkSpec
    image_size: int
    crop: str
    crop_size: int

    @property
    def net(self) -> AUNet:
        return self.network.build({})

    def init(self, seed: int) -> Variables:
        """Random weights: {"params": {"backbone": ...}, "batch_stats": ...}."""
        net, images = self.net, jnp.zeros((2, self.image_size, self.image_size, 3))
        init = jax.jit(lambda key: net.init(key, images, jnp.zeros((2, 3)), train=False))
        variables = init(jax.random.key(seed, impl="rbg"))
        return {"params": variables["params"], "batch_stats": variables.get("batch_stats", {})}

    def save(self, folder: StageFolder, variables: Variables) -> None:
        """Keeps the encoder in a stage's folder, atomically."""
        save_only(folder.model, variables)
        atomic_files.write_json(folder.encoder, dataclasses.asdict(self))

    @classmethod
    def read(cls, folder: StageFolder, mesh: Mesh) -> tuple["Encoder", Variables]:
        """What `save` kept, its weights on every device.

        Raises:
          UserError: the files are missing or damaged.
        """
        values = atomic_files.read_json(folder.encoder, Any)
        try:
            encoder = cls(**{**values, "network": NetworkSpec(**values["network"])})
            fault = allowed.fault(encoder, cls)
        except (TypeError, KeyError) as error:
            fault = str(error)
        if fault:
            raise UserError(
                f"{folder.encoder} describes no encoder that au_jax {__version__} can read "
                f"({fault}); delete the stage's folder to redo it"
            )
        shapes = jax.eval_shape(lambda: encoder.init(0))
        with Checkpoints.of_models(folder.model) as checkpoints:
            return encoder, checkpoints.restore_on(ONLY_EPOCH, shapes, mesh)

    def pooled(self, variables: Variables, images: jax.Array, pose: jax.Array) -> jax.Array:
        """The features float32 [B, D] of stored crops, see `make_pass`; head angles say nothing."""
        del pose
        crops = augment.center_crop(images, self.image_size)
        features: Any = self.net.apply(variables, crops, False, method=AUNet.pooled)
        return features

    def featurizer(
        self, variables: Variables, mesh: Mesh, batch: int, threads: int
    ) -> Callable[[Source], Features]:
        """Returns the function from records to their features, through the centre crop.

        Args:
          batch, threads: see `make_pass`.
        """
        variables = sharding.replicate(variables, mesh)
        run = make_pass(self.pooled, mesh, batch, threads)

        def features(source: Source) -> Features:
            table = source.table
            return Features(
                features=run(variables, source),
                labels=table.labels,
                aus=np.array(source.aus, np.str_),
                emotion=table.emotion,
                face=table.face,
                keys=table.keys,
                subject=table.subject,
            )

        return features
