"""Features: the values of any blobs for every picture, as .npz or Parquet, appended as they come."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from caffeport.errors import Refused
from caffeport.files import replacing
from caffeport.transform.needs import need

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from caffeport.predict.predictor import Prediction

FORMATS: Final = (".npz", ".parquet")
ROWS: Final = 1024


def check_features(target: Path) -> None:
    """Raise Refused for a suffix that features do not have, MissingPackage where its package is not there."""
    if target.suffix.lower() not in FORMATS:
        raise Refused(str(target), f"no features have the suffix {target.suffix!r}", " or ".join(FORMATS))
    if target.suffix.lower() == ".parquet":
        need("pyarrow", str(target))


class Column(NamedTuple):
    """The raw file of one blob, and the shape of one picture's values."""

    path: Path
    shape: tuple[int, ...]


class Features:
    """A folder beside the target that grows by a batch at a time and becomes the target at the end.

    Arrays are (N, ...) float32 by blob, means over the crops, or (N, crops, ...) with `each_crop`; the names stand in
    an array ``name`` (a blob of that name is stored as ``name.2``).
    """

    def __init__(
        self, target: Path, settings: Mapping[str, Any], blobs: Sequence[str], each_crop: bool = False
    ) -> None:
        """Begin, or go on where a stopped run was. Raises Refused where that run had other settings."""
        check_features(target)
        self.target, self.blobs, self.each_crop = target, tuple(blobs), each_crop
        self.folder = target.with_name(f"{target.name}.partial")
        self.names: list[str] = []
        self.shapes: dict[str, tuple[int, ...]] = {}
        head = json.dumps(settings, sort_keys=True)
        if self.folder.exists():
            self._go_on(head)
            return
        try:
            self.folder.mkdir(parents=True)
        except OSError as error:
            raise Refused(str(target), f"cannot be written ({error.strerror})") from None
        (self.folder / "settings.json").write_text(head)

    def _go_on(self, head: str) -> None:
        found = self.folder / "settings.json"
        if not found.is_file() or found.read_text() != head:
            todo = "remove that folder to begin anew"
            raise Refused(str(self.folder), "is left of a run with another model or other settings", "", todo)
        log = self.folder / "names.jsonl"
        for line in log.read_text("utf-8").splitlines() if log.exists() else ():
            try:
                names, shapes = json.loads(line)
            except ValueError:
                break
            self.names += names
            self.shapes = {blob: tuple(shape) for blob, shape in shapes.items()}
        for blob, shape in self.shapes.items():  # what was written without being logged is written again
            with open(self._path(blob), "r+b") as file:
                file.truncate(len(self.names) * 4 * prod(shape))

    def _path(self, blob: str) -> Path:
        return self.folder / f"{self.blobs.index(blob)}.f32"

    def add(self, found: Sequence[Prediction]) -> None:
        """Append some pictures' values, then their names: a name is there only once its values are."""
        if not found:
            return
        for blob in self.blobs:
            array = np.stack([one.outputs[blob] if self.each_crop else one.mean(blob) for one in found])
            shape = self.shapes.setdefault(blob, array.shape[1:])
            if array.shape[1:] != shape:
                raise Refused(blob, f"is {array.shape[1:]} for one picture and {shape} for others", "one size for all")
            with open(self._path(blob), "ab") as file:
                file.write(array.astype("<f4").tobytes())
        names = [one.key for one in found]
        with open(self.folder / "names.jsonl", "a", encoding="utf-8") as log:
            log.write(json.dumps([names, {blob: list(shape) for blob, shape in self.shapes.items()}]) + "\n")
        self.names += names

    def finish(self) -> None:
        """Write the target and remove the folder."""
        with replacing(self.target) as part:
            if self.target.suffix.lower() == ".npz":
                self._npz(part)
            else:
                self._parquet(part)
        shutil.rmtree(self.folder)

    def _columns(self) -> dict[str, Column]:
        return {
            "name.2" if blob == "name" else blob: Column(self._path(blob), self.shapes[blob]) for blob in self.shapes
        }

    def _npz(self, part: Path) -> None:
        """An .npz entry by entry, copied from the raw files: features need not fit into memory."""
        with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            with archive.open("name.npy", "w") as entry:
                np.lib.format.write_array(entry, np.array(self.names, dtype=np.str_))
            for name, column in self._columns().items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as entry, open(column.path, "rb") as raw:
                    header = {"descr": "<f4", "fortran_order": False, "shape": (len(self.names), *column.shape)}
                    np.lib.format.write_array_header_1_0(entry, header)
                    shutil.copyfileobj(raw, entry, 1 << 24)

    def _parquet(self, part: Path) -> None:
        """A row a picture, each blob a list of fixed length; the shapes stand in the schema's metadata."""
        arrow, parquet = need("pyarrow"), need("pyarrow.parquet")
        columns = self._columns()
        fields = [arrow.field("name", arrow.string())]
        for name, column in columns.items():
            shape = json.dumps(column.shape).encode()
            fields.append(
                arrow.field(name, arrow.list_(arrow.float32(), prod(column.shape)), metadata={"shape": shape})
            )
        schema = arrow.schema(fields)
        with parquet.ParquetWriter(str(part), schema) as writer:
            for names, arrays in self._blocks(columns):
                lists = [
                    arrow.FixedSizeListArray.from_arrays(arrow.array(array.reshape(-1)), prod(columns[name].shape))
                    for name, array in arrays.items()
                ]
                writer.write_table(arrow.table([arrow.array(names), *lists], schema=schema))

    def _blocks(self, columns: Mapping[str, Column]) -> Iterator[tuple[list[str], dict[str, NDArray[np.float32]]]]:
        for start in range(0, len(self.names), ROWS):
            names = self.names[start : start + ROWS]
            arrays = {}
            for name, column in columns.items():
                size = prod(column.shape)
                arrays[name] = np.fromfile(column.path, "<f4", len(names) * size, offset=4 * start * size)
            yield names, arrays
