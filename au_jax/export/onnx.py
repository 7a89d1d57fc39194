"""Networks as ONNX, through their PyTorch form: from uint8 crops to logits, any batch.

`torch.onnx.export` converts them. jax2onnx would convert JAX's functions themselves, but asks for
an older Orbax than this package has and does not convert these networks with a symbolic batch.
"""

import contextlib
import importlib.util
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from au_jax import log
from au_jax.errors import UserError
from au_jax.export.chosen import Chosen, Network
from au_jax.export.pytorch import folder as pytorch
from au_jax.export.pytorch import weights
from au_jax.export.pytorch.views import views
from au_jax.files import atomic_files

_PACKAGES = ("torch", "onnx", "onnxscript", "onnxruntime")
INSTALL = 'install it with: pip install "au-jax[onnx]"'
# The largest deviation of a logit from the model's, or its share of the largest logit above 1.
TOLERANCE = 1e-4
_BATCHES = (1, 3)


def check_installed() -> None:
    """Raises UserError where a package that the conversion needs is not installed."""
    for package in _PACKAGES:
        if importlib.util.find_spec(package) is None:
            raise UserError(f"the format onnx needs the package {package}; {INSTALL}")


def check(chosen: Chosen) -> None:
    """Raises NoForm where a network has no PyTorch form."""
    pytorch.check(chosen)


def write(folder: Path, chosen: Chosen) -> None:
    """Writes the networks, which `check` has passed, to a new folder.

    It holds NAME.onnx of each, through the centre crop, and networks.json, what each reads.

    Raises:
      UserError: the folder cannot be written; PyTorch does not convert a network; or what was
        converted deviates from the model by more than `TOLERANCE`.
    """
    folder.mkdir()
    described = {}
    for network in chosen.networks:
        if network.crops != ("center",):
            log.say(f"  {network.name} votes through test crops; in ONNX it takes the centre alone")
        path = folder / f"{network.name}.onnx"
        _convert(network, path)
        deviation = _deviation(network, path)
        if not deviation <= TOLERANCE:
            raise UserError(
                f"{network.name} as ONNX deviates from the model by {deviation:.1e}, more than "
                f"{TOLERANCE:.0e}; leave onnx out of --formats"
            )
        described[network.name] = {
            "aus": list(network.card.aus),
            "crop": network.card.crop,
            "crop_size": network.card.crop_size,
            "pose": network.reads_pose,
            "deviation": deviation,
        }
    atomic_files.write_json(folder / "networks.json", described)


def _convert(network: Network, path: Path) -> None:
    # PyTorch is imported only where it is asked for.
    import torch

    from au_jax.export.pytorch.crop_logits import CropLogits
    from au_jax.export.pytorch.networks import build

    card, built = network.card, []
    spec = card.context.network
    parts = views(network)
    for view in parts:
        one = build(spec, view.heads, card.image_size, view.outputs)
        arrays = weights.whole_state_dict(spec, view.params, view.batch_stats)
        one.load_state_dict({name: torch.from_numpy(a.copy()) for name, a in arrays.items()})
        built.append(one)
    module = CropLogits(built, str(parts[0].head), card.image_size).eval()
    side = card.crop_size
    inputs = {"images": torch.zeros((2, side, side, 3), dtype=torch.uint8)}
    if network.reads_pose:
        inputs["pose"] = torch.zeros((2, 3))
    batch = torch.export.Dim("batch")
    try:
        with _silence():
            program = torch.onnx.export(
                module,
                tuple(inputs.values()),
                dynamo=True,
                dynamic_shapes={name: {0: batch} for name in inputs},
                input_names=list(inputs),
                output_names=["logits"],
                verbose=False,
            )
            assert program is not None
            program.save(str(path), external_data=False)
    except OSError:
        raise
    except Exception as error:  # PyTorch's exporter raises errors of many types.
        reason = (str(error) or repr(error)).splitlines()[0]
        raise UserError(
            f"PyTorch does not convert {network.name} to ONNX ({reason}); leave onnx out of "
            "--formats"
        ) from error


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Without the exporter's remarks on operators of other packages."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _deviation(network: Network, path: Path) -> float:
    """How far the logits of random crops are from the model's, NaN angles among the poses."""
    import onnxruntime

    card = network.card
    predict = jax.jit(card.create().predict)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    random = np.random.default_rng(0)
    worst = 0.0
    for batch in _BATCHES:
        side = card.crop_size
        images = random.integers(0, 256, (batch, side, side, 3), np.uint8)
        pose = random.normal(0, 10, (batch, 3)).astype(np.float32)
        pose[-1, 0] = np.nan
        inputs: dict[str, Any] = {"images": images}
        if network.reads_pose:
            inputs["pose"] = pose
        theirs = session.run(["logits"], inputs)[0]
        ours = np.asarray(predict(network.variables, images, pose))
        scale = max(1.0, float(np.abs(ours).max()))
        # Unlike Python's, NumPy's maximum hands NaN on.
        worst = float(np.maximum(worst, np.abs(theirs - ours).max() / scale))
    return worst
