"""Random and given answers for a JSON Schema, as far as the recipes' schemas go."""

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

# What only a form's own check knows about; JSON Schema has no word for it here.
KNOWN_TEXTS = {"duration_estimate": "2 to 3 days", "duration": "45 minutes"}
TEXT = st.text(
    st.one_of(st.sampled_from('ab "\\\n\t*#1.`|<>😀é{}[],:'), st.characters(exclude_categories=["Cs"])), max_size=24
)


def values(schema: Mapping[str, Any], text: st.SearchStrategy[str] = TEXT) -> st.SearchStrategy[Any]:
    """Valid values; objects have their properties in the schema's order, as a model writes them."""
    return _values(schema, schema.get("$defs", {}), text, "")


def _values(
    schema: Mapping[str, Any], definitions: Mapping[str, Any], text: st.SearchStrategy[str], name: str
) -> st.SearchStrategy[Any]:
    if "$ref" in schema:
        return _values(definitions[schema["$ref"].rpartition("/")[2]], definitions, text, name)
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "const" in schema:
        return st.just(schema["const"])
    if "anyOf" in schema:
        return st.one_of([_values(one, definitions, text, name) for one in schema["anyOf"]])
    kind = schema["type"]
    if isinstance(kind, list):
        return st.one_of([_values({**schema, "type": one}, definitions, text, name) for one in kind])
    if kind == "object":
        return st.fixed_dictionaries(
            {key: _values(inner, definitions, text, key) for key, inner in schema["properties"].items()}
        )
    if kind == "array":
        least = schema.get("minItems", 0)
        most = max(least, min(schema.get("maxItems", 3), 3))
        return st.lists(_values(schema["items"], definitions, text, name), min_size=least, max_size=most)
    if kind == "string":
        return _texts(schema, text, name)
    if kind == "integer":
        return st.integers(schema.get("minimum", -5), schema.get("maximum", 10**6))
    if kind == "number":
        return st.floats(schema.get("minimum", -9), schema.get("maximum", 10**6), allow_nan=False)
    return {"boolean": st.booleans(), "null": st.none()}[kind]


def _texts(schema: Mapping[str, Any], text: st.SearchStrategy[str], name: str) -> st.SearchStrategy[str]:
    if name in KNOWN_TEXTS:
        return st.just(KNOWN_TEXTS[name])
    # Forms put texts on one line first: what is to be long enough has to be more than white space.
    least, most = schema.get("minLength", 0), schema.get("maxLength")
    long_enough = text.map(lambda one: one + "x" * least) if least else text
    return long_enough if most is None else long_enough.map(lambda one: one[:most])
