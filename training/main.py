"""
Training, evaluation and inference: `accelerate launch training/main.py --stage 3`.

`training.command` says what there is to say on the command line.
"""

from pathlib import Path
import sys

if __name__ == '__main__':
    # Started as a script, Python looks for modules in this folder instead of the one above it.
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from training.command import main

    raise SystemExit(main())
