"""Sweeps: Optuna proposes parameters, ``dvc exp run`` tries them, the best become an experiment of ``conf/``."""
