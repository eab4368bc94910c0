"""The losses of MA-HMR: `losses.py` lists them, one function each."""
