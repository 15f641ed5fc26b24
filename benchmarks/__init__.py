"""Benchmarks of toolboxsio beside python-socketio: `python -m benchmarks --help`."""
