"""The rules of the Socket.IO protocol, revision 5: namespaces, events, acknowledgements."""

import json
import time

from .rule_client import Client, Packet
from .rules import (
    GONE_SECONDS,
    LIVES,
    REFUSED,
    RULES,
    SLACK,
    Case,
    Lives,
    packets,
    rule,
)

__all__ = ["RULES"]

ONE = '["one",{"_placeholder":true,"num":0}]'
TWO = '["several",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]'


def answer_to(client: Client, packet: str) -> Packet:
    """Send one packet; the first that comes for it."""
    response = client.send(packet)
    assert response is None or response.status == 200, response
    return client.receive(GONE_SECONDS)


# --- connect --------------------------------------------------------------------------------------


@rule("suite: a client joins `/` with CONNECT and is told its id, another than the session's")
def connect(case: Case) -> None:
    for packet in ("40", '40{"token":"123"}', "40{}", "40/,", "40/,{}"):
        with case.another().client(None) as client:
            got = [answer_to(client, packet), client.receive(GONE_SECONDS)]
            answer, greeting = sorted(map(str, got))  # the handler's emit comes first
            told = json.loads(answer.removeprefix("40"))
            assert set(told) == {"sid"}
            assert isinstance(told["sid"], str)
            assert told["sid"] != client.sid
            assert greeting == '42["welcome",{"from":"connect"}]'
            client.leave()


@rule("suite: CONNECT for another namespace, with and without a payload")
def connect_to_a_namespace(case: Case) -> None:
    for packet in ("40/chat,", "40/chat", '40/chat,{"token":"abc"}', "40/chat?x=y,"):
        with case.another().client(None) as client:
            answer = answer_to(client, packet)
            assert isinstance(answer, str)
            assert set(json.loads(answer.removeprefix("40/chat,"))) == {"sid"}
            client.leave()


@rule("a client may be in several namespaces at once, each with an id of its own")
def several_namespaces(case: Case) -> None:
    with case.client() as client:
        client.join("40/chat,")
        client.join("40/wild,")
        client.join("40/legacy,")
        answers = client.answers('42/legacy,1["x"]', '42/wild,2["y"]', '423["one",1]')
        assert answers == ['43/legacy,1["legacy"]', '43/wild,2["y"]', "433[1]"]
        client.leave()


@rule("suite: a namespace that is not there: CONNECT_ERROR; by default a bare text in it")
def connect_to_nowhere(case: Case) -> None:
    said = '{"message":"Invalid namespace"}' if case.is_strict else '"Unable to connect"'
    with case.client(None) as client:
        for packet in ("40/nowhere,", "40/nowhere", "40/nowhere,{}"):
            assert answer_to(client, packet) == f"44/nowhere,{said}", packet
        client.join()
        client.leave()


@rule("CONNECT that the application refuses: CONNECT_ERROR with an object that has a message")
def connect_refused(case: Case) -> None:
    with case.client(None) as client:
        for payload in ("", "{}", '{"a":1}'):
            answer = answer_to(client, f"40/refuse,{payload}")
            assert isinstance(answer, str)
            told = json.loads(answer.removeprefix("44/refuse,"))
            assert isinstance(told["message"], str)
        client.join()
        client.leave()


@rule("every CONNECT_ERROR has an object with a message", modes=("default",))
def connect_refused_by_false(case: Case) -> None:
    with case.client(None) as client:
        for kind in ("false", "builtin"):
            answer = answer_to(client, f'40/refuse,"{kind}"')
            assert isinstance(answer, str)
            assert isinstance(json.loads(answer.removeprefix("44/refuse,"))["message"], str)
        client.join()
        client.leave()


@rule("a client joins a namespace once; a second time it is told no by default; it goes on")
def second_connect(case: Case) -> None:
    for first, second, said in (
        ("40", '40{"token":"x"}', '44"Unable to connect"'),
        ("40", "40", '44"Unable to connect"'),
        ("40/chat,", "40/chat,", '44/chat,"Unable to connect"'),
    ):
        with case.another().client(first) as client:
            if case.is_strict:  # the official client asks twice when its user is quick
                response = client.send(second)
                assert response is None or response.status == 200, response
                event, answer = '427["one",1]', "437[1]"
                if first != "40":
                    event, answer = '42/chat,7["say",1]', '43/chat,7[1,"said"]'
                got = [answer_to(client, event)]
                while got[-1] != answer:
                    got.append(client.receive(GONE_SECONDS))
                assert not any(packet.startswith(("40", "44")) for packet in got), got
            else:
                assert answer_to(client, second) == said
            client.leave()


@rule("the payload of CONNECT is an object or absent; by default any JSON")
def connect_with_a_payload_that_is_no_object(case: Case) -> None:
    for payload in ("[]", '"x"', "true"):
        with case.another().client() as client:
            if case.is_strict:
                client.refused(f"40/chat,{payload}", seconds=GONE_SECONDS)
            else:
                (answer,) = client.answers(f"40/chat,{payload}")
                assert str(answer).startswith('40/chat,{"sid"')
                client.leave()


packets(
    "connect with what is no JSON",
    "payloads are JSON",
    *("40abc", "40{", "40/chat,{", "40/chat,{}{}", "40/chat,'x'"),
    default=REFUSED,
    joins=False,
)
packets(
    "first packet is no connect",
    "a session begins with CONNECT",
    *('42["one",1]', '421["one",1]', "43[]", "431[]", "41", "41/chat,", '42/chat,["say"]'),
    default=LIVES,
    strict=REFUSED,
    joins=False,
)
packets(
    "first packet is none",
    "suite: a session does not begin with what is no packet",
    *("4abc", "4", "47", "49[]", "44", '44{"message":"x"}'),
    default=REFUSED,
    joins=False,
)


@rule("who joins no namespace in time is gone", servers="short")
def no_connect(case: Case) -> None:
    with case.client(None) as client:
        begun = time.monotonic()
        assert client.receive() == "2"
        client.send("3")  # a heartbeat does not help
        if client.ws is not None:
            client.over(1008, 0.2 + SLACK)
        client.gone(None, 0.4 + SLACK)
        assert time.monotonic() - begun > 0.3


# --- disconnect -----------------------------------------------------------------------------------


@rule("suite: DISCONNECT leaves a namespace, the session goes on in the others")
def leave_a_namespace(case: Case) -> None:
    for packet in ("41/chat,", "41/chat"):
        with case.another().client() as client:
            client.join("40/chat,")
            assert client.answers(packet) == []
            assert client.answers('42/chat,1["say"]', '422["one",2]') == ["432[2]"]
            assert ["/chat disconnect", "str 'client disconnect'"] in client.handlers()
            client.join("40/chat,")
            client.leave()


@rule("DISCONNECT from the only namespace tells its handler; the client may join again")
def leave_the_last_namespace(case: Case) -> None:
    with case.client() as client:
        client.send("41")
        client.join()
        assert client.handlers() == [["disconnect", "str 'client disconnect'"]]
        client.leave()


@rule("the server ends a namespace with DISCONNECT, the session goes on in the others")
def disconnect_by_the_server(case: Case) -> None:
    with case.client() as client:
        client.join("40/chat,")
        assert client.answers('42/chat,["kick"]') == ["41/chat,"]
        assert ["/chat disconnect", "str 'server disconnect'"] in client.handlers()
        client.leave()


packets(
    "disconnect with a payload",
    "DISCONNECT has no payload",
    *('41{"a":1}', '41"x"', "41[]"),
    default=Lives(()),
    strict=REFUSED,
    modes=("strict",),
)
packets(
    "packets for a namespace never joined",
    "a client talks to namespaces that it is in",
    *('42/chat,["say","x"]', '42/chat,1["say","x"]', "43/chat,1[]", "41/chat,", "41/nowhere,"),
    default=LIVES,
    strict=REFUSED,
)

# --- events ---------------------------------------------------------------------------------------


@rule("suite: an event with its arguments, JSON of any kind")
def event(case: Case) -> None:
    with case.client() as client:
        answers = client.answers('42["echo",1,"2",{"3":[true]}]')
        assert answers == ['42["echoed",1,"2",{"3":[true]}]']
        client.leave()


@rule("suite: an event with binary attachments, which follow it in order")
def binary_event(case: Case) -> None:
    event = '452-["echo",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]'
    with case.client() as client:
        answers = client.answers(event, b"\x01\x02\x03", b"\x04\x05\x06")
        assert answers == [
            '452-["echoed",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]',
            b"\x01\x02\x03",
            b"\x04\x05\x06",
        ]
        client.leave()


@rule("suite: an event with an id is acknowledged with it; the payload is an array")
def event_with_id(case: Case) -> None:
    with case.client() as client:
        client.join("40/wild,")
        answers = client.answers(
            '42456["several",1,"2",{"3":[false]}]',
            '427["no such event"]',  # what nobody handles has no answer
            '420["nothing"]',
            '42/wild,13["x",1]',
        )
        assert answers == ['43456[1,"2",{"3":[false]}]', "430[]", '43/wild,13["x",1]']
        client.leave()


@rule("suite: a binary event with an id is acknowledged with it")
def binary_event_with_id(case: Case) -> None:
    with case.client() as client:
        answers = client.answers(f"452-789{TWO}", b"\x01\x02\x03", b"\x04\x05\x06")
        assert answers == [
            '462-789[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]',
            b"\x01\x02\x03",
            b"\x04\x05\x06",
        ]
        client.leave()


@rule(
    "a client acknowledges events of the server, with binary too; what nobody waits for is nothing"
)
def acknowledgements_of_a_client(case: Case) -> None:
    with case.client() as client:
        assert answer_to(client, '42["callback","kind"]') == '421["question","kind"]'
        assert client.answers('431["a",2]', '431["again"]', "43999[]") == []
        assert answer_to(client, '42["callback","kind"]') == '422["question","kind"]'
        assert client.answers('461-2[{"_placeholder":true,"num":0}]', b"bin") == []
        lines = [line[0] for line in client.handlers()]
        assert lines.count("callback") == 2
        client.leave()


packets(
    "event without an array",
    "suite: the payload of an event is an array that is not empty",
    *("42", "42{}", "42[]", '42"one"', "42null", "421", "421{}", '42{"0":"one"}', "42/,[]"),
    default=REFUSED,
)
packets(
    "event without a name",
    "an event begins with its name",
    *("42[1]", "42[null]", "42[[]]", "42[{}]", "42[true]", '42[["one"]]'),
    default=REFUSED,
)
packets(
    "event with a broken payload",
    "payloads are JSON",
    *('42["one"', '42["one",]', "42[one]", '42["one"]]', "42['one']", '42["one",NaN,]', '42["\n'),
    default=REFUSED,
)
packets(
    "event with a bad id",
    "suite: an id is a number",
    *('42abc["one",1]', '42-1["one",1]', '421.5["one",1]', '42\u0663["one",1]', '421 2["one"]'),
    default=REFUSED,
)
packets(
    "acknowledgement without an array",
    "the payload of an acknowledgement is an array",
    *("431", "431{}", '431"x"', "431null", "431true", "4311"),
    default=REFUSED,
)
packets(
    "unknown types",
    "suite: a packet begins with a digit from 0 to 6",
    *("4", "4abc", "47", '47["one"]', "48", "49", "4-", '4 2["one"]'),
    default=REFUSED,
)
packets(
    "connect error from a client",
    "CONNECT_ERROR is the server's packet",
    *("44", '44{"message":"x"}', '44/chat,"x"'),
    default=REFUSED,
)
packets(
    "attachments that are none",
    "a binary packet says how many attachments follow, and they follow",
    *(f"45{ONE}", f"450-{ONE}", f"45-{ONE}", f"45x-{ONE}", "461-1{}"),
    (f"451-{ONE}", f"451-{ONE}"),
    (f"451-{ONE}", '42["one",1]'),
    (f"451-{ONE}", "40/chat,"),
    default=REFUSED,
)
packets(
    "binary unasked",
    "binary data belongs to a packet that has announced it",
    b"\x01",
    b"",
    default=REFUSED,
)
