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

"""What is made ahead comes in order, once, and with its errors."""

from __future__ import annotations

from collections.abc import Iterator
import threading

import pytest
import torch
from training.ahead import one_ahead


@pytest.fixture
def as_if_on_cuda(monkeypatch: pytest.MonkeyPatch) -> torch.device:
    """Give CUDA's device where there is none; the thread is real."""
    monkeypatch.setattr(torch.cuda, 'set_device', lambda device: None)
    return torch.device('cuda:0')


def test_items_come_in_order_and_one_is_made_ahead(as_if_on_cuda: torch.device) -> None:
    made: list[int] = []
    second = threading.Event()

    def items() -> Iterator[int]:
        for number in range(4):
            made.append(number)
            if number == 1:
                second.set()
            yield number

    ahead = one_ahead(items(), as_if_on_cuda)
    assert next(ahead) == 0
    assert second.wait(30)  # though nobody asked for it
    assert list(ahead) == [1, 2, 3]
    assert made == [0, 1, 2, 3]


def test_error_in_the_making_arrives(as_if_on_cuda: torch.device) -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError('no second')

    ahead = one_ahead(items(), as_if_on_cuda)
    assert next(ahead) == 1
    with pytest.raises(ValueError, match='no second'):
        next(ahead)


def test_thread_ends_with_who_used_it(as_if_on_cuda: torch.device) -> None:
    ahead = one_ahead(iter(range(100)), as_if_on_cuda)
    next(ahead)
    ahead.close()
    assert not [t for t in threading.enumerate() if t.name.startswith('ahead')]


def test_nothing_is_made_ahead_on_a_cpu() -> None:
    made: list[int] = []
    ahead = one_ahead((made.append(n) or n for n in range(3)), torch.device('cpu'))
    assert next(ahead) == 0
    assert made == [0]
