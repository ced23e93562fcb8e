"""Programs in the peers' environment: JSON in, JSON out."""

import json
import subprocess
from pathlib import Path
from typing import Any

from benchmarks.peers import corpus_python

ROOT = Path(__file__).parents[2]
HEAD = "import json, sys\nfrom benchmarks import corpus_peers as peers\ngiven = json.load(sys.stdin)\n"


def ask(program: str, given: Any) -> Any:
    """What a program prints last, as JSON; it finds its input as `given` and the peers as `peers`."""
    command = [str(corpus_python()), "-W", "ignore", "-c", HEAD + program]
    done = subprocess.run(command, cwd=ROOT, input=json.dumps(given), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])
