"""Moving level sets in a narrow band: as few field evaluations as possible, one mesh per time."""

from moedsr_core.levelset.extract import LevelSetExtractor, dense_mesh, extract_frames
from moedsr_core.levelset.grid import Field, Grid, LevelSetConfig

__all__ = ["Field", "Grid", "LevelSetConfig", "LevelSetExtractor", "dense_mesh", "extract_frames"]
