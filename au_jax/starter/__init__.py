"""The starter model, which ships with the package and is called "starter" wherever a run is named.

`au_jax.load("starter")`, `--mode=predict --workdir=starter`, and `start="starter"` of a training.
`model/` is what `--mode=export` writes; its README.md says what the model can and cannot do.
"""

from pathlib import Path

NAME = "starter"
FOLDER = Path(__file__).parent / "model"
# The network that a training starts from.
NETWORK = FOLDER / "networks" / "large@16.safetensors"


def folder_of(place: str | Path) -> Path:
    """The folder that a user names: the starter model's for "starter", unless there is one."""
    path = Path(place)
    return FOLDER if str(place) == NAME and not path.exists() else path
