"""Large memory pages (transparent huge pages) for training on the CPU under Linux.

XLA's step takes one large temporary buffer and gives it back at each call. With glibc's defaults it
goes back to the kernel, and every page of it is faulted in again in the next step, which is up to a
sixth of a step's time. Here it stays with the process. One arena for all threads is not asked for:
they would wait for each other, which makes small networks' steps a third slower. glibc reads its
tunables when a process starts, so it starts anew.
"""

import importlib.util
import os
import sys

VARIABLE = "GLIBC_TUNABLES"
_KEPT = 2**34  # bytes; larger buffers go back to the kernel
_TUNABLES = ":".join(
    f"glibc.malloc.{name}={value}"
    for name, value in {
        "hugetlb": 1,
        "mmap_threshold": _KEPT,
        "trim_threshold": _KEPT,
    }.items()
)
# JAX's packages for accelerators, whose memory is not glibc's.
_PLUGINS = ("jax_cuda12_plugin", "jax_cuda13_plugin", "jax_rocm7_plugin", "libtpu")


def restart_with_large_pages() -> None:
    """Starts this process again with glibc's large pages, where that helps and is not done yet.

    A user who sets GLIBC_TUNABLES, be it to nothing, keeps it as it is.
    """
    if sys.platform != "linux" or VARIABLE in os.environ:
        return
    if any(importlib.util.find_spec(plugin) for plugin in _PLUGINS):
        return
    os.environ[VARIABLE] = _TUNABLES
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def in_use() -> bool:
    """Whether this process was started so."""
    return os.environ.get(VARIABLE) == _TUNABLES
