import asyncio
import time
from itertools import islice

import pytest
from pindet_serve.auth.users import Users
from pindet_serve.client import Client, ClientError
from pindet_serve.client.status import follow
from pindet_serve.status import admission
from pindet_serve.status.backoff import Backoff

PASSWORD = "long enough"
QUICK = {"give_up_after_s": 20, "backoff": Backoff(0.01, 0.05)}


@pytest.fixture
def client(server):
    return Client(server.url, user="anna", password=PASSWORD)


def test_events_are_followed(client, server):
    events = client.status()
    assert next(events)["type"] == "snapshot"
    server.bus.publish_soon("model.loaded", {"version": "人"})

    assert next(events)["data"] == {"version": "人"}
    events.close()


def test_a_server_that_restarts_is_taken_up_where_it_was_left(client, server):
    events = follow(client._http, None, **QUICK)
    next(events)
    server.bus.publish_soon("job.running", {"number": 0})
    last = next(events)
    server.stop()
    server.bus.hub.append(server.bus.hub.next_local(), '{"type":"job.running","ts":1,"source":"a","data":{"number":1}}')
    server.start()
    server.bus.publish_soon("job.running", {"number": 2})
    snapshot, *rest = islice(events, 3)
    events.close()

    assert last["data"] == {"number": 0}
    assert (snapshot["type"], snapshot["data"]["reset"]) == ("snapshot", False)
    assert [event["data"]["number"] for event in rest] == [1, 2]


def test_an_ended_sign_in_is_renewed(client, server):
    server.guard.tokens.token_seconds = 1.5
    events = follow(client._http, None, **QUICK)
    assert [event["type"] for event in islice(events, 3)] == ["snapshot"] * 3
    events.close()
    assert server.sign_ins >= 3


def test_pings_are_for_the_iterator_alone(client, server):
    events = follow(client._http, None, **QUICK)
    next(events)
    server.bus._loop.call_soon_threadsafe(server.bus.hub.append_local, "ping", {})
    server.bus.publish_soon("model.loaded", {})

    assert next(events)["type"] == "model.loaded"
    events.close()


def test_a_silent_server_is_left_and_asked_again(client):
    events = follow(client._http, None, silence_s=0.1, **QUICK)

    assert [event["type"] for event in islice(events, 3)] == ["snapshot"] * 3
    events.close()


def test_who_may_not_read_is_told(server):
    with pytest.raises(ClientError, match="4401: sign in"):
        next(Client(server.url).status())
    with pytest.raises(ClientError, match="401: name and password do not fit"):
        next(Client(server.url, user="anna", password="wrong").status())


def test_a_server_that_stays_away_is_given_up(server, client):
    events = follow(client._http, None, give_up_after_s=0.3, backoff=Backoff(0.01, 0.05))
    next(events)
    server.stop()
    began = time.monotonic()
    with pytest.raises(ClientError, match=r"was not reached for 0.3 s"):
        next(events)
    assert time.monotonic() - began < 10


def test_a_user_whose_rights_were_taken_away_is_told_and_not_asked_for_ever(client, server, monkeypatch):
    monkeypatch.setattr(admission, "LOOK_SECONDS", 0.05)
    users = Users(server.database)
    users.create("root", "hash", "admin")
    with_token = Client(server.url, token=server.guard.tokens.issue("anna", "operator", users.get("anna").generation))
    asyncio.run(server.guard.directory.refresh())
    feeds = [follow(one._http, None, **QUICK) for one in (client, with_token)]
    for events in feeds:
        next(events)
    server.guard.directory.note(users.change("anna", enabled=False))

    for events, reason in zip(feeds, ["401: name and password do not fit", "4401: the user was changed"], strict=True):
        with pytest.raises(ClientError, match=reason):
            next(events)


def test_a_user_of_another_role_goes_on_with_it(client, server, monkeypatch):
    monkeypatch.setattr(admission, "LOOK_SECONDS", 0.05)
    users = Users(server.database)
    users.create("root", "hash", "admin")
    asyncio.run(server.guard.directory.refresh())
    events = follow(client._http, None, **QUICK)
    next(events)
    server.guard.directory.note(users.change("anna", role="viewer"))

    assert next(events)["type"] == "snapshot"
    assert server.sign_ins == 2
    events.close()
