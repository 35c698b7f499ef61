"""Search terms."""

import pytest

from inkwire_documents.words import terms


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("The Policies, reviewed!", ["the", "policies", "polic*", "reviewed", "revie*"]),
        ("ＦＵＬＬ ﬁne Straße", ["full", "fine", "strasse", "stras*"]),
        ("访问控制", ["访问", "问控", "控制"]),
        ("の", ["の"]),
        ("API密钥管理v2", ["api", "密钥", "钥管", "管理", "v2"]),
        ("ความ", ["คว", "วา", "าม"]),
        ("доступа", ["доступа", "досту*"]),
        ("नीतियाँ, समीक्षा", ["नीतियाँ", "नीतिय*", "समीक्षा", "समीक्*"]),
        ("... — 😀", []),
    ],
)
def test_terms_of_any_script(text: str, wanted: list[str]) -> None:
    """Words where there are blanks, pairs of characters where there are none, in one form for all widths and cases."""
    assert terms(text) == wanted


def test_question_and_text_meet_in_other_forms_of_a_word() -> None:
    """Singular and plural, and verbs in their tenses, share a term."""
    for one, other in (
        ("policy", "policies"),
        ("reviewing", "reviewed"),
        ("проверка", "проверяется"),
        ("Rechnung", "Rechnungen"),
    ):
        assert set(terms(one)) & set(terms(other))
