from __future__ import annotations

import pytest
from socketio.packet import ACK, CONNECT, EVENT

from acme_service.chassis.chat.packets import UNKNOWN, Binary, Malformed, StrictPacket, require_frame


@pytest.mark.parametrize(
    ("encoded", "kind", "data", "acknowledgement"),
    [
        ('0{"token":"x"}', CONNECT, {"token": "x"}, None),
        ('2["join-room",{"roomId":"a"}]', EVENT, ["join-room", {"roomId": "a"}], None),
        ('217["typing"]', EVENT, ["typing"], 17),
        ("35[1]", ACK, [1], 5),
    ],
)
def test_what_clients_send_is_decoded(encoded: str, kind: int, data: object, acknowledgement: int | None) -> None:
    packet = StrictPacket(encoded_packet=encoded)

    assert (kind, data, acknowledgement) == (packet.packet_type, packet.data, packet.id)


@pytest.mark.parametrize(
    "encoded",
    [
        "9",
        "x",
        "4{}",
        "2",
        "2null",
        '2{"a":1}',
        "2[]",
        "2[5]",
        "2[{}]",
        "2[" * 50_000,
        '2["\\ud800"]',
        '2²["x"]',
        f'2{"9" * 101}["x"]',
        "3[1]",
        "31{}",
        b"bytes",
        ["a list"],
    ],
)
def test_what_no_client_sends_is_malformed_and_nothing_else(encoded: object) -> None:
    with pytest.raises(Malformed):
        StrictPacket(encoded_packet=encoded)


@pytest.mark.parametrize("encoded", ["27[]", "27[5]", '27["\\ud800"]', "27["])
def test_a_malformed_event_that_asks_for_an_acknowledgement_can_have_one(encoded: str) -> None:
    with pytest.raises(Malformed) as raised:
        StrictPacket(encoded_packet=encoded)

    assert 7 == raised.value.acknowledgement


@pytest.mark.parametrize(
    ("encoded", "acknowledgement"), [('51-7["x"]', 7), ('59999999999-["x"]', None), ("61-7[]", None)]
)
def test_attachments_are_not_waited_for(encoded: str, acknowledgement: int | None) -> None:
    with pytest.raises(Binary) as raised:
        StrictPacket(encoded_packet=encoded)

    assert acknowledgement == raised.value.acknowledgement


@pytest.mark.parametrize("name", ["connect", "disconnect", "*", "__disconnect_final"])
def test_no_client_calls_a_handler_that_the_library_calls(name: str) -> None:
    assert f"{UNKNOWN}{name}" == StrictPacket(encoded_packet=f'2["{name}",1]').data[0]


@pytest.mark.parametrize("frame", ["", None, "0", "x", "b64", "4", "4{}", "4[1]", "²"])
def test_frames_that_the_library_would_stumble_over_are_rejected(frame: str | None) -> None:
    with pytest.raises(Malformed):
        require_frame(frame)


@pytest.mark.parametrize("frame", ["1", "2", "2probe", "3", "40", '42["a"]', "5", "6"])
def test_frames_of_the_protocol_pass(frame: str) -> None:
    require_frame(frame)
