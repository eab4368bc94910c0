# Copyright 2026 MAHMR maintainers
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""
The network for inference: the numbers of `mahmr_model.network`, rearranged for speed.

`folding.py` turns a network's weights into fewer and larger products; `layout.py` says which
pixels, places and tokens a picture's size implies; `encoder.py`, `decoder.py` and `body.py`
compute in stages of fixed shapes; `stages.py` holds those stages as CUDA graphs, or calls them.
"""
