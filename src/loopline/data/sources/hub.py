"""A Hugging Face dataset by name: `hub:ylecun/mnist`, `hub:NAME#CONFIGURATION`, or a local folder that it can load.

`hub:wmt/wmt19#de-en?first=100000` takes the first rows of each split only, and downloads no more than it must.
"""

from __future__ import annotations

from typing import Any

from loopline.core.errors import InputError, UnknownName
from loopline.core.records import Task
from loopline.data.listing import Computed, Listing
from loopline.data.options import Columns
from loopline.data.splits import is_split_name


def list_hub(source: str, *, task: Task, columns: Columns) -> Listing:
    """Lists the rows of all its splits, from the cache of `datasets` where they are there already.

    The input is the picture column (translation: the column named), the target the column `label`; a column of a column
    is named with a dot, as `translation.en`. Bytes are taken as they are stored, never encoded again. Raises
    `InputError` for a dataset that cannot be loaded, `UnknownName` for a column or split that does not fit.
    """
    place, first = _first(source.removeprefix("hub:"))
    name, _, configuration = place.partition("#")
    splits = _load(name, configuration or None, first)
    for split in splits:
        if not is_split_name(split):
            raise InputError(f"dataset '{name}' has a split '{split}'; expected train, validation and test only.")
    image = task != "translation"
    if not image:
        splits = {split: table.flatten() for split, table in splits.items()}
    table = next(iter(splits.values()))
    input_column = columns.input or (_image_column(name, table) if image else "")
    target_column = columns.target or "label"
    for column in (input_column, target_column, columns.id):
        if column is not None and column not in table.column_names:
            raise UnknownName(f"column of dataset '{name}'", column, table.column_names)
    tables = [_undecoded(table, input_column) if image else table for table in splits.values()]
    label_names = getattr(table.features[target_column], "names", None)
    places = [(table, row) for table in tables for row in range(len(table))]
    return Listing(
        inputs=Computed(len(places), lambda place: _bytes(*places[place], input_column)),
        ids=[str(value) for table in tables for value in _ids(table, columns.id)],
        targets=[_target(value, label_names) for table in tables for value in table[target_column]],
        splits=[split for split, table in splits.items() for _ in range(len(table))],
        source=f"Hugging Face dataset '{source.removeprefix('hub:')}'",
        input_kind="image" if image else "text",
        label_names=tuple(label_names) if label_names and task == "classification" else None,
    )


def _first(place: str) -> tuple[str, int | None]:
    """What comes before `?first=N`, and N."""
    place, mark, option = place.partition("?")
    if not mark:
        return place, None
    key, _, number = option.partition("=")
    if key != "first" or not number.isdecimal() or int(number) < 1:
        raise InputError(f"'?{option}' given; expected ?first=NUMBER, as in hub:wmt/wmt19#de-en?first=100000.")
    return place, int(number)


def _load(name: str, configuration: str | None, first: int | None) -> dict[str, Any]:
    import datasets

    try:
        if first is None:
            return dict(datasets.load_dataset(name, configuration))
        streams = datasets.load_dataset(name, configuration, streaming=True)
        return {
            split: datasets.Dataset.from_list(list(stream.take(first)), features=stream.features)
            for split, stream in streams.items()
        }
    # No such dataset, no network, no such configuration, files that it cannot read: it raises subclasses of these.
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        reason = str(error).split("\n")[0].rstrip(".")
        raise InputError(
            f"Hugging Face dataset '{name}' cannot be loaded: {reason}.",
            next_command=f"check its name and the network, then: loopline data snapshot hub:{name} --name NAME",
        ) from error


def _image_column(name: str, table: Any) -> str:
    import datasets

    found = [column for column, feature in table.features.items() if isinstance(feature, datasets.Image)]
    if len(found) != 1:
        raise InputError(
            f"dataset '{name}' has {len(found)} picture columns among {', '.join(table.column_names)}; expected one.",
            next_command="loopline data snapshot … --column input=COLUMN",
        )
    return str(found[0])


def _undecoded(table: Any, column: str) -> Any:
    import datasets

    return table.cast_column(column, datasets.Image(decode=False))


def _bytes(table: Any, row: int, column: str) -> bytes:
    value = table[row][column]
    if isinstance(value, str):
        return value.encode()
    if value["bytes"] is not None:
        return bytes(value["bytes"])
    with open(value["path"], "rb") as file:  # noqa: PTH123 - the path is whatever `datasets` wrote
        return file.read()


def _ids(table: Any, column: str | None) -> list[Any]:
    return list(range(len(table))) if column is None else list(table[column])


def _target(value: Any, label_names: list[str] | None) -> str:
    if value is None:
        return ""
    # -1 stands for no label in some datasets.
    if label_names is not None:
        return label_names[value] if value >= 0 else ""
    return str(value)
