"""What happens when nobody reads any more."""

import os
from pathlib import Path

from codeblue.cli.frame import emit, printable


def test_a_reader_that_is_gone_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream:
        emit("a line", stream)
        emit("another", stream)
        assert Path(f"/proc/self/fd/{stream.fileno()}").resolve() == Path(os.devnull)


def test_nothing_that_others_wrote_steers_a_terminal() -> None:
    assert printable("\x1b[31mred\x07\x9b\u202e\nnext") == "�[31mred���\nnext"
