"""
The network for inference: the numbers of `mahmr_model.network`, rearranged for speed.

`folding.py` turns a network's weights into fewer and larger products; `layout.py` says which
pixels, places and tokens a picture's size implies; `encoder.py`, `decoder.py` and `body.py`
compute in stages of fixed shapes; `stages.py` holds those stages as CUDA graphs, or calls them.
"""
