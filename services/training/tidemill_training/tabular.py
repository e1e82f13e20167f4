"""The built-in network for tables: numbers with gaps, categories, residual blocks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tidemill_training.trainer import Shape

CLIP: Final = 5.0
"""Standardised numbers beyond this say no more than this: outliers cannot steer a prediction."""
MAX_EMBEDDING: Final = 32


class Tabular:
    """Standardise, mark what is missing, embed categories, then residual blocks."""

    def defaults(self) -> Mapping[str, float]:
        """Name every parameter with its default."""
        return {
            "hidden": 64,
            "layers": 2,
            "dropout": 0.3,
            "embedding_dropout": 0.5,
            "members": 1,
        }

    def network(self, shape: Shape, parameters: Mapping[str, float]) -> nn.Module:
        """Return one network, or several whose outputs are averaged (`members`)."""
        members = max(int(parameters["members"]), 1)
        prepare = Prepare(shape)
        return Ensemble(prepare, [TabularNet(shape, parameters) for _ in range(members)])


class Prepare(nn.Module):
    """Numbers [n, F] with NaN become standardised, clipped ones and missing marks [n, 2F]."""

    location: torch.Tensor
    scale: torch.Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.register_buffer("location", torch.from_numpy(shape.location.copy()))
        self.register_buffer("scale", torch.from_numpy(shape.scale.copy()))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Fill gaps with the middle of the training rows, which is 0 after standardisation."""
        missing = torch.isnan(features)
        filled = torch.where(missing, self.location, features)
        standard = torch.clamp((filled - self.location) / self.scale, -CLIP, CLIP)
        return torch.cat([standard, missing.to(features.dtype)], dim=1)


class Block(nn.Module):
    """x + dropout(W relu(V norm(x))): deep enough to bend, close enough to linear to be stable."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.inner = nn.Linear(width, width)
        self.outer = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add what the block has to say."""
        said: torch.Tensor = self.dropout(self.outer(torch.relu(self.inner(self.norm(x)))))
        return x + said


class TabularNet(nn.Module):
    """Prepared numbers and embedded categories through residual blocks to one output."""

    def __init__(self, shape: Shape, parameters: Mapping[str, float]) -> None:
        super().__init__()
        widths = [
            declared or min(MAX_EMBEDDING, math.ceil(math.sqrt(size)))
            for size, declared in zip(shape.category_sizes, shape.embeddings, strict=True)
        ]
        tables = [
            nn.Embedding(size, width)
            for size, width in zip(shape.category_sizes, widths, strict=True)
        ]
        for table in tables:
            nn.init.normal_(table.weight, std=0.1)
        self.embeddings = nn.ModuleList(tables)
        hidden = int(parameters["hidden"])
        self.embedding_dropout = nn.Dropout(parameters["embedding_dropout"])
        self.enter = nn.Linear(2 * shape.location.size + sum(widths), hidden)
        self.blocks = nn.ModuleList(
            Block(hidden, parameters["dropout"]) for _ in range(int(parameters["layers"]))
        )
        self.norm = nn.LayerNorm(hidden)
        self.leave = nn.Linear(hidden, 1)
        nn.init.zeros_(self.leave.weight)
        nn.init.constant_(self.leave.bias, shape.prior)

    def forward(self, prepared: torch.Tensor, categories: torch.Tensor) -> torch.Tensor:
        """Return the output [n, 1]."""
        parts = [prepared]
        if len(self.embeddings) > 0:
            embedded = [table(categories[:, i]) for i, table in enumerate(self.embeddings)]
            parts.append(self.embedding_dropout(torch.cat(embedded, dim=1)))
        x = self.enter(torch.cat(parts, dim=1))
        for block in self.blocks:
            x = block(x)
        return self.leave(torch.relu(self.norm(x)))  # type: ignore[no-any-return]


class Ensemble(nn.Module):
    """The mean output of members that share their preparation."""

    def __init__(self, prepare: Prepare, members: list[TabularNet]) -> None:
        super().__init__()
        self.prepare = prepare
        self.members = nn.ModuleList(members)

    def forward(self, features: torch.Tensor, categories: torch.Tensor) -> torch.Tensor:
        """Return the mean of the members' outputs [n, 1]."""
        prepared = self.prepare(features)
        outputs = [member(prepared, categories) for member in self.members]
        return torch.stack(outputs).mean(dim=0)
