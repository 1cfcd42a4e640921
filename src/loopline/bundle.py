"""Bundles on disk: written once under the digest of their content, read only when every byte is what was written.

    bundles/NAME-DIGEST/      the first 12 digits of the bundle's digest
      bundle.json             `ModelBundle`: what the other files are, and the digest of each
      graph.onnx              the network, with a free batch axis
      reference.npz           raw inputs and the outputs that they must give
      drift.npz               embeddings and outputs of held-out examples
      card.md                 the model card

JSON, ONNX, arrays and text: nothing in a bundle executes, and no array is unpickled.
"""

from __future__ import annotations

import io
import itertools
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from loopline.core.errors import InputError, IntegrityError, UnknownName
from loopline.core.records import FileEntry, ModelBundle
from loopline.core.store import atomic_folder, digest_bytes, digest_json, write_bytes
from loopline.core.workspace import Workspace

BUNDLE_FILE = "bundle.json"
CARD_FILE = "card.md"
SCHEMA_VERSION = 1
# Stands in `digest` until the bundle is written.
UNSEALED = "0" * 64
_PREFIX_DIGITS = 12
_LEAST_DIGITS = 6

Arrays = dict[str, NDArray[Any]]


def write_bundle(bundles: Path, bundle: ModelBundle, files: Mapping[str, bytes]) -> Path:
    """Seals a bundle with its digest and writes it to a new folder in `bundles`, atomically; returns the folder.

    `bundle.files` must be `list_files(files)`. A folder that holds the same bundle already is verified and returned.
    """
    if dict(bundle.files) != list_files(files):
        raise InputError("the bundle's list of files differs from the files given; expected list_files(files).")
    sealed = bundle.model_copy(update={"digest": bundle_digest(bundle.model_dump(mode="json"))})
    folder = bundles / folder_name(sealed)
    if folder.exists():
        read_bundle(folder)
        return folder
    with atomic_folder(folder) as temporary:
        for path, data in files.items():
            write_bytes(temporary / path, data)
        write_bytes(temporary / BUNDLE_FILE, _bundle_text(sealed.model_dump(mode="json")))
    return folder


def read_bundle(folder: Path) -> ModelBundle:
    """Reads a bundle and checks every byte of it: the record's digest, each file's size and SHA-256, no other file.

    Raises `IntegrityError` naming the file that differs, and `UnknownName` where there is no bundle.
    """
    bundle = read_record_only(folder)
    _check_nothing_else(folder, bundle)
    for path in bundle.files:
        read_file(folder, bundle, path)
    return bundle


def read_record_only(folder: Path) -> ModelBundle:
    """Reads and checks `bundle.json` alone, which is enough to show a bundle but not to trust its files."""
    if not (folder / BUNDLE_FILE).is_file():
        raise UnknownName("bundle", str(folder), [], next_command="loopline export latest")
    path = folder / BUNDLE_FILE
    _refuse_link(path)
    raw = path.read_bytes()
    value = _parse(raw, path)
    if bundle_digest(value) != value.get("digest"):
        raise IntegrityError(f"'{path}' was changed: its content does not give the digest that it states.")
    # The digest is of the content; the bytes must be the one text of it, so that no byte can differ unnoticed.
    if _bundle_text(value) != raw:
        raise IntegrityError(f"'{path}' was changed: it is not laid out as it was written.")
    try:
        return ModelBundle.model_validate(value)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, item['loc'])) or 'record'}: {item['msg']}" for item in error.errors())
        raise IntegrityError(f"'{path}' is no valid bundle: {problems}.") from None


def read_file(folder: Path, bundle: ModelBundle, path: str) -> bytes:
    """The bytes of one listed file, checked against its size and digest: what is checked is what is used."""
    entry = bundle.files[path]
    file = folder / path
    _refuse_link(file)
    if not file.is_file():
        raise IntegrityError(f"bundle '{folder}' lacks its file '{path}'.")
    num_bytes = file.stat().st_size
    if num_bytes != entry.num_bytes:
        raise IntegrityError(f"'{file}' was changed: it has {num_bytes:,} bytes; expected {entry.num_bytes:,}.")
    data = file.read_bytes()
    if digest_bytes(data) != entry.digest:
        raise IntegrityError(f"'{file}' was changed: its SHA-256 is not {entry.digest[:12]}….")
    return data


def list_files(files: Mapping[str, bytes]) -> dict[str, FileEntry]:
    """Size and digest of each file, as `ModelBundle.files` keeps them."""
    return {path: FileEntry(digest=digest_bytes(data), num_bytes=len(data)) for path, data in files.items()}


def bundle_digest(value: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON of all keys of a bundle's record but `digest` itself."""
    return digest_json({key: item for key, item in value.items() if key != "digest"})


def folder_name(bundle: ModelBundle) -> str:
    """The name of the folder that a sealed bundle is written to."""
    return f"{bundle.name}-{bundle.digest[:_PREFIX_DIGITS]}"


def pack_arrays(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Arrays as the bytes of an .npz file; equal arrays give equal bytes, on any machine and at any time."""
    buffer = io.BytesIO()
    # By hand and uncompressed: `numpy.savez` leaves time stamps and zlib's version to chance.
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0)), "w") as file:
                np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()


def unpack_arrays(data: bytes, *, names: Sequence[str], origin: str) -> Arrays:
    """The named arrays of an .npz file, without pickle; raises `IntegrityError` naming `origin` if it lacks one."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            missing = sorted(set(names) - set(archive.files))
            if missing:
                raise IntegrityError(f"'{origin}' lacks the arrays {', '.join(missing)}.")
            return {name: archive[name] for name in names}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise IntegrityError(f"'{origin}' is no file of plain arrays: {error}.") from error


def pack_reference(raws: Sequence[bytes], outputs: Mapping[str, NDArray[np.float32]]) -> bytes:
    """Raw inputs, whatever their lengths, and one output array per name as one .npz: `data`, `offsets`, the outputs."""
    offsets = np.cumsum([0, *map(len, raws)], dtype=np.int64)
    return pack_arrays({"data": np.frombuffer(b"".join(raws), dtype=np.uint8), "offsets": offsets, **outputs})


def read_reference(folder: Path, bundle: ModelBundle) -> tuple[list[bytes], Arrays]:
    """The raw reference inputs of a bundle and, by output name, what they must give."""
    path = bundle.reference.inputs_file
    names = [output.name for output in bundle.outputs]
    arrays = unpack_arrays(read_file(folder, bundle, path), names=["data", "offsets", *names], origin=path)
    data, offsets = arrays.pop("data"), arrays.pop("offsets")
    num_inputs = bundle.reference.num_inputs
    if not _are_pieces(data, offsets, num_inputs) or not all(_are_rows(array, num_inputs) for array in arrays.values()):
        raise IntegrityError(f"'{path}' does not hold {num_inputs} inputs with their outputs.")
    whole = data.tobytes()
    return [whole[start:stop] for start, stop in itertools.pairwise(offsets)], arrays


def read_drift_reference(folder: Path, bundle: ModelBundle) -> Arrays:
    """`embedding` (num_drift, D) and `outputs` (num_drift, K), float32, of examples that training did not see."""
    path = bundle.reference.drift_file
    arrays = unpack_arrays(read_file(folder, bundle, path), names=["embedding", "outputs"], origin=path)
    if not all(_are_rows(array, bundle.reference.num_drift) for array in arrays.values()):
        raise IntegrityError(f"'{path}' does not hold {bundle.reference.num_drift} finite rows per array.")
    return arrays


def list_bundles(workspace: Workspace) -> list[Path]:
    """The folders of all bundles in a workspace, by name."""
    return sorted(path.parent for path in workspace.bundles.glob(f"*/{BUNDLE_FILE}") if path.parent.name[0] != ".")


def find_bundle(reference: str, workspace: Workspace) -> Path:
    """The folder that a path, a folder's name, a digest's prefix (six digits or more), `latest` or `name@alias` means.

    Raises `UnknownName` listing what exists, `InputError` for an ambiguous prefix, and `IntegrityError` where a
    registered bundle's folder is gone or holds another bundle.
    """
    if (Path(reference) / BUNDLE_FILE).is_file():
        return Path(reference)
    if "@" in reference:
        return _registered(reference, workspace)
    known = list_bundles(workspace)
    if reference == "latest" and known:
        return max(known, key=lambda folder: (folder / BUNDLE_FILE).stat().st_mtime_ns)
    matches = [folder for folder in known if folder.name == reference]
    if len(reference) >= _LEAST_DIGITS and set(reference) <= set("0123456789abcdef"):
        matches += [folder for folder in known if _stated_digest(folder).startswith(reference)]
    if len(matches) > 1:
        names = ", ".join(folder.name for folder in matches)
        raise InputError(f"bundle '{reference}' is ambiguous: {names}; expected more digits.")
    if not matches:
        raise UnknownName("bundle", reference, [folder.name for folder in known], next_command="loopline export latest")
    return matches[0]


def _registered(reference: str, workspace: Workspace) -> Path:
    from loopline.aliases import bundle_folder, resolve_version

    version = resolve_version(reference, workspace)
    folder = bundle_folder(version, workspace)
    if not (folder / BUNDLE_FILE).is_file() or _stated_digest(folder) != version.bundle_digest:
        raise IntegrityError(
            f"'{folder}' does not hold the bundle that is registered as {version.reference}.",
            next_command=f"loopline register BUNDLE --name {version.name}",
        )
    return folder


def _stated_digest(folder: Path) -> str:
    """The digest that a bundle states, unverified: enough to choose a folder, which is read in full later."""
    path = folder / BUNDLE_FILE
    return str(_parse(path.read_bytes(), path).get("digest", ""))


def _are_rows(array: NDArray[Any], num_rows: int) -> bool:
    """True for a float32 matrix of so many rows without NaN."""
    return array.dtype == np.float32 and array.ndim == 2 and len(array) == num_rows and bool(np.isfinite(array).all())


def _are_pieces(data: NDArray[Any], offsets: NDArray[Any], num_pieces: int) -> bool:
    """True where the offsets cut the bytes into so many pieces without a rest."""
    if data.dtype != np.uint8 or offsets.dtype != np.int64 or offsets.shape != (num_pieces + 1,):
        return False
    return offsets[0] == 0 and offsets[-1] == data.size and bool((np.diff(offsets) >= 0).all())


def _parse(raw: bytes, path: Path) -> dict[str, Any]:
    try:
        value = json.loads(raw)
    except ValueError as error:
        raise IntegrityError(f"'{path}' was changed: it is not JSON ({error}).") from None
    if not isinstance(value, dict):
        raise IntegrityError(f"'{path}' was changed: it holds no JSON object.")
    version = value.get("schema_version")
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise IntegrityError(
            f"'{path}' has schema version {version}; this Loopline reads up to {SCHEMA_VERSION}.",
            next_command="pip install --upgrade loopline",
        )
    return value


def _bundle_text(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False) + "\n").encode()


def _refuse_link(path: Path) -> None:
    if path.is_symlink():
        raise IntegrityError(f"'{path}' is a symbolic link; expected a file of the bundle's own.")


def _check_nothing_else(folder: Path, bundle: ModelBundle) -> None:
    for path in folder.rglob("*"):
        _refuse_link(path)
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != BUNDLE_FILE and name not in bundle.files:
            raise IntegrityError(f"bundle '{folder}' holds the file '{name}', which it does not list.")
