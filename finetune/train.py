"""One process of a run, under `accelerate launch -m finetune.train RECIPE [key=value ...]`."""

import sys

from finetune.sft.train import main

if __name__ == "__main__":
    sys.exit(main())
