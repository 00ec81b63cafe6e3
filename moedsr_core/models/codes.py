"""Codes of the training trajectories, kept beside the weights they were learned with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from moedsr_core.errors import CheckpointError
from moedsr_core.files import whole_file
from moedsr_core.wording import reason

CODES_FILE = "codes.safetensors"


def save_codes(folder: Path, codes: Mapping[str, Float[Tensor, " latent"]]) -> None:
    """Write the code of each trajectory by name into a folder of weights.

    Raises:
        InputError: If the disk is full, or the place cannot be written to.
    """
    with whole_file(folder / CODES_FILE) as file:
        file.write(save({name: z.detach().cpu().clone() for name, z in codes.items()}))


def read_codes(folder: Path) -> dict[str, Float[Tensor, " latent"]]:
    """Codes by trajectory; none where the weights came without.

    Raises:
        CheckpointError: If the file is damaged.
    """
    if not (folder / CODES_FILE).exists():
        return {}
    try:
        return load_file(folder / CODES_FILE)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"the codes in {folder} cannot be read ({reason(error)}); copy them again"
        ) from error
