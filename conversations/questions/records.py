"""The records of an evaluation's file, whatever it is packed in: JSON Lines, a JSON array, or one of Inspect's logs."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

from camelid.errors import UserError
from camelid.files.json_array import WRAPPER
from camelid.files.paths import missing_file_error
from camelid.files.read import Record, first_character, parse_json, read_json
from camelid.files.records import read_records

INSPECT = "inspect"  # the field in which a sample of a log brings the log's `eval`: its model and task
ATTACHED = "attachment://"
_WHOLE = 2 << 30  # bytes of a log that is unpacked: beyond any, before memory is


def read_file_records(path: str | Path) -> Iterator[tuple[str, Record]]:
    """Yield `(place, record)`; of an Inspect log its samples, each with the log's `eval` in the field `inspect`.

    Raises:
        UserError: the file is missing or broken.
    """
    path = Path(path)
    if path.suffix == ".eval":
        yield from _packed_log(path)
    elif path.suffix == ".json" and path.is_file() and first_character(path) == "{":
        yield from _json_object(path)
    else:
        yield from read_records(path)


def inspect_id(sample: Record) -> str:
    """A sample's name: its id, and its epoch from the second on, which is another answer to the same question."""
    epoch = int(sample.get("epoch") or 1)
    return str(sample["id"]) if epoch == 1 else f"{sample['id']} (epoch {epoch})"


def inspect_text(sample: Record) -> str | None:
    """What the model answered; None if it did not."""
    choices = (sample.get("output") or {}).get("choices") or []
    return content_text(choices[0]["message"]["content"], sample) if choices else None


def content_text(content: object, sample: Record) -> str:
    """A message's content: text, or parts of which the texts count; a log may keep long ones beside the messages."""
    if isinstance(content, list):
        return "".join(content_text(part.get("text", ""), sample) for part in content if isinstance(part, dict))
    text = str(content)
    return (
        str((sample.get("attachments") or {}).get(text.removeprefix(ATTACHED), text))
        if text.startswith(ATTACHED)
        else text
    )


def _json_object(path: Path) -> Iterator[tuple[str, Record]]:
    """An Inspect log, or one record, or records in whatever other packing is named `.json`."""
    try:
        whole = read_json(path)
    except UserError:
        yield from read_records(path)
        return
    if isinstance(whole, dict) and isinstance(whole.get("eval"), dict) and isinstance(whole.get("samples"), list):
        for index, sample in enumerate(whole["samples"]):
            yield f"{path}: samples[{index}]", {**sample, INSPECT: whole["eval"]}
    elif isinstance(whole, dict) and not isinstance(whole.get(WRAPPER), list):
        yield f"{path}:1", whole
    else:
        yield from read_records(path)


def _packed_log(path: Path) -> Iterator[tuple[str, Record]]:
    """`header.json` and `samples/ID_epoch_N.json` in a zip file."""
    try:
        with zipfile.ZipFile(path) as packed:
            names = [one for one in packed.infolist() if one.filename.startswith("samples/")]
            if sum(one.file_size for one in names) > _WHOLE:
                raise UserError(f"{path}: more than {_WHOLE >> 30} GiB unpacked; export fewer samples")
            header = parse_json(packed.read("header.json").decode(), f"{path}: header.json")
            for one in names:
                place = f"{path}: {one.filename}"
                yield place, {**parse_json(packed.read(one).decode(), place), INSPECT: header["eval"]}
    except FileNotFoundError:
        raise missing_file_error(path) from None
    except (zipfile.BadZipFile, KeyError, NotImplementedError, UnicodeDecodeError, TypeError) as error:
        raise UserError(
            f"{path}: not one of Inspect's .eval logs ({error}); try `inspect log convert --to json`"
        ) from None
