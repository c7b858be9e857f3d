"""What was held back up to the commit point goes on in batches of bounded work."""

import pytest

from parley.upstream.router import STEP_PAYLOADS, _in_steps
from parley.wire.sse import Last


@pytest.mark.parametrize("count", [0, 1, STEP_PAYLOADS, STEP_PAYLOADS + 1, 10 * STEP_PAYLOADS])
@pytest.mark.parametrize("kind", [list, Last])
def test_held_back_chunks_go_on_in_steps_to_the_last(kind: type, count: int) -> None:
    held = kind(b"%d" % number for number in range(count))
    batches = list(_in_steps(held))

    assert [payload for batch in batches for payload in batch] == held
    assert max(map(len, batches)) <= STEP_PAYLOADS
    assert [type(batch) for batch in batches] == [*[list] * (len(batches) - 1), kind]
    assert all(batches[:-1])
