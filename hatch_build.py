"""Hatchling's hook: compiles the optional module for wheels and editable installs, by `native/compiling.py`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(Path(__file__).parent / "native"))
import compiling  # found by the line above


class CompiledModule(BuildHookInterface):
    """Puts the module into the checkout, where an editable install finds it, and into the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        try:
            target = compiling.build()
        except compiling.NotBuilt as reason:
            self.app.display_warning(f"no compiled encoder and decoder, Python's are used: {reason}")
            return
        self.app.display_info(f"compiled encoder and decoder: {target.name}")
        if version != "editable":
            build_data["pure_python"], build_data["infer_tag"] = False, True
            build_data["force_include"][str(target)] = target.relative_to(compiling.ROOT).as_posix()
