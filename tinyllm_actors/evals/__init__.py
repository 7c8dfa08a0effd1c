"""Evaluation: Functions that score what other Functions answer."""

from tinyllm_actors.evals.evaluator import Evaluator

__all__ = ["Evaluator"]
