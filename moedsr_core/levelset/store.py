"""Prepared grid nodes, kept for all times."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from moedsr_core.errors import MoedsrError
from moedsr_core.levelset.grid import Field, Grid

_CHUNK = 2**17
"""Nodes gathered at a time, which bounds the memory beside the store."""


class NodeStore:
    """One row per prepared node: what a field knows of it that does not depend on time.

    When the store is full it is emptied and starts again with the nodes in use; nodes that do
    not fit even then are prepared for the one evaluation and forgotten. Several threads may ask.

    Args:
        field: The field to evaluate.
        grid: Where its nodes lie.
        megabytes: Memory for rows [MiB].
    """

    def __init__(self, field: Field, grid: Grid, megabytes: float) -> None:
        self.field, self.grid = field, grid
        self._lock = threading.Lock()
        self.prepared = 0
        self.evaluations = 0
        self._bytes = megabytes * 2**20
        self._row_of = np.full(grid.size, -1, np.int32)
        self._rows: dict[str, torch.Tensor] = {}
        self._used = 0
        self._capacity = 0
        self._limit = 0

    def values(self, nodes: Int[np.ndarray, " n"], t: float) -> Float[np.ndarray, " n"]:
        """Field at distinct nodes and one time [Å], float32.

        Raises:
            MoedsrError: If the field gives anything but finite numbers.
        """
        chunks = [nodes[i : i + _CHUNK] for i in range(0, len(nodes), _CHUNK)]
        result = np.concatenate([self._chunk(c, t) for c in chunks] or [np.zeros(0, np.float32)])
        if not np.isfinite(result).all():
            raise MoedsrError(
                f"the model gave {int((~np.isfinite(result)).sum())} values that are not numbers "
                f"at t = {t:g}; its weights do not suit this structure, use another model"
            )
        return result

    def fetch(self, nodes: Int[np.ndarray, " n"]) -> None:
        """Prepare distinct nodes that will be asked for, as far as half the store holds them.

        A few at a time cost several times as much each.

        Args:
            nodes: The most needed ones first.
        """
        with self._lock:
            missing = nodes[self._row_of[nodes] < 0]
            for start in range(0, len(missing), _CHUNK):
                chunk = missing[start : start + _CHUNK]
                if self._rows and self._used + len(chunk) > self._limit // 2:
                    return
                self._add(chunk, self._prepare(chunk))

    def _chunk(self, nodes: Int[np.ndarray, " n"], t: float) -> Float[np.ndarray, " n"]:
        result = np.empty(len(nodes), np.float32)
        for part, rows in self._rows_for(nodes):
            result[part] = np.asarray(self.field.values(rows, t))
        return result

    def _rows_for(
        self, nodes: Int[np.ndarray, " n"]
    ) -> list[tuple[Bool[np.ndarray, " n"], dict[str, Any]]]:
        """Rows of nodes: of those that are kept, and of those that are not, where there are any."""
        with self._lock:
            self.evaluations += len(nodes)
            missing = nodes[self._row_of[nodes] < 0]
            if len(missing):
                rows = self._prepare(missing)
                if not self._add(missing, rows):
                    self._forget()
                    self._add(missing, rows)
            kept = self._row_of[nodes] >= 0
            sources = ((kept, self._gather), (~kept, self._prepare))
            return [(part, source(nodes[part])) for part, source in sources if part.any()]

    def _prepare(self, nodes: Int[np.ndarray, " n"]) -> dict[str, Any]:
        self.prepared += len(nodes)
        return self.field.prepare(self.grid.points(nodes))

    def _gather(self, nodes: Int[np.ndarray, " n"]) -> dict[str, Any]:
        rows = torch.from_numpy(self._row_of[nodes].astype(np.int64))
        return {
            name: values.index_select(0, rows.to(values.device))
            for name, values in self._rows.items()
        }

    def _add(self, nodes: Int[np.ndarray, " n"], rows: dict[str, torch.Tensor]) -> bool:
        """Keep rows; False, and nothing kept, where they do not fit."""
        if not self._rows:
            width = sum(v[:1].numel() * v.element_size() for v in rows.values())
            self._limit = int(self._bytes // max(width, 1))
        end = self._used + len(nodes)
        if end > self._limit:
            return False
        if end > self._capacity:
            self._grow(rows, min(self._limit, max(end, 2 * self._capacity)))
        for name, values in rows.items():
            self._rows[name][self._used : end] = values
        self._row_of[nodes] = np.arange(self._used, end, dtype=np.int32)
        self._used = end
        return True

    def _grow(self, like: dict[str, torch.Tensor], capacity: int) -> None:
        for name, values in like.items():
            larger = values.new_empty((capacity, *values.shape[1:]))
            if self._used:
                larger[: self._used] = self._rows[name][: self._used]
            self._rows[name] = larger
        self._capacity = capacity

    def _forget(self) -> None:
        self._row_of.fill(-1)
        self._used = 0
