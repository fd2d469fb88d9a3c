import asyncio
import time

import pytest
from fastapi.testclient import TestClient
from pindet_serve.auth.lockout import Lockout
from pindet_serve.auth.opening import open_guard
from pindet_serve.auth.tokens import Tokens
from pindet_serve.history.database import Database
from pindet_serve.status.memory_bus import MemoryBus
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from starlette.websockets import WebSocketDisconnect


def sign_in(client, name, password):
    return client.post("/v1/auth/token", data={"username": name, "password": password})


def bearer(answer):
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def test_name_and_password_give_a_token(client, password, deeds):
    answer = sign_in(client, "operator", password)

    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json().items() >= {"token_type": "bearer", "expires_in": 3600, "role": "operator"}.items()
    me = client.get("/v1/auth/me", headers=bearer(answer))
    assert me.json() == {"name": "operator", "role": "operator", "sign_in": True}
    assert [(deed.actor, deed.action, deed.outcome) for deed in deeds] == [("operator", "sign_in", "done")]


@pytest.mark.parametrize(("name", "guess"), [("admin", "wrong"), ("nobody", "long enough 人"), ("admin", "x" * 5000)])
def test_what_does_not_fit_is_refused_alike(client, deeds, name, guess):
    answer = sign_in(client, name, guess)

    assert (answer.status_code, answer.json()["detail"]) == (401, "name and password do not fit")
    assert deeds[-1].outcome == "refused"


def test_guessing_is_locked_out_even_for_the_right_password(client, password):
    codes = [sign_in(client, "admin", f"guess number {number}").status_code for number in range(7)]
    locked = sign_in(client, "admin", password)

    assert codes == [401] * 6 + [429]
    assert locked.status_code == 429
    assert 25 <= int(locked.headers["Retry-After"]) <= 30
    assert sign_in(client, "viewer", password).status_code == 200  # others may


def test_guesses_at_the_same_time_are_counted_too(guard):
    async def main():
        guesses = [guard.exchange("admin", f"guess {number}", "10.0.0.1") for number in range(9)]
        return [getattr(error, "status", None) for error in await asyncio.gather(*guesses, return_exceptions=True)]

    statuses = asyncio.run(main())

    assert sorted(statuses) == [401] * 6 + [429] * 3


def test_a_ticket_opens_one_socket_once(client, proofs):
    ticket = client.post("/v1/auth/ticket", headers=proofs["viewer"]).json()["ticket"]
    with client.websocket_connect(f"/ws/status?ticket={ticket}") as socket:
        assert socket.receive_json()["type"] == "snapshot"
    with client.websocket_connect(f"/ws/status?ticket={ticket}") as socket:
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
        assert closed.value.code == 4401


def test_a_ticket_is_no_token_and_a_token_no_ticket(client, proofs, token):
    ticket = client.post("/v1/auth/ticket", headers=proofs["admin"]).json()["ticket"]

    assert client.get("/v1/auth/me", headers={"Authorization": f"Bearer {ticket}"}).status_code == 401
    with client.websocket_connect(f"/ws/status?ticket={token('admin')}") as socket:
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
        assert closed.value.code == 4401


def test_a_ticket_ends_after_its_time_and_lasts_no_longer_than_the_sign_in(guard, token, monkeypatch):
    principal = guard.tokens.read(token("viewer"))
    ticket = guard.tokens.issue_ticket(principal)

    assert guard.tokens.read_ticket(ticket).principal == principal
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 31)
    with pytest.raises(ValueError, match="expired"):
        guard.tokens.read_ticket(ticket)


def test_the_feed_ends_with_the_token(app, guard, users):
    guard.tokens.token_seconds = 1.5
    began = time.time()
    short = guard.tokens.issue("viewer", "viewer", users.get("viewer").generation)
    headers = {"Authorization": f"Bearer {short}"}
    with TestClient(app).websocket_connect("/ws/status", headers=headers) as socket:
        with pytest.raises(WebSocketDisconnect) as closed:
            while True:
                socket.receive_json()
        assert closed.value.code == 4401
    assert 0.4 < time.time() - began < 10  # a token's end counts in whole seconds


def test_a_key_is_changed_without_signing_anyone_out_and_then_retired():
    old, new = "old secret, long enough for HMAC, 1", "new secret, long enough for HMAC, 2"
    token = Tokens([old]).issue("a", "viewer", 1)

    assert Tokens([new, old]).read(token).name == "a"
    assert Tokens([new]).read(Tokens([new, old]).issue("a", "viewer", 1)).name == "a"
    with pytest.raises(ValueError, match="a key that is not known here"):
        Tokens([new]).read(token)


def test_no_secret_means_no_sign_in(database, deeds):
    guard = open_guard(["", ""], database, MemoryBus("a").claim, deeds.append)

    assert not guard.sign_in


def test_without_sign_in_everyone_is_an_administrator_from_this_machine_only(app, database, deeds):
    app.state.auth = open_guard([], database, MemoryBus("a").claim, deeds.append)
    here = TestClient(app, base_url="http://localhost:8000")
    # A page elsewhere whose name was made to point here: DNS rebinding.
    elsewhere = TestClient(app, base_url="http://evil.example:8000")

    assert here.get("/v1/auth/me").json() == {"name": "anonymous", "role": "admin", "sign_in": False}
    assert here.post("/v1/auth/ticket").status_code == 409
    with here.websocket_connect("ws://localhost:8000/ws/status", headers={"Origin": "http://localhost:8000"}) as socket:
        assert socket.receive_json()["type"] == "snapshot"
    with pytest.raises(WebSocketDisconnect) as refused:
        elsewhere.websocket_connect(
            "ws://evil.example:8000/ws/status", headers={"Origin": "http://evil.example:8000"}
        ).__enter__()
    assert refused.value.code == 1008


def test_signing_in_without_the_database_is_503_and_tokens_stay_valid(client, guard, proofs, password, monkeypatch):
    asyncio.run(guard.directory.refresh())
    break_database(monkeypatch, guard)

    assert sign_in(client, "admin", password).status_code == 503
    assert client.get("/v1/auth/me", headers=proofs["viewer"]).status_code == 200
    assert client.get("/v1/users", headers=proofs["admin"]).status_code == 503


def break_database(monkeypatch, guard):
    def fail(**_):
        raise OperationalError("select", {}, Exception("gone"))

    monkeypatch.setattr(guard.users._database, "begin", fail)


def test_the_directory_keeps_up_and_survives_an_outage(guard, users, monkeypatch, caplog):
    guard.directory._refresh_seconds = 0.02
    principal = guard.tokens.read(guard.tokens.issue("viewer", "viewer", users.get("viewer").generation))

    async def main():
        await guard.start()
        await asyncio.sleep(0.1)
        assert guard.directory.still_valid(principal)
        users.change("viewer", enabled=False)  # by another replica
        await asyncio.sleep(0.1)
        assert not guard.directory.still_valid(principal)
        break_database(monkeypatch, guard)
        await asyncio.sleep(0.1)
        assert not guard.directory.still_valid(principal)
        await guard.stop()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())
    assert len([record for record in caplog.records if "last copy" in record.message]) == 1


def test_the_first_administrator_is_made_once_the_database_is_there(tmp_path, secret, deeds, caplog):
    def start(name, until):
        database = Database(f"sqlite:///{tmp_path}/history.db")
        guard = open_guard(
            [secret], database, MemoryBus("a").claim, deeds.append, first_admin=(name, "a long password")
        )
        guard.directory._refresh_seconds = 0.02

        async def main():
            await guard.start()
            await until(guard)
            await guard.stop()

        asyncio.run(main())
        names = [user.name for user in guard.users.all()]
        database.close()
        return names

    async def the_file_is_freed(guard):
        while "last copy serves" not in caplog.text:
            await asyncio.sleep(0.01)
        (tmp_path / "history.db").rmdir()
        while guard.directory._known is None:
            await asyncio.sleep(0.01)

    async def it_knows(guard):
        while guard.directory._known is None:
            await asyncio.sleep(0.01)

    (tmp_path / "history.db").mkdir()  # SQLite can not open it

    assert start("root", the_file_is_freed) == ["root"]
    assert start("other", it_knows) == ["root"]


@pytest.mark.parametrize(
    ("first_admin", "reason"),
    [(("root", "short"), "10 to 256 are allowed"), (("a b", "a long password"), "allowed are")],
)
def test_a_first_administrator_that_can_not_be_stops_the_start(database, secret, deeds, first_admin, reason):
    with pytest.raises(ValueError, match=reason):
        open_guard([secret], database, MemoryBus("a").claim, deeds.append, first_admin=first_admin)


def test_locks_double_up_to_the_longest_and_are_forgotten(monkeypatch):
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    lockout = Lockout(2, first_s=10, longest_s=35, forget_s=100)
    waits = []
    for _ in range(6):
        lockout.failed("a")
        waits.append(lockout.locked_for("a"))
    assert waits == [0, 0, 10, 20, 35, 35]
    assert lockout.locked_for("b") == 0
    now += 101
    lockout.failed("a")
    assert lockout.locked_for("a") == 0
    lockout.failed("a")
    lockout.succeeded("a")
    lockout.failed("a")
    lockout.failed("a")
    assert lockout.locked_for("a") == 0


@pytest.mark.parametrize(("name", "word"), [("+2AA-", "word"), ("admin", "+2AA-"), ("a\0b", "word")])
def test_half_a_sign_in_name_or_password_is_one_that_does_not_fit(client, name, word, deeds):
    parts = "".join(
        f'--x\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'
        for field, value in (("username", name), ("password", word))
    )
    headers = {"content-type": "multipart/form-data; boundary=x; charset=utf-7"}
    answer = client.post("/v1/auth/token", content=parts + "--x--\r\n", headers=headers)

    assert (answer.status_code, answer.json()["detail"]) == (401, "name and password do not fit")
    assert deeds[-1].actor == name.replace("+2AA-", "\N{REPLACEMENT CHARACTER}")


def test_a_database_of_another_revision_is_one_that_is_away(client, database, password, proofs):
    with database.begin(write=True) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'v9999'"))
    database._migrated = False

    for answer in (sign_in(client, "admin", password), client.get("/v1/users", headers=proofs["admin"])):
        assert (answer.status_code, answer.json()["title"]) == (503, "The database is away")
        assert answer.headers["Retry-After"] == "5"


def test_the_directory_keeps_up_whatever_goes_wrong(guard, users, monkeypatch, caplog):
    guard.directory._refresh_seconds = 0.02
    principal = guard.tokens.read(guard.tokens.issue("viewer", "viewer", users.get("viewer").generation))

    def fail():
        raise RuntimeError("nobody foresaw this")

    async def main():
        with monkeypatch.context() as patch:
            patch.setattr(guard.users, "all", fail)
            await guard.start()
            await asyncio.sleep(0.1)
        users.change("viewer", enabled=False)  # by another replica
        async with asyncio.timeout(10):
            while guard.directory.still_valid(principal):
                await asyncio.sleep(0.01)
        await guard.stop()

    asyncio.run(main())
    (said,) = [record for record in caplog.records if "last copy" in record.message]
    assert "nobody foresaw this" in str(said.exc_info[1])
