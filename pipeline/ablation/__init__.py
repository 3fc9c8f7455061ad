"""Ablation studies: Optuna says what is tried next, the trainer trains it, MLflow holds the tree of trials."""
