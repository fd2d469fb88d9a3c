"""The scripts of a running stack, asked of a docker that answers as a stack would."""

REPLICAS = """*"ps --quiet api") echo old ;;
*"ps --all --quiet api") printf 'old\\nnew\\n' ;;
inspect*) echo healthy ;;
"""


def test_an_upgrade_says_why_it_could_not_end(host, docker):
    host.run("deployment/make_settings.sh")
    failing = docker(REPLICAS + """*"--scale api=1 api") echo 'no space left' >&2; exit 1 ;;""")
    status, said = host.run("operations/upgrade", **failing.environment)
    assert status == 1 and "no space left" in said and "upgraded" not in said
