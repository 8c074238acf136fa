#!/bin/sh
# Runs a test written in Python, or counts it as skipped where there is no Python 3.
case $PYTHON3 in
'' | no) echo "[  SKIPPED ] $(basename "$1" .py) (no python3)"; exit 0 ;;
esac
exec "$PYTHON3" -B "$@"
