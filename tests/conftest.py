"""A strict environment: eight fake devices, shapes checked, no silent rank promotion."""

import base64
import gc
import os
from pathlib import Path

# Each of several workers keeps to cores of its own: XLA starts as many threads as there are cores,
# and those of two workers are in each other's way, which took a tenth of the time.
if "PYTEST_XDIST_WORKER" in os.environ and hasattr(os, "sched_setaffinity"):
    number = int(os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw"))
    workers = int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    cores = sorted(os.sched_getaffinity(0))[number::workers]
    os.sched_setaffinity(0, cores or os.sched_getaffinity(0))

# Compiling costs the tests much, and XLA's plainest way of it takes a quarter of the time.
os.environ["XLA_FLAGS"] = " ".join(
    (
        os.environ.get("XLA_FLAGS", ""),
        "--xla_force_host_platform_device_count=8",
        "--xla_backend_optimization_level=0",
        "--xla_llvm_disable_expensive_passes=true",
        "--xla_cpu_use_fusion_emitters=false",
        "--xla_cpu_parallel_codegen_split_count=1",
    )
)
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import jax
import jaxtyping
import pytest

# The modules whose annotated shapes and dtypes are checked at every call, before any is imported.
CHECKED = (
    "au_jax.augment",
    "au_jax.losses",
    "au_jax.methods",
    "au_jax.metrics",
    "au_jax.models",
    "au_jax.training.step",
)
jaxtyping.install_import_hook(CHECKED, "beartype.beartype")

import tiny  # noqa: E402, F401

CACHE = Path(__file__).parent.parent / ".pytest_cache" / "xla"
jax.config.update("jax_compilation_cache_dir", str(CACHE))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.05)
jax.config.update("jax_numpy_rank_promotion", "raise")
# Tracing makes many objects, and a look through all that the imports left costs more than it finds.
gc.freeze()
# So does a look after every 700 new ones, as Python has it.
gc.set_threshold(200_000, 20, 1000)


# One white pixel.
BLANK = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAsTj2FAAAAABJRU5ErkJggg=="
)


@pytest.fixture(scope="module", autouse=True)
def drawn_charts():
    """Leaves the charts of reports blank, whose drawing took two fifths of the recipes' time.

    tests/report draws them.
    """
    from au_jax.report import page

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "drawn", lambda *_: BLANK)
        yield


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the tests' data sets lie; holds nothing that a test may change."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="session")
def tiny_faces(data_dir: Path) -> Path:
    """The folder of a tiny `synthetic_faces`."""
    from au_jax.data import datasets

    return datasets.synthetic(data_dir, size=40, opt=48, noisy=40, test=24, seed=3)
