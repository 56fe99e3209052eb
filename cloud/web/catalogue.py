"""Brings the Chinese catalogue up to date with the texts of templates and code, and checks that it is complete.

python -m cloud.web.catalogue update    writes it; new texts have an empty translation, texts that are gone are left out
python -m cloud.web.catalogue check     writes nothing; lists what is missing and exits 1 when anything is
"""

import re
import sys
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from cloud.web.words import LOCALE

HERE = Path(__file__).parent
FILE = LOCALE / "zh_CN" / "LC_MESSAGES" / "anlan.po"
METHODS = [("templates/**.html", "jinja2"), ("**.py", "python")]
OPTIONS = {"templates/**.html": {"extensions": "jinja2.ext.do", "silent": "false", "newstyle_gettext": "true"}}
KEYWORDS = {"_": None, "N_": None, "gettext": None, "ngettext": (1, 2), "plural": (1, 2), "text": None}
PLACEHOLDER = re.compile(r"%\([a-z_]+\)[sd]")


def extracted() -> Catalog:
    """Return every text of templates and code, without translations."""
    catalogue = Catalog(locale="zh_CN", project="anlan", charset="utf-8", header_comment=HEADER, fuzzy=False)
    found = extract_from_dir(HERE, METHODS, OPTIONS, keywords=KEYWORDS, comment_tags=("translators:",))
    for name, _line, text, comments, context in found:
        catalogue.add(text, None, [(f"cloud/web/{name}", 0)], auto_comments=comments, context=context)
    return catalogue


HEADER = "# The pages in Chinese. `./anlan messages` brings in new texts; `./anlan check` asks that all are translated."


def present() -> Catalog:
    """Return the catalogue as it is."""
    with FILE.open("rb") as file:
        return read_po(file, locale="zh_CN")


def updated(old: Catalog) -> Catalog:
    """Return the catalogue of today's texts, with the translations that there are."""
    new = extracted()
    for message in new:
        if message.id and (known := old.get(message.id, message.context)):
            message.string = known.string
    return new


def faults(catalogue: Catalog) -> list[str]:
    """Return what is wrong: texts without a translation, texts that are gone, placeholders that differ."""
    wanted = {_key(message): message for message in extracted() if message.id}
    there = {_key(message): message for message in catalogue if message.id}
    missing = [f"not in the catalogue: {key}" for key in wanted if key not in there]
    surplus = [f"no longer used: {key}" for key in there if key not in wanted]
    return sorted(missing + surplus + [fault for key, message in there.items() for fault in _faults_of(key, message)])


def _key(message: Message) -> str:
    return message.id if isinstance(message.id, str) else message.id[0]


def _faults_of(key: str, message: Message) -> list[str]:
    strings = [message.string] if isinstance(message.string, str) else list(message.string or [])
    if not strings or not all(strings):
        return [f"not translated: {key}"]
    if message.fuzzy:
        return [f"not sure: {key}"]
    sources = [message.id] if isinstance(message.id, str) else list(message.id)
    wanted = set(PLACEHOLDER.findall(sources[-1]))
    return [f"other placeholders: {key}" for string in strings if set(PLACEHOLDER.findall(string)) != wanted]


def _text(catalogue: Catalog) -> bytes:
    out = BytesIO()
    write_po(out, catalogue, width=110, sort_output=True, omit_header=False, include_lineno=False)
    # The date of extraction would change the file each time.
    lines = [line for line in out.getvalue().splitlines(keepends=True) if not line.startswith(VOLATILE)]
    return b"".join(lines)


VOLATILE = (
    b'"Project-Id',
    b'"Report-Msgid',
    b'"POT-Creation-Date',
    b'"PO-Revision-Date',
    b'"Generated-By',
    b'"Last-Translator',
    b'"Language-Team',
)


def main(arguments: list[str]) -> int:
    """Update or check; return the exit code."""
    if arguments not in (["update"], ["check"]):
        sys.stderr.write(__doc__ or "")
        return 2
    catalogue = present()
    if arguments == ["update"]:
        catalogue = updated(catalogue)
        FILE.write_bytes(_text(catalogue))
    found = faults(catalogue)
    sys.stdout.writelines(f"{FILE.name}: {fault}\n" for fault in found)
    return 1 if found and arguments == ["check"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
