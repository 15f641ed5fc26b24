"""The tests of python-socketio and python-engineio, run on this package's classes."""
