"""The classifier on a word's vector, and the prototypes of both languages, which are saved with it."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from .dropout import ByteDropout
from .prototypes import PrototypeBank


class TagHead(nn.Module):
    """Dropout and a linear layer from `h` to the classes, beside the banks of prototypes.

    width (int): Size of a word's vector.
    n_classes (int): Number of tags, O included.
    dropout (float): On the classifier's input; `h` for prototypes is taken before it.
    """

    def __init__(self, width: int, n_classes: int, dropout: float) -> None:
        super().__init__()
        self.config: dict[str, Any] = {"width": width, "n_classes": n_classes, "dropout": dropout}
        self.dropout = ByteDropout(dropout)
        self.classifier = nn.Linear(width, n_classes)
        nn.init.normal_(self.classifier.weight, std=0.02)
        nn.init.zeros_(self.classifier.bias)
        self.source = PrototypeBank(n_classes, width)
        self.target = PrototypeBank(n_classes, width)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> TagHead:
        """Build a head with new weights."""
        return cls(**config)

    def forward(self, h: Tensor) -> Tensor:
        """Logits [n_words, n_classes] of word vectors [n_words, width]."""
        return self.classifier(self.dropout(h))
