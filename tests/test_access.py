"""Who may what: roles, grants, tokens, and the refusals of verbs."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select

from archive import access
from archive.access import MAY, PUBLIC, Action, Actor, Role, may, may_read, require
from archive.backbone.endpoint import Endpoint
from archive.cli import archive
from archive.config import Config
from archive.faults import Fault, NotAuthenticated, NotAuthorized
from archive.ledger import Ledger, events, grants, schema, tokens
from archive.ledger.database import stamp
from tests import archives, clusters

NEVER = datetime(2999, 1, 1, tzinfo=UTC)
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.service)])
def config(request: pytest.FixtureRequest, tmp_path: Path, data: Path) -> Config:
    """A new archive; who made it runs it."""
    database = None if request.param == "sqlite" else clusters.database(tmp_path)
    made = Config(home=tmp_path / "home", database=database, descriptions=data)
    Endpoint.create(made, archives.SITE).close()
    return made


@pytest.fixture
def ledger(config: Config) -> Iterator[Ledger]:
    opened = Ledger.open(config.ledger_url)
    yield opened
    opened.close()


@pytest.fixture
def me(monkeypatch: pytest.MonkeyPatch) -> str:
    """The user who runs the tests, whose name they may change."""
    return events.own_actor()


def run(config: Config, *arguments: str, token: str | None = None) -> Result:
    environment = {
        "ARCHIVE_DATABASE": config.database,
        "ARCHIVE_DESCRIPTIONS": str(config.descriptions),
        "ARCHIVE_TOKEN": token,
    }
    return CliRunner().invoke(archive, ["--json", "--home", str(config.home), *arguments], env=environment)


def told(config: Config, *arguments: str, token: str | None = None) -> Any:
    ended = run(config, *arguments, token=token)
    assert ended.exception is None, ended.exception
    return json.loads(ended.stdout)


def made(ledger: Ledger, actor: str, role: str, expires: datetime | None = None) -> str:
    """A token, with the grant that it needs."""
    with ledger.write() as transaction:
        grants.add(transaction, actor, role)
        return tokens.create(transaction, actor, role, None if expires is None else stamp(expires))


# --- roles ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        (Role.READER, {Action.READ}),
        (Role.PRODUCER, {Action.WATCH, Action.DELIVER}),
        (Role.CURATOR, {Action.READ, Action.WATCH, Action.DELIVER, Action.CURATE}),
        (Role.OPERATOR, set(Action)),
        (Role.PEER, {Action.READ, Action.WATCH}),
    ],
)
def test_what_each_role_may(role: Role, allowed: set[Action]) -> None:
    assert {action for action in Action if may(Actor("x", frozenset({role})), action)} == allowed


def test_every_role_may_something_and_the_public_nothing() -> None:
    assert set(MAY) == set(Role)
    assert not any(may(PUBLIC, action) for action in Action)


def test_who_is_unknown_is_asked_who_is_known_is_refused() -> None:
    with pytest.raises(NotAuthenticated) as asked:
        require(PUBLIC, Action.DELIVER)
    with pytest.raises(NotAuthorized, match="'ada' may not") as refused:
        require(Actor("ada", frozenset({Role.READER})), Action.DELIVER)
    assert (asked.value.status, refused.value.status) == (401, 403)
    assert asked.value.exit_code == refused.value.exit_code == 77
    assert "archive grant add 'ada' (producer or curator or operator)" in refused.value.remedy


@pytest.mark.parametrize(
    ("roles", "public_from", "allowed"),
    [
        ((), None, True),
        ((), LONG_AGO, True),
        ((), NEVER, False),
        (("producer",), NEVER, False),
        (("reader",), NEVER, True),
        (("peer",), NEVER, True),
    ],
)
def test_proprietary_files(roles: tuple[str, ...], public_from: datetime | None, allowed: bool) -> None:
    assert may_read(Actor("x", frozenset(map(Role, roles))), public_from) == allowed


# --- tokens ---------------------------------------------------------------------------------------


def test_a_token_speaks_for_its_actor_in_its_role_only(ledger: Ledger) -> None:
    with ledger.write() as transaction:
        grants.add(transaction, "pipeline", "operator")
    token = made(ledger, "pipeline", "producer")
    assert access.bearer(ledger, token) == Actor("pipeline", frozenset({Role.PRODUCER}))


def test_the_secret_is_nowhere(ledger: Ledger, config: Config) -> None:
    token = made(ledger, "pipeline", "producer")
    access.bearer(ledger, token)
    secret = token.partition(".")[2]
    assert len(secret) >= 43  # 256 bits
    with ledger.read() as transaction:
        rows = {table.name: transaction.execute(select(table)).all() for table in schema.metadata.sorted_tables}
    assert hashlib.sha256(secret.encode()).hexdigest() in str(rows["token"])
    assert secret not in str(rows)
    for path in (path for path in config.home.rglob("*") if path.is_file()):
        assert secret.encode() not in path.read_bytes()


@pytest.mark.parametrize(
    "spoil", [lambda t: t[:-1], lambda t: t + "x", lambda t: t.partition(".")[0], lambda t: "." + t]
)
def test_another_text_is_no_token(ledger: Ledger, spoil: Any) -> None:
    token = made(ledger, "pipeline", "producer")
    with pytest.raises(NotAuthenticated, match="not valid"):
        access.bearer(ledger, spoil(token))


@pytest.mark.parametrize("text", ["", ".", "a", "a.b", "ü.ü", "\udcff.\udcff", "\0.x", "'; drop table token; --.x"])
def test_what_was_never_a_token(ledger: Ledger, text: str) -> None:
    with pytest.raises(NotAuthenticated):
        access.bearer(ledger, text)


def test_a_token_of_another_is_no_token(ledger: Ledger) -> None:
    one, two = (made(ledger, actor, "producer") for actor in ("one", "two"))
    with pytest.raises(NotAuthenticated):
        access.bearer(ledger, f"{one.partition('.')[0]}.{two.partition('.')[2]}")


def test_expired_revoked_and_ungranted_tokens(ledger: Ledger) -> None:
    moment = datetime.now(UTC)
    assert access.bearer(ledger, made(ledger, "a", "producer", moment + timedelta(hours=1))).name == "a"
    expired, revoked, ungranted = (
        made(ledger, "a", "producer", moment - timedelta(seconds=1)),
        made(ledger, "b", "producer"),
        made(ledger, "c", "producer"),
    )
    with ledger.write() as transaction:
        assert tokens.revoke(transaction, revoked.partition(".")[0]) is True
        assert tokens.revoke(transaction, revoked.partition(".")[0]) is False
        assert tokens.revoke(transaction, "nothing") is None
        assert grants.remove(transaction, "c", "producer")
    for token in (expired, revoked, ungranted):
        with pytest.raises(NotAuthenticated, match="not valid"):
            access.bearer(ledger, token)


def test_secrets_are_compared_in_constant_time(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where there is no such token: what a caller can measure tells nothing."""
    compared: list[int] = []
    real = hmac.compare_digest

    def compare(one: str, other: str) -> bool:
        compared.append(len(one) + len(other))
        return real(one, other)

    monkeypatch.setattr(tokens.hmac, "compare_digest", compare)
    token = made(ledger, "a", "producer")
    access.bearer(ledger, token)
    for text in (f"{token[:-1]}!", "unknown.secret", ""):
        with pytest.raises(NotAuthenticated):
            access.bearer(ledger, text)
    assert compared == [128] * 4


def test_the_last_use_is_noted_and_seldom(ledger: Ledger) -> None:
    token = made(ledger, "a", "producer")
    used = []
    for _ in range(3):
        access.bearer(ledger, token)
        with ledger.read() as transaction:
            used += [each.last_used for each in tokens.everything(transaction)]
    assert used[0] is not None
    assert len(set(used)) == 1


# --- verbs ----------------------------------------------------------------------------------------


def test_who_makes_an_archive_runs_it(config: Config, ledger: Ledger, me: str) -> None:
    assert access.caller(ledger, None) == Actor(me, frozenset({Role.OPERATOR}))
    assert [(each["actor"], each["role"]) for each in told(config, "grant", "list")["grants"]] == [(me, "operator")]


def test_grants_come_and_go(config: Config, ledger: Ledger, me: str) -> None:
    assert told(config, "grant", "add", "ada", "curator", "--reason", "she knows")["changed"] is True
    assert told(config, "grant", "add", "ada", "curator")["changed"] is False
    assert access.known_as(ledger, "ada").roles == {Role.CURATOR}
    assert told(config, "grant", "remove", "ada", "curator")["changed"] is True
    assert told(config, "grant", "remove", "ada", "curator")["changed"] is False
    refused = run(config, "grant", "remove", me, "operator")
    assert "the last operator" in str(refused.exception)
    assert run(config, "grant", "add", "a\x1bb", "reader").exception is not None


def test_tokens_come_and_go(config: Config, ledger: Ledger) -> None:
    refused = run(config, "token", "create", "pipeline", "--role", "producer")
    assert "archive grant add 'pipeline' producer" in refused.exception.remedy  # type: ignore[union-attr]
    told(config, "grant", "add", "pipeline", "producer")
    token = told(config, "token", "create", "pipeline", "--role", "producer", "--days", "30")
    assert access.bearer(ledger, token["token"]).name == "pipeline"
    (listed,) = told(config, "token", "list")["tokens"]
    assert (listed["id"], listed["valid"]) == (token["id"], True)
    assert token["token"] not in json.dumps(listed)
    assert told(config, "token", "revoke", token["id"])["changed"] is True
    assert told(config, "token", "list")["tokens"][0]["valid"] is False
    assert "no token" in str(run(config, "token", "revoke", "nothing").exception)


CHANGES = [
    ("grant", "add", "eve", "operator"),
    ("grant", "remove", "eve", "operator"),
    ("token", "create", "eve", "--role", "operator"),
    ("token", "list"),
    ("token", "revoke", "x"),
    ("backup", "nowhere"),
    ("init", "--publisher", "Eve"),
    ("jobs", "kill", "x"),
    ("publish", "sp_test"),
    ("schema", "register", "{data}/sp_test.yaml"),
    ("amend", "archive://archive.test/x", "--set", "a=b", "--reason", "r"),
    ("retract", "archive://archive.test/x", "--reason", "r"),
]
DELIVERIES = [
    ("load", "sp_test", "source", "x.parquet"),
    ("ingest", "x.fits", "--type", "raw_image", "--release", "sp_test", "--collection", "raw"),
]


@pytest.mark.parametrize("verb", CHANGES + DELIVERIES + [("log",), ("grant", "list")], ids=" ".join)
@pytest.mark.parametrize("role", ["reader", None])
def test_verbs_refuse_who_may_not(
    tmp_path: Path, data: Path, verb: tuple[str, ...], role: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Config(home=tmp_path / "home", descriptions=data)
    Endpoint.create(config, archives.SITE).close()
    token = None
    with Endpoint.open(config) as endpoint:
        if role is None:
            monkeypatch.setattr(access, "own_actor", lambda: "eve")
        else:
            token = made(endpoint.ledger, "eve", role)
        before = archives.snapshot(endpoint)["ledger"] | {"token": None}
    ended = run(config, *(word.format(data=data) for word in verb), token=token)
    assert isinstance(ended.exception, NotAuthorized), ended.exception
    with Endpoint.open(config) as endpoint:
        assert archives.snapshot(endpoint)["ledger"] | {"token": None} == before


@pytest.mark.parametrize("verb", CHANGES, ids=" ".join)
def test_a_producer_may_not_decide(tmp_path: Path, data: Path, verb: tuple[str, ...]) -> None:
    config = Config(home=tmp_path / "home", descriptions=data)
    Endpoint.create(config, archives.SITE).close()
    with Endpoint.open(config) as endpoint:
        token = made(endpoint.ledger, "eve", "producer")
    ended = run(config, *(word.format(data=data) for word in verb), token=token)
    assert isinstance(ended.exception, NotAuthorized), ended.exception
    for delivery in DELIVERIES:
        tried = run(config, *delivery, token=token)
        assert isinstance(tried.exception, Fault | type(None))
        assert not isinstance(tried.exception, NotAuthorized)


def test_a_wrong_token_is_not_the_user_of_the_process(config: Config) -> None:
    ended = run(config, "grant", "list", token="wrong.token")
    assert isinstance(ended.exception, NotAuthenticated)


def test_refusals_have_an_exit_code_of_their_own(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    from archive.cli import main

    for name, value in (("ARCHIVE_DATABASE", config.database or ""), ("ARCHIVE_TOKEN", "wrong.token")):
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        main(["--home", str(config.home), "grant", "list"])
    assert ended.value.code == 77


def test_an_archive_without_operators_gets_one(config: Config, ledger: Ledger, me: str) -> None:
    """One that was made before there were grants."""
    with ledger.write() as transaction:
        transaction.execute(schema.grant.delete())
    assert isinstance(run(config, "publish", "sp_test").exception, NotAuthorized)
    assert run(config, "init", "--publisher", "Tests").exit_code == 0
    assert access.known_operators(ledger) == {me}


# --- the log --------------------------------------------------------------------------------------


def entries(config: Config, *options: str) -> list[dict[str, Any]]:
    ended = run(config, "log", *options)
    assert ended.exception is None, ended.exception
    return [json.loads(line) for line in ended.stdout.splitlines()]


def test_the_log_says_who_did_what_and_why(config: Config, ledger: Ledger, me: str) -> None:
    operator = made(ledger, "oscar", "operator")
    run(config, "grant", "add", "ada", "reader", "--reason", "a guest", token=operator)
    newest = entries(config)[-1]
    assert (newest["kind"], newest["actor"], newest["reason"]) == ("grant", "oscar", "a guest")
    assert newest["facts"] == {"to": "ada", "role": "reader"}
    assert [each["seq"] for each in entries(config)] == list(range(1, newest["seq"] + 1))
    assert {each["actor"] for each in entries(config, "--actor", "oscar")} == {"oscar"}
    assert {each["kind"] for each in entries(config, "--kind", "token")} == {"token"}
    assert [each["facts"]["to"] for each in entries(config, "--subject", "ada")] == ["ada"]
    assert entries(config, "--since", "2999-01-01") == []
    assert entries(config, "--since", "2000-01-01") == entries(config)
    for_people = CliRunner().invoke(
        archive, ["--home", str(config.home), "log"], env={"ARCHIVE_DATABASE": config.database}
    )
    assert re.search(r"oscar grant role=reader to=ada \(a guest\)", for_people.stdout)


def test_what_a_token_does_is_done_by_its_actor(config: Config, ledger: Ledger, tmp_path: Path) -> None:
    """Also where nothing says so on the way from the verb to the event."""
    token = made(ledger, "pipeline", "producer")
    file = archives.parquet(tmp_path / "rows.parquet", map(archives.source, range(5)))
    told(config, "load", "sp_test", "source", str(file), token=token)
    kinds = {each["kind"] for each in entries(config, "--actor", "pipeline")}
    assert kinds >= {"artifact", "state"}
    assert {each["actor"] for each in entries(config, "--subject", "sp_test.source")} == {"pipeline"}


def test_following_the_log(config: Config, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """What happens while somebody looks is told once, in order."""
    rounds = iter(["one", "two"])

    def pause(_: float) -> None:
        actor = next(rounds, None)
        if actor is None:
            raise KeyboardInterrupt
        with ledger.write() as transaction:
            grants.add(transaction, actor, "reader")

    monkeypatch.setattr("archive.cli.log.time.sleep", pause)
    ended = run(config, "log", "--follow", "--kind", "grant")
    assert [json.loads(line)["facts"]["to"] for line in ended.stdout.splitlines()[1:]] == ["one", "two"]
