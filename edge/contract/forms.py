"""Forms that a text in a configuration file must have: each a pattern for programs, with words for people beside it.

    gateway.yaml:2: gateway: expected small letters, digits, - and _, ..., found "River Street"

The JSON Schema has the pattern. Used as `Annotated[str, HOST]`.
"""

import json
import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema


@dataclass(frozen=True, slots=True)
class Form:
    """What the whole text must match, and how to say that."""

    pattern: str
    words: str

    def check(self, text: str) -> str:
        """Return the text. Raises ValueError in words."""
        if re.fullmatch(self.pattern, text) is None:
            raise ValueError(f"expected {self.words}, found {json.dumps(without_login(text), ensure_ascii=False)}")
        return text

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "pattern": f"^{self.pattern}$"}


def without_login(text: str) -> str:
    """Return a text that may hold an address, without the user and password in it."""
    return re.sub(r"//[^/\s]*@", "//...@", text)


ID = Form(r"[a-z0-9][a-z0-9_-]{0,63}", "small letters, digits, - and _, at most 64, beginning with a letter or digit")
HOST = Form(
    r"(?=.{1,253}$)([A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?|[0-9A-Fa-f]*:[0-9A-Fa-f:.]+)",
    "a host name or an address, such as mqtt.example.org or 192.0.2.7",
)
SERIAL_PORT = Form(r"/[^\0]*", "the path of a serial port, such as /dev/ttyUSB0")
HTTP_ADDRESS = Form(r"https?://[^/\s@]+", "an address without path and password, such as http://host:8086")
CLASS_CODE = Form(
    r"[A-Z][A-Z0-9_]{0,39}(\.[A-Z0-9_]{1,39})+", "capital letters, digits and _ in parts with dots between, such as A.B"
)
LADDER = Form(r"[A-Z][A-Z0-9_]{0,39}", "capital letters, digits and _, such as WATERLOG")
PHONE = Form(r"[0-9+ -]{3,32}", "a phone number in quotes: 3 to 32 digits, spaces, + and -")

Id = Annotated[str, ID]
