"""A frozen encoder: a backbone that turns faces into pooled feature vectors, and is not trained.

Linear probes are fitted on its features; that of a pretraining, of ImageNet or of random weights.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from au_jax import augment, run_dir, sharding
from au_jax.data.pipeline import ordered_batches
from au_jax.data.sources import Source
from au_jax.methods.base import Variables
from au_jax.models import AUNet
from au_jax.models.network_spec import NetworkSpec
from au_jax.run_dir import Features, StageFolder
from au_jax.training.checkpoint import Checkpoints

_ONLY_EPOCH = 1


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
        with Checkpoints.of_models(folder.model) as checkpoints:
            checkpoints.delete_after(0)
            checkpoints.save(_ONLY_EPOCH, variables)
            checkpoints.wait()
        run_dir.write_json(folder.encoder, dataclasses.asdict(self))

    @classmethod
    def read(cls, folder: StageFolder, mesh: Mesh) -> tuple["Encoder", Variables]:
        """What `save` kept, its weights on every device.

        Raises:
          UserError: the files are missing or damaged.
        """
        values = run_dir.read_json(folder.encoder)
        encoder = cls(**{**values, "network": NetworkSpec(**values["network"])})
        shapes = jax.eval_shape(lambda: encoder.init(0))
        whole = sharding.replicated(mesh)
        like = jax.tree.map(
            lambda s: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=whole), shapes
        )
        with Checkpoints.of_models(folder.model) as checkpoints:
            return encoder, checkpoints.restore(_ONLY_EPOCH, like)

    def featurizer(
        self, variables: Variables, mesh: Mesh, batch: int, threads: int
    ) -> Callable[[Source], Features]:
        """Returns the function from records to their features, through the centre crop.

        Args:
          batch: examples in each global batch, rounded up to a multiple of the devices; features
            do not depend on it.
          threads: that read and decode images.
        """
        batch = -(-batch // mesh.devices.size) * mesh.devices.size
        variables = sharding.replicate(jax.device_get(variables), mesh)
        whole, split = sharding.replicated(mesh), sharding.sharded(mesh)
        net, side = self.net, self.image_size

        def pooled(variables: Mapping[str, Any], images: jax.Array) -> jax.Array:
            crops = augment.center_crop(images, side)
            features: Any = net.apply(variables, crops, False, method=AUNet.pooled)
            return features

        compiled = jax.jit(pooled, in_shardings=(whole, split), out_shardings=split)

        def features(source: Source) -> Features:
            pending = []
            for rows in ordered_batches(
                source, batch, threads, jax.process_index(), jax.process_count()
            ):
                pending.append(compiled(variables, sharding.put_batch(rows["image"], mesh)))
            table = source.table
            return Features(
                features=np.concatenate([sharding.gather(p) for p in pending])[: len(source)],
                labels=table.labels,
                aus=np.array(source.aus, np.str_),
                emotion=table.emotion,
                face=table.face,
                keys=table.keys,
                subject=table.subject,
            )

        return features
