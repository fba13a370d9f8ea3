"""Saves a model again and again: Keras does it once, and from then on only the numbers are new.

Keras walks through the whole model each time and makes its like, layer by layer: 20 ms for a small
one, which a training of short epochs would spend on little else. Its file differs from the last one
in the values of the variables alone, in the configuration and in the date.
"""

import io
import json
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import h5py
import keras
from keras.src.saving.serialization_lib import ObjectSharingScope

# What is kept of a file, at most: a larger model takes longer to write than to walk through.
_MOST_BYTES = 2**24
# Times that a file is looked at. Two variables may be alike after the first epoch, not after all.
_LOOKS = 3

# Members of a `.keras` file, as `keras/src/saving/saving_lib.py` names them.
_METADATA, _CONFIG, _WEIGHTS = "metadata.json", "config.json", "model.weights.h5"


class Saving:
    """Saves one model to files that are what Keras would write, byte for byte but for the date.

    Args:
        model: built.
        save: Keras's own way to a file: `model.save` or `model.save_weights`.
    """

    def __init__(self, model: keras.Model, save: Callable[[Path], object]) -> None:
        self._model = model
        self._save = save
        self._mould: _Mould | None = None
        self._looks = 0

    def __call__(self, path: Path) -> None:
        """Write the file.

        Args:
            path: its name tells Keras the format.
        """
        if self._mould is None:
            self._save(path)
            self._looks += 1
            if self._looks <= _LOOKS and path.stat().st_size <= _MOST_BYTES:
                self._mould = _Mould.of(path, self._model)
        else:
            path.write_bytes(self._mould.cast(self._model))


@dataclass(frozen=True)
class _Mould:
    """A file as Keras wrote it, and where the numbers go.

    Attributes:
        weights: the HDF5 file, in the `.keras` file or alone.
        places: for each of its datasets the first byte, and which of the model's variables it is.
        metadata: of the `.keras` file; None for a file of weights.
    """

    weights: bytearray
    places: tuple[tuple[int, int], ...]
    metadata: dict[str, str] | None

    @classmethod
    def of(cls, path: Path, model: keras.Model) -> Self | None:
        """What Keras has just written; None where it is not understood to the last byte."""
        content, metadata = path.read_bytes(), None
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                if sorted(archive.namelist()) != sorted((_METADATA, _CONFIG, _WEIGHTS)):
                    return None
                content = archive.read(_WEIGHTS)
                metadata = json.loads(archive.read(_METADATA))
                if archive.read(_CONFIG) != _config(model):
                    return None
            if metadata.keys() != {"keras_version", "date_saved"}:
                return None
        places = _places(content, _values(model))
        return cls(bytearray(content), places, metadata) if places else None

    def cast(self, model: keras.Model) -> bytes:
        """The file with the model's numbers of now."""
        values = _values(model)
        for begin, variable in self.places:
            self.weights[begin : begin + len(values[variable])] = values[variable]
        if self.metadata is None:
            return bytes(self.weights)
        now = f"{datetime.now():%Y-%m-%d@%H:%M:%S}"
        with io.BytesIO() as file:
            with zipfile.ZipFile(file, "w") as archive:
                archive.writestr(_METADATA, json.dumps({**self.metadata, "date_saved": now}))
                archive.writestr(_CONFIG, _config(model))
                archive.writestr(_WEIGHTS, self.weights)
            return file.getvalue()


def _config(model: keras.Model) -> bytes:
    """What Keras says of a model's layers and of how it is compiled, its learning rate of now."""
    with ObjectSharingScope():
        return json.dumps(keras.saving.serialize_keras_object(model)).encode()


def _places(content: bytes, values: Sequence[bytes]) -> tuple[tuple[int, int], ...] | None:
    """Where each variable lies; None where a dataset is none of them, or may be several."""
    owners: dict[bytes, list[int]] = {}
    for variable, value in enumerate(values):
        owners.setdefault(value, []).append(variable)
    found = []
    for begin, size in _datasets(content):
        variables = owners.pop(content[begin : begin + size], [])
        if begin < 0 or len(variables) != 1:
            return None
        found.append((begin, variables[0]))
    return tuple(found)


def _datasets(content: bytes) -> list[tuple[int, int]]:
    """First byte, -1 where it is not stored in one piece, and size of each dataset."""
    found: list[tuple[int, int]] = []

    def add(_: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.size:
            begin = item.id.get_offset()
            found.append((-1 if begin is None else begin, item.id.get_storage_size()))

    with h5py.File(io.BytesIO(content), "r") as file:
        file.visititems(add)
    return found


def _values(model: keras.Model) -> list[bytes]:
    """Of all variables that a file may hold."""
    optimizer = getattr(model, "optimizer", None)
    variables = [*model.variables, *(optimizer.variables if optimizer else ())]
    return [keras.ops.convert_to_numpy(variable).tobytes() for variable in variables]
