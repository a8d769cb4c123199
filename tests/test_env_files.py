"""The settings that make_env.sh makes, and what it adds to those from before."""

import re
import subprocess

import pytest


@pytest.fixture(scope="module")
def checkout(new_checkout):
    return new_checkout()


def test_existing_settings_are_never_overwritten_and_secrets_are_ones_own(checkout):
    before = {name: checkout.env_file(name).read_text() for name in checkout.NAMES}

    checkout.run("make_env.sh")

    assert {name: checkout.env_file(name).read_text() for name in checkout.NAMES} == before
    secrets = re.findall("^SECRET_KEY=(.+)$", "\n".join(before.values()), re.MULTILINE)
    assert len(set(secrets)) == len(checkout.NAMES) - 1  # the gateway has nothing to sign
    assert all(len(secret) == 64 for secret in secrets)
    assert checkout.env_file("auth-service").stat().st_mode & 0o077 == 0


def test_an_older_env_file_gets_the_settings_that_are_new_and_keeps_every_line(checkout):
    env_file = checkout.env_file("product-service")
    complete = env_file.read_text()
    older = re.sub(r"^(SERVICE_CLIENT_SECRET|AMQP_URL|SEED_DEMO_DATA)=.*\n", "", complete, flags=re.MULTILINE)
    older = older.replace("CART_SERVICE_URL=", "#CART_SERVICE_URL=") + "MY_OWN='stays'  # as it is"
    env_file.write_text(older)
    try:
        said = checkout.run("make_env.sh").stdout
        newer = env_file.read_text()
        again = checkout.run("make_env.sh").stdout
        same = env_file.read_text()
    finally:
        env_file.write_text(complete)

    assert newer.startswith(older + "\n")
    added = newer.removeprefix(older)
    values = dict(re.findall("^([A-Z_]+)=(.*)$", added, re.MULTILINE))
    assert said == f"  added {' '.join(values)} to services/product-service/.env\n"
    assert values["AMQP_URL"] == ""
    assert values["SERVICE_CLIENT_SECRET"] == re.search("SERVICE_CLIENT_SECRET=(.+)", complete).group(1)
    # Whoever took that line out did not want accounts with known passwords.
    assert values.keys() == {"AMQP_URL", "SERVICE_CLIENT_SECRET", "SEED_DEMO_DATA"}
    assert values["SEED_DEMO_DATA"] == "false"
    assert re.search("^# Events go through RabbitMQ.*\nAMQP_URL=", added, re.MULTILINE)
    assert (again, same) == ("", newer)


def test_a_secret_that_is_new_is_made(checkout):
    example, env_file = checkout.folder / "api-gateway" / ".env.example", checkout.env_file("api-gateway")
    known, complete = example.read_text(), env_file.read_text()
    example.write_text(known + "# Signs links.\nLINK_SECRET=<random>\n")
    try:
        checkout.run("make_env.sh")
        newer = env_file.read_text()
    finally:
        example.write_text(known)
        env_file.write_text(complete)

    assert re.fullmatch("# Signs links.\nLINK_SECRET=[0-9a-f]{64}\n", newer.removeprefix(complete))


def test_a_real_shop_says_once_that_it_wants_no_demonstration(checkout):
    env_files = {checkout.env_file(name): checkout.env_file(name).read_text() for name in checkout.NAMES}
    for env_file in env_files:
        env_file.unlink()
    try:
        checkout.run("make_env.sh", SEED_DEMO_DATA="false")
        made = [env_file.read_text() for env_file in env_files]
    finally:
        for env_file, text in env_files.items():
            env_file.write_text(text)

    seeding = re.findall("^SEED_DEMO_DATA=(.*)$", "".join(made), re.MULTILINE)
    assert seeding == ["false"] * 6


def test_an_account_that_is_newer_than_the_auth_service_s_settings_is_introduced_to_it(checkout):
    env_file = checkout.env_file("auth-service")
    complete = env_file.read_text()
    env_file.write_text(re.sub(",cart-service:[^,\n]+", "", complete))
    older = env_file.read_text()
    try:
        first, second = (checkout.run("make_env.sh") for _ in range(2))
        extended = env_file.read_text()
    finally:
        env_file.write_text(complete)

    assert "added the accounts of cart-service" in first.stdout
    assert extended.startswith(older)
    assert set(_last_setting(extended, "SERVICE_CLIENTS")) == set(_last_setting(complete, "SERVICE_CLIENTS"))
    assert (second.stdout, second.stderr) == ("", "")


def test_an_account_whose_secret_the_auth_service_has_otherwise_is_named(checkout):
    env_file = checkout.env_file("auth-service")
    complete = env_file.read_text()
    changed = re.sub("product-service:[^,\n]+", "product-service:another", complete)
    env_file.write_text(changed)
    try:
        said = checkout.run("make_env.sh")
        assert env_file.read_text() == changed
    finally:
        env_file.write_text(complete)

    assert "has another secret for product-service" in said.stderr
    assert "order-service" not in said.stderr


@pytest.mark.parametrize("end", ["", "\n"])
def test_the_lease_that_an_older_example_gave_is_lengthened_and_one_s_own_is_not(checkout, end):
    env_file = checkout.env_file("order-service")
    complete = env_file.read_text()
    older, ones_own = (f"{complete}CHECKOUT_LEASE_SECONDS={seconds}{end}" for seconds in (60, 90))
    try:
        env_file.write_text(older)
        first, second = (checkout.run("make_env.sh").stdout for _ in range(2))
        lengthened = env_file.read_text()
        env_file.write_text(ones_own)
        checkout.run("make_env.sh")
        kept = env_file.read_text()
    finally:
        env_file.write_text(complete)

    assert "added CHECKOUT_LEASE_SECONDS=120" in first
    assert lengthened.splitlines()[: len(older.splitlines())] == older.splitlines()
    assert _last_setting(lengthened, "CHECKOUT_LEASE_SECONDS") == ["120"]
    assert (second, kept) == ("", ones_own)


def _last_setting(text, name):
    return re.findall(f"^{name}=(.*)$", text, re.M)[-1].split(",")


@pytest.mark.parametrize("lost", ["auth-service", "order-service"])
def test_a_lost_env_file_comes_back_with_the_secret_that_the_other_side_knows(checkout, lost):
    account = re.compile(r"(?:SERVICE_CLIENTS=.*order-service:|SERVICE_CLIENT_SECRET=)([^,\n]+)")
    other = {"auth-service": "order-service", "order-service": "auth-service"}[lost]
    kept = checkout.env_file(lost).read_text()
    checkout.env_file(lost).unlink()

    checkout.run("make_env.sh")
    remade = checkout.env_file(lost).read_text()
    checkout.env_file(lost).write_text(kept)

    assert account.search(remade).group(1) == account.search(checkout.env_file(other).read_text()).group(1)


@pytest.mark.parametrize(
    "line",
    [
        "PORT=7001",
        "PORT=7001\r",
        "export PORT = 7001",
        "PORT='7001' # the one that is free",
        'PORT="7001"',
        "PORT=\nPORT=7001",
        "NUMBER=7001\nPORT=${NUMBER}",
        "# PORT=7002\nPORT=7001\n#PORT=7003",
    ],
)
def test_scripts_read_settings_as_the_services_do_whoever_wrote_them(checkout, line):
    assert _port_of_cart_service(checkout, line) == "7001"


@pytest.mark.parametrize("line", ["", "PORT=", "PORT=''", "#PORT=7001"])
def test_a_port_that_is_not_said_is_that_of_the_table(checkout, line):
    assert _port_of_cart_service(checkout, line) == "5004"


def _port_of_cart_service(checkout, text):
    env_file = checkout.env_file("cart-service")
    complete = env_file.read_text()
    env_file.write_text(text + "\n", newline="")
    try:
        command = ["bash", "-c", 'source "$0"; port_of cart-service', checkout.folder / "services.sh"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
    finally:
        env_file.write_text(complete)
