import threading

import pytest
from pindet_serve.auth.users import UserError, Users


@pytest.fixture
def users(database):
    return Users(database)


def test_users_are_kept(users):
    made = users.create("a", "hash", "viewer")
    users.create("root", "hash", "admin")
    changed = users.change("a", role="operator", password_hash="other", enabled=False)

    assert users.get("a") == changed
    assert (changed.role, changed.password_hash, changed.enabled) == ("operator", "other", False)
    assert changed.generation > made.generation
    assert [user.name for user in users.all()] == ["a", "root"]
    users.remove("a")
    assert users.get("a") is None


def test_the_first_administrator_is_made_only_among_nobody(users):
    assert users.create_first_admin("root", "hash")
    assert not users.create_first_admin("other", "hash")
    assert [user.name for user in users.all()] == ["root"]


def test_two_administrators_can_not_remove_each_other_at_once(users):
    for round in range(5):
        names = [f"one{round}", f"two{round}"]
        for name in names:
            users.create(name, "hash", "admin")
        for user in users.all():
            if user.name not in names:
                users.remove(user.name)
        refused = []

        def remove(name, refused=refused):
            try:
                users.remove(name)
            except UserError:
                refused.append(name)

        threads = [threading.Thread(target=remove, args=(name,)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len(refused) == 1
        assert [user.name for user in users.all()] == refused
