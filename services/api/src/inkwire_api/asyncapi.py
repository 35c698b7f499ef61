"""Print the AsyncAPI document: ``python -m inkwire_api.asyncapi > docs/asyncapi.json``."""

import json
import sys
from functools import cache
from typing import Any

from inkwire_api import __version__
from inkwire_contracts.asyncapi import document as of_contracts


@cache
def asyncapi() -> dict[str, Any]:
    """The document, made once in the life of a process."""
    return of_contracts(__version__)


def document() -> str:
    """The document as it stands in docs/asyncapi.json."""
    return json.dumps(asyncapi(), indent=2, ensure_ascii=False, sort_keys=True) + "\n"


if __name__ == "__main__":
    sys.stdout.write(document())
