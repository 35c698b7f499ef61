"""Print the OpenAPI document: ``python -m inkwire_api.openapi > docs/openapi.json``."""

import json
import sys

from inkwire_api.app import bare_app


def document() -> str:
    """The document as it stands in docs/openapi.json."""
    return json.dumps(bare_app().openapi(), indent=2, ensure_ascii=False, sort_keys=True) + "\n"


if __name__ == "__main__":
    sys.stdout.write(document())
