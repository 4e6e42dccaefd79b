"""What the build of a wheel adds to it: compiled kernels, so that a first fit need not wait.

A hook of hatchling; it is no part of the installed package. Kernels are compiled for the
processors of a common level (`kmq.kernels.cache.level_for`), or where the machine that builds has
wider vectors, for its own processor. Where nothing can be compiled the wheel is built without:
kernels are then compiled when they are first needed. ``KMQ_BUILD_KERNELS=0`` asks for that.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# Prints what is compiled for: a level, or nothing for the processor of this machine.
_PROCESSOR = """
import llvmlite.binding as llvm
from kmq.kernels.cache import level_for
has = frozenset(name for name, there in llvm.get_host_cpu_features().items() if there)
print(level_for(has) or "")
"""
_COMPILE = "from kmq.engine.warmup import warm; warm()"


class CompiledKernels(BuildHookInterface):
    """Compiles the kernels of usual fits into the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile before the files of the wheel are gathered."""
        if version == "editable":
            return
        built = Path(self.root, "kmq", "kernels", "built")
        shutil.rmtree(built, ignore_errors=True)
        if os.environ.get("KMQ_BUILD_KERNELS") == "0":
            return
        try:
            level = self._run(_PROCESSOR).strip()
            self.app.display_info(f"compiling kernels for {level or 'this processor'}")
            named = {"NUMBA_CPU_NAME": level, "NUMBA_CPU_FEATURES": ""} if level else {}
            self._run(_COMPILE, KMQ_CACHE_DIR=str(built), **named)
        except (OSError, subprocess.CalledProcessError) as error:
            reason = (getattr(error, "stderr", None) or str(error)).strip().rpartition("\n")[2]
            self.app.display_warning(f"kernels are left to be compiled on first use: {reason}")
        if any(built.rglob("*.kernel")):
            build_data["pure_python"] = False
            build_data["infer_tag"] = True

    def _run(self, code: str, **changes: str) -> str:
        """What a Python process prints that has kmq's sources."""
        env = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_")}
        # An isolated environment for builds hangs on PYTHONPATH.
        paths = os.pathsep.join(filter(None, (self.root, env.get("PYTHONPATH"))))
        env |= {"PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1", **changes}
        done = subprocess.run(
            [sys.executable, "-c", code], env=env, check=True, capture_output=True, text=True
        )
        return done.stdout
