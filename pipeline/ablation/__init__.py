"""Ablation studies: Optuna chooses the next trial, the trainer trains it, and MLflow holds the tree of trials."""
