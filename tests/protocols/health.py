"""A gRPC server with grpc.health.v1, its messages written by hand: health.py PORT [none|tls]."""
import os
import sys
from concurrent import futures

import grpc

UNKNOWN, SERVING, NOT_SERVING = range(3)
SERVICES = {b"": None, b"shop.Orders": SERVING, b"shop.Mail": UNKNOWN}


def check(request, context):
    # Field 1 of the request is the name of the service.
    name = request[2:]
    if name not in SERVICES:
        context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
    status = SERVICES[name]
    if status is None:
        status = SERVING if os.path.exists("serving") else NOT_SERVING
    # A field that is 0 is not sent.
    return bytes([8, status]) if status else b""


port, mode = sys.argv[1], sys.argv[2]
server = grpc.server(futures.ThreadPoolExecutor(4))
if mode != "none":
    method = grpc.unary_unary_rpc_method_handler(check)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": method}),))
if mode == "tls":
    files = [open(name, "rb").read() for name in ("server.key", "server.pem")]
    server.add_secure_port("127.0.0.1:" + port, grpc.ssl_server_credentials([tuple(files)]))
else:
    server.add_insecure_port("127.0.0.1:" + port)
server.start()
server.wait_for_termination()
