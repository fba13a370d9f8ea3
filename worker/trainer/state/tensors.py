"""A file of arrays and facts in the format of safetensors. Reading it runs no code from the file.

It holds the length of a JSON header in eight bytes, the header, then the arrays one after another,
all little-endian. Every framework can read it, and it supports bfloat16.

The `safetensors` package (0.8.0) does not serve: with NumPy it cannot read bfloat16, and it neither
flushes a file to disk nor computes a checksum as it writes. Flushing a state of 512 MB and reading
it again for the checksum took 1.3 to 2.6 s, where `write` took 0.8 to 1.4 s.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]

# The name that safetensors uses for each type.
_WORDS = {
    np.dtype(kind): word
    for kind, word in {
        np.bool_: "BOOL",
        np.uint8: "U8",
        np.uint16: "U16",
        np.uint32: "U32",
        np.uint64: "U64",
        np.int8: "I8",
        np.int16: "I16",
        np.int32: "I32",
        np.int64: "I64",
        np.float16: "F16",
        ml_dtypes.bfloat16: "BF16",
        np.float32: "F32",
        np.float64: "F64",
    }.items()
}
_DTYPES = {word: dtype for dtype, word in _WORDS.items()}
# Keys of the header under which the facts are stored; safetensors keeps texts in `__metadata__`.
_META, _FACTS = "__metadata__", "fornada"
_LENGTH_BYTES = 8
# Longest header in bytes, as in safetensors.
_LONGEST_HEADER = 100_000_000
# Arrays begin at a multiple of so many bytes, so that a reader may map them into memory.
_ALIGN = 8
_CHUNK_BYTES = 2**22


class Broken(Exception):  # a finding about a file, said in the log
    """The reason, in a few words, why a saved state cannot be used."""


def size(facts: str, arrays: Mapping[str, NDArray[Any]]) -> int:
    """Size in bytes of the file that `write` writes."""
    return len(_head(facts, arrays)) + sum(array.nbytes for array in arrays.values())


def write(path: Path, facts: str, arrays: Mapping[str, NDArray[Any]]) -> tuple[int, str]:
    """Write a file and flush it to disk.

    Args:
        path: the file. It is overwritten in place, so a reader may see half of it.
        facts: any text.
        arrays: arrays of any shape, with one of the types above.
    Returns:
        The size in bytes and the sha256 in hexadecimal.

    Raises:
        OSError: the file cannot be written.
    """
    digest, total = hashlib.sha256(), 0
    with path.open("wb", buffering=0) as file:
        for part in (_head(facts, arrays), *map(_bytes, arrays.values())):
            for start in range(0, len(part), _CHUNK_BYTES):
                chunk = part[start : start + _CHUNK_BYTES]
                digest.update(chunk)
                total += len(chunk)
                while chunk:
                    chunk = chunk[file.write(chunk) :]
        os.fsync(file.fileno())
    return total, digest.hexdigest()


def read(path: Path, sha256: str) -> tuple[str, Arrays]:
    """Read a file that `write` wrote.

    Args:
        path: the file.
        sha256: expected checksum of its content, in hexadecimal.
    Returns:
        The facts and the arrays.

    Raises:
        Broken: the content has another checksum or another layout.
        OSError: the file cannot be read.
    """
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise Broken(f"its sha256 is {found[:16]}…, not {sha256[:16]}…")
    try:
        return _parse(content)
    except (ValueError, KeyError, TypeError) as error:
        # The checksum is right, so a program with another layout wrote the file.
        raise Broken(f"it has another layout: {error}") from error


def _parse(content: bytes) -> tuple[str, Arrays]:
    length = int.from_bytes(content[:_LENGTH_BYTES], "little")
    if length > min(_LONGEST_HEADER, len(content)):
        raise ValueError(f"a header of {length} bytes")
    begin = _LENGTH_BYTES + length
    header = json.loads(content[_LENGTH_BYTES:begin])
    facts = header.pop(_META)[_FACTS]
    arrays = {}
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        flat = np.frombuffer(content[begin + start : begin + end], _DTYPES[entry["dtype"]])
        arrays[name] = flat.reshape(entry["shape"])
    return facts, arrays


def _head(facts: str, arrays: Mapping[str, NDArray[Any]]) -> memoryview:
    header: dict[str, Any] = {_META: {_FACTS: facts}}
    start = 0
    for name, array in arrays.items():
        end = start + array.nbytes
        word = _WORDS[array.dtype]
        header[name] = {"dtype": word, "shape": list(array.shape), "data_offsets": [start, end]}
        start = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % _ALIGN)
    return memoryview(len(text).to_bytes(_LENGTH_BYTES, "little") + text)


def _bytes(array: NDArray[Any]) -> memoryview:
    # Viewed as bytes, because NumPy has no buffer format for bfloat16.
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
