"""Short benchmarks that need the installed package alone: `toolboxsio bench`.

The long ones are `python -m benchmarks` in a source checkout, which use these modules.
"""

from pathlib import Path

PAYLOADS = Path(__file__).parent / "payloads"
