"""One way to open what a caller hands in: a path, bytes or a binary file object.

Everything is opened here, in Python, and decoders only ever see a file object: a name that looks
like an address is never followed.
"""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from avatar.errors import InputError

ByteSource = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO

_SPOOL_BYTES = 32 << 20


def source_name(source: object) -> str:
    """What to call ``source`` in a message: its path, or what kind of thing it is."""
    if isinstance(source, str | os.PathLike):
        return os.fspath(cast("str | os.PathLike[str]", source))
    if isinstance(source, bytes | bytearray | memoryview):
        return f"<{len(source)} bytes>"
    name = getattr(source, "name", None)
    return name if isinstance(name, str) else f"<{type(source).__name__}>"


def is_byte_source(source: object) -> bool:
    """Whether ``source`` is a path, bytes or a readable file object."""
    kinds = (str, os.PathLike, bytes, bytearray, memoryview)
    return isinstance(source, kinds) or callable(getattr(source, "read", None))


@contextmanager
def opened(source: ByteSource, error: type[InputError]) -> Iterator[BinaryIO]:
    """The bytes of ``source`` as a seekable binary file, closed at the end if it was opened here.

    A stream that cannot seek (a pipe) is spooled: to memory first, to a temporary file when large.

    Raises:
        error: the file is missing, unreadable, a folder, or empty.
    """
    name = source_name(source)
    if isinstance(source, str | os.PathLike):
        with _open_path(os.fspath(source), error) as file, _seekable(file, name, error) as found:
            yield found
    elif isinstance(source, bytes | bytearray | memoryview):
        file = io.BytesIO(source)
        _refuse_empty(file, name, error)
        yield file
    else:
        _refuse_text(source, error)
        with _seekable(source, name, error) as found:
            yield found


def read_whole(source: BinaryIO, error: type[InputError]) -> bytes:
    """All that is left of a file object.

    Raises:
        error: it was opened as text.
    """
    _refuse_text(source, error)
    return source.read()


@contextmanager
def _seekable(file: BinaryIO, name: str, error: type[InputError]) -> Iterator[BinaryIO]:
    if file.seekable():
        _refuse_empty(file, name, error)
        yield file
        return
    with tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES) as spool:
        shutil.copyfileobj(file, spool)
        spool.seek(0)
        _refuse_empty(cast(BinaryIO, spool), name, error)
        yield cast(BinaryIO, spool)


def _open_path(path: str, error: type[InputError]) -> BinaryIO:
    try:
        return Path(path).open("rb")
    except FileNotFoundError:
        remedy = "nothing is fetched, download it first" if "://" in path else "check the path"
        raise error(f"{path}: no such file; {remedy}") from None
    except IsADirectoryError:
        raise error(f"{path}: is a folder; name one file in it") from None
    except PermissionError:
        raise error(f"{path}: no permission to read it; check the file's owner and mode") from None
    except (OSError, ValueError) as reason:
        raise error(f"{path}: cannot be opened ({reason}); check the path") from None


def _refuse_text(file: BinaryIO, error: type[InputError]) -> None:
    if isinstance(file, io.TextIOBase):
        raise error(f"{source_name(file)}: opened as text; open it with mode 'rb'")


def _refuse_empty(file: BinaryIO, name: str, error: type[InputError]) -> None:
    here = file.tell()
    end = file.seek(0, os.SEEK_END)
    file.seek(here)
    if end <= here:
        raise error(f"{name}: the file is empty (0 bytes); was it copied completely?")


class Nameless:
    """A file without its name, so that a decoder judges by the content alone."""

    def __init__(self, file: BinaryIO) -> None:
        self.read, self.seek, self.tell = file.read, file.seek, file.tell
