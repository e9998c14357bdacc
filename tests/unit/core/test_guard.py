"""Which URLs and addresses a user may name; no connection is made here."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

import pytest

from nexus_actors.core.errors import (
    ConfigurationError,
    ForbiddenUrlError,
    RemoteUnavailableError,
)
from nexus_actors.core.guard import Guard, GuardSettings, is_public
from nexus_actors.core.transport import look_up


PUBLIC = "93.184.216.34"


def guard(*addresses: str, **settings: object) -> Guard:
    """A guard in whose world every name has these *addresses*."""

    def resolve(host: str, port: int) -> Sequence[str]:
        return addresses or look_up(host, port)

    return Guard(GuardSettings.load(settings), resolve=resolve)


def refusal(guard: Guard, url: str) -> str:
    with pytest.raises(ForbiddenUrlError) as caught:
        guard.check(url)
    assert caught.value.code == "forbidden_url"
    assert not caught.value.retryable
    assert len(caught.value.message.splitlines()) == 1
    return caught.value.message


@pytest.mark.parametrize(
    "address",
    [
        *["0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200"],
        *["127.0.0.1", "127.255.0.1", "168.63.129.16", "169.254.169.254"],
        *["172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.0.192", "192.0.2.1"],
        *["192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.1", "203.0.113.1"],
        *["224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255"],
        *["::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:169.254.169.254"],
        *["::ffff:0:127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b::5db8:d822"],
        *["64:ff9b:1::a9fe:a9fe", "100::1", "2001::1", "2001:0:a9fe:a9fe::1"],
        *["2001:2::1", "2001:10::1", "2001:db8::1", "2002:a9fe:a9fe::"],
        *["2002:5db8:d822::", "3fff::1", "4000::1", "5f00::1", "fc00::1"],
        *["fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "ff0e::1"],
    ],
)
def test_a_name_with_an_address_that_is_not_public_is_refused(address: str) -> None:
    message = refusal(guard(address), "https://hooks.example.com/x")

    assert message == (
        "hooks.example.com is not on the public internet; "
        "give a URL that everyone can reach"
    )
    assert refusal(guard(PUBLIC, address), "https://hooks.example.com/x") == message
    assert refusal(guard(address, PUBLIC), "https://hooks.example.com/x") == message


@pytest.mark.parametrize(
    "address",
    [
        PUBLIC,
        "8.8.8.8",
        "1.1.1.1",
        "172.15.0.1",
        "172.32.0.1",
        "100.63.255.255",
        "2606:4700:4700::1111",
        "2a00:1450:4001::1",
        f"::ffff:{PUBLIC}",
    ],
)
def test_a_name_whose_addresses_are_public_is_let_through(address: str) -> None:
    guard(address, PUBLIC).check("https://hooks.example.com/x?y=z")


def test_an_address_that_python_calls_global_may_still_be_none() -> None:
    wrong = ["224.0.0.1", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::", "168.63.129.16"]

    assert not any(is_public(ip_address(text)) for text in wrong)


@pytest.mark.parametrize(
    "url",
    [
        *["", "hooks.example.com", "//hooks.example.com/", "https:hooks.example.com"],
        *["https://", "https:///x", "ftp://hooks.example.com/", "file:///etc/passwd"],
        *["gopher://hooks.example.com/", "javascript:alert(1)", "https://?x"],
        *["https://user@hooks.example.com/", "https://user:pw@hooks.example.com/"],
        *["https://hooks.example.com@127.0.0.1/", "https://@hooks.example.com/"],
        *["https://127.0.0.1\\@hooks.example.com/", "https://hooks.example.com\\x"],
        *["https://hooks.example.com/#x", "https://127.0.0.1#@hooks.example.com/"],
        *[" https://hooks.example.com/", "https://hooks.example.com/ ", "https://h x/"],
        *["https://hooks.example.com/\r\nX: y", "https://hooks.example.com/\0"],
        *["https://hooks.example.com\t/", "https://hooks.example.com/\u2028"],
        *["https://hooks.example.com:/", "https://hooks.example.com:https/"],
        *["https://hooks.example.com:443:80/", "https://hooks.example.com:-1/"],
        *["https://hooks.example.com:443443/", "https://hooks.example.com:\u0664/"],
        *["https://hooks.%65xample.com/", "https://127.0.0.1%2f.example.com/"],
        *["https://hooks..example.com/", "https://.example.com/", "https://.../"],
        *["https://example.com../", "https://*.example.com/", "https://a,b.com/"],
        *["https://" + "a" * 64 + ".com/", "https://" + "a." * 130 + "com/"],
        *["https://[::1/", "https://::1/", "https://[::1%25lo]/", "https://[::g]/"],
        *["https://[fe80::1%eth0]/", "https://[127.0.0.1]/", "https://[v1.x]/"],
        *["https://hooks.example.com/" + "x" * 4096],
    ],
)
def test_a_url_with_more_than_one_reading_is_refused(url: str) -> None:
    assert refusal(guard(PUBLIC), url).startswith("the URL cannot be used: ")


@pytest.mark.parametrize(
    "host",
    [
        *["2130706433", "0x7f000001", "0X7F000001", "017700000001", "127.1", "127.0.1"],
        *[
            "0x7f.0.0.1",
            "0177.0.0.1",
            "127.0.0.01",
            "0",
            "0.0",
            "1.2.3.4.5",
            "256.1.1.1",
        ],
        *["127.0.0.0x1", "example.1", "2130706433.", "4294967296"],
    ],
)
def test_an_address_that_is_oddly_written_is_refused(host: str) -> None:
    message = refusal(guard(PUBLIC), f"https://{host}/")

    assert message == "the URL cannot be used: its host is no IPv4 address"


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.0.0.1.",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:7f00:1]",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
        "[2002:7f00:1::]",
        "169.254.169.254",
        "[fd00:ec2::254]",
        "0.0.0.0",
        "[::]",
    ],
)
def test_an_address_as_a_host_is_judged_as_one(host: str) -> None:
    assert "not on the public internet" in refusal(guard(), f"https://{host}/")


@pytest.mark.parametrize(
    "host", ["\uff11\uff12\uff17.0.0.1", "127。0。0。1", "①②⑦.0.0.1", "ⓛocalhost"]
)
def test_signs_that_look_like_others_reach_nothing(host: str) -> None:
    refusal(guard(), f"https://{host}/")


def test_an_international_name_is_asked_for_in_ascii() -> None:
    asked = []

    def resolve(host: str, _: int) -> Sequence[str]:
        asked.append(host)
        return [PUBLIC]

    guard = Guard(GuardSettings.load(), resolve=resolve)
    guard.check("https://Bücher.example.com./x")

    assert asked == ["xn--bcher-kva.example.com"]


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost.",
        "LOCALHOST",
        "a.localhost",
        "printer.local",
        "intranet",
        "metadata.google.internal",
        "metadata.google.internal.",
        "x.home.arpa",
    ],
)
def test_a_name_of_the_local_network_is_refused_whatever_it_means(host: str) -> None:
    assert "not on the public internet" in refusal(guard(PUBLIC), f"https://{host}/")


@pytest.mark.parametrize("port", [0, 1, 22, 25, 80, 6379, 8080, 65535, 65536])
def test_only_the_ports_of_the_web_are_reached(port: int) -> None:
    message = refusal(guard(PUBLIC), f"https://hooks.example.com:{port}/")

    assert message == f"port {port} may not be used; leave the port out"


def test_http_is_refused_unless_the_setting_lets_it_in() -> None:
    url = "http://hooks.example.com/"

    assert "give an https:// URL" in refusal(guard(PUBLIC), url)
    guard(PUBLIC, guard_http=True).check(url)
    assert "port 8080" in refusal(
        guard(PUBLIC, guard_http=True), "http://hooks.example.com:8080/"
    )


def test_a_name_without_an_address_may_have_one_later() -> None:
    guard = Guard(GuardSettings.load(), resolve=lambda *_: [])

    with pytest.raises(
        RemoteUnavailableError, match=r"hooks\.example\.com is not known"
    ):
        guard.check("https://hooks.example.com/")


def test_what_the_setting_names_is_reached_all_the_same() -> None:
    allowed = guard(guard_allow="127.0.0.1:8025, [::1]:8025 10.1.0.0/16")

    allowed.check("http://127.0.0.1:8025/x")
    allowed.check("http://[::1]:8025/x")
    allowed.check("http://[::ffff:127.0.0.1]:8025/x")
    allowed.check("http://10.1.2.3:9000/")
    refusal(allowed, "http://127.0.0.1:8026/")
    refusal(allowed, "http://127.0.0.2:8025/")
    refusal(allowed, "http://10.2.0.1/")


def test_a_host_that_the_setting_names_may_have_any_address() -> None:
    allowed = guard("10.1.2.3", guard_allow="minio.internal:9000")

    allowed.check("http://minio.internal:9000/x")
    refusal(allowed, "http://minio.internal:9001/x")
    refusal(allowed, "http://other.internal:9000/x")
    refusal(allowed, "https://hooks.example.com/x")


def test_an_allowed_address_opens_no_other_of_the_same_name() -> None:
    refusal(
        guard("127.0.0.1", "10.0.0.1", guard_allow="127.0.0.1"), "https://a.example.com"
    )


def test_a_translated_address_is_as_good_as_the_one_inside_of_it() -> None:
    url, allow = "https://hooks.example.com/", "64:ff9b::/96"

    guard("64:ff9b::5db8:d822", guard_allow=allow).check(url)
    refusal(guard("64:ff9b::a9fe:a9fe", guard_allow=allow), url)


def test_a_public_place_that_the_setting_denies_is_not_reached() -> None:
    refusal(guard(PUBLIC, guard_deny="93.184.216.0/24"), "https://a.example.com/")
    refusal(guard(PUBLIC, guard_deny="a.example.com"), "https://a.example.com/")
    guard(PUBLIC, guard_deny="a.example.com").check("https://b.example.com/")


def test_the_settings_are_read_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NEXUS_GUARD_ALLOW", "127.0.0.0/8,::1")
    monkeypatch.setenv("NEXUS_GUARD_PORTS", "443, 9443")

    guard = Guard(GuardSettings.load())

    guard.check("http://127.1.2.3:5000/")
    assert "port 8443" in refusal(guard, "https://[2606:4700:4700::1111]:8443/")


@pytest.mark.parametrize("value", ["127.0.0.1/33", "a b:c", "http://x", "127.1", "*"])
def test_a_place_that_is_none_is_told_with_its_variable(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEXUS_GUARD_ALLOW", value)

    with pytest.raises(ConfigurationError, match=r"NEXUS_GUARD_ALLOW.*no host or"):
        GuardSettings.load()


@pytest.mark.parametrize(
    ("written", "meant"),
    [("0x7f000001", "127.0.0.1"), ("2130706433", "127.0.0.1"), ("127.1", "127.0.0.1")],
)
def test_the_systems_resolver_reads_odd_addresses(written: str, meant: str) -> None:
    assert look_up(written, 80) == [meant]


def test_the_systems_resolver_knows_this_machine() -> None:
    assert {"127.0.0.1", "::1"} & set(look_up("localhost", 80))


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".com"])
def test_what_is_no_name_is_not_known(host: str) -> None:
    with pytest.raises(OSError, match="not a host name"):
        look_up(host, 80)
