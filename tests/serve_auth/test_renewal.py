"""A sign-in is renewed while it is good, and for twelve hours at most."""

import time

import jwt
from pindet_serve.auth.renewal import LONGEST_SESSION_SECONDS


def renew(client, token):
    return client.post("/v1/auth/renew", headers={"Authorization": f"Bearer {token}"})


def claims(token):
    return jwt.decode(token, options={"verify_signature": False})


def test_a_good_token_gives_a_fresh_one_of_the_same_sign_in(client, token):
    hour_ago = time.time() - 3600
    old = token("operator", auth_time=hour_ago)
    answer = renew(client, old)

    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["role"] == "operator"
    fresh = claims(answer.json()["access_token"])
    assert (fresh["sub"], fresh["auth_time"]) == ("operator", hour_ago)
    assert fresh["exp"] > time.time() + 3590
    assert fresh["jti"] != claims(old)["jti"]
    assert renew(client, answer.json()["access_token"]).status_code == 200


def test_the_password_must_be_given_again_after_twelve_hours(client, token):
    just = time.time() - LONGEST_SESSION_SECONDS
    assert renew(client, token(auth_time=just + 30)).status_code == 200
    answer = renew(client, token(auth_time=just - 1))

    assert answer.status_code == 401
    assert "sign in again" in answer.json()["detail"]


def test_a_token_of_before_a_change_is_not_renewed(client, token, proofs, guard):
    old = token("viewer")
    assert renew(client, old).status_code == 200
    guard.directory._known = {}
    assert renew(client, old).status_code == 401
    assert client.post("/v1/auth/renew", headers=proofs["expired"]).status_code == 401
    assert client.post("/v1/auth/renew").status_code == 401


def test_a_sign_in_says_when_the_password_was_given(client, password):
    before = time.time()
    form = {"username": "viewer", "password": password}
    answer = client.post("/v1/auth/token", data=form).json()

    assert before <= claims(answer["access_token"])["auth_time"] <= time.time()
