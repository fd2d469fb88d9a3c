import pytest
from pindet_serve.auth.__main__ import main


def test_the_command_adds_a_user_and_later_resets_it(database, users):
    environment = {"DATABASE_URL": database.url.render_as_string(False), "PINDET_USER_PASSWORD": "a long password"}

    assert main(["root"], environment) == "root was added with the role admin"
    before = users.get("root")
    assert main(["root", "--role", "viewer"], environment) == "root has a new password and the role viewer"
    after = users.get("root")

    assert (before.role, after.role) == ("admin", "viewer")
    assert after.generation > before.generation
    assert after.password_hash.startswith("$argon2id$")


def test_the_command_needs_a_database_and_a_password_that_holds(database):
    with pytest.raises(ValueError, match="DATABASE_URL is not set"):
        main(["root"], {})
    with pytest.raises(ValueError, match="10 to 256 are allowed"):
        main(["root"], {"DATABASE_URL": str(database.url), "PINDET_USER_PASSWORD": "short"})
