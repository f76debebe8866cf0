"""The models this package ships: ``<name>.safetensors`` with ``<name>.json`` beside it.

The JSON holds what made the weights (configuration, data, licences, command) and the sha256 of the
tensors. Nothing is unpickled, nothing is downloaded, and a file that is not exactly what its JSON
names is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from avatar.errors import WeightsError

__all__ = ["load_weights", "save_weights"]

_REINSTALL = "reinstall the package, or name a folder that holds the model"


def load_weights(
    name: str, *, folder: Path | str | None = None
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the model ``name``: its tensors, and the JSON beside them.

    Args:
        name: file name without suffix, such as ``"audio_to_face"``.
        folder: where to look; the folder of this package by default.

    Raises:
        WeightsError: a file is missing, unreadable, or not the one its sha256 names.
    """
    place = Path(folder) if folder is not None else Path(__file__).parent
    tensors_path, config_path = place / f"{name}.safetensors", place / f"{name}.json"
    try:
        data = tensors_path.read_bytes()
        config = json.loads(config_path.read_text(encoding="utf-8"))
    except OSError as error:
        raise WeightsError(
            f"the weights of {name!r} cannot be read "
            f"({error.filename}: {error.strerror}); {_REINSTALL}"
        ) from error
    except ValueError as error:
        raise WeightsError(f"{config_path} is not valid JSON ({error}); {_REINSTALL}") from error
    if not isinstance(config, dict) or "sha256" not in config:
        raise WeightsError(f"{config_path} names no sha256 of the weights; {_REINSTALL}")
    digest = hashlib.sha256(data).hexdigest()
    if digest != config["sha256"]:
        raise WeightsError(
            f"{tensors_path} is damaged or of another version: sha256 {digest[:12]}…, "
            f"expected {str(config['sha256'])[:12]}…; {_REINSTALL}"
        )
    try:
        return load(data), config
    except SafetensorError as error:
        raise WeightsError(f"{tensors_path} is not a safetensors file ({error})") from error


def save_weights(
    name: str,
    tensors: Mapping[str, Tensor],
    config: Mapping[str, Any],
    folder: Path | str | None = None,
) -> Path:
    """Write ``tensors`` and ``config`` (sha256 added) as the model ``name``; gives its path.

    Each file is written under a temporary name and renamed; the JSON comes last, so what an
    interrupted save leaves is refused by ``load_weights`` rather than half read.
    """
    place = Path(folder) if folder is not None else Path(__file__).parent
    place.mkdir(parents=True, exist_ok=True)
    data = save({key: value.detach().cpu().contiguous() for key, value in tensors.items()})
    document = {**config, "sha256": hashlib.sha256(data).hexdigest()}
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    target = place / f"{name}.safetensors"
    for path, content in ((target, data), (place / f"{name}.json", text.encode())):
        temporary = path.with_name(path.name + ".part")
        temporary.write_bytes(content)
        temporary.replace(path)
    return target
