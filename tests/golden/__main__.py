"""Write the golden numbers anew."""

import json
import tempfile
from pathlib import Path

from tests import golden

with tempfile.TemporaryDirectory() as folder:
    numbers = {case: golden.run(Path(folder) / str(number), case) for number, case in enumerate(golden.CASES)}
golden.FILE.write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
print(f"wrote {golden.FILE}")
