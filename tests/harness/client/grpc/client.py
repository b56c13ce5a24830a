"""A gRPC client: python3 client.py ADDRESS [CERTIFICATE NAME]. Does all that gRPC has, and prints which servers it has met."""

import sys
import threading

import grpc

OPTIONS = [("grpc.max_receive_message_length", 16 << 20)]
if len(sys.argv) > 2:
    trusted, name = open(sys.argv[2], "rb").read(), sys.argv[3]
    options = OPTIONS + [("grpc.ssl_target_name_override", name)]
    channel = grpc.secure_channel(sys.argv[1], grpc.ssl_channel_credentials(trusted), options)
else:
    channel = grpc.insecure_channel(sys.argv[1], OPTIONS)

say = channel.unary_unary("/test.Lab/Say")
count = channel.unary_stream("/test.Lab/Count")
add = channel.stream_unary("/test.Lab/Add")
chat = channel.stream_stream("/test.Lab/Chat")
TIMEOUT = 20


def metadata(pairs):
    return {key: value for key, value in pairs}


met = set()
for _ in range(8):
    answer, call = say.with_call(b"hello", timeout=TIMEOUT, metadata=(("x-who", "test"), ("x-bytes-bin", b"\x00\xff")))
    server, said = answer.split(b" ", 1)
    assert said == b"hello", answer
    assert metadata(call.initial_metadata())["x-server"] == server.decode(), call.initial_metadata()
    assert metadata(call.trailing_metadata())["x-length"] == "5", call.trailing_metadata()
    met.add(server.decode())

large = bytes(range(256)) * 12_000
assert say(large, timeout=TIMEOUT).split(b" ", 1)[1] == large

counting = count(b"2000", timeout=TIMEOUT)
numbers = [answer.split(b" ")[1] for answer in counting]
assert numbers == [b"%d" % number for number in range(2000)], len(numbers)
assert metadata(counting.trailing_metadata())["x-counted"] == "2000", counting.trailing_metadata()

assert add((b"x" * 1000 for _ in range(1000)), timeout=TIMEOUT) == b"1000000"


heard, back = [], threading.Semaphore(0)


def lines():
    # Each once the one before has come back, so that none waits for another.
    for number in range(100):
        yield b"line %d" % number
        back.acquire()


for answer in chat(lines(), timeout=TIMEOUT):
    assert answer == (b"line %d" % len(heard))[::-1], answer
    heard.append(answer)
    back.release()
assert len(heard) == 100, len(heard)

FAILURES = [("Fail", TIMEOUT, "NOT_FOUND"), ("Sleep", 0.3, "DEADLINE_EXCEEDED"), ("None", TIMEOUT, "UNIMPLEMENTED")]
for method, timeout, code in FAILURES:
    try:
        channel.unary_unary("/test.Lab/" + method)(b"a", timeout=timeout)
        raise SystemExit(method + " succeeded")
    except grpc.RpcError as error:
        assert error.code().name == code, (method, error.code(), error.details())
        if code == "NOT_FOUND":
            assert error.details() == "nothing of that name: a", error.details()

print(" ".join(sorted(met)))
