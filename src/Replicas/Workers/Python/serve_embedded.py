"""Python for Serve.Embedded: the worker that runs a class of yours, and the names that the class imports.

    from serve_embedded import Request, serve

    @serve.deployment(max_ongoing_requests=2)
    class Model:
        def __init__(self, path="model.bin"):           # gets what .bind() was given, and the args table
            ...
        def __call__(self, request: Request):           # plain: runs in a thread; async: runs on the event loop
            return {"label": self.predict(request.json())}
        def reconfigure(self, user_config):             # optional; at the start and whenever user_config changes
            ...
        def check_health(self):                         # optional; raises when the replica is to be replaced
            ...

    app = Model.bind()

The request. ``method``, ``url``, ``path``, ``query_params``, ``headers``, ``cookies``, ``client``, ``path_params`` and
``state`` are the same everywhere. The body is not:

* in an ``async`` handler, ``await request.json()``, ``await request.body()``, ``await request.text()`` and
  ``async for chunk in request.stream()``: the handler runs while the body is still coming;
* in a plain handler, ``request.json()``, ``request.body`` (or ``request.body()``), ``request.text()`` and
  ``for chunk in request.stream()`` are the values themselves: the body is there before the handler begins.

Results. ``str`` and ``bytes`` are text/plain, ``None`` is an empty body, a Response is itself, a generator streams its
items one chunk each, and everything else is JSON. Responses of Starlette work too, where it is installed.

The server writes this file out and starts it: ``serve_embedded.py import FILE.CLASS`` once, to learn what there is, and
``serve_embedded.py run FILE.CLASS`` for each replica. Standard library only, Python 3.9 or newer.
"""

import argparse
import asyncio
import atexit
import collections
import collections.abc
import contextvars
import dataclasses
import datetime
import decimal
import difflib
import enum
import functools
import gc
import hmac
import http
import importlib
import importlib.util
import inspect
import ipaddress
import json
import logging
import os
import queue
import re
import signal
import sys
import threading
import time
import traceback
import types
import typing
import uuid
from urllib.parse import parse_qsl, quote, unquote, urlsplit

# The file is run as a program and imported by the user's module: both must be one module, or there would be two of every class.
sys.modules.setdefault("serve_embedded", sys.modules[__name__])

__all__ = [
    "AutoscalingConfig", "HTMLResponse", "JSONResponse", "PlainTextResponse", "RedirectResponse", "Request", "Response",
    "StreamingResponse", "serve",
]

MAX_HEAD_BYTES = 64 * 1024
MAX_HEADERS = 200
MAX_CHUNK_LINE_BYTES = 1024
BODY_BUFFER_BYTES = 256 * 1024
WRITE_BUFFER_BYTES = 256 * 1024
DISCARD_BYTES = 1024 * 1024
LINGER_S = 5.0
STREAM_CREDITS = 8

_CONTROL = "/-/worker/"
_request_id = contextvars.ContextVar("serve_request_id", default="")


# ---------------------------------------------------------------------------------------------------------------------
# Requests


class ClientDisconnect(Exception):
    """The client left, or the server gave up, before the whole body had come."""


class Headers:
    """Headers of a request by name, in any case. Where a name occurs more than once, its first value; getlist() has them all."""

    __slots__ = ("_items",)

    def __init__(self, items):
        self._items = items

    def get(self, name, default=None):
        name = name.lower()
        for key, value in self._items:
            if key == name:
                return value
        return default

    def getlist(self, name):
        name = name.lower()
        return [value for key, value in self._items if key == name]

    def __getitem__(self, name):
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def __contains__(self, name):
        return self.get(name) is not None

    def keys(self):
        return [key for key, _ in self._items]

    def values(self):
        return [value for _, value in self._items]

    def items(self):
        return list(self._items)

    @property
    def raw(self):
        return [(key.encode("latin-1"), value.encode("latin-1")) for key, value in self._items]

    def __iter__(self):
        return iter(self.keys())

    def __len__(self):
        return len(self._items)

    def __repr__(self):
        return f"Headers({self._items!r})"


class QueryParams(dict):
    """Parameters of the query by name. Where a name occurs more than once, its last value; getlist() has them all."""

    def __init__(self, query):
        self._list = parse_qsl(query, keep_blank_values=True)
        super().__init__(self._list)

    def getlist(self, name):
        return [value for key, value in self._list if key == name]

    def multi_items(self):
        return list(self._list)


class URL:
    """The address that the client asked for."""

    __slots__ = ("_raw_path", "scheme", "netloc", "query")

    def __init__(self, scheme, netloc, raw_path, query):
        self.scheme = scheme
        self.netloc = netloc
        self._raw_path = raw_path
        self.query = query

    @property
    def path(self):
        return unquote(self._raw_path)

    @property
    def hostname(self):
        return urlsplit("//" + self.netloc).hostname

    @property
    def port(self):
        return urlsplit("//" + self.netloc).port

    def __str__(self):
        return f"{self.scheme}://{self.netloc}{self._raw_path}" + (f"?{self.query}" if self.query else "")

    def __repr__(self):
        return f"URL({str(self)!r})"

    def __eq__(self, other):
        return str(self) == str(other)

    def __hash__(self):
        return hash(str(self))


class State(types.SimpleNamespace):
    """Whatever a handler wants to keep with its request."""


class Address(typing.NamedTuple):
    host: str
    port: int


class Request:
    """One HTTP request. The module's text says how its body is read in plain and in async handlers."""

    def __init__(self, method, target, headers, incoming):
        self.method = method
        self.headers = headers
        self.path_params = {}
        self._target = target
        self._incoming = incoming

    @functools.cached_property
    def url(self):
        raw_path, _, query = self._target.partition("?")
        return URL(self.headers.get("x-forwarded-proto", "http"), self.headers.get("host", ""), raw_path, query)

    @property
    def path(self):
        return unquote(self._target.partition("?")[0])

    @functools.cached_property
    def query_params(self):
        return QueryParams(self._target.partition("?")[2])

    @functools.cached_property
    def cookies(self):
        pairs = (pair.partition("=") for line in self.headers.getlist("cookie") for pair in line.split(";"))
        return {name.strip(): value.strip().strip('"') for name, _, value in pairs if name.strip()}

    @property
    def client(self):
        """The client as the server saw it; the port is not known."""
        host = self.headers.get("x-forwarded-for", "").split(",")[-1].strip()
        return Address(host, 0) if host else None

    @functools.cached_property
    def state(self):
        return State()

    def __repr__(self):
        return f"<{self.method} {self._target}>"


class _AsyncRequest(Request):
    """Of an async handler: the body may still be on its way."""

    _body = None

    async def body(self):
        if self._body is None:
            self._body = await self._incoming.read_all()
        return self._body

    async def text(self):
        return (await self.body()).decode("utf-8")

    async def json(self):
        return json.loads(await self.body())

    async def stream(self):
        if self._body is not None:
            yield self._body
            return
        while True:
            chunk = await self._incoming.read()
            if not chunk:
                return
            yield chunk


class _Bytes(bytes):
    """The body of a plain handler's request: request.body and request.body() are both right."""

    def __call__(self):
        return self


class _PlainRequest(Request):
    """Of a plain handler: the body is there."""

    body = _Bytes()

    def text(self):
        return self.body.decode("utf-8")

    def json(self):
        return json.loads(self.body)

    def stream(self):
        if self.body:
            yield bytes(self.body)


# ---------------------------------------------------------------------------------------------------------------------
# Responses


class MutableHeaders(Headers):
    """Headers of a response."""

    def __init__(self, items=()):
        pairs = items.items() if hasattr(items, "items") else items
        super().__init__([(_latin(name).lower(), _latin(value)) for name, value in pairs])

    def __setitem__(self, name, value):
        self._items = [item for item in self._items if item[0] != name.lower()]
        self.append(name, value)

    def __delitem__(self, name):
        self._items = [item for item in self._items if item[0] != name.lower()]

    def append(self, name, value):
        self._items.append((_latin(name).lower(), _latin(value)))

    def setdefault(self, name, value):
        if name not in self:
            self.append(name, value)
        return self[name]


def _latin(text):
    return text.decode("latin-1") if isinstance(text, bytes) else str(text)


class Response:
    """A response with a status, headers and a body (``str``, ``bytes`` or ``None``)."""

    media_type = None
    body_iterator = None

    def __init__(self, content=None, status_code=200, headers=None, media_type=None):
        self.status_code = status_code
        self.headers = MutableHeaders(headers or ())
        if media_type is not None:
            self.media_type = media_type
        if self.media_type is not None:
            charset = "; charset=utf-8" if self.media_type.startswith("text/") and "charset=" not in self.media_type else ""
            self.headers.setdefault("content-type", self.media_type + charset)
        self.body = self.render(content)

    def render(self, content):
        if content is None:
            return b""
        if isinstance(content, str):
            return content.encode("utf-8")
        if isinstance(content, (bytes, bytearray, memoryview)):
            return bytes(content)
        raise TypeError(f"The content of a {type(self).__name__} must be str or bytes, not {type(content).__name__}; JSONResponse takes anything")


class PlainTextResponse(Response):
    media_type = "text/plain"


class HTMLResponse(Response):
    media_type = "text/html"


class JSONResponse(Response):
    media_type = "application/json"

    def render(self, content):
        return _to_json(content)


class RedirectResponse(Response):
    def __init__(self, url, status_code=307, headers=None):
        super().__init__(None, status_code, headers)
        self.headers["location"] = quote(str(url), safe=":/%#?=@[]!$&'()*+,;")


class StreamingResponse(Response):
    """Sends each item of a generator, plain or async, as soon as it is there."""

    def __init__(self, content, status_code=200, headers=None, media_type=None):
        super().__init__(None, status_code, headers, media_type)
        self.body_iterator = content


class _Generated(Response):
    """What a handler that is a generator returned. Its first item says what it is."""

    def __init__(self, iterator):
        super().__init__()
        self.body_iterator = iterator


def _to_json(value):
    try:
        return _dumps(value, default=_json_default).encode("utf-8")
    except TypeError:
        pass  # Most often a key of a dict: default is not asked about those.
    return _dumps(_jsonable(value)).encode("utf-8")


_dumps = functools.partial(json.dumps, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


# Their text is their value.
_AS_TEXT = (
    uuid.UUID, BaseException, ipaddress.IPv4Address, ipaddress.IPv6Address, ipaddress.IPv4Network, ipaddress.IPv6Network, ipaddress.IPv4Interface,
    ipaddress.IPv6Interface,
)


def _jsonable(value):
    """The value in what JSON has, keys of dicts included."""
    if isinstance(value, dict):
        return {_json_key(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(item) for item in value]
    if value is None or isinstance(value, (str, int, float)):
        return value
    return _jsonable(_json_default(value))


def _json_key(key):
    plain = _jsonable(key)
    if isinstance(plain, (dict, list)):
        raise TypeError(f"A key of a JSON object must be a text or a number, not a {type(key).__module__}.{type(key).__qualname__}")
    return plain


def _json_default(value):
    """As Ray Serve and FastAPI write what JSON does not have."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).decode("utf-8")
    if hasattr(value, "tolist"):  # Arrays, scalars and tensors.
        return value.tolist()
    if isinstance(value, decimal.Decimal):
        return int(value) if value.is_finite() and value.as_tuple().exponent >= 0 else float(value)
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, re.Pattern):
        return value.pattern
    if isinstance(value, _AS_TEXT):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if hasattr(value, "__fields__") and hasattr(value, "dict"):  # Version 1 of Pydantic.
        return value.dict()
    if isinstance(value, enum.Enum):
        return value.value
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, collections.abc.Mapping):
        return dict(value)
    if hasattr(value, "__iter__") and not hasattr(value, "__dict__"):  # Sets, ranges, deques, views of dicts, generators.
        return list(value)
    raise TypeError(f"A handler's result must be str, bytes, a Response, a generator or JSON; in it there is a {type(value).__module__}.{type(value).__qualname__}")


def _is_iterator(value):
    return isinstance(value, types.GeneratorType) or (hasattr(value, "__next__") and hasattr(value, "__iter__"))


def _render(result):
    """A Response, ours or Starlette's, from whatever a handler returned."""
    if isinstance(result, Response):
        return result
    if isinstance(result, str):
        return PlainTextResponse(result)
    if isinstance(result, (bytes, bytearray, memoryview)):
        return Response(result, headers={"content-type": "text/plain"})
    if result is None:
        return Response(headers={"content-type": "text/plain"})
    if inspect.isasyncgen(result) or _is_iterator(result):
        return _Generated(result)
    if hasattr(result, "status_code") and hasattr(result, "headers"):
        if hasattr(result, "body") or hasattr(result, "body_iterator"):
            return result
        raise TypeError(f"A {type(result).__qualname__} has neither a body nor a body_iterator: return a Response or a StreamingResponse")
    return JSONResponse(result)


def _chunk(item):
    """The bytes of one item of a stream, and what they are."""
    if isinstance(item, str):
        return item.encode("utf-8"), "text/plain; charset=utf-8"
    if isinstance(item, (bytes, bytearray, memoryview)):
        return bytes(item), "text/plain"
    return _to_json(item) + b"\n", "application/x-ndjson"


# ---------------------------------------------------------------------------------------------------------------------
# Reading HTTP/1.1


class _BadRequest(Exception):
    """The bytes are not an HTTP/1.1 request, or not one that everybody reads the same way."""

    def __init__(self, reason, status=400):
        super().__init__(reason)
        self.status = status


_REQUEST_LINE = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([\x21-\x7e]+) HTTP/(\d)\.(\d)")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_NOT_IN_HEAD = re.compile(r"[^\t\r\n\x20-\x7e\x80-\xff]")
_BARE_LINE_FEED = re.compile(rb"(?<!\r)\n")
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?")

_names = {}  # Names of headers that were checked, and how they read in lower case.


def _lower_name(name):
    """The name of a header in lower case; None = it is none."""
    lower = _names.get(name)
    if lower is None and _TOKEN.fullmatch(name):
        lower = name.lower()
        if len(_names) < 512:
            _names[name] = lower
    return lower


def _header(line):
    name, colon, value = line.partition(":")
    name = _lower_name(name)
    if not colon or name is None:
        raise _BadRequest("a header line is not 'name: value'")
    return name, value.strip(" \t")


def _header_lines(text):
    """Splits what must be lines that end with CR LF, neither of which stands alone."""
    if _NOT_IN_HEAD.search(text):
        raise _BadRequest("a header has a character that may not be there")
    lines = text.split("\r\n")
    if text.count("\n") != len(lines) - 1 or text.count("\r") != len(lines) - 1:
        raise _BadRequest("a line does not end with CR LF")
    if len(lines) > MAX_HEADERS + 1:
        raise _BadRequest(f"more than {MAX_HEADERS} headers", 431)
    return lines


def _parse_head(text):
    """Method, target, whether it is HTTP/1.1, headers and the decoder of its body (None = there is none)."""
    lines = _header_lines(text)
    line = _REQUEST_LINE.fullmatch(lines[0])
    if line is None:
        raise _BadRequest("the request line is not 'METHOD target HTTP/1.1'")
    method, target, major, minor = line.groups()
    if major != "1":
        raise _BadRequest("only HTTP/1.1 is spoken here", 505)
    modern = minor != "0"
    if target[0] != "/":
        target = _origin_form(method, target)

    headers = []
    length = coding = None
    hosts = 0
    for header in lines[1:]:
        name, value = pair = _header(header)
        if name == "content-length":
            if length is not None:
                raise _BadRequest("Content-Length is there twice")
            if not (value.isascii() and value.isdigit() and len(value) <= 18):
                raise _BadRequest("Content-Length is not a number")
            length = int(value)
        elif name == "transfer-encoding":
            if coding is not None or value.lower() != "chunked":
                raise _BadRequest("Transfer-Encoding is not 'chunked'")
            coding = value
        elif name == "host":
            hosts += 1
        headers.append(pair)

    if hosts > 1 or (modern and hosts == 0):
        raise _BadRequest("there must be one Host")
    if coding is not None and (length is not None or not modern):
        raise _BadRequest("Transfer-Encoding with Content-Length or HTTP/1.0")
    decoder = _ChunkedBody() if coding is not None else _SizedBody(length) if length else None
    return method, target, modern, headers, decoder


def _origin_form(method, target):
    if target == "*" and method == "OPTIONS":
        return target
    lower = target.lower()
    if lower.startswith(("http://", "https://")):
        rest = target.split("//", 1)[1]
        start = min((i for i in (rest.find("/"), rest.find("?")) if i >= 0), default=len(rest))
        return rest[start:] if rest[start:].startswith("/") else "/" + rest[start:]
    raise _BadRequest("the target does not begin with /")


class _SizedBody:
    """Takes a body of known length out of what came."""

    def __init__(self, length):
        self.remaining = length

    def feed(self, buffer, incoming):
        if len(buffer) <= self.remaining:
            data = bytes(buffer)
            buffer.clear()
        else:
            data = bytes(memoryview(buffer)[: self.remaining])
            del buffer[: self.remaining]
        self.remaining -= len(data)
        incoming.add(data)
        return self.remaining == 0


class _ChunkedBody:
    """Takes a chunked body out of what came. Trailers are checked and dropped."""

    def __init__(self):
        self.remaining = None  # Of the chunk that is being read; None = its line is next, -1 = trailers are.
        self.trailer_bytes = 0

    def feed(self, buffer, incoming):
        while buffer:
            if self.remaining is None:
                line = self._line(buffer, MAX_CHUNK_LINE_BYTES)
                if line is None:
                    return False
                match = _CHUNK_LINE.fullmatch(line)
                if match is None:
                    raise _BadRequest("a chunk does not begin with its size")
                self.remaining = int(match.group(1), 16) or -1
            elif self.remaining == -1:
                line = self._line(buffer, MAX_HEAD_BYTES)
                if line is None:
                    return False
                if not line:
                    return True
                self.trailer_bytes += len(line)
                if self.trailer_bytes > MAX_HEAD_BYTES:
                    raise _BadRequest("the trailers are too large", 431)
                _header(_header_lines(line.decode("latin-1"))[0])
            elif self.remaining > 0:
                data = bytes(memoryview(buffer)[: self.remaining])
                del buffer[: len(data)]
                self.remaining -= len(data)
                incoming.add(data)
            else:
                if len(buffer) < 2 and buffer[:1] == b"\r":
                    return False
                if buffer[:2] != b"\r\n":
                    raise _BadRequest("a chunk does not end where its size says")
                del buffer[:2]
                self.remaining = None
        return False

    @staticmethod
    def _line(buffer, limit):
        end = buffer.find(b"\n", 0, limit)
        if end < 0:
            if len(buffer) >= limit:
                raise _BadRequest("a line of a chunked body is too long")
            return None
        if end == 0 or buffer[end - 1] != 13:
            raise _BadRequest("a line of a chunked body does not end with CR LF")
        line = bytes(memoryview(buffer)[: end - 1])
        del buffer[: end + 1]
        return line


class _Incoming:
    """The body of one request on its way from the connection to the handler, who may be slower."""

    __slots__ = ("connection", "decoder", "chunks", "size", "complete", "error", "waiter", "wanted", "expects", "all", "discarding")

    def __init__(self, connection, decoder, expects):
        self.connection = connection
        self.decoder = decoder
        self.chunks = collections.deque()
        self.size = 0
        self.complete = decoder is None
        self.error = None
        self.waiter = None
        self.wanted = False
        self.expects = expects and decoder is not None
        self.all = False
        self.discarding = False

    def feed(self, buffer):
        try:
            self.complete = self.decoder.feed(buffer, self)
        except _BadRequest as error:
            self.fail(error)
            raise
        self._wake()

    def add(self, data):
        self.size += len(data)
        if self.discarding:
            return
        self.chunks.append(data)
        if self.size > BODY_BUFFER_BYTES and not self.all:
            self.connection.hold_reading()

    def fail(self, error):
        if not self.complete and self.error is None:
            self.error = error
            self._wake()

    def discard(self):
        """Nobody wants it any more. From here its size counts what is thrown away."""
        self.discarding = True
        self.size = 0
        self.chunks.clear()

    async def read(self):
        """What has come, or waits for more; nothing = the end."""
        self._want()
        while not self.chunks:
            if self.error is not None:
                raise self.error
            if self.complete:
                return b""
            await self._wait()
        data = self.chunks.popleft() if len(self.chunks) == 1 else b"".join(self.chunks)
        self.chunks.clear()
        self.size = 0
        self.connection.release_reading()
        return data

    async def read_all(self):
        self._want()
        self.all = True
        self.connection.release_reading()
        while not self.complete:
            if self.error is not None:
                raise self.error
            await self._wait()
        data = self.chunks.popleft() if len(self.chunks) == 1 else b"".join(self.chunks)
        self.chunks.clear()
        return data

    def _want(self):
        if self.expects and not self.wanted and not self.complete:
            self.connection.say_continue()
        self.wanted = True

    async def _wait(self):
        self.waiter = asyncio.get_running_loop().create_future()
        try:
            await self.waiter
        finally:
            self.waiter = None

    def _wake(self):
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)


# ---------------------------------------------------------------------------------------------------------------------
# Connections and exchanges


_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in http.HTTPStatus if status >= 200}
_HOP_BY_HOP = frozenset(("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"))


class _Exchange:
    """One request and the response to it."""

    __slots__ = ("connection", "request_id", "is_head", "is_modern", "keep_alive", "incoming", "started", "bodyless", "chunked", "unsent", "gone", "gone_at", "credits", "owed")

    def __init__(self, connection, request_id, is_head, is_modern, keep_alive, incoming):
        self.connection = connection
        self.request_id = request_id
        self.is_head = is_head
        self.is_modern = is_modern
        self.keep_alive = keep_alive
        self.incoming = incoming
        self.started = False
        self.bodyless = False
        self.chunked = False
        self.unsent = None  # Bytes that Content-Length still promises.
        self.gone = False
        self.gone_at = None  # On the loop's clock.
        self.credits = None
        self.owed = 0

    def send(self, status, headers, body):
        """A whole response at once."""
        head = self._head(status, headers, len(body))
        self.unsent = None
        self.connection.transport.write(head if self.bodyless or not body else head + body)

    def start(self, status, headers):
        """The head of a response whose body follows."""
        self.connection.transport.write(self._head(status, headers, None))

    def write(self, data):
        if self.bodyless or not data or self.gone:
            return
        if self.chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        elif self.unsent is not None:
            if len(data) > self.unsent:
                raise RuntimeError("The response's body is longer than its Content-Length")
            self.unsent -= len(data)
        self.connection.transport.write(data)

    def finish(self):
        if self.unsent and not self.bodyless:
            raise RuntimeError(f"The response's body is {self.unsent} bytes shorter than its Content-Length")
        if self.chunked and not self.gone:
            self.connection.transport.write(b"0\r\n\r\n")

    def _head(self, status, headers, length):
        lines = [_STATUS_LINES.get(status) or _status_line(status)]
        for written, value in headers:
            name = _lower_name(written)
            if name is None:
                raise ValueError(f"The response has a header whose name is {written!r}")
            if name in _HOP_BY_HOP:
                continue
            if name == "content-length":
                if length is None:
                    self.unsent = int(value)
                elif self.is_head and not length:
                    length = int(value)  # What a GET would have got.
                continue
            lines.append(f"{name}: {value}\r\n")
        self.bodyless = self.is_head or status == 204 or status == 304
        if length is None:
            length = self.unsent
        if length is not None:
            if status != 204 and (status != 304 or length):
                lines.append(f"content-length: {length}\r\n")
        elif not self.bodyless:
            if self.is_modern:
                self.chunked = True
                lines.append("transfer-encoding: chunked\r\n")
            else:
                self.keep_alive = False
        incoming = self.incoming
        if not incoming.complete and not incoming.wanted and not self._small_rest(incoming):
            self.keep_alive = False
        if self.connection.worker.stopping:
            self.keep_alive = False
        if not self.keep_alive:
            lines.append("connection: close\r\n")
        elif not self.is_modern:
            lines.append("connection: keep-alive\r\n")
        head = "".join(lines)
        if head.count("\n") != len(lines) or head.count("\r") != len(lines) or "\0" in head:
            raise ValueError("A header of the response has a line break or a null in it")
        data = (head + "\r\n").encode("latin-1")
        # Only now: whatever fails above can still become a 500.
        self.started = True
        return data

    @staticmethod
    def _small_rest(incoming):
        return not incoming.expects and isinstance(incoming.decoder, _SizedBody) and incoming.decoder.remaining <= DISCARD_BYTES

    # A stream from a thread: credits bound what is on its way to the loop, and come back as the client takes it.

    def begin_thread(self):
        if self.credits is None:
            self.credits = threading.Semaphore(STREAM_CREDITS)

    def put(self, loop, action, *args):
        """From a thread: does the action on the loop; False when the client is gone."""
        self.credits.acquire()
        if self.gone:
            return False
        loop.call_soon_threadsafe(self._taken, action, args)
        return True

    def _taken(self, action, args):
        try:
            if not self.gone:
                action(*args)
        except Exception as error:
            self.connection.broken(self, error)
            self.leave()
        if self.connection.is_full and not self.gone:
            self.owed += 1
        else:
            self.credits.release()

    def flow(self):
        """There is room again, or nobody to write to."""
        for _ in range(self.owed):
            self.credits.release()
        self.owed = 0

    def leave(self):
        if not self.gone:
            self.gone = True
            self.gone_at = self.connection.worker.loop.time()
        self.flow()
        if self.credits is not None:
            for _ in range(STREAM_CREDITS):
                self.credits.release()


def _status_line(status):
    if not isinstance(status, int) or not 200 <= status <= 599:
        raise ValueError(f"The status of a response must be a number from 200 to 599, not {status!r}")
    return f"HTTP/1.1 {int(status)} Status\r\n"


class _Connection(asyncio.Protocol):
    """Bytes of one client: one request at a time, in order."""

    def __init__(self, worker):
        self.worker = worker
        self.transport = None
        self.buffer = bytearray()
        self.exchange = None
        self.task = None
        self.is_full = False
        self.room = None
        self.is_holding = False
        self.is_lingering = False
        self.timer = None

    def connection_made(self, transport):
        self.transport = transport
        transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        self.worker.connections.add(self)
        if self.worker.stopping:
            transport.close()

    def data_received(self, data):
        if self.is_lingering:
            return
        self.buffer += data
        self._advance()

    def eof_received(self):
        return False  # A client that shuts its side has left.

    def connection_lost(self, error):
        self.worker.connections.discard(self)
        self._end_timer()
        exchange = self.exchange
        if exchange is not None:
            exchange.leave()
            exchange.incoming.fail(ClientDisconnect("The client left before the body had come"))
            if self.task is not None:
                self.task.cancel()
        self._wake()
        self.worker.noticed()

    def pause_writing(self):
        self.is_full = True

    def resume_writing(self):
        self.is_full = False
        if self.exchange is not None:
            self.exchange.flow()
        self._wake()

    async def drain(self):
        """Waits while the client takes less than it is sent."""
        if self.is_full and not self.transport.is_closing():
            self.room = asyncio.get_running_loop().create_future()
            try:
                await self.room
            finally:
                self.room = None

    def _wake(self):
        if self.room is not None and not self.room.done():
            self.room.set_result(None)

    def hold_reading(self):
        if not self.is_holding:
            self.is_holding = True
            self.transport.pause_reading()

    def release_reading(self):
        if self.is_holding:
            self.is_holding = False
            self.transport.resume_reading()

    def say_continue(self):
        if self.exchange is not None and not self.exchange.started:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _advance(self):
        try:
            while self.buffer and not self.is_lingering:
                if self.exchange is None:
                    if self.worker.stopping:
                        self.transport.close()
                        return
                    if not self._begin():
                        return
                elif not self.exchange.incoming.complete:
                    incoming = self.exchange.incoming
                    if incoming.error is not None:
                        self.buffer.clear()
                        return
                    incoming.feed(self.buffer)
                    if incoming.discarding:
                        self._discarded(incoming)
                    if not incoming.complete:
                        return
                else:
                    # The next request has come too early: it waits until this one is answered.
                    if len(self.buffer) > MAX_HEAD_BYTES:
                        self.hold_reading()
                    return
        except _BadRequest as error:
            self._refuse(error)

    def _begin(self):
        end = self.buffer.find(b"\r\n\r\n", 0, MAX_HEAD_BYTES)
        if end < 0:
            if _BARE_LINE_FEED.search(self.buffer):
                raise _BadRequest("a line does not end with CR LF")
            if len(self.buffer) >= MAX_HEAD_BYTES:
                raise _BadRequest(f"the head is larger than {MAX_HEAD_BYTES} bytes", 431)
            return False
        head = self.buffer[:end].decode("latin-1")
        del self.buffer[: end + 4]
        method, target, is_modern, pairs, decoder = _parse_head(head)
        headers = Headers(pairs)
        connection = headers.get("connection")
        options = () if connection is None else [option.strip().lower() for value in headers.getlist("connection") for option in value.split(",")]
        keep_alive = "close" not in options if is_modern else "keep-alive" in options
        expects = is_modern and headers.get("expect", "").lower() == "100-continue"
        incoming = _Incoming(self, decoder, expects)
        exchange = self.exchange = _Exchange(self, headers.get("x-request-id", "-"), method == "HEAD", is_modern, keep_alive, incoming)
        self.task = self.worker.loop.create_task(self._run(exchange, method, target, headers))
        return True

    async def _run(self, exchange, method, target, headers):
        try:
            await self.worker.answer(exchange, method, target, headers)
        except BaseException as error:  # Handlers that call sys.exit() too: it is theirs, not the worker's, end.
            if not exchange.gone:
                self.broken(exchange, error)
        finally:
            self.task = None
            if self.exchange is exchange:
                self._end(exchange)

    def broken(self, exchange, error):
        """A handler failed: 500 while nothing has been sent, else the response ends where it is, for everybody to see."""
        if isinstance(error, _BadRequest):
            self._refuse(error)
            return
        self.worker.log_exception(exchange.request_id, error)
        if exchange.started:
            exchange.leave()
            exchange.keep_alive = False
            self.transport.close()
        else:
            exchange.send(500, (("content-type", "text/plain"),), b"Internal Server Error")

    def _end(self, exchange):
        incoming = exchange.incoming
        if self.transport.is_closing():
            self.exchange = None
        elif self.is_lingering:
            self.exchange = None
        elif incoming.complete:
            self._next(exchange)
        elif not exchange.keep_alive or incoming.error is not None:
            self.exchange = None
            self._linger()
        else:
            # The rest of a body that nobody read is thrown away, if that does not take long.
            incoming.discard()
            self._start_timer()
            self.release_reading()

    def _discarded(self, incoming):
        if incoming.complete:
            self._end_timer()
            self._next(self.exchange)
        elif incoming.size > DISCARD_BYTES:
            self._end_timer()
            self.exchange = None
            self._linger()

    def _next(self, exchange):
        self.exchange = None
        if not exchange.keep_alive or self.worker.stopping:
            self.transport.close()
            return
        self.release_reading()
        if self.buffer:
            self.worker.loop.call_soon(self._advance)

    def _refuse(self, error):
        """Says 400 where that can still be said, and trusts nothing more of this connection."""
        exchange = self.exchange
        if exchange is None or not exchange.started:
            if exchange is not None:
                exchange.started = True
            body = f"Bad request: {error}.\n".encode("latin-1", "replace")
            line = _STATUS_LINES[error.status]
            self.transport.write(f"{line}content-type: text/plain\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n".encode("latin-1") + body)
        if exchange is not None:
            exchange.leave()
        if self.task is not None and self.task is not asyncio.current_task():
            self.task.cancel()
        if not self.is_lingering:
            self._linger()

    def _linger(self):
        """Closes so that what was sent arrives: with unread bytes left, closing at once could take it away again."""
        self.is_lingering = True
        self.buffer.clear()
        self.release_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._start_timer()

    def _start_timer(self):
        self._end_timer()
        self.timer = self.worker.loop.call_later(LINGER_S, self.transport.abort)

    def _end_timer(self):
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    @property
    def is_idle(self):
        return self.exchange is None and not self.is_lingering


# ---------------------------------------------------------------------------------------------------------------------
# The worker


class _Threads:
    """Threads for plain handlers, made when they are needed and kept. Only the loop uses it."""

    def __init__(self, loop, name, limit, finished=lambda: None):
        self._finished = finished
        self._loop = loop
        self._name = name
        self.limit = limit
        self._jobs = queue.SimpleQueue()
        self._started = 0
        self._given = set()

    @property
    def pending(self):
        return len(self._given)

    def run(self, function, *args, exchange=None):
        """Of an exchange: whoever waits for a thread is left out when its client has gone."""
        job = _Job(contextvars.copy_context(), function, args, self._loop.create_future(), exchange)
        self._given.add(job)
        self._jobs.put(job)
        self._fill()
        return job.future

    def left_behind(self, age):
        """What still runs so many seconds after its exchange has ended, the oldest first."""
        latest = self._loop.time() - age
        jobs = [job for job in self._given if job.thread is not None and job.exchange is not None and job.exchange.gone and job.exchange.gone_at <= latest]
        return sorted(jobs, key=lambda job: job.exchange.gone_at)

    def resize(self, limit):
        self.limit = limit
        while self._started > limit:
            self._started -= 1
            self._jobs.put(None)
        self._fill()

    def _fill(self):
        while self._started < self.pending and self._started < self.limit:
            self._started += 1
            threading.Thread(target=self._work, name=f"{self._name}-{self._started}", daemon=True).start()

    def _work(self):
        while True:
            job = self._jobs.get()
            if job is None:
                return
            result = error = None
            if job.exchange is None or not job.exchange.gone:
                job.thread = threading.get_ident()
                try:
                    result = job.context.run(job.function, *job.args)
                except BaseException as caught:
                    error = caught
            try:
                self._loop.call_soon_threadsafe(self._done, job, result, error)
            except RuntimeError:
                return  # The loop has ended.
            del job, result, error

    def _done(self, job, result, error):
        self._given.discard(job)
        self._finished()
        future = job.future
        if future.cancelled():
            _close(result)
        elif error is None:
            future.set_result(result)
        else:
            # A future takes no StopIteration, and a SystemExit in it would end the loop.
            future.set_exception(error if isinstance(error, Exception) and not isinstance(error, StopIteration) else _Raised(error))


class _Job:
    """What one of the threads does."""

    __slots__ = ("context", "function", "args", "future", "exchange", "thread", "is_told")

    def __init__(self, context, function, args, future, exchange):
        self.context = context
        self.function = function
        self.args = args
        self.future = future
        self.exchange = exchange
        self.thread = None  # The number of the thread that does it.
        self.is_told = False


class _Raised(Exception):
    """Carries an exception that cannot travel by itself."""


def _close(result):
    """Of a result that nobody wants any more."""
    iterator = getattr(result, "body_iterator", result)
    if inspect.iscoroutine(result):
        result.close()
    elif inspect.isgenerator(iterator):
        iterator.close()


def _is_async(function):
    """Whether calling it gives something to await, seen through decorators that name what they wrap."""
    if not inspect.isroutine(function) and not isinstance(function, functools.partial):
        function = getattr(function, "__call__", function)
    inner = inspect.unwrap(function)
    return any(test(f) for f in (function, inner) for test in (inspect.iscoroutinefunction, inspect.isasyncgenfunction))


class _Worker:
    """One replica: an instance of the user's class, and the connections that bring it requests."""

    def __init__(self, target, context, max_ongoing_requests, control_token):
        self.loop = asyncio.get_running_loop()
        self.target = target
        self.context = context
        self.control_token = control_token
        self.threads = _Threads(self.loop, "serve-request", max_ongoing_requests, self.noticed)
        self.control_threads = _Threads(self.loop, "serve-control", 4)
        self.connections = set()
        self.stopping = False
        self.quiet = asyncio.Event()  # Nothing runs any more, threads whose client has left included, and all is sent.
        self.instance = None
        self.handler = None
        self.is_async = False

    async def construct(self, args, user_config):
        """The constructor, then reconfigure(): either may raise."""
        self.instance = await self.target.construct(args)
        self.context.servable_object = self.instance
        self.handler = self.instance if inspect.isroutine(self.instance) else self.instance.__call__
        self.is_async = _is_async(self.handler)
        if user_config is not None:
            if hasattr(self.instance, "reconfigure"):
                await self._reconfigure(user_config, inline=True)
            elif user_config:
                raise _Failure(f"{self.target.name} has a user_config and no reconfigure(self, user_config) that takes it: write one, or take user_config away")

    async def answer(self, exchange, method, target, headers):
        if self.control_token and target.startswith(_CONTROL):
            shown = headers.get("x-serve-control")
            if shown is not None and hmac.compare_digest(shown.encode("latin-1"), self.control_token):
                await self._control(exchange, method, target[len(_CONTROL):])
                return
        _request_id.set(exchange.request_id)
        if self.is_async:
            result = self.handler(_AsyncRequest(method, target, headers, exchange.incoming))
            if inspect.isawaitable(result):
                result = await result
        else:
            request = _PlainRequest(method, target, headers, exchange.incoming)
            if not exchange.incoming.complete or exchange.incoming.chunks:
                request.body = _Bytes(await exchange.incoming.read_all())
            result = await self.threads.run(self._call_plain, exchange, request, exchange=exchange)
            if isinstance(result, _Sent):
                exchange.finish()
                await self._run_background(result.response)
                return
            if inspect.isawaitable(result):
                result = await result
        await self._respond(exchange, result)

    def _call_plain(self, exchange, request):
        """In a thread. A plain stream is sent from the same thread that began it: what a generator holds may be bound to it."""
        result = self.handler(request)
        if inspect.isawaitable(result):
            return result
        response = _render(result)
        items = getattr(response, "body_iterator", None)
        if items is None or hasattr(items, "__aiter__"):
            return response
        self._stream_plain(exchange, response)
        return _Sent(response)

    async def _respond(self, exchange, result):
        response = _render(result)
        items = getattr(response, "body_iterator", None)
        if items is None:
            body = response.body
            exchange.send(response.status_code, response.headers.items(), body if isinstance(body, bytes) else bytes(body))
        elif hasattr(items, "__aiter__"):
            await self._stream_async(exchange, response)
            exchange.finish()
        else:
            await self.threads.run(self._stream_plain, exchange, response, exchange=exchange)
            exchange.finish()
        await self._run_background(response)

    @staticmethod
    async def _run_background(response):
        """What Starlette's responses have to do once they are sent."""
        background = getattr(response, "background", None)
        if background is not None:
            await background()

    async def _stream_async(self, exchange, response):
        items = response.body_iterator.__aiter__()
        try:
            if not isinstance(response, _Generated):
                exchange.start(response.status_code, response.headers.items())
            while not exchange.bodyless:
                try:
                    item = await items.__anext__()
                except StopAsyncIteration:
                    break
                data, kind = _chunk(item)
                self._send_chunk(exchange, response, data, kind)
                await exchange.connection.drain()
                await asyncio.sleep(0)  # A generator that never waits must not keep everybody else waiting.
            self._start_empty(exchange, response)
        finally:
            close = getattr(items, "aclose", None)
            if close is not None:
                await close()

    def _stream_plain(self, exchange, response):
        """In a thread."""
        exchange.begin_thread()
        items = iter(response.body_iterator)
        try:
            if not isinstance(response, _Generated) and not exchange.put(self.loop, exchange.start, response.status_code, response.headers.items()):
                return
            if not exchange.is_head:
                for item in items:
                    data, kind = _chunk(item)
                    if not exchange.put(self.loop, self._send_chunk, exchange, response, data, kind):
                        return
            exchange.put(self.loop, self._start_empty, exchange, response)
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                close()

    @staticmethod
    def _send_chunk(exchange, response, data, kind):
        if not exchange.started:
            exchange.start(response.status_code, (("content-type", kind),))
        exchange.write(data)

    @staticmethod
    def _start_empty(exchange, response):
        """A stream without items is a response too."""
        if not exchange.started:
            exchange.start(response.status_code, (("content-type", "text/plain"),))

    async def _control(self, exchange, method, target):
        action, _, query = target.partition("?")
        try:
            if method == "GET" and action == "health":
                self._find_stuck(float(QueryParams(query).get("timeout_s", "inf")))
                await self._check_health()
            elif method == "POST" and action == "reconfigure":
                await self._reconfigure(json.loads(await exchange.incoming.read_all()))
            elif method == "POST" and action == "limits":
                self.threads.resize(int(json.loads(await exchange.incoming.read_all())["max_ongoing_requests"]))
            else:
                exchange.send(404, (("content-type", "text/plain"),), f"No {method} {_CONTROL}{action} here".encode("latin-1"))
                return
        except (ClientDisconnect, _BadRequest):
            raise
        except BaseException as error:
            if exchange.gone:
                raise
            error = _inner(error)
            if not isinstance(error, _Stuck):
                self.log_exception(action, error)
            exchange.send(500 if action == "health" else 400, (("content-type", "text/plain; charset=utf-8"),), _last_line(error).encode("utf-8"))
            return
        exchange.send(200, (("content-type", "text/plain"),), b"ok")

    def _find_stuck(self, timeout):
        """A thread cannot be ended. When none is left that a new call could begin in, only another process helps."""
        stuck = self.threads.left_behind(timeout)
        handler = self.target.name if not self.target.is_class else self.target.name + ".__call__"
        for job in stuck:
            if not job.is_told:
                job.is_told = True
                place = "".join(_stack(job.thread)).rstrip()
                _write_error("".join(f"{_ERROR}[{job.exchange.request_id}] {line}\n" for line in (
                    f"{handler} still runs {timeout:g} s (health_check_timeout_s) after its request ended, and keeps its thread, one of {self.threads.limit}, until it ends. It is here:\n{place}"
                ).splitlines()))
        if len(stuck) >= self.threads.limit:
            many = len(stuck) != 1
            raise _Stuck(
                f"{len(stuck)} handler{'s' if many else ''} still run{'' if many else 's'} {timeout:g} s after {'their requests' if many else 'its request'} ended: {handler}. "
                f"No thread of max_ongoing_requests = {self.threads.limit} is left for another; the log says where they hang"
            )

    async def _check_health(self):
        check = getattr(self.instance, "check_health", None)
        if check is not None:
            await self._call_user(check)

    async def _reconfigure(self, user_config, inline=False):
        reconfigure = getattr(self.instance, "reconfigure", None)
        if reconfigure is None:
            raise _Failure(f"{self.target.name} has no reconfigure(self, user_config)")
        arguments = {}
        if "rank" in inspect.signature(reconfigure).parameters:
            arguments["rank"] = ReplicaRank(self.context.rank, 0, self.context.rank)
        await self._call_user(functools.partial(reconfigure, user_config, **arguments), inline)

    async def _call_user(self, function, inline=False):
        inner = function.func if isinstance(function, functools.partial) else function
        result = function() if inline or _is_async(inner) else await self.control_threads.run(function)
        if inspect.isawaitable(result):
            await result

    def log_exception(self, request_id, error):
        lines = "".join(_traceback(_inner(error), own=True)).splitlines()
        _write_error("".join(f"{_ERROR}[{request_id}] {line}\n" for line in lines))

    def stop(self):
        """No new connection and no new request; what runs goes on."""
        self.stopping = True
        for connection in list(self.connections):
            if connection.is_idle:
                connection.transport.close()
        self.noticed()

    def noticed(self):
        if self.stopping and self.threads.pending == 0 and not self.connections:
            self.quiet.set()

    async def destroy(self):
        """The class's own __del__, which may be async."""
        destructor = None if inspect.isroutine(self.instance) else getattr(type(self.instance), "__del__", None)
        if destructor is not None and inspect.iscoroutinefunction(destructor):
            await destructor(self.instance)
        elif destructor is not None:
            self.context.servable_object = self.handler = self.instance = None
            gc.collect()


class _Stuck(Exception):
    """Handlers hang. The log has said where."""


class _Sent(typing.NamedTuple):
    """A response that the handler's own thread has sent already."""

    response: typing.Any


def _inner(error):
    return error.args[0] if isinstance(error, _Raised) else error


def _last_line(error):
    if isinstance(error, (_Failure, _Stuck)):
        return str(error)
    return traceback.format_exception_only(type(error), error)[-1].strip()


def _hint(error):
    """For what was written for Ray Serve. Its import is where the two differ."""
    missing = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if missing == "ray":
        return ". What stands in for it here is serve_embedded: from serve_embedded import Request, serve"
    if missing == "starlette":
        return ". Install it, or take what is here: from serve_embedded import Request, Response, StreamingResponse"
    return ""


_OWN_FRAMES = (__file__, "<frozen importlib", os.path.dirname(importlib.__file__), os.path.dirname(asyncio.__file__), threading.__file__)


def _traceback(error, own=False):
    """Without the frames of this file above the user's own; where there are none of the user's, with them only if asked to."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(_OWN_FRAMES):
        frames = frames.tb_next
    return traceback.format_exception(type(error), error, error.__traceback__ if frames is None and own else frames)


def _stack(thread):
    """Where a thread is, from the user's own first frame on."""
    frame = sys._current_frames().get(thread)
    frames = [] if frame is None else traceback.extract_stack(frame)
    while frames and frames[0].filename.startswith(_OWN_FRAMES):
        del frames[0]
    return traceback.format_list(frames)


# What the server's log takes for the level of a line, as systemd does.
_ERROR = "<3>"
_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))


def _as_error(text):
    return "".join(f"{_ERROR}{line}\n" for line in text.splitlines())


def _write_error(text):
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except (OSError, ValueError):
        pass  # Nobody reads it, and a request must not fail for that.


# ---------------------------------------------------------------------------------------------------------------------
# What the user's module writes: serve.deployment, .options, .bind


class _Failure(Exception):
    """Something that its own text explains: no traceback is of any help."""


# As in a configuration file; a value is checked where the file's values are.
_OPTIONS = frozenset((
    "autoscaling_config", "backpressure_config", "graceful_shutdown_timeout_s", "graceful_shutdown_wait_loop_s", "health_check_period_s",
    "health_check_timeout_s", "max_constructor_retry_count", "max_ongoing_requests", "max_queue_wait_s", "max_queued_requests", "memory_mb",
    "num_cpus", "num_replicas", "rolling_update", "rolling_update_percentage", "user_config", "weight",
))

# Ray Serve's, which say where in a cluster a replica runs, or what only Ray has.
_NO_EFFECT = frozenset((
    "deployment_actors", "gang_scheduling_config", "logging_config", "max_replicas_per_node", "placement_group_bundle_label_selector",
    "placement_group_bundles", "placement_group_strategy", "ray_actor_options", "request_router_config", "version",
))

_RENAMED = {
    "max_concurrent_queries": "it is called max_ongoing_requests",
    "route_prefix": "it belongs to the application: write route_prefix in config.toml",
}


def AutoscalingConfig(**keys):
    """The table autoscaling_config, written as Ray Serve's class of this name is."""
    return keys


class Deployment:
    """A class with the options that it is to run with. serve.deployment makes one; bind() gives it its arguments."""

    def __init__(self, func_or_class, options):
        self.func_or_class = func_or_class
        self._options = {}
        self._name = func_or_class.__name__
        self._take(options)
        functools.update_wrapper(self, func_or_class, updated=())

    @property
    def name(self):
        return self._name

    @property
    def set_options(self):
        return dict(self._options)

    def options(self, **options):
        """A copy with other options."""
        copy = Deployment(self.func_or_class, {"name": self._name, **self._options})
        copy._take(options)
        return copy

    def bind(self, *args, **kwargs):
        """The deployment with the arguments of its constructor: what can be served."""
        return Application(self, args, kwargs)

    def _take(self, options):
        for option, value in options.items():
            if option == "name":
                self._name = value if value is not None else self._name
            elif option in _RENAMED:
                raise TypeError(f"serve.deployment has no option {option!r}: {_RENAMED[option]}")
            elif option not in _OPTIONS and option not in _NO_EFFECT:
                raise TypeError(f"serve.deployment has no option {option!r}.{_nearest(option, _OPTIONS | {'name'})}")
            elif value is None:
                self._options.pop(option, None)
            else:
                self._options[option] = value

    def __call__(self, *_, **__):
        raise RuntimeError(f"{self._name} is a deployment: it is made by the server, not called. Write {self._name}.bind(...) to give its constructor arguments")

    def __repr__(self):
        return f"Deployment(name={self._name!r})"


class Application(typing.NamedTuple):
    """A deployment with the arguments of its constructor."""

    deployment: Deployment
    args: tuple
    kwargs: dict


class ReplicaRank(typing.NamedTuple):
    rank: int
    node_rank: int
    local_rank: int


class ReplicaContext:
    """Which replica this is."""

    def __init__(self, app_name, deployment, replica_id, rank):
        self.app_name = app_name
        self.deployment = deployment
        self.replica_id = replica_id
        self.replica_tag = replica_id
        self.rank = rank
        self.servable_object = None


_context = None


class _Serve:
    """The names of Ray Serve's own module that mean something to one class in one process."""

    Request = Request

    @staticmethod
    def deployment(_func_or_class=None, **options):
        """@serve.deployment, or @serve.deployment(max_ongoing_requests=2, ...): the class can be served, with these options as defaults."""

        def decorate(func_or_class):
            if not callable(func_or_class) or isinstance(func_or_class, (Deployment, Application)):
                raise TypeError("@serve.deployment belongs above a class or a function")
            return Deployment(func_or_class, options)

        return decorate if _func_or_class is None else decorate(_func_or_class)

    @staticmethod
    def batch(_function=None, max_batch_size=10, batch_wait_timeout_s=0.01, max_concurrent_batches=1, batch_size_fn=None):
        """@serve.batch above an async method: it takes a list of what its callers gave one by one, and returns one result for each."""

        def decorate(function):
            return _batched(function, max_batch_size, batch_wait_timeout_s, max_concurrent_batches, batch_size_fn)

        return decorate if _function is None else decorate(_function)

    @staticmethod
    def get_replica_context():
        """Which replica this is; only inside a replica."""
        if _context is None:
            raise RuntimeError("serve.get_replica_context() can only be called inside a replica: in a deployment's constructor or later")
        return _context

    @staticmethod
    def run(*_, **__):
        raise RuntimeError(
            "serve.run() does not exist here: the server starts Python, not the other way round. "
            'Name this file in config.toml (import_path = "python:FILE.CLASS") and start it with: serve run config.toml'
        )

    def __getattr__(self, name):
        if name in ("ingress", "multiplexed", "get_app_handle", "get_deployment_handle", "get_multiplexed_model_id", "start", "status", "shutdown", "delete"):
            raise AttributeError(f"serve.{name} of Ray Serve does not exist in a worker. {_INSTEAD.get(name, 'The commands of serve on the command line do that')}")
        raise AttributeError(f"serve has no {name!r}.{_nearest(name, [n for n in dir(self) if not n.startswith('_')])}")


_HANDLES = "A worker serves one deployment: call another over HTTP"
_INSTEAD = {
    "ingress": "An ASGI application (FastAPI, Starlette) is served by its own server: command = [\"uvicorn\", \"FILE:app\", \"--uds\", \"{socket}\"]",
    "multiplexed": "Write one application for each model",
    "get_multiplexed_model_id": "Write one application for each model",
    "get_app_handle": _HANDLES,
    "get_deployment_handle": _HANDLES,
}

serve = _Serve()


def _nearest(name, known):
    near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)
    return f" Did you mean {near[0]!r}?" if near else f" There are: {', '.join(sorted(known))}." if known else ""


# ---------------------------------------------------------------------------------------------------------------------
# serve.batch


class _BatchItem:
    __slots__ = ("args", "kwargs", "future", "items")

    def __init__(self, args, kwargs, loop, is_stream):
        self.args = args
        self.kwargs = kwargs
        self.future = loop.create_future()
        self.items = asyncio.Queue() if is_stream else None

    @property
    def has_left(self):
        return self.future.done()


_END = object()


class _BatchQueue:
    """Calls of one batched method, gathered into lists."""

    def __init__(self, function, instance, settings):
        self._function = function if instance is None else functools.partial(function, instance)
        self._settings = settings
        self._is_stream = inspect.isasyncgenfunction(function)
        self._loop = asyncio.get_running_loop()
        self._waiting = collections.deque()
        self._arrived = asyncio.Event()
        self._slots = asyncio.Semaphore(settings.max_concurrent_batches)
        self._running = set()
        self._gathering = self._loop.create_task(self._gather())

    def add(self, args, kwargs):
        item = _BatchItem(args, kwargs, self._loop, self._is_stream)
        self._waiting.append(item)
        self._arrived.set()
        return item

    async def _gather(self):
        while True:
            batch = await self._next_batch()
            if batch:
                await self._slots.acquire()
                batch = [item for item in batch if not item.has_left]
                task = self._loop.create_task(self._run(batch))
                self._running.add(task)
                task.add_done_callback(self._running.discard)

    async def _next_batch(self):
        while not self._waiting:
            self._arrived.clear()
            await self._arrived.wait()
        settings = self._settings
        most, size_of = settings.max_batch_size, settings.batch_size_fn
        ends = self._loop.time() + settings.batch_wait_timeout_s
        batch, size = [], 0
        while size < most:
            if not self._waiting:
                left = ends - self._loop.time()
                if left <= 0:
                    break
                self._arrived.clear()
                try:
                    await asyncio.wait_for(self._arrived.wait(), left)
                except asyncio.TimeoutError:
                    break
                continue
            item = self._waiting.popleft()
            if item.has_left:
                continue
            try:
                weight = 1 if size_of is None else size_of([item.args[0] if len(item.args) == 1 and not item.kwargs else (item.args, item.kwargs)])
                if weight > most:
                    raise RuntimeError(f"An item of size {weight} is larger than max_batch_size, {most}")
            except Exception as error:
                item.future.set_exception(error)
                continue
            if batch and size + weight > most:
                self._waiting.appendleft(item)
                break
            batch.append(item)
            size += weight
        return batch

    async def _run(self, batch):
        try:
            if batch:
                columns = [list(column) for column in zip(*(item.args for item in batch))]
                named = {name: [item.kwargs[name] for item in batch] for name in batch[0].kwargs}
                if self._is_stream:
                    await self._run_stream(batch, self._function(*columns, **named))
                else:
                    results = await self._function(*columns, **named)
                    self._check(results, batch)
                    for item, result in zip(batch, results):
                        if not item.has_left:
                            item.future.set_result(result)
        except BaseException as error:
            for item in batch:
                if not item.has_left:
                    item.future.set_exception(error if isinstance(error, Exception) else _Raised(error))
                if item.items is not None:
                    item.items.put_nowait(_END)
            if isinstance(error, asyncio.CancelledError):
                raise
        finally:
            self._slots.release()

    async def _run_stream(self, batch, generator):
        ended = set()
        async for results in generator:
            self._check(results, batch)
            for index, (item, result) in enumerate(zip(batch, results)):
                if result is StopIteration or result is StopAsyncIteration:
                    ended.add(index)
                    item.items.put_nowait(_END)
                elif index not in ended:
                    item.items.put_nowait(result)
            if len(ended) == len(batch):
                break
        for item in batch:
            item.items.put_nowait(_END)

    def _check(self, results, batch):
        if not isinstance(results, (list, tuple)) and not hasattr(results, "__len__"):
            raise TypeError(f"A batched method must return a list, not {type(results).__name__}")
        if len(results) != len(batch):
            raise RuntimeError(f"Batched function doesn't preserve batch size: it was given {len(batch)} and returned {len(results)}")


class _BatchSettings:
    """May be changed while it runs; the next batch heeds it."""

    def __init__(self, max_batch_size, batch_wait_timeout_s, max_concurrent_batches, batch_size_fn):
        self.set_max_batch_size(max_batch_size)
        self.set_batch_wait_timeout_s(batch_wait_timeout_s)
        if isinstance(max_concurrent_batches, bool) or not isinstance(max_concurrent_batches, int) or max_concurrent_batches < 1:
            raise TypeError("max_concurrent_batches must be an integer, 1 or more")
        self.max_concurrent_batches = max_concurrent_batches
        self.batch_size_fn = batch_size_fn

    def set_max_batch_size(self, value):
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError("max_batch_size must be an integer")
        if value < 1:
            raise ValueError("max_batch_size must be 1 or more")
        self.max_batch_size = value

    def set_batch_wait_timeout_s(self, value):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TypeError("batch_wait_timeout_s must be a number")
        if value < 0:
            raise ValueError("batch_wait_timeout_s must be 0 or more")
        self.batch_wait_timeout_s = value


def _batched(function, *settings):
    if not inspect.iscoroutinefunction(function) and not inspect.isasyncgenfunction(function):
        raise TypeError("@serve.batch belongs above an async def")
    settings = _BatchSettings(*settings)
    attribute = "__serve_batch_" + function.__name__
    own = types.SimpleNamespace()

    def add(args, kwargs):
        is_method = bool(args) and inspect.unwrap(getattr(type(args[0]), function.__name__, add)) is function
        holder = args[0] if is_method else own
        batches = getattr(holder, attribute, None)
        if batches is None:
            batches = _BatchQueue(function, holder if is_method else None, settings)
            setattr(holder, attribute, batches)
        return batches.add(args[1:] if is_method else args, kwargs)

    if inspect.isasyncgenfunction(function):

        @functools.wraps(function)
        async def wrapper(*args, **kwargs):
            item = add(args, kwargs)
            try:
                while True:
                    result = await item.items.get()
                    if result is _END:
                        break
                    yield result
                if item.future.done():
                    item.future.result()
            finally:
                item.future.cancel()

    else:

        @functools.wraps(function)
        async def wrapper(*args, **kwargs):
            return await add(args, kwargs).future

    wrapper.set_max_batch_size = settings.set_max_batch_size
    wrapper.set_batch_wait_timeout_s = settings.set_batch_wait_timeout_s
    wrapper._get_max_batch_size = lambda: settings.max_batch_size
    wrapper._get_batch_wait_timeout_s = lambda: settings.batch_wait_timeout_s
    return wrapper


# ---------------------------------------------------------------------------------------------------------------------
# Finding what FILE.CLASS names


class _Target:
    """What is to be served: a deployment and the arguments bound to it."""

    def __init__(self, application):
        self.deployment, self.args, self.kwargs = application
        self.callable = self.deployment.func_or_class
        self.name = self.deployment.name

    @property
    def is_class(self):
        return inspect.isclass(self.callable)

    async def construct(self, args):
        if not self.is_class:
            return self.callable
        kwargs = {**self.kwargs, **args}
        if not inspect.iscoroutinefunction(self.callable.__init__):
            return self.callable(*self.args, **kwargs)
        instance = self.callable.__new__(self.callable)
        await instance.__init__(*self.args, **kwargs)
        return instance

    def describe(self):
        """For the server: what there is, in JSON."""
        options = self.deployment.set_options
        actor = options.get("ray_actor_options") or {}
        if "num_cpus" in actor:
            options.setdefault("num_cpus", actor["num_cpus"])
        warnings = [f"{option} of {self.name} has no effect here" for option in sorted(_NO_EFFECT & options.keys()) if option != "ray_actor_options"]
        warnings += [f"ray_actor_options[{key!r}] of {self.name} has no effect here" for key in sorted(actor) if key != "num_cpus"]
        for option in list(options):
            if option in _NO_EFFECT:
                del options[option]
                continue
            try:
                json.dumps(options[option], allow_nan=False)
            except (TypeError, ValueError) as error:
                raise _Failure(f"The option {option} of {self.name} cannot be written as JSON: {error}") from None
        handler = getattr(self.callable, "__call__") if self.is_class else self.callable
        return {
            "deployments": [{
                "name": self.name,
                "options": options,
                "has_reconfigure": self.is_class and hasattr(self.callable, "reconfigure"),
                "has_check_health": self.is_class and hasattr(self.callable, "check_health"),
                "is_async": _is_async(handler),
            }],
            "warnings": warnings,
        }


def _load(path):
    """Imports what FILE.CLASS, or FILE:NAME, names."""
    if sys.version_info < (3, 9):
        raise _Failure(f"{sys.executable} is Python {sys.version.split()[0]}, and 3.9 or newer is needed: name another one with the key python")
    module_name, separator, name = path.partition(":") if ":" in path else path.rpartition(".")
    if not separator or not module_name or not name:
        raise _Failure(f"{path!r} does not say what to serve: write FILE.CLASS, for example slow.SlowDeployment for the class SlowDeployment in slow.py")
    if module_name.endswith(".py") and "/" not in module_name:
        module_name = module_name[:-3]
    if not all(part.isidentifier() for part in module_name.split(".")):
        raise _Failure(f"{module_name!r} is not the name of a module: write FILE.CLASS, without folders and without .py")
    module = _import_module(module_name)

    target = module
    for part in name.split("."):
        found = getattr(target, part, None)
        if found is None:
            known = [n for n, value in vars(target).items() if isinstance(value, (Deployment, Application)) or (inspect.isclass(value) and value.__module__ == module_name)]
            raise _Failure(f"{_file_of(module)} has no {part!r}.{_nearest(part, known) if known else ' It has no class and no deployment at all.'}")
        target = found
    return _Target(_application(target, path))


def _import_module(name):
    here = os.getcwd()
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(error.name + ".")):
            raise
        files = [file[:-3] for file in sorted(os.listdir(here)) if file.endswith(".py")]
        raise _Failure(f"There is no module {error.name!r} in {here}.{_nearest(error.name, files) if files else ' No Python file is there.'}") from None
    own = os.path.join(here, *name.split("."))
    if not os.path.exists(own + ".py") and not os.path.isdir(own):
        return module
    if not os.path.realpath(getattr(module, "__file__", None) or own).startswith(os.path.realpath(own)):
        raise _Failure(f"{own}.py is hidden by another module of Python that is called {name} too: give your file another name")
    return module


def _file_of(module):
    return getattr(module, "__file__", None) or module.__name__


def _application(target, path):
    if isinstance(target, Application):
        _refuse_composition(target, (target.args, target.kwargs))
        application = target
    elif isinstance(target, Deployment):
        application = target.bind()
    elif inspect.isclass(target):
        application = Deployment(target, {}).bind()
    elif inspect.isroutine(target):
        raise _Failure(f"{path} is a plain function: put @serve.deployment above it, or name a class")
    else:
        raise _Failure(f"{path} is a {type(target).__name__}: name a class, a deployment or what .bind() returned. "
                       "A web framework's application is served by its own server, as a deployment with a command")
    served = application.deployment.func_or_class
    if inspect.isclass(served):
        if not callable(getattr(served, "__call__", None)) or not any("__call__" in vars(c) for c in served.__mro__):
            raise _Failure(f"{path} cannot take requests: the class {served.__name__} has no __call__(self, request)")
    elif application.args or application.kwargs:
        raise _Failure(f"{path}: a function has no constructor, so .bind() takes no arguments")
    return application


def _refuse_composition(application, value):
    if isinstance(value, (Application, Deployment)):
        other = value.deployment.name if isinstance(value, Application) else value.name
        raise _Failure(
            f"{application.deployment.name} is bound to another deployment, {other}: deployments in Python run in processes of their own and cannot be composed. "
            "Serve each as an application, and call one from the other over HTTP"
        )
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple, set)):
        for item in value:
            _refuse_composition(application, item)


# ---------------------------------------------------------------------------------------------------------------------
# The program


def _import(options):
    """Prints, as one JSON document, what FILE.CLASS is and which options its decorator sets."""
    if options.out is not None:
        write = functools.partial(_write_file, options.out)
    else:
        # Standard output is the user's own while the module is imported, and must not be mixed with the document.
        document = os.dup(1) if options.out_fd is None else options.out_fd
        if options.out_fd is None:
            os.dup2(2, 1)
        write = functools.partial(_write_descriptor, document)
    code = 0
    try:
        found = _load(options.target).describe()
    except _Failure as error:
        found, code = {"error": str(error), "traceback": ""}, 1
    except SystemExit as error:
        found, code = {"error": f"The module ended Python while it was imported: sys.exit({error.code!r})", "traceback": "".join(_traceback(error))}, 1
    except BaseException as error:
        found, code = {"error": _last_line(error) + _hint(error), "traceback": "".join(_traceback(error))}, 1
    write(json.dumps(found, ensure_ascii=True).encode("ascii") + b"\n")
    _exit(code)


def _write_file(path, data):
    with open(path, "wb") as file:
        file.write(data)


def _write_descriptor(descriptor, data):
    while data:
        data = data[os.write(descriptor, data):]


def _exit(code):
    """Threads that the user's code left behind must not keep the process alive."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            pass
    os._exit(code)


def _run(options):
    target_path = os.environ.get("SERVE_SOCKET")
    port = options.port if options.port is not None else os.environ.get("PORT") if not target_path else None
    if not target_path and port is None:
        raise _Failure("There is nowhere to listen: set SERVE_SOCKET, or give --port")
    args = _json_variable("SERVE_ARGS", {})
    if not isinstance(args, dict):
        raise _Failure("SERVE_ARGS must be a JSON object: the keyword arguments of the constructor")
    user_config = _json_variable("SERVE_USER_CONFIG", None)
    control_token = os.environ.pop("SERVE_CONTROL_TOKEN", "").encode("utf-8")
    target = _load(options.target)
    if user_config is None and "SERVE_USER_CONFIG" not in os.environ:
        user_config = target.deployment.set_options.get("user_config")
    limit = int(os.environ.get("SERVE_MAX_ONGOING_REQUESTS") or target.deployment.set_options.get("max_ongoing_requests") or 5)

    global _context
    _context = ReplicaContext(
        os.environ.get("SERVE_APPLICATION", "default"),
        os.environ.get("SERVE_DEPLOYMENT", target.name),
        os.environ.get("SERVE_REPLICA_ID", str(os.getpid())),
        int(os.environ.get("SERVE_REPLICA_RANK") or 0),
    )
    _set_up_logging()
    asyncio.run(_serve_until_told(target, args, user_config, limit, control_token, target_path, port))


def _json_variable(name, default):
    text = os.environ.get(name)
    if not text:
        return default
    try:
        return json.loads(text)
    except ValueError as error:
        raise _Failure(f"{name} is not JSON: {error}") from None


class _RequestIdFilter(logging.Filter):
    def filter(self, record):
        record.request_id = _request_id.get()
        record.of_request = f"[{record.request_id}] " if record.request_id else ""
        return True


class _PriorityFormatter(logging.Formatter):
    def format(self, record):
        priority = next((value for level, value in _PRIORITIES if record.levelno >= level), 7)
        return "\n".join(f"<{priority}>{line}" for line in super().format(record).splitlines())


def _set_up_logging():
    """What is logged under these names, as Ray Serve's users do, names its request. What else nobody takes, such as asyncio's word of a task that failed, keeps its level."""
    handler = _log_handler("%(of_request)s%(levelname)s %(message)s")
    for name in ("ray.serve", "serve_embedded"):
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
    logging.lastResort = _log_handler("%(of_request)s%(message)s")
    logging.lastResort.setLevel(logging.WARNING)
    threading.excepthook = _thread_failed


def _log_handler(form):
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_RequestIdFilter())
    handler.setFormatter(_PriorityFormatter(form))
    return handler


def _thread_failed(args):
    if args.exc_type is not SystemExit:
        name = args.thread.name if args.thread else "that is gone"
        _write_error(_as_error(f"Exception in thread {name}:\n" + "".join(traceback.format_exception(args.exc_type, args.exc_value, args.exc_traceback))))


async def _serve_until_told(target, args, user_config, limit, control_token, path, port):
    worker = _Worker(target, _context, limit, control_token)
    await worker.construct(args, user_config)
    told = asyncio.Event()

    def stop():
        if told.is_set() and not path:
            _exit(130)  # Ctrl-C again, at a terminal.
        told.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        worker.loop.add_signal_handler(number, stop)
    if port is None:
        server = await worker.loop.create_unix_server(lambda: _Connection(worker), path, backlog=1024)
    else:
        server = await worker.loop.create_server(lambda: _Connection(worker), "127.0.0.1", int(port), backlog=1024)
        _write_error(f"Listening on http://127.0.0.1:{server.sockets[0].getsockname()[1]}\n")
    _keep_from_forks(worker, server.sockets)
    await told.wait()
    server.close()
    worker.stop()
    await worker.quiet.wait()
    await worker.destroy()
    atexit._run_exitfuncs()
    _exit(0)


def _keep_from_forks(worker, sockets):
    """What the user's code forks off, as multiprocessing does, is a copy: a signal that ends it must tell the worker nothing, and what waits for the worker must not wait for it."""
    blocked = threading.local()

    def block():
        blocked.before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))

    def unblock():
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked.before)

    def become_a_process_of_its_own():
        try:
            leave_the_worker()
        finally:
            unblock()

    def leave_the_worker():
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        for socket in (*sockets, *(connection.transport.get_extra_info("socket") for connection in worker.connections)):
            if socket.fileno() >= 0:
                os.dup2(nothing, socket.fileno(), inheritable=False)  # Its number stays taken: an object here will close it.
        os.close(nothing)

    os.register_at_fork(before=block, after_in_parent=unblock, after_in_child=become_a_process_of_its_own)


def _main():
    parser = argparse.ArgumentParser(prog="serve_embedded.py", description="Runs a Python class for Serve.Embedded.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    one = verbs.add_parser("import", help="say, in JSON, what FILE.CLASS is")
    one.add_argument("target", metavar="FILE.CLASS")
    one.add_argument("--out", metavar="PATH")
    one.add_argument("--out-fd", metavar="NUMBER", type=int)
    one.set_defaults(action=_import)
    two = verbs.add_parser("run", help="be a replica of FILE.CLASS")
    two.add_argument("target", metavar="FILE.CLASS")
    two.add_argument("--port", type=int, help=argparse.SUPPRESS)
    two.set_defaults(action=_run)
    options = parser.parse_args()
    del sys.argv[1:]  # They are this file's; a module that parses what it is started with would refuse them.

    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
    # The user's folder comes first, and this file's last: a process that the user's code starts imports it from there.
    own = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [os.getcwd()] + [folder for folder in sys.path if os.path.abspath(folder) != own] + [own]
    try:
        options.action(options)
    except _Failure as error:
        _write_error(_as_error(str(error)))
        _exit(1)
    except BaseException as error:
        _write_error(_as_error("".join(_traceback(error)).rstrip() + _hint(error)))
        _exit(error.code if isinstance(error, SystemExit) and isinstance(error.code, int) and error.code else 1)


if __name__ == "__main__":
    _main()
