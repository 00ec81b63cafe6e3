"""A model against a trajectory, beside the dull baselines.

*static* is the first frame for all times; *mean_shape* is the majority shape of the true frames,
the best that any single shape can do; *linear* goes straight from the first frame to the last.
The latter two are no predictions: they know the answer.
"""

from moedsr_core.evaluation.evaluate import evaluate
from moedsr_core.evaluation.options import EvaluateOptions
from moedsr_core.evaluation.result import Evaluation

__all__ = ["EvaluateOptions", "Evaluation", "evaluate"]
