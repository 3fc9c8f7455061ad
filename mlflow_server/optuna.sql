-- The second database of the stack, for the trials of ablation studies; PostgreSQL runs this at its first start.
CREATE DATABASE optuna;
