"""Conversations over HTTP: real api, real broker, real store; the worker's part is played."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest_asyncio
import yaml

from inkwire_api.messages import MessageWish, answer_event, fingerprint, post_of_key, question_event
from inkwire_chassis.conversation_log import ConversationLog, fold_stored
from inkwire_chassis.jetstream import H_MSG_ID
from inkwire_contracts import subjects
from inkwire_contracts.commands import Job
from inkwire_contracts.conversations import Conversation
from inkwire_contracts.events import RequestedData, Turn
from inkwire_contracts.ids import idempotent_post_id, owner_token
from inkwire_contracts.topology import CONVERSATIONS, JOBS
from inkwire_stores.conversation_ports import StoredConversation
from tests.support.api import ISSUER, Answer, Api, open_api, token
from tests.support.log import TIME, ScriptedWriter

KEY = {"Idempotency-Key": "said-once"}
THUMB = quote("👍")
SUBJECT = "auth0|ben/x@example.org"
BEN = owner_token(ISSUER, SUBJECT)
UNKNOWN = idempotent_post_id("ana", "nothing")


@pytest_asyncio.fixture
async def api(nats_url: str, tmp_path: Path) -> AsyncIterator[Api]:
    async with open_api(nats_url, tmp_path) as opened:
        yield opened


@dataclass
class Chat:
    """A conversation of ana's."""

    api: Api
    id: str

    @property
    def log(self) -> ConversationLog:
        return ConversationLog(self.api.log.jetstream)

    async def ask(self, method: str, path: str = "", **options: Any) -> Answer:
        return await self.api.ask(method, f"/conversations/{self.id}{path}", **options)

    async def say(self, content: str = "What is a quorum?", *, headers: Any = None, **body: Any) -> Answer:
        options = {name: body.pop(name) for name in ("subject",) if name in body}
        body = {"content": content, **body}
        return await self.ask("POST", "/messages", json=body, headers=headers or {}, **options)

    async def folded(self) -> Conversation:
        return fold_stored(Conversation(conversation=self.id), await self.log.read(self.id))

    async def job(self, post: str) -> Job:
        """The waiting job of a post."""
        state = (await self.api.log.jetstream.stream_info(JOBS))["state"]
        for seq in range(state["first_seq"], state["last_seq"] + 1):
            stored = await self.api.log.jetstream.leader_get(JOBS, seq)
            if stored is not None and Job.model_validate_json(stored.payload).post == post:
                return Job.model_validate_json(stored.payload)
        raise AssertionError("no such job")

    async def write(self, sent: Answer, text: str, *, finish: bool = True) -> ScriptedWriter:
        """The worker writes the answer."""
        job = await self.job(sent.json["reply"]["post"])
        writer = await ScriptedWriter.begin(self.api.log, job)
        await writer.section("reply", text)
        if finish:
            await writer.publish()
        return writer


async def begin(api: Api, **body: Any) -> Chat:
    answer = await api.ask("POST", "/conversations", json=body)
    assert answer.status == 201 and answer.headers["Location"] == f"/conversations/{answer.json['id']}"
    return Chat(api, answer.json["id"])


async def test_a_conversation_from_beginning_to_end(api: Api) -> None:
    """Said, answered, read by a member, reacted to, renamed, deleted."""
    chat = await begin(api)
    member = await chat.ask("PUT", f"/members/{quote(SUBJECT, safe='')}", json={"name": "Ben"})
    assert (member.status, member.json["user"], member.json["role"]) == (200, BEN, "member")

    sent = await chat.say(subject=SUBJECT, headers=KEY)
    assert (sent.status, sent.json["message"]["author"]) == (202, BEN)
    reply = sent.json["reply"]
    assert reply["channel"] == f"reply:{chat.id}:{reply['post']}" and reply["run"] == 1
    before = await chat.ask("GET", f"/messages/{reply['message']}", subject=SUBJECT)
    assert (before.json["reply"]["status"], before.json["reply"]["text"]) == ("queued", "")

    writer = await chat.write(sent, "A majority.")
    page = await chat.ask("GET", "/messages", subject=SUBJECT)
    told, asked = page.json["items"]
    assert (told["role"], told["reply"]["status"], told["reply"]["text"]) == ("assistant", "published", "A majority.")
    assert told["reply"]["sha256"] == writer.snapshot.sha256 and told["reply"]["metrics"]["words"] is not None
    assert (asked["content"], told["reply_to"]) == ("What is a quorum?", asked["id"])
    assert page.json["next_cursor"] is None

    reacted = await chat.ask("PUT", f"/messages/{told['id']}/reactions/{THUMB}", subject=SUBJECT)
    assert reacted.json["reactions"] == {"👍": [BEN]}
    taken = await chat.ask("DELETE", f"/messages/{told['id']}/reactions/{THUMB}", subject=SUBJECT)
    assert taken.json["reactions"] == {}

    renamed = await chat.ask("PATCH", json={"title": "Quorums"})
    assert (renamed.json["title"], renamed.json["title_generated"]) == ("Quorums", False)
    whole = (await chat.ask("GET")).json
    assert [m["id"] for m in whole["messages"]] == [told["id"], asked["id"]]
    assert whole["position"]["seq"] == (await chat.folded()).seq and whole["channel"] == f"conversation:{chat.id}"

    assert (await chat.ask("DELETE", subject=SUBJECT)).code == "owner_only"
    assert [(await chat.ask("DELETE")).status for _ in range(2)] == [204, 204]
    assert (await chat.ask("GET")).code == "conversation_gone"
    assert (await api.ask("GET", f"/posts/{reply['post']}")).code == "gone"


async def test_the_same_message_twice_is_one(api: Api) -> None:
    """One after the other and at once; another body is refused."""
    chat = await begin(api)
    first = await chat.say(headers=KEY)
    again = await chat.say(headers=KEY)
    assert (first.status, again.status, first.json) == (202, 202, again.json)
    assert again.headers["Idempotency-Replayed"] == "true" and "Idempotency-Replayed" not in first.headers
    assert (await chat.say("Else", headers=KEY)).code == "idempotency_mismatch"
    assert (await chat.say(reply=False, headers=KEY)).code == "idempotency_mismatch"

    twin = {"Idempotency-Key": "at-once"}
    both = await asyncio.gather(*(chat.say("Twice?", headers=twin) for _ in range(4)))
    assert len({json.dumps(answer.json["reply"]) for answer in both}) == 1
    assert len((await chat.folded()).messages) == 4 and await api.jobs() == 2


async def test_a_post_of_the_same_key_is_another(api: Api) -> None:
    """Keys of messages and of posts never meet."""
    chat = await begin(api)
    said = await chat.say(headers=KEY)
    made = await api.ask("POST", "/posts", json={"title": "Ten tips"}, headers=KEY)
    assert (said.status, made.status) == (202, 202) and made.json["id"] != said.json["reply"]["post"]


async def test_members_at_once(api: Api) -> None:
    """Everything that was accepted stands, each question with its answer."""
    chat = await begin(api)
    await chat.ask("PUT", "/members/ben")
    sent = await asyncio.gather(*(chat.say(f"{n}?", subject=("ana", "ben")[n % 2]) for n in range(8)))
    assert {answer.status for answer in sent} == {202}
    talk = await chat.folded()
    assert {m.content for m in talk.messages if m.role == "user"} == {f"{n}?" for n in range(8)}
    assert sorted(m.reply_to or "" for m in talk.messages if m.role == "assistant") == sorted(
        answer.json["message"]["id"] for answer in sent
    )


async def test_what_a_dead_api_left_is_completed(api: Api) -> None:
    """The job is stored, and nothing else: the same request writes its messages and its beginning, of its time."""
    chat = await begin(api)
    wish = MessageWish("What is a quorum?")
    post = post_of_key(chat.id, "ana", KEY["Idempotency-Key"])
    question = question_event(chat.id, post, wish, [], by="ana", time=TIME)
    answer = answer_event(chat.id, post, question=question.data.message, by="ana", time=TIME)
    request = RequestedData(
        title=wish.content,
        recipe="chat",
        options=(await chat.folded()).options,
        fingerprint=fingerprint(wish),
        turn=Turn(conversation=chat.id, message=question.data.message, reply=answer.data.message),
    )
    job = Job(post=post, owner="ana", run=1, time=TIME, request=request, messages=[question, answer])
    subject = subjects.job(request.pool, job.priority, job.owner)
    await api.log.jetstream.publish(subject, job.model_dump_json().encode(), {H_MSG_ID: job.msg_id})

    assert (await chat.say("Else", headers=KEY)).code == "idempotency_mismatch"
    assert not (await chat.folded()).messages
    sent = await chat.say(headers=KEY)
    assert (sent.status, sent.headers["Idempotency-Replayed"], sent.json["reply"]["post"]) == (202, "true", post)
    assert {m.created_at for m in (await chat.folded()).messages} == {TIME}
    newest = await api.log.newest_now("ana", post)
    assert newest is not None and newest.event.time == TIME and await api.jobs() == 1


async def test_edit_regenerate_stop_and_try_again(api: Api) -> None:
    """Superseded messages are given only where they are asked for."""
    chat = await begin(api)
    first = await chat.say()
    answer = first.json["reply"]["message"]
    await chat.write(first, "Once.")
    path = f"/messages/{answer}/regenerate"
    once, twice = await asyncio.gather(chat.ask("POST", path), chat.ask("POST", path))
    assert once.status == twice.status == 202 and once.json["reply"] == twice.json["reply"]

    new = once.json["reply"]["message"]
    stopped = await chat.ask("POST", f"/messages/{new}/cancel")
    assert (stopped.status, stopped.json["status"]) == (202, "cancelled")
    assert (await chat.ask("POST", f"/messages/{new}/cancel")).status == 200
    again = await chat.ask("POST", f"/messages/{new}/retry?run=1")
    assert (again.status, again.json["run"], again.json["message"]) == (202, 2, new)
    assert (await chat.ask("POST", f"/messages/{answer}/retry")).code == "unknown_message"

    edited = await chat.say("Why a quorum?", replaces=first.json["message"]["id"])
    assert edited.json["message"]["replaces"] == first.json["message"]["id"]
    standing = (await chat.ask("GET", "/messages")).json["items"]
    assert [m["id"] for m in standing] == [edited.json["reply"]["message"], edited.json["message"]["id"]]
    everything = (await chat.ask("GET", "/messages?superseded=true")).json["items"]
    assert len(everything) == 5 and (await chat.ask("GET", f"/messages/{answer}")).json["superseded_by"] == new
    # What was being written for the replaced question costs nothing any more.
    assert (await chat.ask("GET", f"/messages/{new}")).json["reply"]["status"] == "cancelled"
    assert (await chat.say("No", replaces=first.json["message"]["id"])).code == "unknown_message"


async def test_a_member_who_was_removed_finds_nothing(api: Api) -> None:
    """At once, and the same as a stranger; what it said stays."""
    chat = await begin(api)
    await chat.ask("PUT", "/members/ben")
    await chat.say("By the way", reply=False, subject="ben")
    assert (await chat.ask("DELETE", "/members/ben", subject="ben")).status == 204
    for subject in ("ben", "eve"):
        assert (await chat.ask("GET", subject=subject)).code == "not_found"
        assert (await chat.say(subject=subject)).code == "not_found"
    assert (await chat.ask("GET", "/messages")).json["items"][0]["author"] == "ben"


async def test_the_list_is_the_stores(api: Api) -> None:
    """What the persister has stored, for its members."""
    chat = await begin(api, title="Quorums")
    assert (await api.ask("GET", "/conversations")).json == {"items": [], "next_cursor": None}
    stored = StoredConversation(await chat.folded(), await chat.log.epoch())
    assert await api.store.conversations.put(stored, expected=None)
    [item] = (await api.ask("GET", "/conversations")).json["items"]
    assert (item["id"], item["title"], item["messages"]) == (chat.id, "Quorums", 0)
    assert (await api.ask("GET", "/conversations", subject="ben")).json["items"] == []


async def test_a_conversation_is_taken_away_in_every_format(api: Api) -> None:
    """With what stands, as far as it is written; unchanged ones are not sent again."""
    chat = await begin(api, title="Über Quoren")
    sent = await chat.say("# Why?")
    await chat.write(sent, "## Because\n\n```\nopen")
    for name, media_type, extension in (
        ("markdown", "text/markdown; charset=utf-8", "md"),
        ("html", "text/html; charset=utf-8", "html"),
        ("json", "application/json", "json"),
        ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx"),
    ):
        answer = await chat.ask("GET", f"/export?format={name}")
        assert (answer.status, answer.headers["Content-Type"]) == (200, media_type)
        assert f"filename*=UTF-8''%C3%BCber-quoren.{extension}" in answer.headers["Content-Disposition"]
        again = await chat.ask("GET", f"/export?format={name}", headers={"If-None-Match": answer.headers["ETag"]})
        assert (again.status, again.body) == (304, b"")
    text = (await chat.ask("GET", "/export")).body.decode()
    assert yaml.safe_load(text.split("---\n")[1])["messages"] == 2
    assert "\n> # Why?\n" in text and "\n> ## Because\n" in text
    assert (await chat.ask("GET", "/export", subject="eve")).code == "not_found"


async def test_a_full_log_takes_nothing(api: Api) -> None:
    """503 with a time to try again; reading goes on."""
    chat = await begin(api)
    info = await api.log.jetstream.stream_info(CONVERSATIONS)
    small = {**info["config"], "max_bytes": info["state"]["bytes"] + 10}
    await api.log.jetstream.api(f"STREAM.UPDATE.{CONVERSATIONS}", small)
    answers = {}
    for _ in range(200):  # the api looks once a second
        answers = await chat.say()
        if answers.status == 503:
            break
    assert (answers.status, answers.code) == (503, "log_full") and "Retry-After" in answers.headers
    assert (await chat.ask("GET")).status == 200


ROUTES = (
    ("GET", "", None),
    ("PATCH", "", {"title": "x"}),
    ("DELETE", "", None),
    ("GET", "/export", None),
    ("GET", "/messages", None),
    ("POST", "/messages", {"content": "x"}),
    ("GET", "/messages/{answer}", None),
    ("POST", "/messages/{answer}/regenerate", None),
    ("POST", "/messages/{answer}/cancel", None),
    ("POST", "/messages/{answer}/retry", None),
    ("PUT", f"/messages/{{answer}}/reactions/{THUMB}", None),
    ("DELETE", f"/messages/{{answer}}/reactions/{THUMB}", None),
    ("PUT", "/members/eve", None),
    ("DELETE", "/members/ana", None),
)


async def test_strangers_are_told_nothing_on_any_route(api: Api) -> None:
    """The same answer as for a conversation that there never was; tokens of other channels get no further than that."""
    chat = await begin(api)
    answer = (await chat.say()).json["reply"]["message"]
    seq = (await chat.folded()).seq
    stored = await api.stored()
    elsewhere = {"Authorization": f"Bearer {token(channels=[f'conversation:{UNKNOWN}'])}"}
    reader = {"Authorization": f"Bearer {token(scopes=['ops'])}"}
    for method, path, body in ROUTES:
        options = {} if body is None else {"json": body}
        stranger = await chat.ask(method, path.format(answer=answer), subject="eve", **options)
        nothing = await Chat(api, UNKNOWN).ask(method, path.format(answer=answer), **options)
        assert (stranger.status, stranger.json) == (nothing.status, nothing.json), path
        assert stranger.code == "not_found", path
        for headers, code in ((elsewhere, "forbidden_channel"), (reader, "forbidden")):
            refused = await chat.ask(method, path.format(answer=answer), headers=headers, **options)
            assert refused.code == code, (method, path)
        unsigned = await chat.ask(method, path.format(answer=answer), subject=None, **options)
        assert unsigned.code == "unauthenticated", path
    assert (await chat.folded()).seq == seq and await api.stored() == stored


async def test_a_token_of_the_conversation_is_enough(api: Api) -> None:
    """It can be had by narrowing one's own, and touches nothing else."""
    chat = await begin(api)
    narrowed = await api.ask("POST", "/tokens", json={"channels": [f"conversation:{chat.id}", f"presence:{chat.id}"]})
    assert narrowed.status == 200
    headers = {"Authorization": f"Bearer {narrowed.json['token']}"}
    assert (await chat.ask("GET", headers=headers)).status == 200
    assert (await chat.say(headers=headers)).status == 202
    for method, path in (("GET", "/conversations"), ("POST", "/conversations"), ("GET", "/posts")):
        options = {"json": {}} if method == "POST" else {}
        assert (await api.ask(method, path, headers=headers, **options)).code == "forbidden_channel"


WRONG = (
    ("no content", "POST", "/messages", {}, "invalid_request"),
    ("empty content", "POST", "/messages", {"content": " \n"}, "invalid_request"),
    ("control characters", "POST", "/messages", {"content": "a\x00b"}, "invalid_request"),
    ("endless content", "POST", "/messages", {"content": "x" * 16_001}, "invalid_request"),
    ("no text", "POST", "/messages", {"content": 5}, "invalid_request"),
    ("another's role", "POST", "/messages", {"content": "x", "role": "assistant"}, "invalid_request"),
    ("an answered note", "POST", "/messages", {"content": "x", "role": "system", "reply": True}, "invalid_request"),
    ("an unknown field", "POST", "/messages", {"content": "x", "post": UNKNOWN}, "invalid_request"),
    ("no message", "POST", "/messages", {"content": "x", "replaces": "../x"}, "invalid_request"),
    ("an unknown message", "POST", "/messages", {"content": "x", "replaces": UNKNOWN}, "unknown_message"),
    ("an unknown document", "POST", "/messages", {"content": "see @7"}, "unknown_document"),
    ("an unknown recipe", "POST", "/messages", {"content": "x", "recipe": "poem"}, "unknown_recipe"),
    ("wrong options", "POST", "/messages", {"content": "x", "options": {"x": 1}}, "invalid_options"),
    ("options too deep", "POST", "/messages", {"content": "x", "options": {"a": [[[[[[[]]]]]]]}}, "invalid_request"),
    ("an unknown priority", "POST", "/messages", {"content": "x", "priority": "now"}, "invalid_request"),
    ("no list", "POST", "/messages", [], "invalid_request"),
    ("a question is no answer", "POST", "/messages/{question}/regenerate", None, "not_a_reply"),
    ("a question cannot be stopped", "POST", "/messages/{question}/cancel", None, "not_a_reply"),
    ("no such answer", "POST", f"/messages/{UNKNOWN}/regenerate", None, "unknown_message"),
    ("no id", "GET", "/messages/x", None, "unknown_message"),
    ("a run that is none", "POST", "/messages/{answer}/cancel?run=0", None, "invalid_request"),
    ("a run that was not yet", "POST", "/messages/{answer}/cancel?run=7", None, "not_found"),
    ("not retryable", "POST", "/messages/{answer}/retry", None, "not_retryable"),
    ("a word", "PUT", "/messages/{answer}/reactions/ok", None, "invalid_request"),
    ("two emojis", "PUT", f"/messages/{{answer}}/reactions/{THUMB}{THUMB}", None, "invalid_request"),
    ("no message to react to", "PUT", f"/messages/{UNKNOWN}/reactions/{THUMB}", None, "unknown_message"),
    ("oneself", "PUT", "/members/ana", {}, "owner_stays"),
    ("the owner goes", "DELETE", "/members/ana", None, "owner_stays"),
    ("a name of lines", "PUT", "/members/ben", {"name": "a\nb"}, "invalid_request"),
    ("a strange picture", "PUT", "/members/ben", {"avatar": "javascript:alert(1)"}, "invalid_request"),
    ("an endless subject", "PUT", f"/members/{'x' * 256}", {}, "invalid_request"),
    ("no title", "PATCH", "", {}, "invalid_request"),
    ("an empty title", "PATCH", "", {"title": " "}, "invalid_request"),
    ("a title of lines", "PATCH", "", {"title": "a\nb"}, "invalid_request"),
    ("a page of none", "GET", "/messages?limit=0", None, "invalid_request"),
    ("nobody's cursor", "GET", "/messages?cursor=abc", None, "invalid_cursor"),
    ("an unknown format", "GET", "/export?format=exe", None, "invalid_request"),
)


async def test_wrong_requests_change_nothing(api: Api) -> None:
    """Each gets a clear problem document."""
    chat = await begin(api)
    sent = (await chat.say()).json
    ids = {"question": sent["message"]["id"], "answer": sent["reply"]["message"]}
    stored, seq = await api.stored(), (await chat.folded()).seq
    for name, method, path, body, code in WRONG:
        options = {} if body is None else {"json": body}
        answer = await chat.ask(method, path.format(**ids), **options)
        assert answer.code == code, f"{name}: {answer.json}"
        assert answer.json["title"] and answer.json["detail"], name
    for key in ("", "a b", "x" * 256):
        assert (await chat.say(headers={"Idempotency-Key": key})).code == "invalid_idempotency_key", key
    for body in ({"title": "x" * 201}, {"recipe": "Poem!"}, {"options": []}, {"owner": "eve"}):
        assert (await api.ask("POST", "/conversations", json=body)).code == "invalid_request", body
    assert await api.stored() == stored and (await chat.folded()).seq == seq
