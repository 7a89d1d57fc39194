"""The networks of this folder in PyTorch, and what they say together.

    from load import predict
    predict({"closeup": faces})  # RGB in [0, 1], [B, 3, side, side]: probabilities [B, AUs]

NAME.json says which crop of a face a network reads and how it is built; selection.json, which
networks vote on which AU and from which probability on the AU is present.
"""

import importlib
import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch.nn.functional import logsigmoid

FOLDER = Path(__file__).parent
sys.path.append(str(FOLDER))  # for the networks that are written out in this folder


def load(name: str) -> tuple[torch.nn.Module, dict]:
    """The network NAME.safetensors, in evaluation mode, and what NAME.json says of it."""
    card = json.loads((FOLDER / f"{name}.json").read_text())
    source = card["backbone"]
    function = getattr(importlib.import_module(source["module"]), source["function"])
    backbone = function(**source["arguments"])
    if source["last_layer"]:
        backbone.set_submodule(source["last_layer"], torch.nn.Identity())
    for part in backbone.modules():
        if isinstance(part, torch.nn.modules.batchnorm._BatchNorm):
            part.eps, part.momentum = source["bn_epsilon"], source["bn_momentum"]
    network = importlib.import_module("au_net").AUNet(backbone, **card["network"])
    network.load_state_dict(load_file(FOLDER / f"{name}.safetensors"), strict=True)
    return network.eval(), card


@torch.inference_mode()
def predict(images: dict[str, torch.Tensor], pose: torch.Tensor | None = None) -> torch.Tensor:
    """The probabilities [B, A] of the AUs in selection.json.

    Args:
      images: {crop: RGB in [0, 1], [B, 3, side, side]}.
      pose: pitch, yaw and roll of the heads in degrees, [B, 3]; NaN, or nothing, where not known.
    """
    chosen = json.loads((FOLDER / "selection.json").read_text())
    total = torch.tensor(chosen["bias"])
    for names, weights in zip(chosen["networks"], chosen["weights"], strict=True):
        views = []
        for network, card in map(load, names):
            faces, size = images[card["crop"]], card["image_size"]
            top, left = (faces.shape[2] - size) // 2, (faces.shape[3] - size) // 2
            faces = faces[:, :, top : top + size, left : left + size]
            views.append(network(faces, pose)[card["predicts"]])
        # The logits of the views' mean probability; of a single view its own.
        each = torch.stack(views)
        logits = logsigmoid(each).logsumexp(0) - logsigmoid(-each).logsumexp(0)
        value = logits if chosen["link"] == "logit" else logits.sigmoid()
        known = [card["aus"].index(au) if au in card["aus"] else 0 for au in chosen["aus"]]
        total = total + torch.tensor(weights) * value[:, known]
    total = total.sigmoid() if chosen["link"] == "logit" else total.clamp(0, 1)
    if "calibration" not in chosen:
        return total
    slope, offset = (torch.tensor(chosen["calibration"][name]) for name in ("slope", "offset"))
    # 0 and 1 count as the float32 numbers next to them.
    logits = total.clamp(min=2**-126).log() - (1 - total).clamp(min=2**-24).log()
    return (slope * logits + offset).sigmoid()
