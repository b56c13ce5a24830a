"""Logins of MySQL 8: python3 server.py PORT CERTIFICATE_AND_KEY. Users and how they log in stand below; each login is a line of
what it was like: user, way, encrypted or not. Statements are answered with one row, or with OK if they set something.

caching_sha2_password: a proof of the password is enough if the password was seen since the start; else it must come whole, in TLS
or sealed by the server's key of RSA."""

import hashlib
import os
import socketserver
import ssl
import struct
import sys
import threading

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

PORT, CERTIFICATE = int(sys.argv[1]), sys.argv[2]
PASSWORD = b"not the usual one"
# `cold` is forgotten after each login; `switched` is asked for another way than the greeting says.
USERS = {
    b"app": b"caching_sha2_password",
    b"cold": b"caching_sha2_password",
    b"empty": b"caching_sha2_password",
    b"switched": b"mysql_native_password",
    b"sha256": b"sha256_password",
    b"clear": b"mysql_clear_password",
}
DEFAULT = b"caching_sha2_password"
CAPABILITIES = 0x00DFFFFF & ~0x20 & ~0x1000000
SSL, PLUGIN_AUTH, WITH_DB = 0x800, 0x80000, 8

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = KEY.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)
CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
CONTEXT.load_cert_chain(CERTIFICATE)
SEEN = set()
LINES = threading.Lock()


def tell(*words):
    with LINES:
        print(*words, flush=True)


def xor(one, other):
    return bytes(a ^ b for a, b in zip(one, other))


def sha1(data):
    return hashlib.sha1(data).digest()


def sha256(data):
    return hashlib.sha256(data).digest()


class Refused(Exception):
    pass


class Session:
    def __init__(self, socket):
        self.socket, self.number, self.encrypted = socket, 0, False

    def exact(self, count):
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def read(self):
        header = self.exact(4)
        self.number = header[3] + 1
        return self.exact(int.from_bytes(header[:3], "little"))

    def send(self, payload):
        self.socket.sendall(len(payload).to_bytes(3, "little") + bytes([self.number % 256]) + payload)
        self.number += 1

    def ok(self):
        self.send(b"\0\0\0\2\0\0\0")

    def login(self):
        nonce = bytes(byte % 127 + 1 for byte in os.urandom(20))
        self.send(
            b"\x0a8.0.36-lab\0" + struct.pack("<I", 7) + nonce[:8] + b"\0"
            + struct.pack("<HBHHB", CAPABILITIES & 0xFFFF, 45, 2, CAPABILITIES >> 16, 21)
            + bytes(10) + nonce[8:] + b"\0" + DEFAULT + b"\0"
        )
        answer = self.read()
        capabilities = struct.unpack_from("<I", answer)[0]
        if capabilities & SSL and len(answer) == 32:
            self.socket = CONTEXT.wrap_socket(self.socket, server_side=True)
            self.encrypted = True
            answer = self.read()
        user, rest = answer[32:].split(b"\0", 1)
        proof, rest = rest[1 : 1 + rest[0]], rest[1 + rest[0] :]
        if capabilities & WITH_DB:
            _database, rest = rest.split(b"\0", 1)
        named = rest.split(b"\0", 1)[0] if capabilities & PLUGIN_AUTH else b"mysql_native_password"
        plugin = USERS.get(user, DEFAULT)
        if named != plugin:
            nonce = bytes(byte % 127 + 1 for byte in os.urandom(20))
            self.send(b"\xfe" + plugin + b"\0" + nonce + b"\0")
            proof = self.read()
        try:
            way = self.prove(user, plugin, proof, nonce)
        except Refused as refused:
            tell(user.decode(), "refused", refused)
            words = b"Access denied for user '%s'@'lab' (using password: YES)" % user
            self.send(b"\xff" + struct.pack("<H", 1045) + b"#28000" + words)
            return None
        tell(user.decode(), way, "tls" if self.encrypted else "clear")
        self.ok()
        return user

    def prove(self, user, plugin, proof, nonce):
        if user not in USERS:
            raise Refused("nobody")
        password = b"" if user == b"empty" else PASSWORD
        if plugin == b"mysql_native_password":
            if proof != xor(sha1(password), sha1(nonce + sha1(sha1(password)))):
                raise Refused("native")
            return "native"
        if plugin == b"mysql_clear_password":
            if proof != password + b"\0":
                raise Refused("clear")
            return "clear"
        if plugin == b"sha256_password":
            if self.encrypted:
                if proof != password + b"\0":
                    raise Refused("sha256")
                return "whole"
            if proof != b"\1":
                raise Refused("sha256, no question for the key")
            self.send(b"\1" + PEM)
            return self.sealed(password, nonce)
        if not proof or proof == b"\0":
            if password:
                raise Refused("no password")
            return "nothing"
        if user in SEEN:
            if proof != xor(sha256(password), sha256(sha256(sha256(password)) + nonce)):
                raise Refused("proof")
            self.send(b"\1\3")
            return "fast"
        self.send(b"\1\4")
        said = self.read()
        if self.encrypted:
            if said != password + b"\0":
                raise Refused("whole")
            way = "whole"
        else:
            if said != b"\2":
                raise Refused("no question for the key")
            self.send(b"\1" + PEM)
            way = self.sealed(password, nonce)
        if user != b"cold":
            SEEN.add(user)
        return way

    def sealed(self, password, nonce):
        oaep = padding.OAEP(mgf=padding.MGF1(hashes.SHA1()), algorithm=hashes.SHA1(), label=None)
        opened = KEY.decrypt(self.read(), oaep)
        if xor(opened, nonce * 13) != password + b"\0":
            raise Refused("sealed")
        return "sealed"

    def serve(self):
        while True:
            self.number = 0
            command = self.read()
            if command[:1] == b"\1":
                tell("goodbye")
                return
            if command[:1] != b"\3" or command[1:4].upper() in (b"SET", b"ROL", b"COM"):
                self.ok()
                continue
            self.send(b"\1")
            column = b"\3def\0\0\0\4name\0\x0c" + struct.pack("<HIBHB", 45, 80, 253, 0, 0) + b"\0\0"
            self.send(column)
            self.send(b"\xfe\0\0\2\0")
            self.send(b"\5lab-8")
            self.send(b"\xfe\0\0\2\0")


class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        session = Session(self.request)
        try:
            if session.login() is not None:
                session.serve()
        except (EOFError, OSError) as error:
            tell("aborted", repr(error))
        finally:
            try:
                session.socket.close()
            except OSError:
                pass


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address, daemon_threads = True, True


Server(("0.0.0.0", PORT), Handler).serve_forever()
