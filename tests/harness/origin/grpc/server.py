"""A gRPC server: python3 server.py NAME PORT. Messages are bytes as they are; each answer says the server's name."""

import concurrent.futures
import sys
import time

import grpc

NAME, PORT = sys.argv[1].encode(), sys.argv[2]


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


METHODS = {
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
server.add_insecure_port("0.0.0.0:" + PORT)
server.start()
server.wait_for_termination()
