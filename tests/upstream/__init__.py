"""The tests of python-socketio, python-engineio and uvicorn, run on this package's classes."""
