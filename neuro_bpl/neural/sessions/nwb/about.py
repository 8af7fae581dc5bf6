"""What is known of a session or a run: attributes as the metadata of an NWB file, and the other way round."""

import datetime
import json
import uuid
from collections.abc import Mapping
from typing import Any

from neuro_bpl.neural.sessions.nwb.file import library
from neuro_bpl.refusals import refusal

# Attributes of a session, and the fields of NWB that hold them.
SUBJECT = {
    "subject": "subject_id",
    "species": "species",
    "strain": "strain",
    "genotype": "genotype",
    "sex": "sex",
    "age": "age",
    "subject_description": "description",
}
OF_FILE = {
    "session": "session_id",
    "institution": "institution",
    "lab": "lab",
    "description": "experiment_description",
    "notes": "notes",
}
LISTS = {"experimenters": "experimenter", "keywords": "keywords", "was_generated_by": "was_generated_by"}
UNKNOWN = {"subject": "unknown", "sex": "U", "age": "P0D/"}  # an age of no days, or more
SIMULATION = {
    "subject": "simulated-network",
    "species": "none (computer simulation)",
    "sex": "O",
    "subject_description": "A simulated network of neurons, no animal: sex and age have no meaning.",
}


def session_attrs(nwb: Any) -> dict[str, str]:
    """Return attributes of a session from the metadata of a file; lists as JSON."""
    texts = {key: value for key, value in nwb.fields.items() if isinstance(value, str) and key not in OF_FILE.values()}
    found = {**texts, **{ours: getattr(nwb, theirs) for ours, theirs in OF_FILE.items()}}
    found["session"] = nwb.session_id or nwb.identifier
    found["start_time"] = nwb.session_start_time.isoformat()
    found["timestamps_reference_time"] = nwb.timestamps_reference_time.isoformat()
    lists = {ours: getattr(nwb, theirs) for ours, theirs in LISTS.items()}
    found |= {key: json.dumps([_plain(item) for item in values]) for key, values in lists.items() if values is not None}
    found["citation"] = "; ".join(nwb.related_publications or ())
    if nwb.subject is not None:
        found |= {ours: getattr(nwb.subject, theirs) for ours, theirs in SUBJECT.items()}
        born, weight = nwb.subject.date_of_birth, nwb.subject.weight
        found |= {"date_of_birth": born and born.isoformat(), "weight": weight and str(weight)}
    return {key: value for key, value in found.items() if value}


def new_file(attrs: Mapping[str, Any], what: str, start: datetime.datetime) -> Any:
    """A `pynwb.NWBFile` with the metadata that attributes of a session hold; a subject's that are not known say so."""
    nwb_library = library()
    # A fact that NWB has no field for stands in the notes.
    extra = {key: attrs[key] for key in ("licence", "source", "region") if attrs.get(key)}
    notes = "; ".join([*filter(None, [attrs.get("notes")]), *(f"{key}: {text}" for key, text in extra.items())])
    fields = {theirs: str(attrs[ours]) for ours, theirs in OF_FILE.items() if attrs.get(ours)} | {"notes": notes}
    lists = {key: json.loads(attrs[ours]) for ours, key in LISTS.items() if attrs.get(ours)}
    reference = attrs.get("timestamps_reference_time")
    citation = [text for text in str(attrs.get("citation", "")).split("; ") if text]
    nwb = nwb_library.NWBFile(
        session_description=str(attrs.get("session_description") or what),
        identifier=str(uuid.uuid4()),
        session_start_time=start,
        timestamps_reference_time=None if reference is None else moment("timestamps_reference_time", reference),
        related_publications=citation or None,
        **{key: value for key, value in (fields | lists).items() if value},
    )
    told = {**UNKNOWN, **{ours: attrs[ours] for ours in SUBJECT if attrs.get(ours)}}
    nwb.subject = nwb_library.file.Subject(**{SUBJECT[ours]: str(text) for ours, text in told.items()})
    return nwb


def start_of(given: datetime.datetime | None, attrs: Mapping[str, Any], key: str) -> datetime.datetime:
    """Return when a session began, with its time zone: as given, or as its attributes say.

    Raises
    ------
    ValueError
        If neither says it.
    """
    stated = attrs.get(key)
    return moment("start_time", stated if given is None else given)


def moment(name: str, given: Any) -> datetime.datetime:
    """Return a date and time with its time zone, from a text of ISO 8601 or as it is.

    Raises
    ------
    ValueError
        If it is something else, or has no time zone.

    Examples
    --------
    >>> moment("start_time", "2015-01-31T12:00:00+00:00").hour
    12
    """
    try:
        found = datetime.datetime.fromisoformat(given) if isinstance(given, str) else given
    except ValueError:
        found = None
    if not isinstance(found, datetime.datetime) or found.tzinfo is None:
        fix = f"{name}=datetime.datetime(2015, 1, 31, 12, tzinfo=datetime.UTC)"
        raise refusal(name, given, "a date and time with a time zone", "every NWB file says when it began", fix)
    return found


def _plain(item: Any) -> Any:
    return list(item) if not isinstance(item, str) and hasattr(item, "__iter__") else item
