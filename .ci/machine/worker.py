"""A worker for .ci/machine: its path says what it does. It needs nothing but Python."""
import os
import socket
import sys
import threading

LEAK = []


def busy():
    while True:
        pass


def answer(path):
    if path == "/leak":
        while True:
            LEAK.append(bytearray(b"x") * (4 << 20))
    if path == "/busy":
        threading.Thread(target=busy, daemon=True).start()
    if path == "/family":
        # A child without our environment, and a child of that in a session of its own: only the control group knows them.
        os.spawnve(os.P_NOWAIT, "/bin/sh", ["sh", "-c", "setsid sleep 36001 & exec sleep 36002"], {"PATH": "/usr/bin:/bin"})
    if path == "/cgroup":
        with open("/proc/self/cgroup") as file:
            return file.read().strip().split("::")[-1]
    return str(os.getpid())


def serve(connection):
    with connection, connection.makefile("rb") as file:
        while line := file.readline():
            while file.readline() not in (b"\r\n", b""):
                pass
            body = answer(line.split()[1].decode()).encode()
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen(128)
print("a line of the worker's", flush=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
