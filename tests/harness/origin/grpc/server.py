"""A gRPC server: python3 server.py NAME PORT [STATE [PEM]]. Messages are bytes as they are; each answer says the server's name.

What grpc.health.v1 says of it depends on files in the directory STATE. With PEM, a key and its certificate, it is in TLS.
"""

import concurrent.futures
import os
import sys
import time

import grpc

NAME, PORT = sys.argv[1].encode(), sys.argv[2]
STATE, PEM = (sys.argv[3:] + [None, None])[:2]


def say(request, context):
    context.send_initial_metadata((("x-server", NAME.decode()),))
    context.set_trailing_metadata((("x-length", str(len(request))),))
    return NAME + b" " + request


def count(request, context):
    for number in range(int(request)):
        yield b"%s %d" % (NAME, number)
    context.set_trailing_metadata((("x-counted", request.decode()),))


def add(requests, context):
    return b"%d" % sum(len(request) for request in requests)


def chat(requests, context):
    for request in requests:
        yield request[::-1]


def fail(request, context):
    context.abort(grpc.StatusCode.NOT_FOUND, "nothing of that name: " + request.decode())


def sleep(request, context):
    # Until the client has had enough of it.
    while context.is_active():
        time.sleep(0.01)
    return b""


def check(request, context):
    # HealthCheckRequest and HealthCheckResponse by hand: the service is field 1 of the one, the status field 1 of the other.
    if request != b"\x0a\x04shop" or os.path.exists(os.path.join(STATE, "gone")):
        context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
    return b"\x08\x02" if os.path.exists(os.path.join(STATE, "broken")) else b"\x08\x01"


METHODS = {
    "/grpc.health.v1.Health/Check": grpc.unary_unary_rpc_method_handler(check),
    "/test.Lab/Say": grpc.unary_unary_rpc_method_handler(say),
    "/test.Lab/Count": grpc.unary_stream_rpc_method_handler(count),
    "/test.Lab/Add": grpc.stream_unary_rpc_method_handler(add),
    "/test.Lab/Chat": grpc.stream_stream_rpc_method_handler(chat),
    "/test.Lab/Fail": grpc.unary_unary_rpc_method_handler(fail),
    "/test.Lab/Sleep": grpc.unary_unary_rpc_method_handler(sleep),
}


class Lab(grpc.GenericRpcHandler):
    def service(self, call):
        return METHODS.get(call.method)


pool = concurrent.futures.ThreadPoolExecutor(max_workers=8)
server = grpc.server(pool, options=[("grpc.max_receive_message_length", 16 << 20)])
server.add_generic_rpc_handlers((Lab(),))
if PEM:
    pem = open(PEM, "rb").read()
    server.add_secure_port("0.0.0.0:" + PORT, grpc.ssl_server_credentials(((pem, pem),)))
else:
    server.add_insecure_port("0.0.0.0:" + PORT)
server.start()
server.wait_for_termination()
