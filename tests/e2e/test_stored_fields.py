"""What is stored of each kind of content holds every field that readers were promised, in the form of its schema."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema
import pytest

from inkwire_contracts.fold import Snapshot, digest, document
from inkwire_stores import open_store
from tests.support.stack import Stack, running_stack
from tests.support.wait import eventually

POLICY = "# Policy\n\n## Doors\n\nLock every door at night. Nobody may share a key.\n"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One Inkwire for the tests of this file."""
    with running_stack(tmp_path_factory.mktemp("up"), "--tokens-per-s", "2000") as stack:
        yield stack


async def _stored(stack: Stack, post: str) -> Snapshot:
    """The post as the store holds it once it is published; its digest is that of its text."""
    async with open_store(f"sqlite:///{stack.data / 'inkwire.sqlite3'}") as store:

        async def published() -> Snapshot | None:
            stored = await store.get(post)
            ended = stored is not None and stored.snapshot.is_final
            return stored.snapshot if stored is not None and ended else None

        snapshot = await eventually(published, what="the post is stored", timeout_s=60)
    assert snapshot is not None
    assert snapshot.status == "published", snapshot.error
    assert digest(document(snapshot)) == snapshot.sha256
    return snapshot


async def _written(stack: Stack, recipe: str, title: str, **options: Any) -> Snapshot:
    body = {"title": title, "recipe": recipe, "options": options}
    accepted = await stack.request("POST", "/posts", json=body)
    return await _stored(stack, accepted["id"])


async def _schemas(stack: Stack, recipe: str) -> Mapping[str, Any]:
    """The JSON Schemas that clients are told."""
    listed = await stack.request("GET", "/recipes")
    found = next(item for item in listed["items"] if item["name"] == recipe)
    assert found["inputs"]["properties"]
    return dict(found["outputs"])


def _data(snapshot: Snapshot, section: str) -> dict[str, Any]:
    found = snapshot.section(section)
    assert found is not None and found.status == "done" and found.data is not None, section
    return found.data


async def test_blog(stack: Stack) -> None:
    """Title, description, tags, reading time, target words and actual ones; an outline; the request as it was asked."""
    asked = {"tone": "friendly", "audience": "cooks", "language": "English", "length": "short"}
    post = await _written(stack, "blog", "Top 10 Laravel tips", **asked)
    assert post.options.items() >= asked.items()
    assert post.metadata["title"] and post.metadata["description"] and post.metadata["tags"]
    assert sum(section.target_words for section in post.sections) > 0
    assert post.metrics is not None and post.metrics.words > 0
    jsonschema.validate(_data(post, "outline"), (await _schemas(stack, "blog"))["outline"])
    shown = await stack.request("GET", f"/posts/{post.post}")
    assert shown["reading_time_minutes"] > 0 and shown["target_words"] > 0
    assert all({"target_words", "words"} <= section.keys() for section in shown["sections"])


@pytest.mark.parametrize("platform", ["Instagram", "Twitter", "TikTok", "Facebook"])
async def test_social(stack: Stack, platform: str) -> None:
    """Each of the four steps is an artifact; the result has response_text, strategy and compliance."""
    post = await _written(stack, "social", "Botox safety", query="Make it reassuring", platform=platform)
    schemas = await _schemas(stack, "social")
    for step in ("keywords", "strategy", "content_generation", "compliance_check", "post"):
        jsonschema.validate(_data(post, step), schemas[step])
    result = _data(post, "post")
    assert result["response_text"] == document(post)
    assert result["compliance"]["status"] in ("passed", "failed")
    assert {"findings", "disclaimers"} <= result["compliance"].keys()
    assert post.metadata["platform"] == platform
    assert post.metadata["strategy"] == result["strategy"] and post.metadata["topic"] == "Botox safety"


async def test_course_from_a_document(stack: Stack) -> None:
    """Overview, objectives, modules, assessments as data; which document was mentioned, which places were used."""
    uploaded = await stack.request("POST", "/documents?name=policy.md", data=POLICY.encode())
    post = await _written(stack, "course", f"Create security training using @{uploaded['number']}")
    schemas = await _schemas(stack, "course")
    overview, objectives, modules, assessments = (
        _data(post, section) for section in ("overview", "objectives", "modules", "assessments")
    )
    for section in ("overview", "objectives", "modules", "assessments"):
        jsonschema.validate(_data(post, section), schemas[section])
    assert {"title", "description", "duration_estimate", "difficulty_level"} == overview.keys()
    assert overview["difficulty_level"] in ("Beginner", "Intermediate", "Advanced")
    assert objectives["objectives"]
    assert {"order", "title", "description", "duration", "topics"} == modules["modules"][0].keys()
    assert [module["order"] for module in modules["modules"]] == list(range(1, len(modules["modules"]) + 1))
    assert {"type", "title", "description"} == assessments["assessments"][0].keys()
    assert {item["type"] for item in assessments["assessments"]} <= {"quiz", "assignment", "project"}
    assert [(ref.document, ref.owner, ref.number, ref.name) for ref in post.documents] == [
        (uploaded["id"], "local", uploaded["number"], "policy.md")
    ]
    used = [source for section in post.sections for source in section.sources]
    assert {source.document for source in used} == {uploaded["id"]}
    assert {place.heading for source in used for place in source.places} >= {"Doors"}
    last = post.sections[-1]
    assert last.section == "sources" and "policy.md" in last.text


@pytest.mark.parametrize("job_type", ["security_analysis", "sentiment_analysis", "gas_analysis"])
async def test_analysis(stack: Stack, job_type: str) -> None:
    """Findings with severities, their breakdown, and the report, in the form that is published for the job type."""
    post = await _written(stack, "analysis", "Is our login safe?", job_type=job_type, material="eval(input())")
    schemas = await _schemas(stack, "analysis")
    report = _data(post, "report")
    jsonschema.validate(report, schemas[f"report/{job_type}"])
    breakdown = _data(post, "severity_breakdown")
    jsonschema.validate(breakdown, schemas["severity_breakdown"])
    counted = Counter(finding["severity"] for finding in report["findings"])
    assert {severity: n for severity, n in breakdown["severity_breakdown"].items() if n} == counted
    assert document(post).strip()


async def test_chat(stack: Stack) -> None:
    """A conversation with its members and messages, and the answer that knows where it belongs."""
    begun = await stack.request("POST", "/conversations", json={})
    said = await stack.request("POST", f"/conversations/{begun['id']}/messages", json={"content": "Why tests?"})
    post = await _stored(stack, said["reply"]["post"])
    assert post.turn is not None
    assert (post.turn.conversation, post.turn.message) == (begun["id"], said["message"]["id"])
    async with open_store(f"sqlite:///{stack.data / 'inkwire.sqlite3'}") as store:

        async def titled() -> bool:
            found = await store.conversations.get(begun["id"])
            return found is not None and found.conversation.title != ""

        await eventually(titled, what="the conversation is stored with its title")
        stored = await store.conversations.get(begun["id"])
    assert stored is not None
    kept = stored.conversation
    assert [(member.user, member.role) for member in kept.members] == [("local", "owner")]
    assert [(m.role, m.content, m.reply_to, m.post) for m in kept.messages] == [
        ("user", "Why tests?", None, None),
        ("assistant", "", said["message"]["id"], post.post),
    ]
    exported = await stack.request("GET", f"/conversations/{begun['id']}/export?format=json")
    assert json.dumps(document(post))[1:-1] in json.dumps(exported)
