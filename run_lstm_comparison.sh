#!/usr/bin/env bash
# The complete pipeline: set-up, training of every model and seed, analysis, report.
# It says how long it will take before it trains, and the same command goes on where an earlier one stopped.
# Arguments are passed on: bash run_lstm_comparison.sh --seeds 0,1 --train.epochs 10
set -euo pipefail
cd "$(dirname "$0")"
make --no-print-directory setup
exec .venv/bin/python -m pipeline main --config config/lstm_comparison_config.json "$@"
