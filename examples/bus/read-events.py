#!/usr/bin/env python3
"""Reads the events of one account from its Redis streams and prints each one once, as a line of JSON.

    read-events.py --account desk/paper --state last.json [--host localhost] [--port 6379] [--follow]

The number of the last event of each stream that was printed is kept in the state file, written after it was printed:
started again, the script goes on there. An event that comes again (because Redis had lost it, or was restored) has the
same number and is dropped. Needs nothing but Python 3. The password is taken from the environment: REDIS_PASSWORD, and
REDIS_USERNAME if the user is not the default one.
"""

import argparse
import json
import os
import socket
import ssl
import sys


class Redis:
    """As much of the protocol as is needed here."""

    def __init__(self, host, port, ca):
        plain = socket.create_connection((host, port), timeout=30)
        if ca:
            plain = ssl.create_default_context(cafile=ca).wrap_socket(plain, server_hostname=host)
        self.socket, self.file = plain, plain.makefile("rb")

    def ask(self, *words):
        words = [str(word).encode() for word in words]
        lines = [b"*%d\r\n" % len(words)] + [b"$%d\r\n%s\r\n" % (len(word), word) for word in words]
        self.socket.sendall(b"".join(lines))
        return self.answer()

    def answer(self):
        line = self.file.readline()
        if not line:
            raise ConnectionError("Redis closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise RuntimeError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self.file.read(int(rest) + 2)[:-2].decode()
        if kind == b"*":
            return None if rest == b"-1" else [self.answer() for _ in range(int(rest))]
        return rest.decode()


def load(path):
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return {}


def save(path, last):
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump(last, file)
    os.replace(path + ".new", path)


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("--account", required=True, help="namespace/name of the ExchangeAccount")
    args.add_argument("--state", required=True, help="file that remembers what was printed")
    args.add_argument("--host", default="localhost")
    args.add_argument("--port", type=int, default=6379)
    args.add_argument("--ca", help="certificate of the authority (PEM), where the connection is encrypted")
    args.add_argument("--follow", action="store_true", help="wait for more instead of ending")
    args = args.parse_args()

    redis = Redis(args.host, args.port, args.ca)
    if password := os.environ.get("REDIS_PASSWORD"):
        user = os.environ.get("REDIS_USERNAME")
        redis.ask("AUTH", *([user] if user else []), password)
    streams = [f"tradewind:{args.account.replace('/', ':')}:{kind}" for kind in ("orders", "signals")]
    last = load(args.state)
    while True:
        # The id of an entry is the number of its event: Redis itself leaves out what was read before.
        after = [f"{last.get(stream, 0)}-0" for stream in streams]
        wait = ["BLOCK", 5000] if args.follow else []
        found = redis.ask("XREAD", "COUNT", 100, *wait, "STREAMS", *streams, *after)
        for stream, entries in found or []:
            for _, fields in entries:
                event = json.loads(dict(zip(fields[::2], fields[1::2]))["event"])
                if event["sequence"] <= last.get(stream, 0):
                    continue
                print(json.dumps(event), flush=True)
                last[stream] = event["sequence"]
        save(args.state, last)
        if not found and not args.follow:
            return


if __name__ == "__main__":
    try:
        main()
    except (OSError, RuntimeError) as error:
        sys.exit(f"read-events: {error}")
    except KeyboardInterrupt:
        pass
