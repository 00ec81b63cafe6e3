"""A model against a trajectory, beside the dull baselines.

*static* is the first frame for all times; *mean_shape* is the majority shape of the true frames,
the best that any single shape can do; *linear* goes straight from the first frame to the last.
The latter two are no predictions: they know the answer. *local_trees* are boosted trees that were
grown on other proteins.

Nothing is imported here: the processes that measure frames need no network.
"""
