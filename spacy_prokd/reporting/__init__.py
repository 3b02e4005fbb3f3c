"""What a run did, for people: one HTML page and a model card.

It reads files; what it counts is in mistakes.py and preferences.py.
"""

from .model_card import render_model_card
from .page import write_report

__all__ = ["render_model_card", "write_report"]
