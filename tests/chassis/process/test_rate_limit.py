"""RATE_LIMIT_PER_MINUTE on a real process: how often one client may ask."""

from __future__ import annotations

from pathlib import Path

from .command import Command

LIMITED = {"RATE_LIMIT_PER_MINUTE": "5", "CORS_ORIGINS": "https://app.example.com"}


def test_the_sixth_request_of_a_client_is_rejected_and_probes_are_not_counted(folder: Path) -> None:
    with Command(folder, **LIMITED) as service, service.client() as client:
        for _ in range(10):
            assert [200, 200] == [client.get(path).status_code for path in ("/health/live", "/metrics")]
        answers = [client.get("/", headers={"Origin": "https://app.example.com"}) for _ in range(6)]
        probed = client.get("/health/live")
        line = service.line("rate limit hit", request_id=answers[5].headers["x-request-id"])
        counted = client.get("/metrics").text

    rejected = answers[5]
    assert [200] * 5 + [429] == [answer.status_code for answer in answers]
    assert 0 < int(rejected.headers["retry-after"]) <= 60
    assert rejected.json()["type"].endswith(":too-many-requests")
    assert "https://app.example.com" == rejected.headers["access-control-allow-origin"]
    assert "nosniff" == rejected.headers["x-content-type-options"]
    assert 200 == probed.status_code
    assert ("127.0.0.1", "client", "rejected") == (line["client"], line["limit"], line["outcome"])
    assert 'status_code="429"} 1.0' in counted


def test_a_forged_address_counts_as_its_sender_and_the_log_says_what_to_set(folder: Path) -> None:
    with Command(folder, **LIMITED) as service, service.client() as client:
        answers = [client.get("/", headers={"X-Forwarded-For": f"203.0.113.{n}"}) for n in range(7)]
        direct = client.get("/")
        lines = [service.line("rate limit hit", request_id=a.headers["x-request-id"]) for a in (*answers[5:], direct)]
        warnings = [line for line in service.lines if line["event"] == "forwarded by an unknown proxy"]

    assert [200] * 5 + [429] * 3 == [answer.status_code for answer in (*answers, direct)]
    assert [True, True, False] == ["TRUSTED_PROXIES" in line.get("hint", "") for line in lines]
    assert ["127.0.0.1"] == [line["peer"] for line in warnings]
    assert "TRUSTED_PROXIES" in warnings[0]["hint"]


def test_the_first_forwarded_request_is_warned_of_without_any_limit(folder: Path) -> None:
    for trusted in ({}, {"TRUSTED_PROXIES": "10.0.0.0/8"}):
        for header in ("X-Forwarded-For", "Forwarded"):
            with Command(folder, **trusted) as service, service.client() as client:
                for _ in range(3):
                    client.get("/", headers={header: "for=203.0.113.7"})
                service.line("request", request_id=client.get("/").headers["x-request-id"])

            assert 1 == [line["event"] for line in service.lines].count("forwarded by an unknown proxy")


def test_a_trusted_proxy_is_not_warned_of(folder: Path) -> None:
    with Command(folder, TRUSTED_PROXIES="127.0.0.1") as service, service.client() as client:
        client.get("/", headers={"X-Forwarded-For": "203.0.113.7"})
        service.line("request", request_id=client.get("/").headers["x-request-id"])

    assert "forwarded by an unknown proxy" not in [line["event"] for line in service.lines]


def test_clients_of_a_trusted_proxy_are_counted_apart_and_networks_of_ipv6_together(folder: Path) -> None:
    with Command(folder, TRUSTED_PROXIES="127.0.0.1", **LIMITED) as service, service.client() as client:
        others = [client.get("/", headers={"X-Forwarded-For": f"203.0.113.{n}"}).status_code for n in range(10)]
        network = [client.get("/", headers={"X-Forwarded-For": f"2001:db8::{n}"}).status_code for n in range(1, 7)]

    assert [200] * 10 == others
    assert [200] * 5 + [429] == network


def test_an_address_is_the_same_one_when_a_proxy_maps_it_to_ipv6(folder: Path) -> None:
    """The proxy before the last is in a trusted network, and all of them listen on a socket for both families."""
    trusted = {"TRUSTED_PROXIES": "127.0.0.1, ::ffff:10.0.0.0/104"}
    forms = ("203.0.113.7", "::ffff:203.0.113.7", "::FFFF:CB00:7107", "[::ffff:203.0.113.7]:4711", "203.0.113.7")
    with Command(folder, **trusted, **LIMITED) as service, service.client() as client:
        answers = [
            client.get("/", headers={"X-Forwarded-For": f"{form}, ::ffff:10.0.0.7, 10.0.0.8"})
            for form in (*forms, forms[1])
        ]
        lines = [service.line("request", request_id=answer.headers["x-request-id"]) for answer in answers]

    assert [200] * 5 + [429] == [answer.status_code for answer in answers]
    assert ["203.0.113.7"] * 6 == [line["client"] for line in lines]


def test_without_the_setting_nothing_is_limited(folder: Path) -> None:
    with Command(folder) as service, service.client() as client:
        assert {200} == {client.get("/").status_code for _ in range(50)}
