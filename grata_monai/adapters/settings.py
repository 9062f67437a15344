# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Settings as scikit-learn does them: what the constructor takes is what the object is."""

from __future__ import annotations

import inspect
from typing import Any


class Configurable:
    """Object whose constructor stores every (keyword-only) argument under its own name."""

    @classmethod
    def parameter_names(cls) -> tuple[str, ...]:
        """Names of the constructor's arguments."""
        return tuple(name for name in inspect.signature(cls.__init__).parameters if name != "self")

    def get_params(self) -> dict[str, Any]:
        """Return the settings; ``type(this)(**this.get_params())`` is its equal."""
        return {name: getattr(self, name) for name in self.parameter_names()}

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in self.get_params().items())
        return f"{type(self).__name__}({settings})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and pickles have the settings and nothing of what happened since."""
        return _rebuild, (type(self), self.get_params())


def _rebuild(cls: type[Configurable], settings: dict[str, Any]) -> Configurable:
    return cls(**settings)
