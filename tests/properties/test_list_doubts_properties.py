"""What holds for any name on a list: however it is made, it takes no time."""

import pytest
from testkit.work import ending

from jitr.devicelists.doubts import Names
from jitr.devicelists.rows import ListRow


@pytest.mark.parametrize("piece", ["[", "[-", " ", ".", "a1-", "x ", ": ", ";", "\u0301", "{1", "1 1", "a.", "^", "a,"])
def test_no_name_takes_long_however_it_is_made(piece: str) -> None:
    names = Names()
    with ending():
        for _ in range(1000):
            names.doubt(ListRow(common_name=(piece * 512)[:511] + "!"))
