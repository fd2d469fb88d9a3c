import asyncio

import pytest

NEW = {"name": "newcomer", "password": "also long enough", "role": "operator"}


def sign_in(client, name, password):
    answer = client.post("/v1/auth/token", data={"username": name, "password": password})
    return {"Authorization": f"Bearer {answer.json()['access_token']}"} if answer.status_code == 200 else None


def test_a_user_is_added_listed_and_removed(client, proofs, deeds):
    created = client.post("/v1/users", json=NEW, headers=proofs["admin"])
    names = [user["name"] for user in client.get("/v1/users", headers=proofs["admin"]).json()]
    newcomer = sign_in(client, "newcomer", NEW["password"])
    removed = client.delete("/v1/users/newcomer", headers=proofs["admin"])

    assert created.status_code == 201
    assert "password" not in created.text
    assert names == ["admin", "newcomer", "operator", "viewer"]
    assert newcomer
    assert removed.status_code == 204
    assert sign_in(client, "newcomer", NEW["password"]) is None
    assert [deed.action for deed in deeds if deed.action != "sign_in"] == ["user.create", "user.remove"]


@pytest.mark.parametrize(
    "change", [{"role": "viewer"}, {"password": "a new password!"}, {"enabled": False}], ids=lambda change: str(change)
)
def test_a_change_ends_the_tokens_of_before_at_once(client, guard, proofs, change, password):
    asyncio.run(guard.directory.refresh())
    before = sign_in(client, "operator", password)
    assert client.get("/v1/auth/me", headers=before).status_code == 200

    assert client.patch("/v1/users/operator", json=change, headers=proofs["admin"]).status_code == 200

    assert client.get("/v1/auth/me", headers=before).status_code == 401


def test_a_name_given_again_does_not_revive_old_tokens(client, guard, proofs):
    asyncio.run(guard.directory.refresh())
    client.post("/v1/users", json=NEW, headers=proofs["admin"])
    old = sign_in(client, "newcomer", NEW["password"])
    client.delete("/v1/users/newcomer", headers=proofs["admin"])
    assert client.get("/v1/auth/me", headers=old).status_code == 401
    client.post("/v1/users", json=NEW, headers=proofs["admin"])

    assert client.get("/v1/auth/me", headers=old).status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "detail"),
    [
        ("POST", "", NEW | {"name": "admin"}, 409, "taken"),
        ("POST", "", NEW | {"name": "a b"}, 409, "allowed are 1 to 64 letters"),
        ("POST", "", NEW | {"name": "same-as-name", "password": "Same-As-Name"}, 422, "is the user's name"),
        ("POST", "", NEW | {"password": "short"}, 422, "password"),
        ("POST", "", NEW | {"role": "root"}, 422, "role"),
        ("POST", "", NEW | {"extra": 1}, 422, "extra"),
        ("PATCH", "/operator", {"enabled": 0}, 422, "enabled"),
        ("PATCH", "/nobody", {"role": "viewer"}, 404, "there is no user nobody"),
        ("DELETE", "/nobody", None, 404, "there is no user nobody"),
        ("PATCH", "/admin", {"role": "viewer"}, 409, "no enabled administrator would be left"),
        ("PATCH", "/admin", {"enabled": False}, 409, "no enabled administrator would be left"),
        ("DELETE", "/admin", None, 409, "no enabled administrator would be left"),
    ],
)
def test_what_is_not_possible_is_said(client, proofs, method, path, body, status, detail):
    answer = client.request(method, f"/v1/users{path}", json=body, headers=proofs["admin"])

    assert answer.status_code == status
    assert detail in answer.json()["detail"]
    assert client.get("/v1/users", headers=proofs["admin"]).json()[0]["role"] == "admin"
