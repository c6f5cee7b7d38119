#!/usr/bin/env python3
"""Serve MiniMax models to a Plexum gateway, over JSON lines.

This file is the whole product: copy it anywhere that has Python 3.8 or newer and
``requests``.  The gateway (the *host*) starts it as a subprocess and writes one JSON
object per line to its stdin; it writes one JSON object per line to its stdout.

    host -> plugin   turn (a TurnRequest), cancel, ping, describe
    plugin -> host   (warning | retry | heartbeat)*
                     [ turn_start (block_start | *_delta | block_end | ...)* ]
                     (turn_end | error)
                     and, outside of turns: pong, manifest, error without id

Every turn ends in exactly one ``turn_end`` or ``error``.  Blocks are Messages API
blocks, verbatim in both directions, so that what MiniMax sent can go back to it
unchanged.  The README has the whole contract; ``--schema`` prints it as JSON Schema.

At a terminal it has commands: say, check, models, quota, replay, demo.

As a library it has ``MiniMaxProvider``, the events that this yields,
``ProviderError``, and the other names in ``__all__``.  They are stable.

    with MiniMaxProvider(api_key="...") as provider:
        for text in provider.text({"messages": [{"role": "user", "content": "hi"}]}):
            print(text, end="")

Licence: the same as Plexum's.  The file travels alone; keep this paragraph.
"""

# ruff: noqa: BLE001, PYI034, S110, UP017, UP036
# A plugin must survive any exception, and this one runs on Python 3.8.

from __future__ import annotations

import sys

if sys.version_info < (3, 8):
    if __name__ != "__main__":
        raise ImportError("plexum-minimax-provider needs Python 3.8 or newer")
    sys.stderr.write("plexum-minimax-provider needs Python 3.8 or newer.\n")
    raise SystemExit(3)
if __name__ == "__main__":
    # The script's own directory goes last, so that a stray json.py cannot shadow the
    # standard library.
    sys.path.append(sys.path.pop(0))

import json
import os
import re
import threading
import time
from collections import OrderedDict, deque, namedtuple
from itertools import groupby

# Everything else is imported, and patterns are compiled, where they are first needed,
# so that `describe` and `--version` answer at once, even if `requests` is missing.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from typing import Any, NoReturn

    JSON = dict[str, Any]
    Batch = list[JSON]
    Queued = tuple[int, Any, bool, JSON]  # a turn: number, id, host gave it, request

__version__ = "1.1.0"
__all__ = [
    "MODELS",
    "OPTIONS",
    "EventTranslator",
    "MiniMaxProvider",
    "ProviderError",
    "SSEDecoder",
    "ServerSentEvent",
    "build_request",
]

# How the file keeps its shape:
# 1. A section uses only sections above it.
# 2. Facts, errors, SSE, request and events do no I/O and use no clock, environment or
#    files.  What they need of those is passed in.
# 3. Only the HTTP section touches `requests`, and it alone turns its exceptions into
#    ours.  It yields bytes and knows nothing of events.
# 4. A turn writes no file but its capture, and a capture that fails never fails a turn.
# 5. Only the plugin loop reads input and writes the wire, through callables passed in;
#    only the process section knows which descriptors they use.
# 6. Only the command line reads argv, and only commands print.


# ---------------------------------------------------------------------------
# Facts: models, prices, error codes, hints
# ---------------------------------------------------------------------------

NAME = "plexum-minimax-provider"
MIB = 1 << 20

# Hosts by region (MiniMax's text-anthropic-api page, 2026-11).
REGIONS = {
    "global": "https://api.minimax.io/anthropic",
    "cn": "https://api.minimaxi.com/anthropic",
}
# api.minimax.cn is the same deployment as api.minimaxi.com; newer pages prefer it.
HOSTS = {"api.minimax.io": "global", "api.minimaxi.com": "cn", "api.minimax.cn": "cn"}
# Paths under the base URL; the quota is under the host (users' reports, 2026-11).
MESSAGES_PATH, MODELS_PATH = "/v1/messages", "/v1/models"
QUOTA_PATH = "/v1/token_plan/remains"
# Response headers that identify a request; the first one present wins (2026-11).
REQUEST_ID_HEADERS = ("minimax-request-id", "trace-id", "request-id", "x-request-id")

# Keys by prefix, which tells the wallet that they spend (token-plan FAQ, 2026-11).
# Only hints depend on it: the server decides which keys are valid.
KeyKind = namedtuple("KeyKind", "prefix name wallet other_kind")
PLAN_KEY, PAYG_KEY = "plan key (sk-cp-)", "pay-as-you-go key (sk-api-)"
KEY_KINDS = (
    KeyKind("sk-cp-", PLAN_KEY, "the quota of your Token, Coding or M Plan", PAYG_KEY),
    KeyKind("sk-api-", PAYG_KEY, "the balance of your account", PLAN_KEY),
    KeyKind("eyJ", "OAuth or older key (eyJ)", "the wallet it was made for", PLAN_KEY),
    KeyKind("", "key of unknown kind", "the wallet it was made for", PLAN_KEY),
)


def key_kind(key: str) -> KeyKind:
    """The row of KEY_KINDS for `key`."""
    return next(kind for kind in KEY_KINDS if key.startswith(kind.prefix))


# The models whose ids begin with `prefix`.  The limits of `newest` apply to ids outside
# MODELS; `thinking_on` and `thinking_off` are what is sent when a turn asks for
# thinking on or off (None: nothing); `input` lists the kinds of content they accept.
Family = namedtuple(
    "Family", "prefix newest thinking_on thinking_off always_thinks has_effort input"
)
EFFORTS = ("low", "medium", "high", "xhigh", "max")
ADAPTIVE, DISABLED = {"type": "adaptive"}, {"type": "disabled"}
_MEDIA = ["text", "image", "video"]
# The first matching prefix wins.  M3.1 supports effort and defaults to max, which takes
# about ten times the tokens of low, so one is always sent (2026-11).
FAMILIES = (
    Family("minimax-m3.1", "MiniMax-M3.1-Flash", None, None, True, True, _MEDIA),
    Family("minimax-m3", "MiniMax-M3", ADAPTIVE, DISABLED, False, False, _MEDIA),
    Family("minimax-m2", "MiniMax-M2.7", None, None, True, False, ["text"]),
)


def family_of(id: str) -> Any:
    """The row of FAMILIES for `id`, or None if its family is unknown."""
    return next((row for row in FAMILIES if id.lower().startswith(row.prefix)), None)


# `context_window` counts input and output tokens together; `prices` are USD per million
# tokens, by PRICES (None: unknown); `status` is current, legacy or retired, and
# `retired` the date of retirement, or None.
Model = namedtuple(
    "Model", "id family context_window max_output_tokens prices status retired"
)
PRICES = ("input", "output", "cache_read", "cache_write")


def _catalogue(*rows: Any) -> dict[str, Any]:
    """Build MODELS; a status that is a date means retired on that day."""
    models = {}
    for id, context, output, prices, status in rows:
        costs = dict(zip(PRICES, prices or [None] * 4))
        retired = status if status[0].isdigit() else None
        status = "retired" if retired else status
        models[id] = Model(id, family_of(id), context, output, costs, status, retired)
    return models


# Model and price pages, users' reports (2026-11).  MiniMax advises at most 131,072
# tokens of output for M3.  A new model is one row, if its family is known.
MODELS = _catalogue(
    ("MiniMax-M3.1-Flash", 10**6, 524288, (0.15, 0.6, 0.015, None), "current"),
    ("MiniMax-M3", 10**6, 524288, (0.3, 1.2, 0.06, None), "current"),
    ("MiniMax-M2.7", 204800, 131072, (0.3, 1.2, 0.06, 0.375), "2026-11-18"),
    ("MiniMax-M2.7-highspeed", 204800, 131072, (0.6, 2.4, 0.06, 0.375), "2026-11-18"),
    ("MiniMax-M2.5", 204800, 131072, (0.3, 1.2, 0.03, 0.375), "2026-11-18"),
    ("MiniMax-M2.5-highspeed", 204800, 131072, None, "2026-11-18"),
    ("MiniMax-M2.1", 204800, 131072, (0.3, 1.2, 0.03, 0.375), "legacy"),
    ("MiniMax-M2.1-highspeed", 204800, 131072, None, "legacy"),
    ("MiniMax-M2", 204800, 128000, (0.3, 1.2, 0.03, 0.375), "legacy"),
)
CURRENT_MODELS = [model.id for model in MODELS.values() if model.status == "current"]
# Prices of requests with more input tokens than the first number.
PRICES_ABOVE = {"MiniMax-M3": (512000, dict(zip(PRICES, (0.6, 2.4, 0.12, None))))}


def canonical_model(name: str) -> str:
    """The id to send for `name`: without `minimax/`, spelled as in the table."""
    if name.lower().startswith("minimax/"):
        name = name[len("minimax/") :] or name
    return next((id for id in MODELS if id.lower() == name.lower()), name)


def model_facts(name: str) -> Any:
    """The model whose limits apply to `name`, or None if its family is unknown.

    The prefix decides, since servers decorate ids: `org/` before it, `-Preview` or
    `[1m]` after it (users' reports, 2026-11).
    """
    name = canonical_model(name)
    family = family_of(name.rpartition("/")[2])
    return family and MODELS.get(name, MODELS[family.newest])


# The price that applies to each count in `usage`.  As in the Messages API, input_tokens
# excludes both cache counts: one answer had 236 input tokens and 38,308 cache reads.
CHARGES = {
    "input_tokens": "input",
    "cache_read_input_tokens": "cache_read",
    "cache_creation_input_tokens": "cache_write",
    "output_tokens": "output",
}


def cost_usd(model: str | None, usage: JSON, max_count: int = 10**12) -> float | None:
    """The cost of `usage` in USD at the prices of `model`, the one that answered.

    None if the model, a count or a price that it needs is unknown, if a count exceeds
    `max_count`, or if there was no input at all.  Rounded to 1e-9, which is exact for
    the prices in the table.
    """
    name = canonical_model(model or "")
    counts = {field: usage[field] for field in CHARGES if usage.get(field) is not None}
    if name not in MODELS or not {"input_tokens", "output_tokens"} <= set(counts):
        return None
    if not all(type(n) is int and 0 <= n <= max_count for n in counts.values()):
        return None
    context = sum(n for field, n in counts.items() if field != "output_tokens")
    threshold, above = PRICES_ABOVE.get(name, (0, {}))
    prices = above if above and context > threshold else MODELS[name].prices
    charged = [(n, prices[CHARGES[field]]) for field, n in counts.items() if n]
    if context == 0 or any(price is None for _, price in charged):
        return None
    micros: float = sum(n * price for n, price in charged)
    return round(micros / 1e6, 9)


# Our error codes, each with a hint: one thing to do.  A new code is one row, here if
# the same turn may succeed when it is sent again, in ERRORS if not.  `explain()` fills
# in the braces; no other text is a template.
RETRYABLE = {
    "busy": "Wait for a turn to end, or raise max_queued_turns.",
    "shutting_down": "Send the turn to a new process.",
    "rate_limited": "Try again in a minute, and lower max_concurrent_turns.",
    "overloaded": "{host} is overloaded: try again in a minute.",
    "upstream": "The fault is at {host}, not in the request: try again later.",
    "network": "Check DNS, firewall and proxy on the way to {host}.{environment}",
    "timeout": "Raise that limit, or check the network to {host}.{environment}",
    "stream_cut": "Try again: something on the way cut the answer.{environment}",
    "empty_response": "{host} sent an empty answer: try again.",
    "protocol": "{url} did not answer as the Messages API does: check base_url, and "
    "any proxy on the way.{environment}",
}
ERRORS = {
    "invalid_json": "Send one JSON object per line, UTF-8, ended by LF.",
    "invalid_request": "Correct what the message names.",
    "line_too_long": "Send less, or raise max_line_bytes in the config.",
    "duplicate_id": "Use an id again only after its turn has ended.",
    "config": "Correct the setting; the next turn reads it again.",
    "auth": "Wrong key or wrong region: {host} (region {region}) did not accept the "
    '{key_kind}. Run "{command} check" to find out which, or set region to '
    "{other_region} ({other_host}).",
    "permission": "{host} does not let the {key_kind} use {model}: try {models}.",
    "insufficient_balance": "At {host}, the {key_kind} spends {wallet}, which is "
    "empty: top it up, or use a {other_key_kind}, which spends another wallet.",
    "quota_exhausted": "The {key_kind} spends {wallet}, and its 5-hour or weekly "
    "window is used up: wait for the reset, or use a {other_key_kind}. A "
    "quota of 0/0 means that the plan does not include {model}.",
    "model_unavailable": "{host} does not serve {model} to the {key_kind}: use "
    "{models}. Base plans do not include -highspeed models.",
    "not_found": "There is no Messages API at {url}: remove base_url to use {base}."
    "{environment}",
    "context_too_long": "Input and max_tokens together must fit the {context} tokens "
    "of {model}: compact the history, or lower max_tokens.",
    "content_filtered": "MiniMax's filter stopped the input or output: rephrase it.",
    "rejected": "Correct what the message names: the same request fails again.",
    "internal": "This is a bug in the plugin: please report its stderr.",
    **RETRYABLE,
}
# Hints for special cases, by the `advice` of an error, instead of its code's hint.
ADVICE = {
    "auth_elsewhere": "{host} did not accept the {key_kind}: check key and base_url."
    "{environment}",
    "certificate": "Certificates are always verified: if a proxy or a private CA signs "
    "for {host}, name the file of its certificate in SSL_CERT_FILE.{environment}",
    "ca_file": "Set the variable to a PEM file, and restart the process.{environment}",
    "proxy": "Correct the variable, and restart the process.{environment}",
    "proxy_login": "Set the variable to http://USER:PASSWORD@HOST:PORT.{environment}",
    "socks": "Install PySocks for this Python (apt install python3-socks), or unset "
    "the variable.{environment}",
    "redirect": "Set base_url to the final URL, or remove it.{environment}",
    "files": "Check the disk or network that holds it: something there hangs.",
    "no_key": "Set MINIMAX_API_KEY, or run ./install.sh --api-key-stdin.",
    "misspelt": "Correct the name in the file.",
}
# The codes of warnings; the README says when each comes.
WARNINGS = (
    *("unknown_field", "ignored_field", "system_role_moved", "max_tokens_lowered"),
    *("history_repaired", "image_replaced", "thinking_mapped", "effort_ignored"),
    *("retired_model", "model_differs", "thinking_used_all_tokens", "no_text"),
    *("no_tool_call", "tool_markup_in_text", "unknown_delta", "invalid_unicode"),
    "late_error",
)
# How many times longer than usual a retry of these waits (users' reports, 2026-11).
PACES = {"rate_limited": 4, "overloaded": 2}

# Our code for what the upstream reports: MiniMax's numbers, which take precedence; HTTP
# statuses ("4xx" stands for those that no row names); types, for errors in mid-stream,
# which have no status.  The rest is `upstream`.  A new one is a word in one row.
# (errorcode page, users' reports, 2026-11)
UPSTREAM_CODES = {
    "auth": "1004 2049 401 authentication_error authorized_error",
    "permission": "403 permission_error",
    "insufficient_balance": "1008 402 insufficient_balance_error billing_error",
    "quota_exhausted": "2056",
    "model_unavailable": "2061",
    "context_too_long": "1039",
    "content_filtered": "1026 1027",
    "rate_limited": "1002 2045 1041 429 rate_limit_error",
    "overloaded": "2064 529 overloaded_error",
    "upstream": "1000 1001 1013 1024 1033 408 409",
    "rejected": "1042 2013 3xx 4xx not_found_error invalid_request_error "
    "bad_request_error request_too_large",
    "protocol": "1xx 2xx",
}
# Only the text tells apart the 15 or so meanings of 2013, and of errors that have no
# number and a generic status.  Patterns are in lower case.
ERROR_TEXTS = {
    "context_too_long": "context window|maximum context length|prompt is too long"
    "|input length and `max_tokens`|exceed(s|ed|ing)? (the )?context limit"
    "|^(?=.*上下文).*(长度|窗口|超)|^(?=.*输入).*过长",
    "model_unavailable": r"unknown model|not support model|\(0/0 used\)"
    r"|\bmodel\b.{0,80}(not found|not exist|no longer|retired)"
    r"|未知模型|模型.{0,80}(不存在|下线)",
}

# The types of a turn's lines on the wire; only the loop knows those of other lines.
TURN_START, TURN_END, ERROR = "turn_start", "turn_end", "error"
BLOCK_START, BLOCK_END = "block_start", "block_end"
TEXT_DELTA, THINKING_DELTA, INPUT_DELTA = "text_delta", "thinking_delta", "input_delta"
WARNING, RETRY, HEARTBEAT = "warning", "retry", "heartbeat"
TERMINAL = (TURN_END, ERROR)
CANCELLED = "cancelled"  # the only stop reason that is not the upstream's
# Texts that leak out of the model's own format (users' reports, 2026-11).
END_MARKER = "[e~["
TOOL_MARKUP = (
    r"[<\[\]](?:/?(?i:minimax:tool_call|invoke>|TOOL_CALL\])|<\]minimax\[>\["
    r"|(?i:invoke)\s+name=)"
)

MAX_DEPTH = 500  # of nested JSON: well below every Python's recursion limit
MAX_UPSTREAM_DEPTH = 480  # so that an answer still fits into the next request
MAX_ERROR_BODY = 64 * 1024  # bytes: more of an error body tells nothing new


# ---------------------------------------------------------------------------
# JSON, text and errors
# ---------------------------------------------------------------------------


def _float(text: str) -> float:
    value = float(text)
    if not abs(value) < float("inf"):
        raise ValueError("a number is too large, or NaN")
    return value


_MAX_DIGITS = 4300  # of an integer: as many as Python itself reads since 3.11


def _int(text: str) -> int:
    if len(text.lstrip("-")) > _MAX_DIGITS:
        raise ValueError(f"an integer has more than {_MAX_DIGITS} digits")
    return int(text)


_NUMBERS: Any = {"parse_float": _float, "parse_constant": _float}
_DECODER = json.JSONDecoder(**_NUMBERS)
# ASCII and compact.  Raises ValueError for values that JSON cannot express.
dump_json = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def load_json(
    text: str, max_depth: int = MAX_DEPTH, control_characters: bool = False
) -> Any:
    """Parse one JSON value that every Python can also write again.

    Refuses NaN, infinities, integers of over 4,300 digits and nesting of over
    `max_depth` levels; `control_characters` allows raw ones inside strings.  Raises
    only ValueError, with a reason that quotes none of the text.
    """
    space, decoder = " \t\r\n", _DECODER
    # Only a long text can hold an integer that is too long, so `_int` is rarely needed.
    if control_characters or len(text) > _MAX_DIGITS:
        strict = not control_characters
        decoder = json.JSONDecoder(**_NUMBERS, parse_int=_int, strict=strict)
    try:
        # decode() would spend as long on its search for white space as on the parsing.
        start = len(text) - len(text.lstrip(space))
        value, end = decoder.raw_decode(text, start)
        if end < len(text) and text[end:].strip(space):
            raise json.JSONDecodeError("Extra data", text, end)
        if len(text) > max_depth and text.count("[") + text.count("{") > max_depth:
            _check_depth(value, max_depth)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, " if error.lineno > 1 else ""
        text = re.sub(" (starting )?at$", "", error.msg)
        raise ValueError(f"{text} at {where}character {error.colno}") from None
    except RecursionError:
        raise ValueError(f"nested deeper than {max_depth} levels") from None
    return value


def _check_depth(value: Any, levels: int) -> None:
    """Raise RecursionError if `value` nests deeper than `levels`."""
    if isinstance(value, (dict, list)):
        if levels == 0:
            raise RecursionError
        for child in value.values() if isinstance(value, dict) else value:
            _check_depth(child, levels - 1)


def parsed(text: str) -> Any:
    """The JSON value of `text`, or None if it is not JSON."""
    try:
        return load_json(text)
    except ValueError:
        return None


def map_strings(value: Any, function: Callable[[str], str]) -> Any:
    """A copy of `value` with `function` applied to all strings in it, also to keys.

    Plain loops: on older Pythons a comprehension is a further level of recursion.
    """
    if isinstance(value, str):
        return function(value)
    if isinstance(value, dict):
        copy = {}
        for name, child in value.items():
            copy[function(str(name))] = map_strings(child, function)
        return copy
    if isinstance(value, list):
        items = []
        for child in value:
            items.append(map_strings(child, function))
        return items
    return value


def well_formed(text: str, errors: str = "replace") -> str:
    """`text` with split surrogate pairs joined, and U+FFFD for lone surrogates.

    With `errors` "surrogatepass", lone surrogates stay.
    """
    try:
        text.encode("utf-8")
        return text
    except UnicodeEncodeError:
        data = text.encode("utf-16-le", "surrogatepass")
        return data.decode("utf-16-le", errors)


def printable(text: str, limit: int = 600) -> str:
    """`text` of unknown origin as one printable line of at most `limit` characters.

    All text that is neither ours nor the model's content goes through here.
    """
    head = text[: 20 * limit]  # most of it may be white space
    line = " ".join("".join(c if c.isprintable() else " " for c in head).split())
    return line if len(line) <= limit else line[:limit] + "..."


# --- types of fields and settings

# What a value must be: the check, and its name in messages.
TYPES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "string": (lambda v: isinstance(v, str), "a string"),
    "integer": (lambda v: type(v) is int, "an integer"),  # True is none
    "number": (lambda v: type(v) in (int, float), "a number"),
    "boolean": (lambda v: isinstance(v, bool), "true or false"),
    "object": (lambda v: isinstance(v, dict), "an object"),
    "list": (lambda v: isinstance(v, list), "a list"),
}


def describe_value(value: Any) -> str:
    """The type and length of a wrong value, for messages: never the value itself."""
    words = next((words for is_kind, words in TYPES.values() if is_kind(value)), "null")
    if isinstance(value, str):
        return f"{words} of {len(value)} characters"
    return f"{words} of {len(value)}" if isinstance(value, (dict, list)) else words


# --- errors


class ProviderError(Exception):
    """The reason why a turn, or a line from the host, failed.

    `code` is one of ERRORS; `message` says what happened, `hint` what to do.
    `details` may hold retry_after (seconds), reset_at (ISO 8601), http_status,
    provider_code and request_id.
    """

    def __init__(
        self,
        code: str,
        message: str,
        hint: str = "",
        advice: str = "",
        retryable: bool | None = None,
        cause: str = "",
        **details: Any,
    ) -> None:
        super().__init__(f"{message}\n{hint}" if hint else message)  # for tracebacks
        self.code, self.message, self.hint = code, message, hint
        self.advice = advice  # selects a hint of ADVICE instead of the code's own
        self.cause = cause  # the exception underneath, for the log
        self.retryable = code in RETRYABLE if retryable is None else retryable
        self.details = {k: v for k, v in details.items() if v is not None}

    def to_dict(self) -> JSON:
        """The `error` object of the contract; `explain()` first fills in the hint."""
        return {
            "code": self.code,
            "message": self.message,
            "hint": self.hint or {**ERRORS, **ADVICE}[self.advice or self.code],
            "retryable": self.retryable,
            **self.details,
        }


class Cancelled(Exception):
    """The host, the caller or the end of the process ended this turn."""


def wrong_field(path: str, problem: str) -> NoReturn:
    raise ProviderError("invalid_request", f"{path} {problem}")


def warning(code: str, text: str) -> JSON:
    """A `warning` event."""
    return {"type": WARNING, "code": code, "text": printable(text)}


class Redactor:
    """Masks every run of eight or more characters of a key.

    It also masks keys that are JSON-escaped, percent-encoded or in base64.  The work is
    linear in the text, however many and however long the keys are.
    """

    # A text is searched for pieces of keys; where one is found, its run of such pieces
    # is followed to both ends.  Any RUN characters hold a whole PIECE that begins at a
    # multiple of STEP, so it is enough to look there.
    RUN, PIECE, STEP = 8, 5, 4
    MAX_CHARACTERS = 65536  # of all keys: tokens renewed hourly must not add up

    def __init__(self) -> None:
        self._keys: list[str] = []  # oldest first
        self._short: list[str] = []  # too short to be real: masked as a whole
        self._pieces: set[str] = set()

    def add(self, key: str) -> None:
        """Mask `key` from now on; its public prefix stays readable."""
        if key in self._keys or len(key) < 4:  # shorter ones stand in any text
            return
        if sum(map(len, self._keys)) + len(key) > self.MAX_CHARACTERS:
            latest = Redactor()  # without the older half; other threads may be reading
            for kept in self._keys[len(self._keys) // 2 + 1 :]:
                latest.add(kept)
            vars(self).update(vars(latest))
        secret = well_formed(key[len(key_kind(key).prefix) :])
        self._keys.append(key)
        if len(secret) < self.RUN:
            self._short.append(key)
            return
        for form in self._forms(secret):
            starts = range(len(form) - self.PIECE + 1)
            self._pieces |= {form[start : start + self.PIECE] for start in starts}

    @staticmethod
    def _forms(secret: str) -> set[str]:
        """The forms in which `secret` may be echoed: base64 at each of 3 alignments."""
        from binascii import b2a_base64
        from urllib.parse import quote

        escaped = dump_json(secret)[1:-1]
        forms = {secret, escaped, escaped.replace("/", r"\/"), quote(secret, safe="")}
        for lead in range(3):
            # The first and last characters also encode bits of the neighbours.
            data = b"\0" * lead + secret.encode("utf-8")
            text = b2a_base64(data, newline=False).decode("ascii")
            forms.add(text[(lead * 4 + 2) // 3 : len(text) - 4])
        return forms

    def text(self, text: str) -> str:
        """`text` with every trace of the keys replaced by asterisks."""
        for key in self._short:
            text = text.replace(key, "*" * len(key))
        size, pieces = self.PIECE, self._pieces
        places = range(0, len(text), self.STEP)
        masked, done = [], 0
        for start in [at for at in places if text[at : at + size] in pieces]:
            end = start + size
            if end <= done:  # masked already
                continue
            while start and text[start - 1 : start - 1 + size] in pieces:
                start -= 1
            while text[end + 1 - size : end + 1] in pieces:
                end += 1
            if end - start >= self.RUN:
                start = max(start, done)
                masked += [text[done:start], "*" * (end - start)]
                done = end
        return "".join(masked) + text[done:]

    def value(self, value: Any) -> Any:
        """`value` with all strings in it, keys of objects included, masked."""
        return map_strings(value, self.text)


# Knows every key this process uses.  All redaction happens here.
SECRETS = Redactor()


def outgoing(event: JSON) -> JSON:
    """`event` made safe to send: valid Unicode, no key outside the model's content."""
    if event["type"] in (TEXT_DELTA, THINKING_DELTA):  # nearly all events
        text = event["text"]
        return event if text.isascii() else {**event, "text": well_formed(text)}
    content = ("type", "index", "block", "json", "input_json", "message", "partial")
    event = map_strings(event, well_formed)
    return {k: v if k in content else SECRETS.value(v) for k, v in event.items()}


# --- errors of the upstream

# Our code for each word of UPSTREAM_CODES.
_CODES = {word: code for code, row in UPSTREAM_CODES.items() for word in row.split()}


def is_error_payload(payload: Any) -> bool:
    """Whether an upstream's JSON is one of the known error envelopes."""
    if not isinstance(payload, dict):
        return False
    kind, base = str(payload.get("type")), payload.get("base_resp")
    # A status_code of 0, in whatever form, stands in answers that are no errors.
    is_refusal = isinstance(base, dict) and str(base.get("status_code") or 0) != "0"
    is_error = "error" in (kind, payload.get("object")) or kind.endswith("_error")
    return bool(payload.get("error")) or is_error or is_refusal


def upstream_error(payload: Any, status: int | None, text: str) -> ProviderError:
    """The error that an upstream reported.

    `payload` is the parsed body or None, `status` the HTTP status or None in
    mid-stream, `text` the body for people.
    """
    body = payload if isinstance(payload, dict) else {}
    inner, base = body.get("error", body), body.get("base_resp")
    base = base if isinstance(base, dict) else {}
    kind = ""  # stays empty unless an API wrote the error
    if not isinstance(inner, dict):
        inner = {"message": inner}
    elif is_error_payload(body):
        kind = str(inner.get("type"))
    texts = (inner.get("message"), base.get("status_msg"), body.get("message"))
    message = next((t for t in texts if isinstance(t, str) and t), text)
    message = printable(message[:MAX_ERROR_BODY], MAX_ERROR_BODY)
    # MiniMax's number: in a field, or the last one in parentheses, since messages put
    # token counts in parentheses too.
    numbers = [str(base.get("status_code")), str(inner.get("code"))]
    numbers += reversed(re.findall(r"[(（](\d{4})[)）]", message))
    number = next((int(n) for n in numbers if len(n) == 4 and n in _CODES), None)
    http_code = str(inner.get("http_code"))
    if status is None and re.match(r"[45]\d\d$", http_code, re.ASCII):
        status = int(http_code)
    code = _classify(number, status, kind, message.lower())
    details: JSON = {"http_status": status, "provider_code": number}
    if isinstance(body.get("request_id"), str):
        details["request_id"] = printable(body["request_id"], 200)
    if code == "quota_exhausted":
        iso_8601 = r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)"
        moment = re.search(iso_8601, message)
        details["reset_at"] = moment and moment.group()
    words = printable(message) or "no error text"
    words = words if status is None else f"HTTP {status}: {words}"
    return ProviderError(code, words, **details)


def _classify(number: int | None, status: int | None, kind: str, text: str) -> str:
    """Our code: by MiniMax's number; else the status, or the type if there is none.

    The text decides only where these say nothing.
    """
    if number == 2013 or (number is None and status in (None, 400, 413, 422)):
        for code, pattern in ERROR_TEXTS.items():
            if re.search(pattern, text):
                return code
    if number is not None:
        return _CODES[str(number)]
    if status is None:
        return _CODES.get(kind, "upstream")
    if status == 404:  # the API, which gives a type, may also just mention the model
        pattern = ERROR_TEXTS["model_unavailable"] + ("|model|模型" if kind else "")
        if re.search(pattern, text):
            return "model_unavailable"
        if not kind:
            return "not_found"
    return _CODES.get(str(status)) or _CODES.get(f"{status // 100}xx", "upstream")


# ---------------------------------------------------------------------------
# SSE: bytes in, events out
# ---------------------------------------------------------------------------


# One event of a stream: its name ("message" by default) and its data.  `bare` marks
# JSON outside of any SSE field, which is how MiniMax sends some errors.
ServerSentEvent = namedtuple("ServerSentEvent", "event data bare", defaults=(False,))


class SSEDecoder:
    """Incremental decoder of `text/event-stream` (WHATWG HTML, section 9.2.6).

    `feed(chunk)` takes bytes cut anywhere and returns the events they complete;
    `close()` returns the event of a body that ends without its last blank line.  The
    specification drops that event, but MiniMax's servers leave out the line.  `id` and
    `retry` are ignored: nothing here reconnects.  Raises ValueError when an event
    exceeds `max_event_bytes`, and at every later call.
    """

    # The default is eight times the longest possible answer.
    def __init__(self, max_event_bytes: int = 16 * MIB) -> None:
        self._limit = max_event_bytes
        self._held = bytearray(b"\n")  # the current event, and the LF before it
        self._after_cr = False  # the last byte was CR: an LF may belong to it
        self._first = True  # the stream may open with a byte order mark
        # Nearly all events have this form; one search takes half the time of a look at
        # every line.  It is linear, since a match begins only where a line ends.
        self._split_usual = re.compile(r"\nevent: (.+)\ndata: (.*)\n").split

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        if self._after_cr or b"\r" in chunk:
            if self._after_cr and chunk[:1] == b"\n":
                chunk, self._after_cr = chunk[1:], False
            if chunk:
                self._after_cr = chunk[-1:] == b"\r"
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        held, limit = self._held, self._limit
        last = len(held) - 1  # with this LF, `chunk` may complete a blank line
        held += chunk
        if held.endswith(b"}\n"):
            line = held.rfind(b"\n", 0, -1)
            if held.startswith((b"\n{", b"\n\n{"), max(line - 1, 0)):
                held += b"\n"  # a whole event of JSON: a blank line may never follow
        if len(held) > limit and max(map(len, held.split(b"\n\n"))) > limit:
            raise ValueError(f"one event holds over {limit} bytes")
        end = held.rfind(b"\n\n", last) + 1
        if not end:
            return []
        text = held[:end].decode("utf-8", "replace")
        del held[:end]
        if self._first and text[1:2] == "\ufeff":
            text = text.replace("\ufeff", "", 1)
        self._first = False
        parts = self._split_usual(text)
        if not any(parts[::3]):  # nothing stands between the events
            return list(map(ServerSentEvent, parts[1::3], parts[2::3]))
        return self._read_lines(text.split("\n"))

    def close(self) -> list[ServerSentEvent]:
        return self.feed(b"\n\n")

    def _read_lines(self, lines: list[str]) -> list[ServerSentEvent]:
        """The events of any whole lines, of which the last is blank."""
        events: list[ServerSentEvent] = []
        name, is_open = "", False
        data: list[str] = []
        bare: list[list[str]] = []  # lines of JSON outside of any field
        for line in lines:
            field, _, value = line.partition(":")
            if field == "data":
                data.append(value[1:] if value[:1] == " " else value)
            elif field == "event":
                name = value[1:] if value[:1] == " " else value
            elif not line:
                for part in bare:
                    events.append(ServerSentEvent("message", "\n".join(part), True))
                if data:
                    events.append(ServerSentEvent(name or "message", "\n".join(data)))
                name, data, bare, is_open = "", [], [], False
            elif line[:2] == '{"' or (line.lstrip()[:1] == "{" and not is_open):
                bare.append([line])  # an open one was cut short, and another begins
                is_open = line.rstrip()[-1] != "}"
            elif is_open:
                bare[-1].append(line)
        return events


# ---------------------------------------------------------------------------
# Request: TurnRequest -> body of POST /v1/messages
# ---------------------------------------------------------------------------

# The fields of a TurnRequest and their types, as in TYPES; "" means that a field may
# have several types, which the function that translates it checks.
TURN_FIELDS = {
    **dict.fromkeys(("model", "effort", "service_tier"), "string"),
    **dict.fromkeys(("max_tokens", "top_k"), "integer"),
    **dict.fromkeys(("temperature", "top_p"), "number"),
    **dict.fromkeys(("messages", "tools", "stop_sequences"), "list"),
    **dict.fromkeys(("metadata", "extra_body"), "object"),
    **dict.fromkeys(("type", "id", "stream"), ""),
    **dict.fromkeys(("system", "thinking", "tool_choice"), ""),
}
MAX_BODY = 64 * MIB  # MiniMax refuses larger ones (2026-11)
MAX_IMAGE_BYTES = 10 * MIB  # likewise


def _is_absent(value: Any) -> bool:
    """Whether a field counts as unset: Go hosts send zero values for unset fields."""
    return value is None or value == "" or value == []


def _without_nulls(fields: JSON) -> JSON:
    """`fields` without those that are null, which MiniMax refuses in places."""
    return {key: value for key, value in fields.items() if value is not None}


def fold(key: str) -> str:
    """`key` in a form in which MaxTokens, maxTokens and max_tokens are equal."""
    return key.replace("_", "").lower()


def fold_keys(line: JSON, fields: Iterable[str], path: str = "") -> tuple[JSON, JSON]:
    """Return the known fields of `line`, by name, and the others as they are.

    Raises ProviderError if a field has two spellings with different values.
    """
    names = {fold(field): field for field in fields}
    values: JSON = {}
    others: JSON = {}
    for key, value in line.items():
        field = names.get(fold(key))
        if field is None:
            others[key] = value
            continue
        first = values.setdefault(field, value)
        if type(first) is not type(value) or first != value:  # 1 equals true
            wrong_field(path + field, "has two spellings with different values")
    return values, others


def require(kind: str, value: Any, path: str) -> None:
    """Raise ProviderError unless `value` has the type `kind`, a row of TYPES."""
    is_kind, words = TYPES[kind]
    if not is_kind(value):
        wrong_field(path, f"must be {words}")


class _Request:
    """A turn's fields, and what the functions that translate it share."""

    def __init__(self, turn: JSON, model: str, read_image: Any) -> None:
        require("object", turn, "the turn")
        self.warnings: list[JSON] = []
        try:
            valid = map_strings(turn, well_formed)
        except RecursionError:
            wrong_field("the request", "is nested too deep")
        if valid != turn:
            self.warn("invalid_unicode", "a lone surrogate is sent as U+FFFD")
        fields, others = fold_keys(valid, TURN_FIELDS)
        self.unknown = list(others)  # paths of fields that are not sent
        self.fields = {name: v for name, v in fields.items() if not _is_absent(v)}
        for name, kind in TURN_FIELDS.items():
            if kind and name in self.fields:
                require(kind, self.fields[name], name)
        if self.fields.get("max_tokens", 0) < 0:
            wrong_field("max_tokens", "must be an integer, 0 or above")
        for key in self.fields.get("extra_body", ()):
            if key.lower() in ("messages", "stream"):  # the plugin relies on them
                wrong_field(f"extra_body.{key}", "cannot be set by extra_body")
        self.model = canonical_model(self.fields.get("model", model))
        self.facts: Model | None = model_facts(self.model)
        self._read_image = read_image
        self._read_size = 0  # characters of base64 in all image files so far

    def warn(self, code: str, text: str) -> None:
        self.warnings.append(warning(code, text))

    def repaired(self, path: str, text: str) -> None:
        self.warn("history_repaired", f"{path}: {text}")

    def image_file(self, file: str, path: str) -> JSON:
        """Return the source of an image file, or raise ValueError with the reason.

        Refuses the turn as soon as its files exceed the size of a request; `path` is
        the place of the image in the turn.
        """
        if self._read_image is None:
            raise ValueError("image files are not read here")
        source: JSON = self._read_image(file)
        self._read_size += len(source.get("data", ""))
        if self._read_size > MAX_BODY:
            wrong_field(path, f"makes the request larger than {MAX_BODY // MIB} MB")
        return source


def build_request(
    turn: JSON,
    model: str = "MiniMax-M3",
    max_tokens: int = 4096,
    effort: str = "medium",
    read_image: Callable[[str], JSON] | None = None,
) -> tuple[JSON, list[JSON]]:
    """Translate a TurnRequest into the body of POST /v1/messages.

    `model`, `max_tokens` and `effort` are the defaults of the configuration;
    `read_image(path)` returns an image source or raises ValueError.  Returns the body
    and the `warning` events; `turn` is not changed.  Raises ProviderError
    (`invalid_request`) with the path of the first wrong field.
    """
    request = _Request(turn, model, read_image)
    fields, facts = request.fields, request.facts
    messages, system = _messages(request)
    tools = _tools(request)
    wanted = fields.get("max_tokens") or max_tokens
    limit = facts.max_output_tokens if facts else wanted
    if wanted > limit:  # MiniMax refuses it
        text = f"max_tokens is lowered to {limit}, the limit of {request.model}"
        request.warn("max_tokens_lowered", text)
    body = {
        **fields,
        **dict.fromkeys(("type", "id", "effort", "extra_body")),  # None: not sent
        "model": request.model,
        "max_tokens": min(wanted, limit),
        "messages": messages,
        "system": system or None,
        "tools": tools or None,
        "tool_choice": _tool_choice(tools, request),
        **_thinking(effort, request),
        "stream": True,
    }
    for name in ("top_k", "stop_sequences"):  # text-anthropic-api page, 2026-11
        if name in fields:
            request.warn("ignored_field", f"{name} is sent, but MiniMax ignores it")
    if request.unknown:
        request.warn("unknown_field", "not sent: " + ", ".join(request.unknown))
    if facts and facts.retired and facts.id == request.model:
        text = f"{facts.id} was retired on {facts.retired}; use "
        request.warn("retired_model", text + " or ".join(CURRENT_MODELS))
    return {**_without_nulls(body), **fields.get("extra_body", {})}, request.warnings


def _thinking(default_effort: str, request: _Request) -> JSON:
    """Map `thinking` and `effort` to what the model's family accepts.

    A model of an unknown family gets both as given.
    """
    thinking = request.fields.get("thinking", {})
    if isinstance(thinking, bool):
        thinking = ADAPTIVE if thinking else DISABLED
    if not isinstance(thinking, dict):
        wrong_field("thinking", "must be true, false or an object")
    effort = request.fields.get("effort", "").lower()
    if effort not in ("", *EFFORTS):
        wrong_field("effort", "must be one of " + ", ".join(EFFORTS))
    family = request.facts and request.facts.family
    if family and thinking:
        kind = thinking.get("type")
        if kind not in ("enabled", "adaptive", "disabled"):
            wrong_field("thinking.type", "must be enabled, adaptive or disabled")
        thinking = family.thinking_off if kind == "disabled" else family.thinking_on
        if kind == "disabled" and family.always_thinks:
            request.warn("thinking_mapped", f"{request.model} always thinks")
    if family and family.has_effort:
        effort = effort or default_effort
    elif family and effort:
        request.warn("effort_ignored", f"{request.model} does not support effort")
        effort = ""
    output = {"effort": effort} if effort else None
    return {"thinking": thinking or None, "output_config": output}


# --- tools


def _tools(request: _Request) -> list[JSON]:
    """Return the tools to send: all but those that another vendor's server runs."""
    sent: dict[str, JSON] = {}
    for n, tool in enumerate(request.fields.get("tools", ())):
        path = f"tools[{n}]"
        require("object", tool, path)
        # Anthropic's have a date at the end of their type: web_search_20250305.
        if re.search(r"[_-]\d{4}[-_]?\d\d[-_]?\d\d$", str(tool.get("type"))):
            request.warn("ignored_field", f"{path} is another vendor's tool; not sent")
            continue
        tool = _tool(tool, path)
        name = tool.get("name")
        if not isinstance(name, str) or not name or name in sent:
            wrong_field(path + ".name", "must be a unique, non-empty string")
        sent[name] = tool
    return list(sent.values())


def _tool(tool: JSON, path: str) -> JSON:
    """Return `tool` in the form of the Messages API.

    It may have the form of MCP (`inputSchema`) or of OpenAI (`parameters`, in a
    `function` object or beside it), or a mixture.
    """
    tool = _without_nulls(tool)
    function = tool.pop("function", {})
    require("object", function, path + ".function")
    function = _without_nulls(function)
    fields = [*tool.items(), *function.items()]
    names = ("inputschema", "parameters")
    first, *others = [v for key, v in fields if fold(key) in names] or [{}]
    if any(schema != first for schema in others):
        wrong_field(path, "has two schemas that differ")
    require("object", first, path + ".input_schema")
    # MiniMax requires the schema of an object.
    schema = _without_nulls(first) or {"type": "object", "properties": {}}
    if schema.setdefault("type", "object") != "object":
        wrong_field(path + ".input_schema.type", 'must be "object"')
    tool = {**function, **tool, "input_schema": schema}
    if tool.get("type") in ("function", ""):
        del tool["type"]
    kept = [key for key in tool if key == "input_schema" or fold(key) not in names]
    return {key: tool[key] for key in kept}


def _tool_choice(tools: list[JSON], request: _Request) -> JSON | None:
    """Return the choice in the form of the Messages API.

    Returns None if there is none, or if the tool that it names is not sent.
    """
    choice = request.fields.get("tool_choice")
    if choice is None:
        return None
    if choice in ("auto", "any", "none", "required"):
        choice = {"type": choice}
    if not isinstance(choice, dict):
        wrong_field("tool_choice", "must be auto, any, none or an object")
    choice = _without_nulls(choice)
    require("string", choice.get("type"), "tool_choice.type")
    if choice["type"] == "required":
        choice["type"] = "any"
    if choice["type"] == "function":  # OpenAI has two places for the name
        function = choice.get("function", choice)
        require("object", function, "tool_choice.function")
        choice = {"type": "tool", "name": function.get("name")}
    names = [tool["name"] for tool in tools]
    if tools and (choice["type"] != "tool" or choice.get("name") in names):
        return choice
    reason = "its tool is not sent either" if tools else "the turn has no tools to send"
    request.warn("ignored_field", f"tool_choice is not sent: {reason}")
    return None


# --- messages and their blocks


class _Message:
    """A message on its way into the body: its `results`, then its `blocks`."""

    def __init__(self, path: str, role: str, content: Any, blocks: list[JSON]) -> None:
        self.path, self.role = path, role
        self.content = content  # as the host sent it, None if the plugin made it
        self.blocks = blocks
        self.results: dict[str, JSON] = {}  # of the calls before it, by id


def _incoming(request: _Request) -> Iterator[tuple[str, str, Any]]:
    """Check the host's messages; yield the path, the role and the content of each."""
    for n, message in enumerate(request.fields.get("messages", ())):
        path = f"messages[{n}]"
        require("object", message, path)
        values, others = fold_keys(message, ("role", "content"), path + ".")
        request.unknown += [f"{path}.{name}" for name in others]
        role = values.get("role")
        if role not in ("user", "assistant", "system", "developer"):
            wrong_field(path + ".role", "must be user or assistant")
        yield path, role, values.get("content")


def _messages(request: _Request) -> tuple[list[JSON], Any]:
    """Return the messages and the system prompt to send."""
    system = request.fields.get("system")
    prompt = _blocks(system, "system", "system", request)
    messages: list[_Message] = []
    reminders: list[JSON] = []  # system messages, until the next of another role
    blank = ""  # the path of the last message, if that is blank
    for path, role, content in _incoming(request):
        blocks = _blocks(content, path + ".content", role, request)
        if role in ("system", "developer"):
            request.warn("system_role_moved", f"{path} has the role {role}")
            if not messages:
                prompt += blocks
            elif blocks:
                reminders.append(_reminder(blocks))
                blank = ""
            continue
        blank = "" if blocks else path
        if role == "user":  # results at the front of its message stay there
            is_result = [block["type"] == "tool_result" for block in blocks]
            end = [*is_result, False].index(False)
            blocks[end:end] = reminders
        elif reminders:
            messages.append(_Message(path, "user", None, reminders))
        reminders = []
        messages.append(_Message(path, role, content, blocks))
    if reminders:
        messages.append(_Message("messages", "user", None, reminders))
    if not messages:
        wrong_field("messages", "must contain a user or assistant message")
    if blank:
        wrong_field(blank + ".content", "must not be blank in the last message")
    sent = []
    for message in _repair(messages, request):
        blocks, content = [*message.results.values(), *message.blocks], message.content
        if blocks:
            content = content if _as_blocks(content) == blocks else blocks
            sent.append({"role": message.role, "content": content})
    return sent, system if _as_blocks(system) == prompt else prompt


def _reminder(blocks: list[JSON]) -> JSON:
    """Return a system message in mid-conversation as a text block of the user's.

    It stays in place, so that caches still match the prefix before it.
    """
    text = "\n\n".join(block["text"] for block in blocks)
    fields = {name: value for block in blocks for name, value in block.items()}
    return {**fields, "text": f"<system>{text}</system>"}


def _as_blocks(content: Any) -> list[JSON]:
    """Return any JSON value as a list of blocks; tools also return strings and data."""
    if content is None:
        return []
    if isinstance(content, dict) and content.get("type") not in ("text", "image"):
        content = dump_json(content)  # a tool's data, whose `type` may be anything
    blocks = []
    for item in content if isinstance(content, list) else [content]:
        if not (isinstance(item, dict) and isinstance(item.get("type"), str)):
            text = item if isinstance(item, str) else dump_json(item)
            item = {"type": "text", "text": text}
        blocks.append(item)
    return blocks


def _blocks(content: Any, path: str, role: str, request: _Request) -> list[JSON]:
    """Check `content` of a message, a system prompt or a result; return its blocks.

    Drops blank texts and, in known kinds of block, fields that are null.  Raises
    ProviderError with the path of the first wrong field.
    """
    if content is None or isinstance(content, str):
        content = _as_blocks(content)
    if not isinstance(content, list):
        wrong_field(path, "must be a string or a list of blocks")
    sent: list[JSON] = []
    for n, block in enumerate(content):
        where = f"{path}[{n}]"
        require("object", block, where)
        kind = block.get("type")
        require("string", kind, where + ".type")
        if role not in ("user", "assistant") and kind != "text":
            wrong_field(where + ".type", "must be text")
        # An image or result of the assistant's came from upstream, in whatever form.
        as_given = role == "assistant" and kind in ("image", "tool_result")
        if kind in KINDS and not as_given:
            block = _without_nulls(block)
            for field in KINDS[kind].strings:
                require("string", block.get(field), f"{where}.{field}")
            if KINDS[kind].convert:
                block = KINDS[kind].convert(block, where, request)
        if (role, kind) in (("user", "tool_use"), ("assistant", "tool_result")):
            request.repaired(where, f"a {kind} from the {role} is sent as text")
            held = block if kind == "tool_use" else block.get("content")
            sent += _blocks(_as_blocks(held), where + ".content", role, request)
        elif kind != "text" or block["text"].strip():
            sent.append(block)
    return sent


def _tool_use(block: JSON, path: str, request: _Request) -> JSON:
    """Return a call whose input is an object; MiniMax answers all others with 2013."""
    value = block.get("input")
    if _is_absent(value):
        value = {}
    elif isinstance(value, str):
        value = parsed(value)
    require("object", value, path + ".input")
    if value is not block.get("input"):
        request.repaired(path, "the input is sent as an object")
    return {**block, "input": value}


def _tool_result(block: JSON, path: str, request: _Request) -> JSON:
    """Return a result whose content is a string or blocks, and not blank.

    MiniMax refuses all others.
    """
    content = block.get("content")
    if isinstance(content, str) and content.strip():
        return block
    items = _as_blocks(content)
    if items != content and not isinstance(content, (str, type(None))):
        request.repaired(path, "the content is sent as a list of blocks")
    items = _blocks(items, path + ".content", "user", request)
    if not items:
        request.repaired(path, "the content is blank; a placeholder is sent")
    return {**block, "content": items or "(no output)"}


# Fields of an image that may stand for its source, in any spelling; `data` is MCP's.
_SHORTHANDS = ("url", "data_base64", "data", "path")


def _image(block: JSON, path: str, request: _Request) -> JSON:
    """Return the block to send for an image in any form, or a text in its place."""
    names = (*_SHORTHANDS, "media_type", "mime_type")
    fields, others = fold_keys(block, names, path + ".")
    if "source" in others:  # it stays there, to keep its place in the block
        fields["source"] = others["source"]
    try:
        if request.facts and "image" not in request.facts.family.input:
            raise ValueError(f"{request.model} does not accept images")
        return {**others, "source": _image_source(fields, path, request)}
    except ValueError as error:
        request.warn("image_replaced", f"{path} is replaced by a text: {error}")
        # The model must not learn which files exist.
        reason = "it cannot be used" if "path" in fields else str(error)
        return {"type": "text", "text": f"[image left out: {reason}]"}


def _image_source(fields: JSON, path: str, request: _Request) -> JSON:
    """Return the source of an image.

    A source stays as it is, unless it holds base64 that needs correction.  Raises
    ValueError with a reason for the warning.
    """
    given = [name for name in ("source", *_SHORTHANDS) if name in fields]
    # Go hosts send empty strings in fields that are not set.
    forms = [name for name in given if fields[name] != ""] or given[:1]
    if len(forms) != 1:
        wrong_field(path, "must have one of source, " + ", ".join(_SHORTHANDS))
    source: JSON = {}
    form = forms[0]
    value, label = fields[form], fields.get("media_type") or fields.get("mime_type")
    if form == "source":
        require("object", value, path + ".source")
        source = _without_nulls(value)
        form = "data" if source.get("type") == "base64" else "url"
        value, label = source.get(form), source.get("media_type")
        if not isinstance(value, str):
            return source  # a kind that only MiniMax knows, such as a file id
    require("string", value, f"{path}.{form}")
    require("string", label or "", path + ".media_type")
    if not value:
        raise ValueError("it is empty")
    if value.lstrip()[:5].lower() != "data:":
        if form == "path":
            return request.image_file(value, path)
        if form == "url":
            return source or {"type": "url", "url": value}
    source.pop("url", None)
    return {**source, **_base64_source(value, label)}


def _base64_source(text: str, label: str | None) -> JSON:
    """Return the source of an image whose data is base64 or a `data:` URI.

    Clients send it with line breaks, in the URL alphabet and with a wrong type, so the
    first bytes decide the type; `label` counts only if they are unknown.  Raises
    ValueError with a reason for the warning.
    """
    from binascii import a2b_base64
    from urllib.parse import unquote

    head, _, rest = text.strip().partition(",")
    if head[:5].lower() == "data:" and "base64" in head.lower():
        label, text = head[5:].partition(";")[0] or label, unquote(rest)
    data = "".join(text.split()).replace("-", "+").replace("_", "/")
    data += "=" * (-len(data) % 4)
    if len(data) // 4 * 3 > MAX_IMAGE_BYTES + 2:
        raise ValueError(f"it is larger than {MAX_IMAGE_BYTES // MIB} MB")
    if not re.match(r"[A-Za-z0-9+/]+={0,2}$", data):
        raise ValueError("it is not base64")
    kind = image_type(a2b_base64(data[:32])) or label
    if not kind:
        raise ValueError("it is not a PNG, JPEG, GIF or WebP, and has no media_type")
    return {"type": "base64", "media_type": kind, "data": data}


def image_type(head: bytes) -> str:
    """Return the media type of an image that begins with `head`, "" if unknown."""
    rows = (
        (rb"\x89PNG\r\n\x1a\n", "image/png"),
        (rb"\xff\xd8\xff", "image/jpeg"),
        (rb"GIF8", "image/gif"),
        (rb"RIFF....WEBP", "image/webp"),  # with a size in between
    )
    return next((kind for form, kind in rows if re.match(form, head, re.DOTALL)), "")


# The known kinds of block: the fields that must be strings, the function that makes a
# block ready to send, if it needs one, and whether it is an answer when a model sends
# it.  Other kinds are sent as given, are answers, and take deltas of any type.
_Kind = namedtuple("_Kind", "strings convert is_answer", defaults=((), None, True))
KINDS: dict[str, _Kind] = {
    "text": _Kind(strings=("text",)),
    "thinking": _Kind(is_answer=False),
    "redacted_thinking": _Kind(is_answer=False),
    "tool_use": _Kind(("id", "name"), _tool_use),
    "tool_result": _Kind(("tool_use_id",), _tool_result),
    "image": _Kind(convert=_image),
}


# --- history repair: each tool_use has exactly one adjacent tool_result


# A call: the host's id for it, the block that is sent, and the user message that has to
# begin with its result.
_Call = namedtuple("_Call", "name block reply")
if TYPE_CHECKING:  # a user message, one of its blocks, and the call that this answers
    Found = tuple[_Message, JSON, _Call | None]
NO_RESULT = {"type": "tool_result", "content": "No result came back.", "is_error": True}


def _repair(messages: list[_Message], request: _Request) -> list[_Message]:
    """Pair calls with results; return the messages as they can be sent.

    One unpaired call or result makes every later turn of a conversation fail.  The n-th
    call with an id gets the n-th result with that id from the user messages after it,
    or else from later ones.  A result without a call becomes text, so nothing is lost.
    A turn here is what upstream reads as one: consecutive messages of the same role.
    """
    # Empty messages at both ends, so that a user turn follows each assistant turn.
    first = _Message("messages", "assistant", None, [])
    last = _Message("messages", "user", None, [])
    messages = [first, *(m for m in messages if m.blocks), last]
    turns = [list(turn) for _, turn in groupby(messages, key=lambda m: m.role)]
    calls: list[_Call] = []
    earlier: dict[str, deque[_Call]] = {}  # calls without a result so far, by id
    for assistant_turn, user_turn in zip(turns[::2], turns[1::2]):
        waiting: dict[str, deque[_Call]] = {}  # those of this assistant turn
        for call in _calls(assistant_turn, user_turn[0], request):
            calls.append(call)
            waiting.setdefault(call.name, deque()).append(call)
        found: list[Found] = []
        for message in user_turn:
            blocks, message.blocks = message.blocks, []  # filled again by _place()
            for block in blocks:
                queue = None
                if block["type"] == "tool_result":
                    name = block["tool_use_id"]
                    queue = waiting.get(name) or earlier.get(name)
                found.append((message, block, queue.popleft() if queue else None))
        for name, queue in waiting.items():
            earlier.setdefault(name, deque()).extend(queue)
        late = [call for *_, call in found if call and call.reply is not user_turn[0]]
        if user_turn is turns[-1] and len(late) == len(found):
            # Moved, these results would leave the last turn empty: they become text.
            found = [(message, block, None) for message, block, _ in found]
        _place(found, request)
    for _, call, reply in calls:
        name = call["id"]
        if name not in reply.results:
            reply.results[name] = {**NO_RESULT, "tool_use_id": name}
            request.repaired(reply.path, f"no result for {name}: one is made up")
    return messages


def _calls(turn: list[_Message], reply: _Message, request: _Request) -> list[_Call]:
    """Give each call of an assistant turn an id of its own; return the calls.

    A message must not stand between calls and their results, so they are joined.
    """
    blocks = [block for message in turn for block in message.blocks]
    if any(b["type"] == "tool_use" for message in turn[:-1] for b in message.blocks):
        request.repaired(turn[-1].path, "joined to earlier messages that make calls")
        for message in turn:
            message.blocks = []
        turn[-1].blocks = blocks
    calls = [_Call(b["id"], b, reply) for b in blocks if b["type"] == "tool_use"]
    taken = {call.name for call in calls}
    numbers: dict[str, int] = {}  # the last number that each id was given
    for call in calls:
        name = call.name
        if name in numbers:  # name-2, name-3, ...: the same in every request
            while call.block["id"] in taken:
                numbers[name] += 1
                call.block["id"] = f"{name}-{numbers[name]}"
            request.repaired(turn[-1].path, f"another call {name} gets a new id")
        numbers.setdefault(name, 1)
    return calls


def _place(found: list[Found], request: _Request) -> None:
    """Move the results of a user turn to their calls, or turn them into text.

    Results at the front of the first message are already in the right place.
    """
    for message, block, call in found:
        name = block.get("tool_use_id")
        if call:
            new_name = call.block["id"]
            call.reply.results[new_name] = {**block, "tool_use_id": new_name}
            if message.blocks or message is not call.reply:
                request.repaired(call.reply.path, f"result of {name} is moved here")
        elif block["type"] == "tool_result":
            request.repaired(message.path, f"result of {name} sent as text")
            message.blocks += _as_blocks(block["content"])
        else:
            message.blocks.append(block)


# ---------------------------------------------------------------------------
# Events: upstream events -> TurnEvents
# ---------------------------------------------------------------------------

# Deltas by type.  A delta brings a fragment in its field `source`, which continues the
# field `field` of a block of the kind `kind`.  The host gets it in an event `event`, in
# the field `name`; such a delta is content, and opens a block of its kind if none is
# open.  Without an event, only the finished block holds the fragment.
Delta = namedtuple("Delta", "source field kind event name", defaults=(None, None))
_DELTAS = {
    "text_delta": Delta("text", "text", "text", TEXT_DELTA, "text"),
    "thinking_delta": Delta("thinking", "thinking", "thinking", THINKING_DELTA, "text"),
    "input_json_delta": Delta("partial_json", "input", "tool_use", INPUT_DELTA, "json"),
    "signature_delta": Delta("signature", "signature", "thinking"),
    "citations_delta": Delta("citation", "citations", "text"),
}
_SOURCES = {kind: row.source for kind, row in _DELTAS.items() if row.event}
_EVENTS = {row.field: (row.event, row.name) for row in _DELTAS.values()}
_THOUGHTS = [kind for kind, row in KINDS.items() if not row.is_answer]
_BLOCK_DELTA = "content_block_delta"


class Block:
    """A block in progress: how it opened, and the fragments that followed."""

    def __init__(self, index: int, opened: JSON, is_late: bool) -> None:
        self.index = index  # in order of start
        self.kind = opened["type"]
        self.opened = opened
        # A call that comes when the message is complete is no part of it if it fails.
        self.is_late_call = is_late and self.kind == "tool_use"
        self.input: Any = None  # a call's input, if it came whole
        self.parts: dict[str, list[Any]] = {}  # fragments by the field they continue
        self.held: dict[str, str] = {}  # ends of texts that are held back, by field
        self.problem = "was never finished"  # why it cannot be sent back, if not ""
        self.finished: JSON = {}  # the block in its `block_end`
        if self.kind == "tool_use" or isinstance(opened.get("input"), dict):
            self.input, self.parts["input"] = opened.get("input"), []
            self.opened = {**opened, "input": {}}

    def receive(self, field: str, text: str, is_latest: bool) -> list[JSON]:
        """The events of `text`.

        An end that is half of a surrogate pair is held back, and in the latest block
        one that could become the end marker.
        """
        if self.held:
            text = well_formed(self.held.pop(field, "") + text, "surrogatepass")
        size, last = 0, text[-1:]
        if "\ud800" <= last <= "\udbff":
            size = 1
        elif last in END_MARKER and is_latest and field == self.kind == "text":
            size = next((n for n in (4, 3, 2, 1) if text.endswith(END_MARKER[:n])), 0)
        if size:
            self.held[field], text = text[-size:], text[:-size]
        return self.add(field, text) if text else []

    def add(self, field: str, fragment: Any) -> list[JSON]:
        """Append a fragment to the block; return its events."""
        self.parts.setdefault(field, []).append(fragment)
        event, name = _EVENTS[field]
        return [{"type": event, "index": self.index, name: fragment}] if event else []

    def release(self) -> list[JSON]:
        """The events of everything that was held back."""
        held, self.held = self.held, {}
        # The input of a call may have come whole, in its start, and not in deltas.
        is_bare = "input" in self.parts and not "".join(self.parts["input"]).strip()
        if is_bare and self.input not in (None, "", {}):
            is_text = isinstance(self.input, str)
            held.setdefault("input", self.input if is_text else dump_json(self.input))
        return [event for field in held for event in self.add(field, held[field])]

    def finish(self) -> JSON:
        """Join the fragments; return the `block_end`."""
        block = self.finished = dict(self.opened)
        for field, parts in self.parts.items():
            whole: Any = parts if field == "citations" else "".join(parts)
            before: Any = block.get(field)
            block[field] = before + whole if type(before) is type(whole) else whole
        end = {"type": BLOCK_END, "index": self.index, "block": block}
        if "input" in self.parts:
            raw = "".join(self.parts["input"])
            self.problem = self.problem or self._read_input(raw)
            if self.problem:
                del block["input"]
                end["input_json"] = raw
        if self.problem:
            end["incomplete"] = True
        if self.kind == "text" and block["text"]:
            self.problem = ""  # part of a text can be sent back
        self.parts.clear()
        return end

    def _read_input(self, raw: str) -> str:
        """Parse the input of a call, once it is whole: never a prefix, never a guess.

        Returns why the call cannot be made, "" if it can.
        """
        block = self.finished
        try:
            block["input"] = load_json(raw or "{}", MAX_UPSTREAM_DEPTH, True)
        except ValueError:
            block["input"] = None
        if not isinstance(block["input"], dict):
            return "has an input that is not one JSON object"
        names = (block.get("id"), block.get("name"))
        is_named = all(name and isinstance(name, str) for name in names)
        return "" if is_named or self.kind != "tool_use" else "has no id or no name"

    def is_answer(self) -> bool:
        """Whether a finished block is what was asked for, and not only thinking."""
        is_blank = self.kind == "text" and not self.finished["text"].strip()
        return not (self.problem or is_blank or self.kind in _THOUGHTS)


class EventTranslator:
    """Translate the upstream events of one message into TurnEvents.

    `translate(payload)` returns the events of one upstream payload; read them all
    before the next call.  `conclude()` returns those that end a successful message,
    `close()` the `block_end`s of a failed one.  They raise ProviderError
    (`protocol`, `empty_response`, or the one that an upstream `error` event reports);
    after that, only `close()`, `message()` and the attributes are of use.
    """

    def __init__(self, asked_model: str = "") -> None:
        self.asked_model = asked_model
        self.model: str | None = None  # the one that answers
        self.message_id: str | None = None
        self.usage: JSON = {}  # the last value of each field that was not null
        self.is_charged = False  # `usage` has the final count of output tokens
        self.stop_reason: str | None = None
        self.stopped = False  # message_stop came: nothing more is expected
        self.complete = False  # a stop reason came and no block was open: a success
        self._message: JSON | None = None  # as message_start brought it
        self._blocks: list[Block] = []  # in order of start
        self._open: dict[int, dict[str, Block]] = {}  # by upstream index and kind
        self._warned: set[str] = set()  # subjects that were warned about

    @property
    def any_block(self) -> bool:
        """Whether a block has started: from then on, nothing may be retried."""
        return bool(self._blocks)

    def message(self) -> JSON | None:
        """The assistant message that may be sent back, None if it has no content."""
        content = [b.finished for b in self._blocks if b.finished and not b.problem]
        return {"role": "assistant", "content": content} if content else None

    def translate(self, payload: JSON) -> Iterable[JSON]:
        handler = _ON.get(str(payload.get("type")))
        if (handler is None or "base_resp" in payload) and is_error_payload(payload):
            handler = EventTranslator._on_error
        # Any event may bring usage.  Nearly all are deltas, which hold it at the top.
        if "usage" in payload or payload.get("type") != _BLOCK_DELTA:
            self._merge_usage(payload)
        return handler(self, payload) if handler else ()  # a kind newer than this file

    def conclude(self) -> Iterator[JSON]:
        """End the message; raise or warn if something is missing from it."""
        yield from self.close()
        blocks = [b for b in self._blocks if not (b.is_late_call and b.problem)]
        calls = [block for block in blocks if block.kind == "tool_use"]
        if not blocks and self.stop_reason is None:
            raise ProviderError("empty_response", "the answer ended without content")
        self.stop_reason = self.stop_reason or ("tool_use" if calls else "end_turn")
        is_for_call = self.stop_reason == "tool_use"
        if is_for_call and not blocks:
            raise _broken("the answer stopped for tool use and has no content")
        for call in calls:
            if is_for_call and call.problem:
                name = printable(str(call.opened.get("name")), 80)
                raise _broken(f"the tool call {name} {call.problem}")
        if not self._blocks:
            yield self._turn_start()
        if is_for_call and not calls:
            text = "the answer stopped for tool use, but holds no tool call"
            yield warning("no_tool_call", text)
        if self.stop_reason == "refusal" or any(b.is_answer() for b in blocks):
            return
        has_thought = any(block.kind in _THOUGHTS for block in blocks)
        if self.stop_reason == "max_tokens" and has_thought and not calls:
            text = "max_tokens ran out while the model was thinking: raise it, since "
            text += "thinking counts toward it, or lower the effort"
            yield warning("thinking_used_all_tokens", text)
        else:
            yield warning("no_text", "the answer has neither text nor a tool call")

    def close(self) -> Iterator[JSON]:
        self._open = {}
        for block in self._blocks:
            if not block.finished:
                yield from self._end(block)

    # Handlers, one per upstream event

    def _on_message_start(self, payload: JSON) -> Iterator[JSON]:
        message = _required(payload, "message", dict)
        if self._message is not None:
            if message.get("id") == self._message.get("id"):
                return
            raise _broken("a second message began inside the first")
        self._message = message
        self.message_id = _label(message.get("id"))
        self.model, asked = _label(message.get("model")), self.asked_model
        if self.model and asked and self.model.lower() != asked.lower():
            text = f"asked for {asked}, answered by {self.model}"
            yield warning("model_differs", text)
        content = message.get("content")
        for index, block in enumerate(content if isinstance(content, list) else ()):
            start = {"type": "message_start", "index": index, "content_block": block}
            yield from self._on_block_start(start)
            yield from self._on_block_stop(start)

    def _on_whole_message(self, payload: JSON) -> Iterator[JSON]:
        """Translate a message that was not streamed as if it had been."""
        if isinstance(payload.get("content"), list):
            yield from self._on_message_start({**payload, "message": payload})
            yield from self._on_message_stop({**payload, "delta": payload})

    def _on_block_start(self, payload: JSON) -> Iterable[JSON]:
        at = _required(payload, "index", int)
        opened = _required(payload, "content_block", dict)
        kind = opened.get("type")
        if not isinstance(kind, str):
            raise _broken("a block began without a type")
        fields = ("text", "thinking")  # each is named like its kind of block
        if kind in fields:
            opened = {**opened, kind: opened.get(kind) or ""}
            _required(opened, kind, str)
        texts = {f: opened[f] for f in fields if isinstance(opened.get(f), str)}
        return self._begin(at, opened, texts)

    def _begin(self, at: int, opened: JSON, texts: dict[str, str]) -> Iterator[JSON]:
        """Begin a block; `texts`, by field, follow as if deltas had brought them."""
        latest = self._blocks[-1] if self._blocks else None
        if latest is None:
            yield self._turn_start()
        elif latest.held.get("text", "")[:1] == END_MARKER[0]:
            yield from latest.release()  # it is not the end of the message
            if not latest.problem:
                yield from self._end(latest)
        before = self._open.setdefault(at, {}).pop(opened["type"], None)
        if before is not None:  # upstream never closed it
            yield from self._end(before)
        opened = {**opened, **dict.fromkeys(texts, "")}
        block = Block(len(self._blocks), opened, self.complete)
        self._blocks.append(block)
        self._open[at][block.kind] = block
        yield {"type": BLOCK_START, "index": block.index, "block": block.opened}
        for field, text in texts.items():
            yield from block.receive(field, text, is_latest=True)

    def _on_block_delta(self, payload: JSON) -> Iterable[JSON]:
        """Add a fragment to its block.  Not a generator: most payloads come here."""
        at, delta = _required(payload, "index", int), _required(payload, "delta", dict)
        kind = str(delta.get("type"))
        row, blocks = _DELTAS.get(kind), self._open.get(at, {})
        block = blocks.get(row.kind) if row else None
        if block is None:  # a block of unknown kind takes every delta
            others = (b for b in blocks.values() if b.kind not in KINDS)
            block = next(others, None)
        if row is None or (block is None and not row.event):
            kind = printable(kind, 40)
            text = f"a delta of the unknown or misplaced kind {kind} was dropped"
            return self._warn_once(kind, "unknown_delta", text)
        fragment = delta.get(row.source)
        if fragment is None or fragment == "":
            return ()
        if not isinstance(fragment, str) and row.field != "citations":
            raise _broken(f"the {row.source} of a {kind} is not a string")
        if block is None:
            return self._begin(at, {"type": row.kind}, {row.field: fragment})
        if not row.event:
            return block.add(row.field, fragment)
        return block.receive(row.field, fragment, block is self._blocks[-1])

    def _on_block_stop(self, payload: JSON) -> Iterator[JSON]:
        at = _required(payload, "index", int)
        for block in self._open.pop(at, {}).values():
            block.problem = ""
            # A whole end marker waits: the next event shows if it ends the message.
            if block.held.get("text") != END_MARKER:
                yield from self._end(block)
        self.complete |= self.stop_reason is not None and not self._open

    def _on_message_delta(self, payload: JSON) -> Iterator[JSON]:
        usage, delta = payload.get("usage"), payload.get("delta")
        if isinstance(usage, dict) and usage.get("output_tokens") is not None:
            self.is_charged = True
        reason = delta.get("stop_reason") if isinstance(delta, dict) else None
        if isinstance(reason, str) and reason:
            self.stop_reason = _label(reason)
            self.complete |= self.stop_reason is not None and not self._open
            for block in self._blocks[-1:]:
                if not (block.problem or block.finished):  # stopped, with an end marker
                    yield from self._end(block)

    def _on_message_stop(self, payload: JSON) -> Iterator[JSON]:
        yield from self._on_message_delta(payload)
        self.stopped = True

    def _on_error(self, payload: JSON) -> Iterable[JSON]:
        error = upstream_error(payload, None, dump_json(payload))
        if not self.complete:
            raise error
        self.stopped = True
        text = f"an error came after the whole answer: {error.message}"
        return [warning("late_error", text)]

    # Parts of the handlers

    def _turn_start(self) -> JSON:
        return {"type": TURN_START, "model": self.model, "message_id": self.message_id}

    def _merge_usage(self, payload: JSON) -> None:
        for holder in (payload.get("message"), payload.get("delta"), payload):
            usage = holder.get("usage") if isinstance(holder, dict) else None
            fields = _without_nulls(usage) if isinstance(usage, dict) else {}
            self.usage.update(map_strings(fields, lambda text: printable(text, 200)))

    def _warn_once(self, about: str, code: str, text: str) -> Iterator[JSON]:
        """Warn, but only once about each subject `about`."""
        if about not in self._warned and len(self._warned) < 100:  # no flood
            self._warned.add(about)
            yield warning(code, text)

    def _end(self, block: Block) -> Iterator[JSON]:
        """End a block.  An end marker that still waits ends the message: drop it."""
        if block.held.get("text") == END_MARKER:
            del block.held["text"]
        yield from block.release()
        end = block.finish()
        text = end["block"][block.kind] if block.kind in ("text", "thinking") else ""
        if re.search(TOOL_MARKUP, text):
            words = f"the {block.kind} holds the markup of a tool call, but is not one"
            yield from self._warn_once("markup", "tool_markup_in_text", words)
        yield end


_ON: dict[str, Callable[[EventTranslator, JSON], Iterable[JSON]]] = {
    "message_start": EventTranslator._on_message_start,
    "content_block_start": EventTranslator._on_block_start,
    _BLOCK_DELTA: EventTranslator._on_block_delta,
    "content_block_stop": EventTranslator._on_block_stop,
    "message_delta": EventTranslator._on_message_delta,
    "message_stop": EventTranslator._on_message_stop,
    "message": EventTranslator._on_whole_message,
    "ping": lambda translator, payload: [{"type": HEARTBEAT}],
    "error": EventTranslator._on_error,
}


def merge_deltas(payloads: Iterable[JSON]) -> Iterator[JSON]:
    """Join consecutive deltas that continue the same text.

    Each network read is then translated and written once: a tenth of the work for a
    fast stream.
    """
    for text, run in groupby(payloads, _continued_text):
        if text is None:
            yield from run
        else:
            index, kind = text
            source = _SOURCES[kind]
            delta = {"type": kind, source: "".join(p["delta"][source] for p in run)}
            yield {"type": _BLOCK_DELTA, "index": index, "delta": delta}


def _continued_text(payload: JSON) -> tuple[int, str] | None:
    """The index and kind of the text that a delta continues.

    None for other payloads, and if a further field, such as usage, must not be lost.
    """
    try:
        index, delta = payload["index"], payload["delta"]
        kind = delta["type"]
        is_text = type(delta[_SOURCES[kind]]) is str and type(index) is int
    except (KeyError, TypeError):
        return None
    is_plain = is_text and len(payload) == 3 and payload["type"] == _BLOCK_DELTA
    return (index, kind) if is_plain else None


def _broken(problem: str) -> ProviderError:
    return ProviderError("protocol", problem)


def _label(value: Any) -> str | None:
    """A name from upstream that is not content: printable, and cut if it is long."""
    text = printable(value, 200) if isinstance(value, str) else ""
    return text or None


def _required(payload: JSON, field: str, kind: type) -> Any:
    value = payload.get(field)
    if type(value) is not kind:
        raise _broken(f"a {payload['type']} has no valid {field}")
    return value


# ---------------------------------------------------------------------------
# Settings: configuration file, environment, log
# ---------------------------------------------------------------------------

# Each level also logs what the levels before it do.
LEVELS = ("error", "warning", "info")

# A setting: `low` and `high` bound a number, `choices` lists the strings, and the
# variable `env` wins over the file.
Option = namedtuple(
    "Option", "type default help low high choices env", defaults=(None, None, (), "")
)


def _text(default: str, help: str, env: str = "", choices: Any = ()) -> Option:
    return Option("string", default, help, choices=tuple(choices), env=env)


def _count(default: int, help: str, low: int, high: int) -> Option:
    return Option("integer", default, help, low, high)


def _seconds(default: int, help: str, low: float = 0.001, days: int = 1) -> Option:
    return Option("number", default, "seconds " + help, low, days * 86400)


# Every setting, once: the checks, `help settings`, the manifest and the keywords of
# MiniMaxProvider come from here.  A new one is one row, and one of the README.
OPTIONS: dict[str, Option] = {
    "api_key": _text("", "MiniMax API key, sk-cp-... or sk-api-...", "MINIMAX_API_KEY"),
    "api_key_file": _text("", "file that holds only the API key"),
    "region": _text("global", "platform of the key", "MINIMAX_REGION", REGIONS),
    "base_url": _text("", "URL before /v1, if not the region's", "MINIMAX_BASE_URL"),
    "model": _text("MiniMax-M3", "default model"),
    "max_tokens_default": _count(4096, "default limit of output tokens", 1, 10**7),
    "effort": _text("medium", "default effort, if the model supports it", "", EFFORTS),
    "connect_timeout": _seconds(10, "for DNS, TCP, TLS and proxy together"),
    "first_event_timeout": _seconds(300, "until the first event that is not a ping"),
    "idle_timeout": _seconds(300, "between events that are not pings"),
    "turn_timeout": _seconds(3600, "for a whole turn", days=30),
    "max_retries": _count(3, "further attempts, until content comes", 0, 100),
    "retry_base_delay": _seconds(1, "before the first retry; doubles each time", 0),
    "retry_after_max": _seconds(60, "to wait for a Retry-After, at most", 0),
    "max_concurrent_turns": _count(16, "turns at a time; the others wait", 1, 10000),
    "max_queued_turns": _count(256, "turns that may wait; others fail", 0, 10**6),
    "max_line_bytes": _count(64 * MIB, "bytes of the longest input line", 1, 1 << 30),
    "allow_image_paths": Option("boolean", True, "whether images may be file paths"),
    "log_level": _text("warning", "what is logged to stderr", "", LEVELS),
    "capture_dir": _text("", "directory to record each turn in"),
}
# These are fixed when the process starts; each turn reads the others again.
PROCESS_OPTIONS = ("max_concurrent_turns", "max_queued_turns", "max_line_bytes")
# The settings of a turn: the value of each option, the origin of each that is set (a
# variable, a path, "an argument"), every problem as (option or "", ProviderError), the
# path of the configuration file, its content, and the modes of the files it read.
Settings = namedtuple("Settings", "values origins problems path file modes")


def default_values() -> JSON:
    """The value of each option when nothing is configured."""
    return {name: option.default for name, option in OPTIONS.items()}


# The beginning of a key in another text.
_KEY_IN = r"(?<![A-Za-z0-9])(sk-(cp|api)-|eyJ)[A-Za-z0-9]"


def check_value(name: str, value: Any, where: str) -> Any:
    """The value to use for option `name`, which `where` sets to `value`.

    Raises ProviderError (`config`), which names both `where` and `name`, not `value`.
    """
    option = OPTIONS[name]
    if value is None or (value == "" and option.type == "string"):
        return option.default
    is_kind, words = TYPES[option.type]
    problem = ""
    if not is_kind(value):
        problem = f"must be {words}, not {describe_value(value)}"
    elif option.choices and value not in option.choices:
        choices = ", ".join(option.choices)
        problem = f"must be one of {choices}, not {describe_value(value)}"
    elif option.low is not None and not option.low <= value <= option.high:
        problem = f"must be from {option.low:g} to {option.high:g}"
    elif option.type == "string" and name != "api_key" and re.search(_KEY_IN, value):
        problem = f"contains an API key ({describe_value(value)})"
    elif name in _RULES:
        value, problem = _RULES[name](value.strip())
    if problem:
        raise ProviderError("config", f"{where}: {name} {problem}")
    return value


def check_key(value: str) -> tuple[str, str]:
    """The key to send, which is masked from now on, and what is wrong with it."""
    variable = r"\$|%\w+%$|process\.env|[A-Z][A-Z0-9_]*=|[A-Z][A-Z0-9]*(_[A-Z0-9]+)+$"
    dots = r"(sk-(cp-|api-)?)?([.*\u2026]+|[xX]{3,}([-_][xX]{3,})*)"
    words = "cp|api|your|my|minimax|key|here|paste|replace|change|me|placeholder"
    mistakes = (  # what people paste instead, and what cannot be sent
        (r"(?i)bearer\b", 'begins with "Bearer": paste the key alone'),
        (variable, "contains a variable's name: paste the key alone"),
        (r"[<{\[(]", "is a placeholder in brackets"),
        (f"({dots}|(?i:(sk-)?(({words})[-_ ]?)+))$", "is a placeholder"),
        (r"sk-(cp-|api-)?$|.*(\*{3}|\.{3})", "is shortened: copy it again, whole"),
        (r".*\s", "contains white space"),
        (r"['\"`]|.*['\"]", "contains a quotation mark"),
        (r".*([^!-~]|[<>${},]|;$)", "contains a comma, or a character that no key has"),
        (r".{8193}", "is too long for a header"),
    )
    for pattern, problem in mistakes:
        if re.match(pattern, value[:8193], re.DOTALL):
            return "", f"{problem} ({describe_value(value)})"
    SECRETS.add(value)
    return value, ""


def _check_base_url(value: str) -> tuple[str, str]:
    """The URL without endings that people also paste, and what is wrong with it."""
    from ipaddress import ip_address
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(value)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host = ""
    if not host or re.search(r"[^!-~]|\\", value):
        return "", "is not a URL with a host"
    if "@" in parts.netloc or parts.query or parts.fragment:
        return "", "must not contain credentials, a query or a fragment"
    try:
        is_local = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        is_local = False  # a name, such as 127.0.0.999
    if parts.scheme != "https" and not (parts.scheme == "http" and is_local):
        return "", "must begin with https://, or others could read the key"
    path = re.sub(f"/*({MESSAGES_PATH}|/v1)?/*$", "", parts.path)
    return f"{parts.scheme}://{parts.netloc}{path}", ""


def _check_path(value: str) -> tuple[str, str]:
    return os.path.expanduser(value), "is not a path" if "\0" in value else ""


_RULES: dict[str, Callable[[str], tuple[str, str]]] = {
    "api_key": check_key,
    "api_key_file": _check_path,
    "base_url": _check_base_url,
    "capture_dir": _check_path,
}


def host_of(url: str) -> str:
    """The host and port of a URL that was checked."""
    return url.split("/")[2]


def base_url_of(values: JSON) -> str:
    """The URL that the API's paths are appended to."""
    return str(values["base_url"] or REGIONS[values["region"]])


def config_path() -> str:
    """The path of the configuration file, whether it exists or not."""
    root = os.environ.get("PLEXUM_PROFILE_ROOT") or os.path.expanduser("~/.plexum")
    path = os.path.join(root, "plugins", NAME, "config.json")
    return os.environ.get("PLEXUM_MINIMAX_CONFIG") or path


def load_settings(
    path: str | None = None, overrides: JSON | None = None, names: Any = OPTIONS
) -> Settings:
    """Read the settings `names` from the file and the environment; `overrides` win.

    Never raises: each problem goes into `problems`, and the default is used.
    """
    environ, overrides = os.environ, overrides or {}
    path = path or config_path()
    settings = Settings(default_values(), {}, [], path, {}, {})
    _read_config(settings)
    for name in names:
        value, where, variable = settings.file.get(name), path, OPTIONS[name].env
        hint = f"Correct {name} in {path}; the next turn reads it again."
        if environ.get(variable, "").strip():
            value, where = environ[variable].strip(), variable
            hint = f"Correct {variable} and restart the process."
        if name in overrides:
            value, where, hint = overrides[name], "an argument", "Correct the argument."
        try:
            settings.values[name] = check_value(name, value, where)
        except ProviderError as error:
            error.hint = hint
            settings.problems.append((name, error))
        if not _is_absent(value):
            settings.origins[name] = where
    if "api_key_file" in names:
        _load_key_file(settings, environ)
    return settings


def _read_config(settings: Settings, wait: float = 0.05) -> None:
    """Read the configuration file, if there is one.

    A file that cannot be parsed, or is empty, is read again after `wait` seconds.
    """
    path = settings.path
    try:
        data, settings.modes[path] = read_file(path, MIB)
        text = data.decode("utf-8-sig")
        file = load_json(text) if text.strip() or wait else {}
        if type(file) is not dict:
            raise ValueError(f"it must be a JSON object, not {describe_value(file)}")
        settings.file.update(file)
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        if wait and isinstance(error, ValueError):
            time.sleep(wait)  # an editor may be rewriting it in place
            _read_config(settings, 0)
            return
        content = "one JSON object, with names and strings in double quotes"
        settings.problems.append(("", _file_error(path, error, content)))


def _load_key_file(settings: Settings, environ: Any) -> None:
    """Read the key from its own file, unless it is set elsewhere.

    `environ` is empty for providers that were made with settings of their own.
    """
    name, folder = settings.values["api_key_file"], environ.get("CREDENTIALS_DIRECTORY")
    if settings.values["api_key"] or not (name or folder):
        return
    if name:
        path = os.path.join(os.path.dirname(settings.path), name)
    else:  # systemd's LoadCredential=
        path = os.path.join(folder, "minimax-api-key")
    try:
        data, settings.modes[path] = read_file(path, MIB)
        key, problem = check_key(data.decode("utf-8-sig").strip())
        if not key:
            problem = f"the key in it {problem}" if problem else "it holds no key"
            raise ValueError(problem)
        settings.values["api_key"], settings.origins["api_key"] = key, path
    except (OSError, ValueError) as error:
        if name or not isinstance(error, FileNotFoundError):
            failure = _file_error(path, error, "the API key and nothing else")
            settings.problems.append(("api_key", failure))


def _file_error(path: str, error: Exception, content: str) -> ProviderError:
    """The error of a file that should hold `content`."""
    reason = getattr(error, "strerror", None) or str(error)
    if isinstance(error, UnicodeError):
        reason = "it is not UTF-8"
    hint = f"It must be a file that this process can read, and hold {content}."
    return ProviderError("config", f"{path} cannot be used: {reason}", hint)


def nearest(name: str, names: Iterable[str], cutoff: float = 0.6) -> str:
    """The one of `names` that `name` probably means, "" if none is close."""
    import difflib

    by_fold = {fold(candidate): candidate for candidate in names}
    near = difflib.get_close_matches(fold(name), by_fold, 1, cutoff)
    return by_fold[near[0]] if near else ""


def unknown_settings(names: Iterable[str]) -> list[str]:
    """Those of `names` that are no settings, for messages, with suggestions.

    A name that could be a key is not quoted.
    """
    texts = []
    for name in sorted(set(names) - set(OPTIONS)):
        near = nearest(name, OPTIONS)
        if near:
            name += f" (did you mean {near}?)"
        elif not re.match(r"[A-Za-z_ -]{1,24}$", name):
            name = f"a name of {len(name)} characters"
        texts.append(name)
    return texts


# --- the log, and files that settings or turns name

# Of two threads that log, only one may see the last room in stderr.
_LOG_LOCK = threading.Lock()


def log(text: str, level: str = "error", threshold: str = "warning") -> None:
    """Write one line for the operator to stderr, unless that would block.

    It is printable, without keys, and cut at 2,000 characters; nothing is written if
    `level` is beyond `threshold`.  A host that leaves stderr full loses no turn.
    """
    if LEVELS.index(level) > LEVELS.index(threshold):
        return
    line = f"{NAME}: {printable(SECRETS.text(text), 2000)}"
    # A pipe that is ready takes 4,096 bytes at once.
    data = line.encode("ascii", "backslashreplace")[:4000] + b"\n"
    with _LOG_LOCK:
        fd = _open_stderr()
        try:
            if is_ready(fd, reading=False):
                os.write(fd, data)
        except (OSError, ValueError):
            pass
        if fd != 2:
            os.close(fd)


def _open_stderr() -> int:
    """Stderr, or its terminal opened anew so that it never blocks.

    A terminal that is ready may have room for only a part of a line.  O_NONBLOCK on
    stderr itself would also change it for the host.
    """
    try:
        return os.open(os.ttyname(2), os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except (OSError, AttributeError):  # no terminal, another user's, or no such system
        return 2


def our_error(error: Exception) -> ProviderError:
    """`error` if it is ours already; any other is a bug, and logged."""
    if isinstance(error, ProviderError):
        return error
    try:
        log(repr(error))  # at least this, if there is no room for what follows
        import traceback

        lines = traceback.format_exception(type(error), error, error.__traceback__)
        for line in "".join(lines).splitlines():
            log(line)
    except Exception:  # no memory or descriptor is left, but a turn needs its end
        pass
    return ProviderError("internal", type(error).__name__)


def is_ready(fd: int, reading: bool, seconds: float | None = 0) -> bool:
    """Wait up to `seconds` (None: for ever) until `fd` can be read or written.

    True at once where the system has no poll().
    """
    import select

    if not hasattr(select, "poll"):
        return True
    poll = select.poll()
    poll.register(fd, select.POLLIN if reading else select.POLLOUT)
    return bool(poll.poll(None if seconds is None else seconds * 1000))


def read_file(path: str, limit: int) -> tuple[bytes, int]:
    """The bytes of the regular file at `path`, and its mode.

    `limit`, in bytes, is a multiple of MIB.

    Raises OSError, or ValueError with the reason why the file cannot be used.
    """
    import stat

    # Look before opening: a FIFO's writer would see its reader come and go.  The flags
    # are for a path that becomes a FIFO or a terminal after the look.
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode):
        raise ValueError("it is not a regular file")
    extra = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | extra)) as f:
        data = f.read(limit + 1)
    if data is None:  # some regular files in /proc block
        raise ValueError("it cannot be read at once")
    if len(data) > limit:
        raise ValueError(f"it is larger than {limit // MIB} MB")
    return data, mode


def read_image_file(path: str) -> JSON:
    """The source of an image block for the file at `path`.

    Raises ValueError, with a reason fit for a warning, unless it is a regular file of
    up to MAX_IMAGE_BYTES that is a PNG, JPEG, GIF or WebP by its first bytes.
    """
    from binascii import b2a_base64

    try:
        data, _ = read_file(path, MAX_IMAGE_BYTES)
    except OSError as error:
        raise ValueError(f"it cannot be read: {error.strerror}") from None
    kind = image_type(data[:16])
    if not kind:
        raise ValueError("it is not a PNG, JPEG, GIF or WebP")
    text = b2a_base64(data, newline=False).decode("ascii")
    return {"type": "base64", "media_type": kind, "data": text}


# ---------------------------------------------------------------------------
# HTTP: a request, and its body as it arrives
# ---------------------------------------------------------------------------

_NEVER = float("inf")
_TICK = 0.2  # seconds between two looks at limits, or at idle connections
FILE_SECONDS = 10.0  # for files that settings or turns name: a disk may hang
# What a turn may wait for: the setting that limits it, and its name in messages.
_STEPS = {
    "files": ("a fixed limit", "access to a file"),
    "connect": ("connect_timeout", "connecting to {host}"),
    "first": ("first_event_timeout", "waiting for the first event from {host}"),
    "idle": ("idle_timeout", "waiting for the next event from {host}"),
    "turn": ("turn_timeout", "the whole turn"),
}


class Scope:
    """The limits of one turn, and its cancellation.

    `arm(step, seconds)` starts a limit, and `extend(seconds)` moves it.
    Whoever waits for the turn waits for a tick at most and then calls `look()`.  Any
    thread may call `cancel()`.
    """

    def __init__(self, cancel: Any = None) -> None:
        self.accepted = time.monotonic()
        self.host = ""
        self._wakeup = threading.Event()  # ends a wait in `sleep()` and `call()`
        self._is_cancelled = False
        self._caller = cancel  # the caller's event; for a host we call `cancel()`
        # Limits: when they expire, the step, and its seconds.
        self._limit = self._turn_limit = (_NEVER, "turn", 0.0)
        self._looked = self.accepted  # when the limits were last looked at
        self._grace = 0.0  # until then no limit expires

    def start(self, turn_timeout: float) -> None:
        self._turn_limit = (time.monotonic() + turn_timeout, "turn", turn_timeout)

    def arm(self, step: str, seconds: float) -> None:
        self._looked = time.monotonic()
        self._limit = (self._looked + seconds, step, seconds)

    def extend(self, seconds: float) -> None:
        """Add the time that the host took to the limit, but not to the whole turn's."""
        due, step, length = self._limit
        self._limit = (due + seconds, step, length)
        self._looked = time.monotonic()

    def cancel(self) -> None:
        self._is_cancelled = True
        self._wakeup.set()

    def check(self) -> None:
        """Raise Cancelled if the turn was cancelled."""
        try:
            is_set = self._caller is not None and self._caller.is_set()
        except Exception as error:  # which must not pass for one of the network
            raise our_error(error) from None
        if self._is_cancelled or is_set:
            raise Cancelled

    def look(self) -> None:
        """Raise Cancelled, or the error of the limit that has expired."""
        self.check()
        now = time.monotonic()
        due, step, seconds = min(self._limit, self._turn_limit)
        if now - self._looked > 0.5 and self._looked < due:
            # The process was stopped.  What it waits for may have arrived meanwhile.
            # Once the limit has expired, further stops prolong it no more.
            self._grace = now + 1
        self._looked = now
        if now >= max(due, self._grace):
            setting, words = _STEPS[step]
            words = f"{words.format(host=self.host)} took longer than {seconds:g} s"
            advice = "files" if step == "files" else ""
            raise ProviderError("timeout", f"{words} ({setting})", advice=advice)

    def sleep(self, seconds: float) -> None:
        """Wait; a cancel ends it with Cancelled."""
        until = time.monotonic() + seconds
        while seconds > 0:
            self._wakeup.wait(min(seconds, _TICK))
            self._wakeup.clear()
            self.check()
            seconds = until - time.monotonic()

    def call(self, work: Callable[[], Any]) -> Any:
        """Return what `work()` returns; raise what it raises, or returns as an error.

        It runs in its own thread, since nothing can interrupt it.  A limit or a cancel
        ends the wait and abandons that thread.
        """
        outcome: list[Any] = []

        def run() -> None:
            try:
                outcome.append(work())
            except Exception as error:
                outcome.append(error)
            self._wakeup.set()

        spawn(run)
        while not outcome:
            self._wakeup.wait(_TICK)
            self._wakeup.clear()
            if not outcome:
                self.look()
        result = outcome.pop()
        if isinstance(result, Exception):
            raise result
        return result


def spawn(work: Callable[..., object], *args: Any) -> threading.Thread:
    """Start a thread that the process does not wait for."""
    thread = threading.Thread(target=work, args=args, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        raise ProviderError("busy", f"cannot start a thread: {error}") from None
    return thread


def close_quietly(target: Any) -> None:
    try:
        target.close()
    except Exception:  # closing a socket that was shut down fails in many ways
        pass


# --- connections

# urllib3 takes no argument for it, so a thread keeps the exchange that it opens here.
_LOCAL = threading.local()


class Connection:
    """What our connection classes add to urllib3's."""

    @staticmethod
    def prepare_pool(pool: Any) -> None:
        """Make a urllib3 pool open connections that report to their exchange."""
        # Looked up at each request, since recorders replace it for a while.
        base = type(pool).ConnectionCls
        if getattr(base, "__module__", "").partition(".")[0] != "urllib3":
            pool.ConnectionCls = base  # another program's, whose internals may differ
            _LOCAL.exchange.connected(None)
        elif getattr(pool.ConnectionCls, "base", None) is not base:
            bases = (Connection, base)
            pool.ConnectionCls = type("OurConnection", bases, {"base": base})

    def connect(self: Any) -> None:
        exchange: Exchange = _LOCAL.exchange
        exchange.client.take(self)
        exchange.connecting = self
        self.__dict__.pop("response_class", None)  # a proxy's answer is not the turn's
        super().connect()  # type: ignore[misc]
        exchange.connecting = None
        exchange.connected(self)

    def request(self: Any, *args: Any, **kwargs: Any) -> None:
        exchange: Exchange = _LOCAL.exchange
        exchange.client.take(self)
        if self.sock is not None and exchange.connection is None:
            exchange.connected(self, is_kept=True)
        try:
            super().request(*args, **kwargs)  # type: ignore[misc]
        except OSError:
            # A server may refuse a request before it has read all of it, and its answer
            # counts.  If there is none, reading it fails, too.
            if exchange.connection is None:
                raise
        self.response_class = exchange.new_response


def import_requests() -> Any:
    """The `requests` module.  Raises ProviderError (`config`) if it is missing."""
    from importlib import import_module

    try:
        # By name, so that mypy needs no stubs.  A folder "requests" has no sessions.
        import_module("requests.sessions")
        return sys.modules["requests"]
    except (Exception, SystemExit) as error:  # a broken one may raise anything
        for name in list(sys.modules):  # a half-imported one would fail for ever
            if name.partition(".")[0] in ("requests", "urllib3"):
                del sys.modules[name]
        import sysconfig

        reason = str(error) or type(error).__name__
        text = f"{sys.executable} cannot import requests: {reason}"
        hint = f"Run {sys.executable} -m pip install requests"
        marker = os.path.join(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED")
        if sys.prefix == sys.base_prefix and os.path.exists(marker):  # pip refuses
            hint = "Run apt install python3-requests"
        hint += ", or ./install.sh, whose plexum-minimax has its own copy."
        raise ProviderError("config", text, hint) from None


class Client:
    """The connections of one provider in one process.

    A child process makes its own: it must share no connection, thread or lock.
    """

    MAX_IDLE_SECONDS = 30.0  # a connection idle for longer may have died unseen

    def __init__(self) -> None:
        self._opening = threading.Lock()  # guards the session: its import may hang
        self._session: Any = None
        self._lock = threading.Lock()  # guards what follows
        self._idle: dict[Any, float] = {}  # connections that no turn uses, since when
        self._closer: threading.Thread | None = None

    def session(self, size: int) -> Any:
        """A requests.Session that follows no redirect, keeps no cookie, and ignores the
        environment and ~/.netrc.  `size` is how many connections it may keep."""
        with self._opening:
            if self._session is None:
                requests = import_requests()
                from http.cookiejar import DefaultCookiePolicy

                # Connections to 4 hosts, since check also asks the other region.
                adapter = requests.adapters.HTTPAdapter(4, size)
                cert_verify = adapter.cert_verify

                def prepare(pool: Any, *args: Any) -> None:
                    Connection.prepare_pool(pool)
                    cert_verify(pool, *args)

                # requests calls it with every pool, old or new, before it uses it.
                adapter.cert_verify = prepare
                session = requests.Session()
                session.trust_env = False
                session.stream = True
                session.headers = {
                    "Accept-Encoding": "identity",
                    "User-Agent": f"{NAME}/{__version__}",
                    "anthropic-version": "2023-06-01",
                }
                session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
                # allow_redirects=False would still read the whole body of a redirect.
                session.get_redirect_target = lambda response: None
                session.mount("https://", adapter)
                session.mount("http://", adapter)
                self._session = session
            return self._session

    def close(self, min_idle: float = 0.0) -> None:
        """Shut down the connections that no turn has used for `min_idle` seconds.

        They are closed a tick later: urllib3 may be about to use one.  It then sees
        that it has ended, but a closed one it would open again, without its proxy.
        """
        with self._lock:
            latest = time.monotonic() - min_idle
            for connection in [c for c, since in self._idle.items() if since <= latest]:
                shut_down(connection)
                self._idle[connection] = -_NEVER

    def take(self, connection: Any) -> None:
        with self._lock:
            self._idle.pop(connection, None)

    def keep(self, connection: Any) -> None:
        """Note that no turn uses the connection, so that it is closed in time."""
        with self._lock:
            if self._closer is None or not self._closer.is_alive():
                self._closer = spawn(self._close_old)
            self._idle[connection] = time.monotonic()

    def _close_old(self) -> None:
        """Close connections that are idle for too long, until none is left."""
        while True:
            with self._lock:
                ended = [c for c, since in self._idle.items() if since < 0]
            time.sleep(_TICK)
            self.close(self.MAX_IDLE_SECONDS)
            with self._lock:
                for connection in ended:
                    if self._idle.get(connection, 0) < 0:  # it was not opened again
                        del self._idle[connection]
                        close_quietly(connection)
                if not self._idle:
                    self._closer = None
                    return


# --- an attempt


class Exchange:
    """One attempt on the wire: its own thread opens it, the turn's thread reads it.

    Once it is open it has `status`, `headers` (case-insensitive) and `arrived` (seconds
    since the epoch).  `read()` returns bytes, b"" at the body's end, or raises
    ProviderError or Cancelled.

    `close()` may come while it is being opened.  The thread that opens it then notices,
    once it has connected, while it sends or waits, or at its end, and closes what it
    opened.
    """

    STALE_SECONDS = 1.0  # a kept connection that has died shows it within a round trip
    MAX_BYTES = 512 * MIB  # of one body: an endless one must not run for ever

    def __init__(self, client: Client, scope: Scope, values: JSON) -> None:
        self._pid = os.getpid()
        self.client, self._scope, self._values = client, scope, values
        self.connecting: Any = None  # the connection until it is connected, ...
        self.connection: Any = None  # ... and from then on
        self.is_kept = False  # the connection has served an earlier turn
        self.ended = False  # the body's end was read
        self._stale_until = 0.0  # a failure before that is the kept connection's
        self._is_closed = False
        self._response: Any = None
        self._body: Any = None  # http.client's response, None for a class not our own
        self._chunks: Iterator[bytes] = iter(())
        self.size = 0  # bytes of the content that were read
        self._waits = True  # a read waits until something arrives

    def open(self, url: str, key: str, body: bytes | None) -> None:
        """POST `body`, or GET if it is None; return when the headers have arrived."""
        self._scope.arm("connect", self._values["connect_timeout"])
        self._scope.call(lambda: self._request(url, key, body))
        self.status = int(self._response.status_code)
        self.headers = self._response.headers
        self.arrived = time.time()
        self._chunks = self._read_body() if self._body else self._read_foreign()

    def _request(self, url: str, key: str, body: bytes | None) -> Exception | None:
        """The part of `open()` that nothing can interrupt.

        It returns its error instead of raising it: if nobody waits any more, a raised
        one would keep the request in memory.
        """
        _LOCAL.exchange = self
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Accept"] = "text/event-stream"
            headers["Content-Type"] = "application/json"
        if key:
            headers["Authorization"] = "Bearer " + key
        # The scope's limits are shorter: these end an abandoned thread.
        names = ("connect_timeout", "first_event_timeout")
        size = self._values["max_concurrent_turns"]
        failure: Exception | None = None
        try:
            self._response = self.client.session(size).request(
                "GET" if body is None else "POST",
                url,
                data=body,
                headers=headers,
                timeout=tuple(self._values[name] + 1 for name in names),
                verify=ca_file(url) or True,
                proxies={"all": proxy_of(url)},
            )
        except Exception as error:
            failure = http_failure(error, self._scope.host)
            if isinstance(failure, (ProviderError, Cancelled)):
                drop_frames(error)
        if self._is_closed:
            self.close()
        return failure

    def connected(self, connection: Any, is_kept: bool = False) -> None:
        """Limit the wait for the answer.  The connection calls this; None stands for
        one of another program's class, of which we learn nothing else."""
        seconds = self._values["first_event_timeout"]
        if connection is not None:
            # The timeout was for connecting.  This one ends an upload that `close()`
            # cannot end.
            connection.sock.settimeout(seconds + 1)
            self.connection, self.is_kept = connection, is_kept
            if is_kept:
                self._stale_until = time.monotonic() + self.STALE_SECONDS
        if self._is_closed:
            raise Cancelled
        self._scope.arm("first", seconds)

    def new_response(self, sock: Any, *args: Any, **kwargs: Any) -> Any:
        """Make http.client's response.  The connection calls this to read an answer."""
        from http.client import HTTPResponse
        from socket import timeout

        def readinto(buffer: Any) -> int:
            while True:
                if self._is_closed:  # the limits may be the next attempt's by now
                    raise Cancelled
                # Even if there is data: a flood of it must not outrun the limits.
                self._scope.look()
                try:
                    size: int = sock.recv_into(buffer)
                except timeout:  # noqa: UP041 (another class before Python 3.10)
                    continue
                if size:
                    self._stale_until = 0.0
                return size

        sock.settimeout(_TICK)
        self._body = HTTPResponse(sock, *args, **kwargs)
        # All of the answer is read through this file.
        self._body.fp.raw.readinto = readinto
        return self._body

    def has_died_idle(self, failure: BaseException) -> bool:
        """Whether a kept connection was lost before a byte of the answer arrived."""
        is_network = getattr(failure, "code", "") == "network"
        return is_network and time.monotonic() < self._stale_until

    def header(self, *names: str) -> str:
        """The first of these headers that is not empty, or ""."""
        values = (self.headers.get(name) for name in names)
        return next((str(value) for value in values if value), "")

    def read(self) -> bytes:
        chunk, failure = None, None
        try:
            chunk = next(self._chunks, None)
        except Exception as error:
            failure = http_failure(error, self._scope.host, in_body=True)
        if failure is not None:  # raised here, it does not keep the other one
            raise failure
        self.ended = chunk is None
        self.size += len(chunk or b"")
        if self.size > self.MAX_BYTES:
            size = self.MAX_BYTES // MIB
            raise ProviderError("protocol", f"the response is larger than {size} MB")
        return chunk or b""

    def _read_body(self) -> Iterator[bytes]:
        """The content, as it arrives; b"" if nothing has, while `_waits` is off."""
        body = self._body
        if body.chunked:
            yield from dechunk(lambda: self._receive(body.fp.read1))
        else:
            while body.length != 0 and not body.isclosed():
                data = self._receive(body.read1)
                if data == b"" and body.length is not None:
                    raise EOFError("the body is shorter than its Content-Length")
                yield data or b""
        body.close()

    def _receive(self, read1: Callable[[int], bytes]) -> bytes | None:
        """The bytes of the next read, b"" at the connection's end; None if nothing has
        arrived, while `_waits` is off."""
        if not self._waits and not is_ready(self._body.fileno(), True):
            return None
        return read1(65536)

    def _read_foreign(self) -> Iterator[bytes]:
        """The content of a response of another class, line by line.  That is slow, but
        works with every class, and can be abandoned."""
        content = self._response.iter_content(1)

        def read_line() -> bytes:
            line = bytearray()
            for byte in content:
                line += byte
                if byte == b"\n":
                    break
            return bytes(line)

        return iter(lambda: self._scope.call(read_line), b"")

    def read_rest(self, limit: int, seconds: float) -> bytes:
        """The part of the body that arrives within `limit` bytes and `seconds`."""
        data = bytearray()
        self._scope.arm("idle", seconds)
        try:
            while len(data) < limit:
                piece = self.read()
                if not piece:
                    break
                data += piece
        except ProviderError:
            pass  # the part that arrived is enough
        return bytes(data[:limit])

    def drain(self, waits: bool) -> None:
        """Read to the body's end, so that the connection is kept: if it has arrived,
        or arrives within 0.3 seconds and this `waits`."""
        self._waits = waits
        try:
            if self._body is not None:  # otherwise a thread might stay behind
                self.read_rest(1, 0.3)
        except Exception:
            pass  # a cancel, for example: the message is complete

    def close(self) -> None:
        """Keep the connection if the body's end was read, otherwise drop it."""
        if os.getpid() != self._pid:
            return  # in a child, it is still the parent's
        self._is_closed = True
        connection, response, body = self.connection, self._response, self._body
        # Whoever still holds this exchange must not keep the request in memory.
        self.connection = self._response = self._body = None
        self._chunks = iter(())
        is_read = self.ended and body is not None and body.isclosed()
        # What TLS has decrypted beyond the body would become the next turn's answer.
        sock: Any = getattr(connection, "sock", None)
        has_more = hasattr(sock, "pending") and sock.pending()
        if is_read and self.status >= 200 and not has_more:
            try:
                self.client.keep(connection)
                response.raw.release_conn()
                return
            except Exception:
                pass  # no thread, or a urllib3 with other internals
        if response is None:  # another thread may be sending, or wait for a proxy
            shut_down(connection or self.connecting)
        elif body is None:  # an abandoned thread may be reading it
            spawn(close_quietly, response)
        else:
            close_quietly(response)


def shut_down(connection: Any) -> None:
    """End what another thread does with the socket of a connection."""
    from socket import SHUT_RDWR, socket

    sock: Any = getattr(connection, "sock", None)
    try:
        # Not `sock.shutdown()`, with which TLS would send the rest in the clear.  TLS
        # inside of TLS has a socket inside.
        socket.shutdown(getattr(sock, "socket", sock), SHUT_RDWR)
    except (OSError, TypeError):
        pass  # it is not connected, or of another class


def send(
    client: Client, scope: Scope, url: str, key: str, body: bytes | None, values: JSON
) -> Exchange:
    """POST `body`, or GET if it is None; an empty `key` is not sent.

    Raises ProviderError (`network`, `timeout`, `protocol`, `config`) or Cancelled.
    """
    for is_last in (False, True):
        exchange = Exchange(client, scope, values)
        try:
            exchange.open(url, key, body)
            break
        except BaseException as error:
            exchange.close()
            if is_last or not exchange.has_died_idle(error):
                raise
            drop_frames(error)
            client.close()  # others have died, too, and now a new one is opened
    return exchange


def dechunk(read: Callable[[], bytes | None], max_line: int = 4096) -> Iterator[bytes]:
    """Yield the content of a chunked body (RFC 9112, section 7.1), one piece per read;
    b"" where `read()` returns None.

    http.client returns one chunk per read, and a stream of small events has one chunk
    per event.  Raises ValueError for broken framing, after all content before it, and
    EOFError if the body ends early.
    """
    match_size = re.compile(rb"\s*([0-9a-fA-F]{1,16})\s*(;|$)").match
    data, at = b"", 0  # what was read, and how far it is parsed
    left = 0  # bytes left of the chunk
    before = b""  # what must precede the size: the end of the last chunk
    is_last = False  # the chunk of size 0 has come, which only trailers follow
    content: list[bytes] = []
    while True:
        if left and at < len(data):  # an empty piece would mean that nothing arrived
            content.append(data[at : at + left])
            at, left = at + len(content[-1]), left - len(content[-1])
        end = -1 if left else data.find(b"\n", at + len(before))
        if end < 0:
            if content:
                yield b"".join(content)
                content = []
            if not left and len(data) - at > max_line:
                raise ValueError("the line with a chunk's size is too long")
            more = read()
            while more is None:
                yield b""
                more = read()
            if not more:
                raise EOFError("the body ended before its last chunk")
            data, at = data[at:] + more, 0
            continue
        line, at = data[at : end + 1], end + 1
        if is_last and line.strip():
            continue
        size = match_size(line, len(before))
        if is_last or size is None or not line.startswith(before):
            break  # the end, or broken framing
        left = int(size[1], 16)
        before, is_last = b"\r\n" if left else b"", not left
    if content:
        yield b"".join(content)
    if not is_last:
        raise ValueError("a chunk has no valid size, or is longer than it")


# --- certificates, proxies, faults

# Variables that name a file, or a directory, of CA certificates; the first that is set
# counts.  Programs with OpenSSL read the last one, but requests does not.
_CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")


def routes() -> list[str]:
    """The names of the variables in effect that change the way to the host.  Their
    values stay out of messages."""
    upper = ("HTTPS_PROXY", "ALL_PROXY", "HTTP_PROXY")
    names = [form for name in upper for form in (name, name.lower())]
    ca = list(filter(os.environ.get, _CA_VARIABLES))[:1]
    return [*filter(os.environ.get, names), *ca]


def ca_file(url: str) -> str:
    """The path of the CA certificates that a variable names, "" if none does.

    Raises ProviderError (`config`) for a file that cannot be read.
    """
    name = next(filter(os.environ.get, _CA_VARIABLES), "")
    if not name or not url.startswith("https:"):
        return ""
    path = os.environ[name]
    if not os.access(path, os.R_OK):
        text = f"{name} names a CA certificate file that cannot be read"
        raise ProviderError("config", text, advice="ca_file")
    return path


def proxy_of(url: str) -> str:
    """The proxy on the way to `url`, "" if there is none.

    Raises ProviderError (`config`) if the proxy's own URL is not valid: requests and
    urllib3 report that in many ways, and some show the password.
    """
    if url.startswith("http:"):
        return ""  # it only leads to this machine, and a proxy would see the key
    from urllib.parse import urlsplit

    utils = import_requests().utils
    try:
        proxy = str(utils.select_proxy(url, utils.get_environ_proxies(url)) or "")
        address = proxy if "//" in proxy else "http://" + proxy
        parts = urlsplit(address)
        is_valid = re.match(r"(?i)(https?|socks(4a?|5h?))://[^\s\\]+$", address)
        if not proxy or (is_valid and parts.hostname and parts.port != 0):
            return proxy
    except ValueError:
        pass
    raise ProviderError("config", _BAD_URL, advice="proxy")


def library_versions() -> dict[str, str | None]:
    """The versions of the libraries that are loaded, by name."""
    names = ("requests", "urllib3")
    return {n: getattr(sys.modules.get(n), "__version__", None) for n in names}


def _causes(error: BaseException, in_context: bool) -> list[BaseException]:
    """`error` and everything it was raised from or wraps, outermost first.

    `in_context`: also what was being handled when it was raised.  In the caller's
    thread, that may be an error that has nothing to do with us.
    """
    causes: list[BaseException] = []
    queue: list[Any] = [error]
    for item in queue:  # which grows in the meantime
        if isinstance(item, BaseException) and item not in causes:
            causes.append(item)
            queue += [item.__cause__, getattr(item, "reason", None), *item.args]
            queue += [item.__context__] if in_context else []
    return causes


def drop_frames(error: BaseException) -> None:
    """Drop the frames that `error` passed through.

    The error and its frames form cycles, which would keep the request and the answer
    until the next garbage collection, and those are rare.
    """
    for cause in _causes(error, in_context=False):
        cause.__traceback__ = None


_INVALID_URL = "InvalidSchema InvalidURL LocationParseError UnicodeError"
_BAD_CERTIFICATE = "SSLCertVerificationError CertificateError"
_BAD_URL = "the proxy URL is not valid"  # base_url was checked before
_BAD_PROXY = "the proxy to {host} failed: {reason}"
_BROKEN_HTTP = "{host} sent invalid HTTP: {reason}"
# What the exceptions of requests, urllib3, http.client and ssl mean, by the names of
# their classes (so that none has to be imported) and a text in them: code, message,
# advice.  The first row that matches any cause wins.
_FAULTS: tuple[tuple[str, str, str, str, str], ...] = (
    (_BAD_CERTIFICATE, "", "network", "{host}: {reason}", "certificate"),
    ("SSLError", "X509", "config", "the CA certificates: {reason}", "ca_file"),
    ("InvalidSchema", "SOCKS", "config", "cannot use a SOCKS proxy: {reason}", "socks"),
    (_INVALID_URL, "", "config", _BAD_URL, "proxy"),
    ("OSError", "failed: 407", "network", _BAD_PROXY, "proxy_login"),
    ("OSError", "Tunnel connection failed", "network", _BAD_PROXY, ""),
    ("ProxyError", "", "network", _BAD_PROXY, ""),
    # What urllib3-future says for IncompleteRead.
    ("Exception", "without sending complete message", "stream_cut", "{reason}", ""),
    ("EOFError IncompleteRead", "", "stream_cut", "{reason}", ""),
    ("gaierror", "", "network", "cannot resolve {host}: {reason}", ""),
    ("RemoteDisconnected", "", "network", "{host} hung up without an answer", ""),
    ("SSLError", "", "network", "TLS with {host} failed: {reason}", ""),
    ("HTTPException InvalidHeader", "", "protocol", _BROKEN_HTTP, ""),
    ("OSError HTTPError", "", "network", "connection to {host} failed: {reason}", ""),
    ("ValueError", "", "protocol", _BROKEN_HTTP, ""),
)


def http_failure(error: Exception, host: str, in_body: bool = False) -> Exception:
    """Our error for one that `requests`, or a read of a body, raised; `error` itself if
    it is ours already, or a bug."""
    if isinstance(error, (ProviderError, Cancelled)):
        return error
    causes = _causes(error, in_context=not in_body)
    from_system = [c for c in causes if isinstance(c, OSError) and c.errno]
    for names, needle, code, text, advice in _FAULTS:
        for cause in reversed(causes):
            kinds = [kind.__name__ for kind in type(cause).__mro__]
            if not set(kinds).intersection(names.split()) or needle not in str(cause):
                continue
            reason = str(cause) or kinds[0]
            if from_system and re.search(r"object at 0x|Error\(", reason):
                reason = str(from_system[-1])  # the others only wrap it
            reason = re.sub(r"\[Errno -?\d+\] ", "", reason)
            reason = re.sub(r"//[^/\s]*@", "//...@", printable(reason, 200))
            # For the log, only the system's own texts: others may quote content.
            deepest = (
                f"{type(from_system[-1]).__name__}: {from_system[-1]}"
                if from_system
                else ""
            )
            return ProviderError(
                code,
                text.format(host=host, reason=reason),
                # Neither a certificate nor a login changes with a retry.
                retryable=False if advice in ("certificate", "proxy_login") else None,
                advice=advice,
                cause=deepest or kinds[0],
            )
    return error


# ---------------------------------------------------------------------------
# Turn: attempts, retries, capture, replay
# ---------------------------------------------------------------------------

# --- answers, and what they mean


def read_payload(sse: ServerSentEvent, is_last: bool) -> JSON | None:
    """The JSON of an event, or None if the event can be ignored.

    Bare JSON counts only if it is an error, or a whole message that was not streamed.
    With `is_last` the body ended without a blank line, so the event may be cut short.
    """
    try:
        payload, problem = load_json(sse.data, MAX_UPSTREAM_DEPTH), "is not an object"
    except ValueError as error:
        payload, problem = None, f"is not JSON: {error}"
    if sse.event == "ping":
        return {**(payload if isinstance(payload, dict) else {}), "type": "ping"}
    if not isinstance(payload, dict):
        if is_last or sse.bare or sse.data.strip() in ("", "[DONE]"):
            return None
        if sse.event == "error":
            raise upstream_error(None, None, sse.data)
        raise ProviderError("protocol", f"the data of an event {problem}")
    kind = payload.get("type")
    is_message = kind == "message" and isinstance(payload.get("content"), list)
    if sse.bare and not is_message and not is_error_payload(payload):
        return None
    if not isinstance(kind, str):
        payload["type"] = "error" if is_error_payload(payload) else sse.event
    elif sse.event == "error" and kind not in _ON and not is_error_payload(payload):
        payload["type"] = "error"
    return payload


def refusal(exchange: Exchange, body: bytes, wanted: str) -> ProviderError:
    """The error for an answer that is not `wanted`, such as "an event stream"."""
    text = body.decode("utf-8-sig", "replace").strip()
    encoding = printable(exchange.header("Content-Encoding"), 40)
    if encoding.lower() not in ("", "identity"):
        text = f"the body is encoded ({encoding}), which was not asked for"
    # The error may be framed as an event.
    events = SSEDecoder().feed(body.strip() + b"\n\n")
    payloads = [parsed(text), *(parsed(sse.data) for sse in events)]
    payload = next(filter(is_error_payload, payloads), payloads[0])
    if payload is None:  # or the answer is the page of a proxy or web server
        text = re.sub(r"(?s)<(script|style)\b.*?(?:</\1>|$)", " ", text[:8192])
        text = re.sub(r"<[^<>]*>", " ", text)
    is_good = exchange.status == 200
    error = upstream_error(payload, None if is_good else exchange.status, text)
    if is_good and not is_error_payload(payload):
        kind = exchange.header("Content-Type") or "no content type"
        text = printable(f"{kind}: {text}", 200)
        error = ProviderError("protocol", f"expected {wanted}, got {text}")
    elif exchange.status // 100 == 3:
        where = printable(exchange.header("Location") or "nowhere", 200)
        error.message += f"; a redirect to {where}, which is not followed"
        error.advice = "redirect"
    after = retry_after(exchange.header("Retry-After"), exchange.arrived)
    if after is not None:
        error.details["retry_after"] = after
    return error


def retry_after(value: str, now: float, longest: float = 1e9) -> float | None:
    """The seconds that a Retry-After header asks to wait (RFC 9110, 10.2.3), or None.

    `now` is the time of day in seconds since the epoch.  Fractions are accepted.
    """
    value = value.strip()
    if re.match(r"\d+(\.\d+)?$", value, re.ASCII):
        return min(float(value), longest)
    from datetime import timezone
    from email.utils import parsedate_to_datetime

    try:
        moment = parsedate_to_datetime(value)  # without a zone, it is GMT
        moment = moment.replace(tzinfo=moment.tzinfo or timezone.utc)
        seconds = moment.timestamp() - now
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return round(min(max(seconds, 0.0), longest), 3)


# --- hints


def explain(
    error: ProviderError, values: JSON, url: str, model: str, words: Any
) -> JSON:
    """Fill in the hint of `error`, and return it as an object for events.

    `url` and `model` are those of the request, and `words` those for the braces that
    depend on this process.  No key gets into a hint.
    """
    host = host_of(url) if url else ""
    if error.code == "auth" and host not in HOSTS and not error.advice:
        error.advice = "auth_elsewhere"
    region = HOSTS.get(host, values["region"])
    other = "cn" if region == "global" else "global"
    key = key_kind(values["api_key"])
    model = canonical_model(model or values["model"])
    facts = model_facts(model)
    braces = {**words, "host": host, "url": url, "base": REGIONS[values["region"]]}
    braces.update(region=region, other_region=other, other_host=host_of(REGIONS[other]))
    braces.update(key_kind=key.name, wallet=key.wallet, other_key_kind=key.other_kind)
    braces.update(model=model, context=facts.context_window if facts else "available")
    braces["models"] = " or ".join(name for name in CURRENT_MODELS if name != model)
    if not error.hint:  # a hint that is filled in is no template
        error.hint = error.to_dict()["hint"].format_map(braces)
    return error.to_dict()


def raise_problem(settings: Settings) -> None:
    """Raise what is wrong with the settings of a turn, if anything is."""
    if settings.problems:
        raise settings.problems[0][1]
    if not settings.values["api_key"]:
        raise no_key(settings)


def no_key(settings: Settings) -> ProviderError:
    """The error of a turn when no key is set."""
    names = ", ".join(unknown_settings(settings.file))
    if names:
        text = f"No API key, and {settings.path} has unknown settings: {names}."
        return ProviderError("config", text, ADVICE["misspelt"])
    return ProviderError("config", "No API key.", ADVICE["no_key"])


# --- capture: a file for each turn


class Capture:
    """What happened in one turn, for a file that only its owner can read.

    The file is one line: a JSON object of `fields` and what `_save()` adds, with every
    API key masked.  It is written when the turn is over, if the settings ask for it.
    If that fails, a line is logged and the turn is unharmed.
    """

    VERSION = 4
    MAX_FILE = 32 * MIB  # a larger file is too large for a bug report
    # Settings that are private, or that a replay must not use.
    LEFT_OUT = ("api_key", "api_key_file", "capture_dir", "log_level")
    # Headers that a replay needs or a bug report should have; none is a credential.
    HEADERS = (
        *("Content-Type", "Content-Encoding", "Location", "Retry-After"),
        *("Date", "Server", "Via", *REQUEST_ID_HEADERS),
    )

    def __init__(self, values: JSON, request: Any, words: JSON) -> None:
        self._values, self._folder = values, values["capture_dir"]
        self._began = time.monotonic()
        self._size = 0  # bytes read so far
        self._reads: list[tuple[float, bytes]] = []  # of the attempt under way
        self.fields: JSON = {
            "words": words,
            "request": request,
            "images": {},  # what `read_image()` returned, by path
            "sent": None,  # the URL and the body
            "attempts": [],
            "event": None,  # the last one, if the turn was not abandoned before it
        }

    def note(self, data: bytes) -> None:
        """Keep what was just read, unless the file would become too large."""
        self._size += len(data)
        if self._folder and self._size <= self.MAX_FILE:
            self._reads.append((time.monotonic() - self._began, data))

    def add_attempt(self, exchange: Any, failure: list[Any]) -> None:
        """Add an attempt that is over; `exchange` is None if there was no answer."""
        if not self._folder:
            return
        row: JSON = {"status": 0, "arrived": 0, "headers": {}}
        if exchange is not None:
            row = {"status": exchange.status, "arrived": exchange.arrived}
            row["headers"] = {name: exchange.header(name) for name in self.HEADERS}
        row["reads"] = [(moment, len(data)) for moment, data in self._reads]
        # Bytes that are not UTF-8 become lone surrogates, which JSON can escape.
        data = b"".join(data for _, data in self._reads)
        row["data"] = data.decode("utf-8", "surrogateescape")
        row.update(failure=failure, ended=time.monotonic() - self._began)
        self.fields["attempts"].append(row)
        self._reads = []

    def write(self) -> None:
        """Write the file, and wait for it 3 seconds at most, since a disk may hang."""
        scope = Scope()  # not the turn's: a turn that was cancelled is captured, too
        scope.arm("files", 3.0)
        try:
            if self._folder:
                scope.call(self._save)
        except Exception as error:
            reason = getattr(error, "strerror", "") or error
            text = f"{self._folder}: this turn is not captured: {reason}"
            log(text, "warning", self._values["log_level"])

    def _save(self) -> None:
        """Write the file under another name first, so that it is never half-written."""
        from datetime import datetime, timezone
        from tempfile import mkstemp

        at = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S.%fZ")
        fields = {"capture": self.VERSION, "at": at, "plugin": __version__}
        fields.update(python=sys.version.split()[0], system=sys.platform)
        fields.update(libraries=library_versions(), **self.fields)
        fields["key"] = key_kind(self._values["api_key"]).prefix
        left_out, values = self.LEFT_OUT, self._values
        fields["settings"] = {k: v for k, v in values.items() if k not in left_out}
        # Masked as a whole: the reads of the network may cut a key.
        fields = SECRETS.value(fields)
        text = json.dumps(fields, ensure_ascii=False, separators=(",", ":")) + "\n"
        data = text.encode("utf-8", "backslashreplace")
        if max(len(data), self._size) > self.MAX_FILE:
            raise ValueError(f"it is larger than {self.MAX_FILE // MIB} MiB")
        os.makedirs(self._folder, 0o700, exist_ok=True)
        self._make_room()
        # No two captures that a process has at the same time have the same id().
        name = f"{at}-{os.getpid()}-{id(self)}.jsonl"
        # It creates a new file that only its owner can read, never through a link.
        fd, part = mkstemp(".part", name, self._folder)
        try:
            with open(fd, "wb") as file:
                file.write(data)
            os.replace(part, os.path.join(self._folder, name))
        except OSError:
            os.unlink(part)
            raise

    def _make_room(self, count: int = 499, room: int = 480 * MIB) -> None:
        """Remove all but the newest `count` captures, of `room` bytes together."""
        from contextlib import suppress

        pattern = r"\d{8}T\d{6}\.\d{6}Z-\d+-\d+\.jsonl(\w+\.part)?"
        files = (e for e in os.scandir(self._folder) if re.fullmatch(pattern, e.name))
        # The names begin with the time.
        for file in sorted(files, key=lambda file: file.name, reverse=True):
            # Another process may remove it meanwhile, or another user own it.
            with suppress(OSError):
                if file.is_file(follow_symlinks=False):
                    count -= 1
                    room -= file.stat().st_size
                    if count < 0 or room < 0:
                        os.unlink(file.path)


# --- a turn

# What a turn needs from outside; in a replay, a Recording takes its place.  `load()`
# returns the Settings, `post(url, key, body, values)` an open Exchange, and
# `read_image(path)` the source of an image; `now()` and `sleep(seconds)` are the clock;
# `words` are for the hints.
World = namedtuple("World", "load post read_image now sleep words")


class Turn:
    """One TurnRequest: its attempts, and the events they yield.

    From top to bottom: `_prepare()` builds the request, `_attempt()` sends it, as often
    as `_retry()` allows, `_stream()` reads the answer, `_translate()` makes events of
    it, and `_end()` the last one.
    """

    def __init__(self, request: Any, scope: Scope, world: Any) -> None:
        self._request, self._scope, self._world = request, scope, world
        self._values = default_values()
        self._capture = Capture(self._values, request, world.words)
        self._url = ""
        self._asked = ""  # the model that the request asks for
        self._ready: Batch = []  # the events of the next batch
        self._attempts = 0
        self._last_heartbeat = -_NEVER
        # Of the attempt under way, or of the last one:
        self._translator = EventTranslator()
        self._exchange: Any = None
        self._request_id: str | None = None
        self._first_ms: int | None = None  # when the first event came, see _ms()

    def _ms(self) -> int:
        """The milliseconds since the turn was accepted."""
        return int((self._world.now() - self._scope.accepted) * 1000)

    def batches(self) -> Generator[Batch, None, None]:
        """Yield the events in lists, one list for each read of the network."""
        try:
            yield from self._run()
        finally:
            if self._exchange is not None:
                self._exchange.close()
            self._capture.write()

    def _run(self) -> Iterator[Batch]:
        """The turn from its request to its last event."""
        failure: ProviderError | None = None
        try:
            body = self._prepare()
            delay: float | None = 0.0
            while delay is not None:
                if self._ready:
                    yield self._take_ready()
                self._world.sleep(delay)
                delay = yield from self._attempt(body)
        except Exception as error:
            if isinstance(error, Cancelled):
                self._translator.stop_reason = CANCELLED
            else:
                failure = our_error(error)
            drop_frames(error)
        self._ready.extend(self._translator.close())
        self._ready.append(self._end(failure))
        batch = self._take_ready()
        self._capture.fields["event"] = batch[-1]
        yield batch
        if self._exchange is not None:
            self._exchange.drain(waits=True)

    def _take_ready(self) -> Batch:
        """Take the events that are ready, made safe to send."""
        batch, self._ready = [outgoing(event) for event in self._ready], []
        return batch

    def _prepare(self) -> bytes:
        """Return the body of the request; add warnings about it to the ready events."""
        self._scope.check()
        settings = self._world.load()
        self._values = values = settings.values
        base = base_url_of(values)
        self._url, self._scope.host = base + MESSAGES_PATH, host_of(base)
        self._scope.start(values["turn_timeout"])
        self._deadline = self._world.now() + values["turn_timeout"]
        raise_problem(settings)
        self._capture = Capture(values, self._request, self._world.words)
        model, tokens = values["model"], values["max_tokens_default"]
        body, warnings = build_request(
            self._request, model, tokens, values["effort"], self._read_image
        )
        self._ready.extend(warnings)
        try:
            data = dump_json(body).encode("ascii")
        except (ValueError, TypeError, RecursionError) as error:
            raise ProviderError("invalid_request", f"not JSON: {error}") from None
        if len(data) > MAX_BODY:
            text = f"the request is larger than {MAX_BODY // MIB} MB"
            raise ProviderError("invalid_request", text)
        asked = body["model"] if isinstance(body["model"], str) else model
        self._asked = printable(asked, 200)
        if values["capture_dir"]:
            self._capture.fields["sent"] = {"url": self._url, "body": body}
        return data

    def _read_image(self, path: str) -> JSON:
        if not self._values["allow_image_paths"]:
            raise ValueError("allow_image_paths is off")
        self._scope.arm("files", FILE_SECONDS)
        try:
            source: JSON = self._world.read_image(path)
        except (ValueError, ProviderError) as error:  # the latter if the disk hangs
            source = {"problem": str(error)}
        if self._values["capture_dir"]:  # otherwise, it would only take memory
            self._capture.fields["images"][path] = source
        if "problem" in source:
            raise ValueError(source["problem"])
        return source

    # Attempts

    def _attempt(self, body: bytes) -> Generator[Batch, None, float | None]:
        """Send the request, and yield events until its message is complete.

        If it fails, returns the seconds to wait for the next attempt, or raises the
        error if there is none.
        """
        self._attempts += 1
        self._translator = EventTranslator(self._asked)
        self._exchange = self._request_id = self._first_ms = None
        post, key, values = self._world.post, self._values["api_key"], self._values
        began = self._ms()
        try:
            self._exchange = exchange = post(self._url, key, body, values)
            request_id = exchange.header(*REQUEST_ID_HEADERS)
            self._request_id = printable(request_id, 200) or None
            try:
                yield from self._stream(exchange)
            except ProviderError:  # nothing can spoil a message once it is complete
                if not (self._translator.complete or self._translator.stopped):
                    raise
            self._ready.extend(self._translator.conclude())
            # The host's next turn may come at once and should find the connection free.
            exchange.drain(waits=False)
            if exchange.ended:
                exchange.close()
        except BaseException as error:
            self._end_attempt(began, error)
            if not isinstance(error, ProviderError):
                raise
            drop_frames(error)
            self._ready.append(self._retry(error))
            return float(self._ready[-1]["delay"])
        self._end_attempt(began, None)
        return None

    def _stream(self, exchange: Any) -> Iterator[Batch]:
        """Yield the events of the body, until its message is complete."""
        translator, scope, decoder = self._translator, self._scope, SSEDecoder()
        encoding = exchange.header("Content-Encoding").lower()
        if exchange.status != 200 or encoding not in ("", "identity"):
            # 10 seconds: the text of an error is not worth a longer wait.
            seconds = min(10.0, self._values["idle_timeout"])
            body = exchange.read_rest(MAX_ERROR_BODY, seconds)
            self._capture.note(body)
            raise refusal(exchange, body, "an event stream")
        opening = b""  # quoted by the error of an answer that is not a stream
        while True:
            chunk = exchange.read()
            self._capture.note(chunk)
            opening += chunk if len(opening) < 8192 else b""
            payloads: Batch = []
            try:
                for sse in decoder.feed(chunk) if chunk else decoder.close():
                    payload = read_payload(sse, is_last=not chunk)
                    if payload is not None:
                        payloads.append(payload)
            except ValueError as error:
                raise ProviderError("protocol", str(error)) from None
            finally:  # what precedes an invalid event counts
                self._translate(payloads)
            if self._ready:
                before = self._world.now()
                yield self._take_ready()
                scope.extend(self._world.now() - before)
            scope.check()
            if translator.stopped or not chunk:
                break
        if translator.stopped or translator.complete:
            return
        kind = exchange.header("Content-Type").lower() or "event-stream"
        # A stream begins with a field, a comment or a byte order mark.
        is_stream = "event-stream" in kind and opening.lstrip()[:1] in b":deir\xef"
        if self._first_ms is None and not is_stream:
            raise refusal(exchange, opening, "an event stream")
        has_reason = translator.stop_reason is not None
        place = "inside a block" if has_reason else "before its stop reason"
        raise ProviderError("stream_cut", f"the answer ended {place}")

    def _translate(self, payloads: Batch) -> None:
        """Add the events of one read to the ready ones, and limit the next read."""
        translator, is_news = self._translator, False
        for payload in payloads if len(payloads) == 1 else merge_deltas(payloads):
            if payload["type"] != "ping" and not translator.complete:
                is_news = True
                if self._first_ms is None:
                    self._first_ms = self._ms()
            for event in translator.translate(payload):
                if event["type"] == HEARTBEAT:
                    now = self._world.now()
                    if now - self._last_heartbeat < 5.0:  # seconds, by the contract
                        continue
                    self._last_heartbeat = now
                self._ready.append(event)
            if translator.stopped:
                return
        if is_news:
            # Once the message is complete, only message_stop is worth a wait.
            longest = 5.0 if translator.complete else _NEVER
            self._scope.arm("idle", min(self._values["idle_timeout"], longest))

    def _end_attempt(self, began: int, error: BaseException | None) -> None:
        """Log and capture how the attempt ended; drop its exchange if it failed."""
        exchange, failure = self._exchange, []
        facts: JSON = {"outcome": self._translator.stop_reason}
        if isinstance(error, ProviderError):
            self._explained(error)
            failure = [error.code, error.message, error.hint, error.retryable]
            facts = {"outcome": error.code, "cause": error.cause or None}
            # The messages of these errors quote no content.
            if error.code in ("timeout", "stream_cut", "empty_response"):
                facts["cause"] = error.cause or error.message
        elif error is not None:
            facts["outcome"], failure = CANCELLED, [CANCELLED]
        if exchange is not None:
            facts.update(status=exchange.status, new_connection=not exchange.is_kept)
            facts["bytes"] = exchange.size
        self._log("attempt", {**facts, "ms": self._ms() - began})
        self._capture.add_attempt(exchange, failure)
        if error is not None and exchange is not None:
            exchange.close()
            self._exchange = None

    def _retry(self, error: ProviderError, max_backoff: float = 60.0) -> JSON:
        """Return the `retry` event, or raise `error` if it must not be retried."""
        values, after = self._values, error.details.get("retry_after")
        is_final = not error.retryable or self._translator.any_block
        is_too_long = (after or 0) > values["retry_after_max"]
        if is_final or is_too_long or self._attempts > values["max_retries"]:
            raise error
        pace = PACES.get(error.code, 1) * 2 ** (self._attempts - 1)
        jitter = 0.5 + os.urandom(1)[0] / 512  # below 1; `random` is slow to import
        backoff = min(values["retry_base_delay"] * pace, max_backoff) * jitter
        delay = round(float(after or backoff), 3)
        if self._world.now() + delay >= self._deadline:
            raise error
        event = {"type": RETRY, "attempt": self._attempts}
        event.update(max_attempts=values["max_retries"] + 1, delay=delay)
        return {**event, "error": self._explained(error)}

    # The end

    def _end(self, failure: ProviderError | None) -> JSON:
        """The last event, `turn_end` or `error`, which is also logged."""
        translator, message = self._translator, self._translator.message()
        usage: JSON = {"usage": dict(translator.usage) or None}
        cost = cost_usd(translator.model, translator.usage)
        if cost is not None and translator.is_charged:
            usage["cost_usd"] = cost
        error: JSON = {}
        if failure is None:
            ids = {"model": translator.model, "message_id": translator.message_id}
            event: JSON = {"type": TURN_END, "stop_reason": translator.stop_reason}
            event.update(message=message, **ids, **usage, request_id=self._request_id)
        else:
            error = self._explained(failure)
            model = translator.model or self._asked or None
            event = {"type": ERROR, "error": error, "model": model, **usage}
            event["partial"] = message
        timing = {"first_event_ms": self._first_ms, "total_ms": self._ms()}
        event["timing"] = {**timing, "attempts": self._attempts}
        names = "http_status provider_code model first_event_ms total_ms attempts "
        names += "input_tokens cache_read_input_tokens output_tokens cost_usd "
        names += "request_id"
        outcome = error.get("code") or event.get("stop_reason")
        facts = {**translator.usage, **event, **error, **event["timing"]}
        known = {name: facts.get(name) for name in names.split()}
        self._log("turn", {"outcome": outcome, **known})
        return event

    def _explained(self, error: ProviderError) -> JSON:
        """`error` as an object for events, with a hint for this host, model and key."""
        if self._request_id is not None:
            error.details.setdefault("request_id", self._request_id)
        return explain(error, self._values, self._url, self._asked, self._world.words)

    def _log(self, what: str, facts: JSON) -> None:
        if self._values["log_level"] == "info":
            name = id_of(self._request)
            name = None if name is None else printable(str(name), 80)
            log(f"{what} {key_values({'id': name, **facts})}", "info", "info")


def id_of(request: Any) -> Any:
    """The id that the caller gave a turn, or None."""
    return request.get("id") if isinstance(request, dict) else None


def key_values(facts: JSON) -> str:
    """The facts that are not None as key=value; all but single words are quoted."""
    pairs = []
    for name, value in facts.items():
        is_word = isinstance(value, str) and re.match(r"[\w.,:/+-]+$", value, re.ASCII)
        if value is not None:
            pairs.append(f"{name}={value if is_word else dump_json(value)}")
    return " ".join(pairs)


# --- the provider


class MiniMaxProvider:
    """MiniMax's models: TurnRequests in, TurnEvents out.

    The keywords are the keys of OPTIONS; a wrong one raises ProviderError (`config`).
    The constructor reads no configuration file, and only the proxy and CA variables of
    the environment; `from_config()` reads both.  Any number of threads may run turns on
    one provider, and a forked child may keep using it.
    """

    command = "plexum-minimax"  # what starts this program at a prompt, for hints

    def __init__(self, **options: Any) -> None:
        unknown = ", ".join(unknown_settings(options))
        if unknown:
            raise ProviderError("config", f"unknown options: {unknown}")
        self._values = default_values()
        for name, value in options.items():
            self._values[name] = check_value(name, value, "MiniMaxProvider")
        # Of `from_config()`: the path of the file, and the options that win.
        self._sources: tuple[str | None, JSON] | None = None
        self._clients: dict[int, Client] = {}  # one, by the id of its process

    @classmethod
    def from_config(cls, path: str | None = None, **overrides: Any) -> MiniMaxProvider:
        """A provider configured by the configuration file and the environment.

        Each turn reads them again, and fails if something is wrong with them.
        `overrides` are options that win over both.
        """
        provider = cls(**dict.fromkeys(overrides))  # which checks their names
        provider._sources = (path, overrides)
        return provider

    def __enter__(self) -> MiniMaxProvider:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections kept for further turns."""
        self._client().close()

    def turn(
        self, request: JSON, cancel: Any = None, raise_errors: bool = False
    ) -> Iterator[JSON]:
        """Yield the events of one turn, the same as on the wire.

        `request` is a TurnRequest: {"messages": [{"role": "user", "content": "hi"}]},
        and the fields the README lists.  The events are {"type": "turn_start", "model",
        "message_id"}, {"type": "block_start", "index", "block"}, {"type": "text_delta"
        or "thinking_delta", "index", "text"}, {"type": "input_delta", "index", "json"},
        {"type": "block_end", "index", "block"}, {"type": "warning", "code", "text"},
        {"type": "retry", "attempt", "max_attempts", "delay", "error"}, {"type":
        "heartbeat"}, and at the end {"type": "turn_end", "stop_reason", "message",
        "model", "message_id", "usage", "request_id", "timing", ...} or {"type":
        "error", "error": {"code", "message", "hint", "retryable", ...}, "model",
        "usage", "partial", "timing", ...}.

        Setting the event `cancel` ends the turn within a second; closing the iterator
        drops the connection.  With `raise_errors` a failed turn raises its
        ProviderError instead of yielding the `error` event.
        """
        name = id_of(request)
        event: JSON = {"type": ""}
        for batch in self.batches(request, Scope(cancel)):
            for event in batch:
                if not raise_errors or event["type"] != ERROR:
                    yield event if name is None else {"id": name, **event}
        if raise_errors and event["type"] == ERROR:
            raise ProviderError(**event["error"])

    def complete(self, request: JSON, cancel: Any = None) -> JSON:
        """Run one turn and return its `turn_end` event: {"stop_reason", "message",
        "usage", ...}, see `turn()`.  Raises ProviderError if the turn fails."""
        event: JSON = {}
        for event in self.turn(request, cancel, raise_errors=True):
            pass
        return event

    def text(self, request: JSON, cancel: Any = None) -> Iterator[str]:
        """Yield the text of one turn as it arrives, without thinking or tool calls.
        Raises ProviderError if the turn fails."""
        for event in self.turn(request, cancel, raise_errors=True):
            if event["type"] == TEXT_DELTA:
                yield event["text"]

    def batches(self, request: JSON, scope: Scope) -> Iterator[Batch]:
        """The events of one turn in lists, one list for each read of the network."""
        world = World(
            load=lambda: self._load(scope),
            post=lambda *request: send(self._client(), scope, *request),
            read_image=lambda path: scope.call(lambda: read_image_file(path)),
            now=time.monotonic,
            sleep=scope.sleep,
            words=self._words(),
        )
        return Turn(request, scope, world).batches()

    def load(self) -> Settings:
        """The settings that the next turn will use, with their problems."""
        if self._sources is not None:
            return load_settings(*self._sources)
        settings = Settings(dict(self._values), {}, [], "", {}, {})
        _load_key_file(settings, {})
        return settings

    def settings(self) -> JSON:
        """The values that the next turn will use.  Raises ProviderError (`config`) for
        the first problem, or if no key is set."""
        settings = self.load()
        raise_problem(settings)
        return dict(settings.values)

    def get(self, url: str, values: JSON, seconds: float = 30.0) -> JSON:
        """The JSON object at `url`, with the key in `values` if there is one.

        Each step may take `seconds`.  Raises ProviderError with its hint filled in.
        """
        limits = ("connect_timeout", "first_event_timeout")
        values = {**values, **{name: min(values[name], seconds) for name in limits}}
        scope = Scope()
        scope.host = host_of(url)
        scope.start(2 * seconds)
        try:
            exchange = send(self._client(), scope, url, values["api_key"], None, values)
            body = exchange.read_rest(4 * MIB, seconds)
            exchange.close()
            payload = parsed(body.decode("utf-8", "replace"))
            is_answer = isinstance(payload, dict) and not is_error_payload(payload)
            if exchange.status == 200 and is_answer:
                return dict(SECRETS.value(payload))
            raise refusal(exchange, body, "JSON")
        except ProviderError as error:
            if error.code == "timeout":  # `seconds` may be less than the setting
                error.message = error.message.rpartition(" (")[0]
                error.advice = "network"
            fields = explain(error, values, url, "", self._words())
            raise ProviderError(**SECRETS.value(fields)) from None

    def _load(self, scope: Scope) -> Any:
        """The settings for a turn, read in a thread, since a disk may hang."""
        if self._sources is None and not self._values["api_key_file"]:
            return self.load()

        def load() -> Settings:
            settings = self.load()
            unknown = ", ".join(unknown_settings(settings.file))
            if unknown:
                text = f"{settings.path}: unknown settings are ignored: {unknown}"
                log(text, "warning", settings.values["log_level"])
            return settings

        scope.arm("files", FILE_SECONDS)
        return scope.call(load)

    def _words(self) -> dict[str, str]:
        """The words for hints that depend on this process.  Of the variables that
        change the way to the host, they have only the names."""
        names, base_url = routes(), OPTIONS["base_url"].env
        if self._sources is not None and os.environ.get(base_url, "").strip():
            names.insert(0, base_url)
        environment = f" Set in the environment: {', '.join(names)}." if names else ""
        return {"environment": environment, "command": self.command}

    def _client(self) -> Client:
        """The connections of this process: a child must not use its parent's."""
        pid, clients = os.getpid(), self._clients
        if pid not in clients:
            clients.setdefault(pid, Client())
            for parent in set(clients) - {pid}:
                clients.pop(parent, None)  # unless another thread was faster
        return clients[pid]


# --- replay: a captured turn again, without network


class RecordedExchange:
    """An attempt of a recording, in place of the network."""

    is_kept = ended = False
    size = 0  # only for the log, which a replay does not write
    header = Exchange.header

    def __init__(self, row: JSON, recording: Recording) -> None:
        from io import BytesIO

        data = BytesIO(row["data"].encode("utf-8", "surrogateescape"))
        self._reads = deque((moment, data.read(size)) for moment, size in row["reads"])
        self.status, self.headers = int(row["status"]), dict(row["headers"])
        self.arrived, self._failed_at = row["arrived"], row["ended"]
        times = [self.arrived, self._failed_at, *(moment for moment, _ in self._reads)]
        if not all(0 <= moment < 1e10 for moment in times):  # seconds, 300 years
            raise ValueError("a time is too large or negative")
        failure = row["failure"]
        self._failure: Exception | None = Cancelled() if failure else None
        if failure and failure[0] in ERRORS:
            code, message, hint, retryable = failure
            self._failure = ProviderError(
                code, str(message), str(hint), retryable=bool(retryable)
            )
        self._recording = recording

    def read(self) -> bytes:
        """The next piece, as the network cut it.

        A cancel takes effect with the last piece, another failure after it.
        """
        data = b""
        if self._reads:
            self._recording.seconds, data = self._reads.popleft()
        elif self._failure is not None:
            self._recording.seconds = self._failed_at
            raise self._failure
        if not self._reads and isinstance(self._failure, Cancelled):
            self._recording.scope.cancel()
        self.ended = not data
        return data

    def read_rest(self, limit: int, seconds: float) -> bytes:
        return self.read()  # it was recorded as one piece

    def drain(self, waits: bool) -> None:
        pass

    def close(self) -> None:
        pass


class Recording:
    """A captured turn, as the World of its replay."""

    def __init__(self, fields: Any) -> None:
        """Check and convert the `fields` of a capture, so that nothing in them can
        harm the replay.  A wrong one raises what Python raises for it."""
        if fields["capture"] != Capture.VERSION:
            raise ValueError(f"it is not version {Capture.VERSION} of the format")
        left_out = dict.fromkeys(Capture.LEFT_OUT)  # None is the default
        provider = MiniMaxProvider(**{**fields["settings"], **left_out})
        # Hints depend on the kind of the key.
        provider._values["api_key"] = key_kind(fields["key"]).prefix + "***"
        self.load = provider.load
        self.words = {"environment": "", "command": "", **fields["words"]}
        self._images = {
            path: {name: str(value) for name, value in source.items()}
            for path, source in fields["images"].items()
        }
        self.request = fields["request"]
        self.outcome = outcome_of(fields["sent"], fields["event"])
        self.scope, self.seconds = Scope(), 0.0  # the clock of the recording
        rows = fields["attempts"]
        self._attempts = deque(RecordedExchange(row, self) for row in rows)
        self.sent: JSON | None = None  # what the replay would send

    def read_image(self, path: str) -> JSON:
        return self._images.get(path, {"problem": "not recorded"})

    def now(self) -> float:
        return self.scope.accepted + self.seconds

    def sleep(self, seconds: float) -> None:
        if not self._attempts:  # the turn was cancelled before a further one
            raise Cancelled

    def post(self, url: str, key: str, body: bytes, values: JSON) -> RecordedExchange:
        self.sent = {"url": url, "body": parsed(body.decode())}
        exchange = self._attempts.popleft()
        if not exchange.status:
            exchange.read()  # raises the error that came instead of an answer
        return exchange


def read_capture(path: str) -> Recording:
    """The turn in the capture at `path`.  Raises OSError, or ValueError if there is
    anything wrong with it: it may come from a stranger."""
    data, _ = read_file(path, Capture.MAX_FILE)
    try:  # a capture nests the values of a turn some levels deeper
        return Recording(load_json(data.decode("utf-8"), MAX_DEPTH + 20))
    except (ValueError, ProviderError) as error:
        raise ValueError(f"not a whole capture: {error}") from None
    except (LookupError, TypeError, AttributeError, OverflowError):
        text = "not a whole capture: a value is missing, or of the wrong kind"
        raise ValueError(text) from None


def replay(recording: Recording, emit: Callable[[float, JSON], object]) -> str:
    """Run a captured turn again; `emit` takes each event with its time in seconds.

    Returns how the outcome differs from the recording, "" if it is the same.
    """
    event: JSON = {}
    for batch in Turn(recording.request, recording.scope, recording).batches():
        for event in batch:
            emit(recording.seconds, event)
    return difference(recording.outcome, outcome_of(recording.sent, event))


def outcome_of(sent: Any, event: JSON) -> JSON:
    """What a replay compares: of the times, only the number of attempts."""
    return {"sent": sent, "event": {**event, "timing": event["timing"]["attempts"]}}


def difference(before: Any, now: Any, path: str = "") -> str:
    """Where two JSON values differ first, apart from what a capture masks, or ""."""
    if type(before) is type(now) is list and len(before) == len(now):
        before, now = dict(enumerate(before)), dict(enumerate(now))
    if type(before) is type(now) is dict and before.keys() == now.keys():
        for name in before:
            found = difference(before[name], now[name], f"{path}.{name}")
            if found:
                return found
        return ""
    one, other = dump_json(before), dump_json(now)
    is_masked = "****" in one and len(one) == len(other)
    if one == other or (is_masked and all(a in ("*", b) for a, b in zip(one, other))):
        return ""
    was, is_now = printable(one[:200], 60), printable(other[:200], 60)
    return f"{printable(path[1:])} was {was} and is {is_now}"


# ---------------------------------------------------------------------------
# Plugin loop: JSON lines in, JSON lines out
# ---------------------------------------------------------------------------


def manifest() -> JSON:
    """What the plugin is and can do, for `describe`, --manifest and manifest.json."""
    return {
        "name": NAME,
        "version": __version__,
        "protocol": 1,
        "kind": "provider",
        "executable": NAME + "-plugin",
        "activation": "lazy",
        "provider": {"models": list(MODELS)},
        "models": [
            {
                "id": model.id,
                "context_window": model.context_window,
                "max_output_tokens": model.max_output_tokens,
                "input": model.family.input,
                "thinking": "always" if model.family.always_thinks else "adaptive",
                "effort": list(EFFORTS) if model.family.has_effort else [],
                "prices": model.prices,
                "retired": model.retired,
            }
            for model in MODELS.values()
        ],
        "config": [
            {"name": name, "type": o.type, "default": o.default, "help": o.help}
            for name, o in OPTIONS.items()
        ],
        "capabilities": [
            *("streaming", "thinking", "tools", "images", "cancel", "concurrency")
        ],
    }


# --- the schema

# The fields of each line besides `type`; "?" marks those that may be absent.  Later
# versions may send more fields.  "line_error" is the `error` that belongs to no turn.
_HOST_LINES = {
    "turn": "messages " + " ".join(f"{name}?" for name in TURN_FIELDS),
    "cancel": "id",
    "ping": "id?",
    "describe": "id?",
}
_PLUGIN_LINES = {
    TURN_START: "id model message_id",
    BLOCK_START: "id index block",
    TEXT_DELTA: "id index text",
    THINKING_DELTA: "id index text",
    INPUT_DELTA: "id index json",
    BLOCK_END: "id index block incomplete? input_json?",
    TURN_END: "id stop_reason message model message_id usage cost_usd? request_id "
    "timing",
    ERROR: "id error model usage cost_usd? partial timing",
    RETRY: "id attempt max_attempts delay error",
    WARNING: "id code text",
    HEARTBEAT: "id",
    "line_error": "error line ref_id?",
    "pong": "id?",
    "manifest": "id? name version protocol kind executable activation provider models "
    "config capabilities",
}
# What fields hold if they are not strings, in JSON Schema, and what that refers to.  A
# host may also spell its fields in other ways, which JSON Schema cannot express.
_FIELDS = """{
"id": {"type": ["string", "integer"], "minLength": 1},
"id?": {"type": ["string", "integer", "null"], "minLength": 1},
"index": {"type": "integer", "minimum": 0}, "line": {"type": "integer"},
"attempt": {"type": "integer"}, "max_attempts": {"type": "integer"},
"http_status": {"type": "integer"}, "provider_code": {"type": "integer"},
"delay": {"type": "number"}, "retry_after": {"type": "number"},
"cost_usd": {"type": "number"}, "ref_id": {"type": ["string", "number", "boolean"]},
"retryable": {"type": "boolean"}, "incomplete": {"const": true}, "stream": {},
"model": {"type": ["string", "null"]}, "message_id": {"type": ["string", "null"]},
"request_id": {"type": ["string", "null"]}, "usage": {"type": ["object", "null"]},
"protocol": {"const": 1}, "provider": {"type": "object"}, "models": {"type": "array"},
"config": {"type": "array"}, "capabilities": {"type": "array"},
"block": {"type": "object", "required": ["type"]},
"message": {"$ref": "#/$defs/Message"}, "partial": {"$ref": "#/$defs/Message"},
"error": {"$ref": "#/$defs/ErrorObject"}, "system": {"$ref": "#/$defs/Content"},
"timing": {"type": "object", "required": ["first_event_ms", "total_ms", "attempts"]},
"messages": {"type": "array", "minItems": 1, "items": {"type": "object",
  "required": ["role"], "properties": {"content": {"$ref": "#/$defs/Content"},
    "role": {"enum": ["user", "assistant", "system", "developer"]}}}},
"tool_choice": {"anyOf": [{"enum": ["auto", "any", "none", "required", null, "", []]},
  {"type": "object", "required": ["type"]}]},
"thinking": {"anyOf": [{"type": ["boolean", "object"]}, {"enum": [null, "", []]}]},
"$defs": {
  "Content": {"type": ["string", "array", "null"], "items": {"$ref": "#/$defs/Block"}},
  "Message": {"type": ["object", "null"], "required": ["role", "content"],
    "properties": {"role": {"const": "assistant"}, "content": {
      "type": "array", "minItems": 1, "items": {"$ref": "#/$defs/Block"}}}}}
}"""


def _object(row: str, fields: JSON) -> JSON:
    """The shape of an object with the fields of `row`; `fields` has their shapes."""
    shapes: JSON = {}
    for name in row.split():
        plain = name.rstrip("?")
        shapes[plain] = fields.get(name) or fields.get(plain, {"type": "string"})
    required = [name for name in row.split() if name[-1] != "?"]
    return {"type": "object", "required": required, "properties": shapes}


def schema() -> JSON:
    """JSON Schema (draft 2020-12) of every line, in both directions."""
    fields = json.loads(_FIELDS)
    defs = fields.pop("$defs")
    error = "code message hint retryable retry_after? reset_at? http_status? "
    error += "provider_code? request_id?"
    own = {"code": {"enum": list(ERRORS)}, "message": {"type": "string"}}
    defs["ErrorObject"] = _object(error, {**fields, **own})
    needs = {"text": "text", "tool_use": "id name", "tool_result": "tool_use_id"}
    rules = [
        {"if": {"properties": {"type": {"const": kind}}}, "then": _object(row, {})}
        for kind, row in needs.items()
    ]
    defs["Block"] = {**_object("type", {}), "allOf": rules}
    fields["code"] = {"enum": list(WARNINGS)}
    for name, kind in TURN_FIELDS.items():  # null, "" and [] are as if absent
        shape = {"type": kind.replace("list", "array")}
        fields.setdefault(name, {"anyOf": [shape, {"enum": [None, "", []]}]})
    for side, lines in (("HostLine", _HOST_LINES), ("PluginLine", _PLUGIN_LINES)):
        names = [kind.title().replace("_", "") for kind in lines]
        defs[side] = {"oneOf": [{"$ref": f"#/$defs/{name}"} for name in names]}
        for name, (kind, row) in zip(names, lines.items()):
            fields["type"] = {"const": ERROR if kind == "line_error" else kind}
            defs[name] = _object(row if kind == "turn" else "type " + row, fields)
    defs["LineError"]["not"] = {"required": ["id"]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:{NAME}:1",
        "title": f"A line between a host and {NAME} {__version__}",
        "oneOf": [{"$ref": "#/$defs/HostLine"}, {"$ref": "#/$defs/PluginLine"}],
        "$defs": defs,
    }


# --- the loop


class PluginLoop:
    """Serve turns: requests come in as lines, and events go out as lines.

    `wait(seconds)` returns whether there is input after so long (None: for ever), or
    False at once if it cannot know; `read()` returns some bytes of input, b"" at its
    end; `write(data)` writes all of `data` or raises OSError; `run(request, scope)`
    yields the events of a turn in batches.  `limits` are settings:
    max_concurrent_turns, max_queued_turns, max_line_bytes.
    """

    def __init__(
        self,
        wait: Callable[[float | None], bool],
        read: Callable[[], bytes],
        write: Callable[[bytes], None],
        run: Callable[[JSON, Scope], Iterable[Batch]],
        limits: JSON,
    ) -> None:
        self._wait, self._read, self._write = wait, read, write
        self._run, self._limits = run, limits
        self._wire = threading.Lock()  # one batch of whole lines at a time
        self._state = threading.Condition()  # guards what follows
        self._scopes: dict[Any, Scope] = {}  # of the turns that have not ended, by id
        # Turns to which the host gave no id run one after another.  So they have their
        # own queue, False, and their own count.  Each queue is in order of arrival.
        self._queues: dict[bool, OrderedDict[Any, Queued]]
        self._queues = {True: OrderedDict(), False: OrderedDict()}
        self._running = {True: 0, False: 0}
        self._names = 0  # how many ids turn-1, turn-2, ... the plugin has assigned
        # Lines that are not written yet, and the ids of the turns that they end.
        self._answers: list[tuple[bytes, Any]] = []
        self._has_input = False  # the reader reads, or handles what it has read
        self._has_read_all = False
        self._is_stopped = False  # further turns are refused
        self.lost: OSError | None = None  # why nothing more can be written
        # What decides whether the only line failed.
        self._lines = 0  # that are not blank; it also numbers the turns
        self._has_id = False  # the last line had one
        self._has_failed = False  # something ended in an error

    # Life

    def serve(self) -> None:
        """Write what `_answer()` leaves, until all is done or the host is lost.

        Raises ProviderError if no thread can be started.
        """
        spawn(self._read_lines)
        while True:
            with self._state:
                while not (self._answers or self.lost or self._is_done()):
                    self._state.wait()
                answers = self._answers[:]
            if self.lost or not answers:
                return
            self._put(answers)
            with self._state:
                del self._answers[: len(answers)]  # not before: they were not done

    def stop(self) -> None:
        """Refuse further turns, and cancel all others."""
        self._is_stopped = True
        with self._state:
            names = list(self._scopes)
        for name in names:  # without the lock, which each turn needs to report its end
            self._cancel(name)
        self._wake()

    def lose(self, error: OSError) -> None:
        """Write nothing more, because of `error`."""
        with self._state:
            self.lost = self.lost or error
            self._state.notify()

    def _wake(self) -> None:
        """Let `serve()` find out whether all is done."""
        if self._is_stopped or self._has_read_all:
            with self._state:
                self._state.notify()

    def _is_done(self) -> bool:
        """Whether all is written, after the end of the input or `stop()`."""
        # Lines that came before `stop()` are answered, too.  A line that `wait()` does
        # not see any more has been read, and before that `_has_input` was set.
        if self._is_stopped and not self._has_read_all and self._wait(0):
            return False
        has_turns = self._scopes or any(self._running.values())
        is_busy = has_turns or self._answers or self._has_input
        return (self._is_stopped or self._has_read_all) and not is_busy

    @property
    def failed_alone(self) -> bool:
        """The input was one line, without an id, and it ended in an error."""
        has_failed = self._has_failed and not self._is_stopped
        return self._lines == 1 and not self._has_id and has_failed

    # Input

    def _read_lines(self) -> None:
        """Read to the end of the input, in a thread that waits for nothing else.

        It neither runs turns nor writes, so that a `cancel` is read at once, whatever
        the host does with stdout.
        """
        try:
            for number, line in enumerate(self._split(), 1):
                self._on_line(number, line)
        except Exception as error:
            our_error(error)
        self._has_read_all, self._has_input = True, False
        self._wake()

    def _take(self) -> bytes:
        """Some bytes of input, b"" at its end or once the host has gone."""
        self._has_input = False
        self._wake()
        self._has_input = self._wait(None)
        return b"" if self.lost else self._read()

    def _split(self) -> Iterator[bytes | None]:
        """The lines of the input; None for one that is too long for us or for memory.

        The pieces of a line are joined once, when it ends: the work is linear.
        """
        limit = self._limits["max_line_bytes"]
        pieces: list[bytes] = []
        size = 0
        while True:
            data = self._take()
            *ended, rest = (data or b"\n").split(b"\n")
            for piece in ended:
                size += len(piece)
                pieces.append(piece)
                try:
                    line = b"".join(pieces) if size <= limit else None
                except MemoryError:
                    line = None
                yield line
                pieces, size = [], 0
            if not data:
                return
            size += len(rest)
            pieces.append(rest)
            if size > limit:
                pieces.clear()

    def _on_line(self, number: int, line: bytes | None) -> None:
        """Handle a line, or answer it with an error that has no id."""
        name = None
        try:
            if line is not None and not line.strip(b" \t\r\n\xef\xbb\xbf"):
                return  # blank, or nothing but a byte order mark
            self._lines += 1
            message = self._parse(line)
            name = next((v for k, v in message.items() if fold(k) == "id"), None)
            self._has_id = name is not None
            self._dispatch(message)
        except Exception as error:
            fields = our_error(error).to_dict()
            event: JSON = {"type": ERROR, "error": fields, "line": number}
            if isinstance(name, (str, int, float)):
                event["ref_id"] = name
            self._answer(outgoing(event))

    def _parse(self, line: bytes | None) -> JSON:
        """The object in `line`.  Raises ProviderError with what is wrong with it."""
        if line is None:
            text = f"the line has over {self._limits['max_line_bytes']} bytes, or more "
            raise ProviderError("line_too_long", text + "than memory holds")
        try:
            message = load_json(line.decode("utf-8").lstrip("\ufeff"))
        except ValueError as error:
            text = f"the line is not JSON: {error}"
            raise ProviderError("invalid_json", text) from None
        if not isinstance(message, dict):
            raise ProviderError("invalid_request", "the line is not a JSON object")
        return message

    def _dispatch(self, message: JSON) -> None:
        """Handle `message`.  Raises ProviderError if it is unclear what it asks for."""
        fields, _ = fold_keys(message, ("type", "id"))
        kind, name = fields.get("type"), fields.get("id")
        if kind is None and any(fold(str(key)) == "messages" for key in message):
            kind = "turn"
        ref = {} if name is None else {"id": name}
        handlers: dict[Any, Callable[[], None]] = {
            "turn": lambda: self._on_turn(name, message),
            "cancel": lambda: self._cancel(name),
            "ping": lambda: self._answer({"type": "pong", **ref}),
            "describe": lambda: self._answer({"type": "manifest", **ref, **manifest()}),
        }
        if not isinstance(kind, str) or kind not in handlers:
            wrong_field("type", "must be one of " + ", ".join(handlers))
        is_text = isinstance(name, str) and name != "" and well_formed(name) == name
        is_absent = name is None and kind != "cancel"
        if not (is_absent or is_text or TYPES["integer"][0](name)):
            text = "must be a non-empty string of valid Unicode or an integer"
            wrong_field("id", text)
        handlers[kind]()

    # Turns

    def _on_turn(self, name: Any, request: JSON) -> None:
        """Accept a turn, or answer it with an error.

        A refused turn keeps its id, but not its request, until its end is written.
        """
        has_id = name is not None
        request = {k: v for k, v in request.items() if fold(k) != "id"}
        with self._state:
            if name in self._scopes:
                text = "the turn with this id has not ended yet"
                raise ProviderError("duplicate_id", text)
            while name is None or (not has_id and name in self._scopes):
                self._names += 1
                name = f"turn-{self._names}"
            self._scopes[name] = Scope()
            try:
                self._accept((self._lines, name, has_id, {"id": name, **request}))
            except ProviderError as error:
                self._end(name, error)

    def _accept(self, turn: Queued) -> None:
        """Start a turn or let it wait.  Raises ProviderError if neither is possible.

        If it may run, none of those that wait may: a turn that ends starts the next.
        """
        _, name, has_id, _ = turn
        waiting = sum(map(len, self._queues.values()))
        if self._is_stopped:
            raise ProviderError("shutting_down", "the process is shutting down")
        if self._may_run(has_id):
            spawn(self._serve, turn)
            self._running[has_id] += 1
        elif waiting < self._limits["max_queued_turns"]:
            self._queues[has_id][name] = turn
        else:
            running = sum(self._running.values())
            text = f"{running} turns run and {waiting} wait: the queue is full"
            raise ProviderError("busy", text)

    def _may_run(self, has_id: bool) -> bool:
        is_next = has_id or self._running[False] == 0
        limit = self._limits["max_concurrent_turns"]
        return is_next and sum(self._running.values()) < limit

    def _next_turn(self) -> Queued | None:
        """Take the turn that came first of those that wait and may run now."""
        ready = [q for has_id, q in self._queues.items() if q and self._may_run(has_id)]
        if not ready:
            return None
        turn = min(next(iter(queue.values())) for queue in ready)  # by number
        _, name, has_id, _ = turn
        del self._queues[has_id][name]
        self._running[has_id] += 1
        return turn

    def _serve(self, turn: Queued | None) -> None:
        """Run a turn and then, in the same thread, those that wait.

        So a turn that waits needs no new thread, which it might not be able to start.
        """
        while turn is not None:
            _, name, has_id, request = turn
            ended = None
            try:
                for batch in self._run(request, self._scopes[name]):
                    events = [{"id": name, **event} for event in batch]
                    lines = [dump_json(event).encode("ascii") for event in events]
                    # Of a large line there are no more copies than these two.
                    data, kind = b"\n".join([*lines, b""]), batch[-1]["type"]
                    ended = name if kind in TERMINAL else None
                    self._has_failed = self._has_failed or kind == ERROR
                    self._put([(data, ended)])
            except Exception as error:
                failure = our_error(error)
                if ended is None:
                    self._end(name, failure)
            with self._state:
                self._running[has_id] -= 1
                turn = self._next_turn()
            self._wake()

    def _cancel(self, name: Any) -> None:
        """End a turn: one that runs through its scope, one that waits at once."""
        with self._state:
            scope = self._scopes.get(name)
            queued = [queue.pop(name, None) for queue in self._queues.values()]
        if any(queued):
            self._end(name)
        elif scope is not None:
            scope.cancel()

    def _end(self, name: Any, error: ProviderError | None = None) -> None:
        """Answer a turn that has no last event: cancelled, or failed with `error`."""
        timing = {"first_event_ms": None, "total_ms": 0, "attempts": 0}
        event: JSON = {"id": name, "type": ERROR, "model": None, "usage": None}
        if error is None:
            nothing = dict.fromkeys(("message", "message_id", "request_id"))
            event.update(nothing, type=TURN_END, stop_reason=CANCELLED, timing=timing)
        else:
            event.update(error=error.to_dict(), partial=None, timing=timing)
        self._answer(event, name)

    # Output

    def _put(self, lines: list[tuple[bytes, Any]]) -> None:
        """Write whole lines; the ids of the turns that they end are free again.

        The id is free before the write: a host may use it as soon as it reads the end.
        """
        with self._wire:
            with self._state:
                for _, ended in lines:
                    self._scopes.pop(ended, None)
            try:
                if self.lost is None:
                    self._write(b"".join(data for data, _ in lines))
            except OSError as error:
                self.lose(error)

    def _answer(self, line: JSON, turn: Any = None, max_unread: int = 1000) -> None:
        """Leave `line` to the thread that writes, since the reader must never wait.

        `turn` is the id of the turn that it ends.  Other lines are dropped if too many
        wait, or a host that sends pings without reading would fill the memory.
        """
        self._has_failed = self._has_failed or line["type"] == ERROR
        data = dump_json(line).encode("ascii") + b"\n"
        with self._state:
            if turn is not None or len(self._answers) < max_unread:
                self._answers.append((data, turn))
                self._state.notify()


# ---------------------------------------------------------------------------
# Process: descriptors and signals
# ---------------------------------------------------------------------------

EXIT_OK, EXIT_ERROR, EXIT_USAGE, EXIT_FATAL = 0, 1, 2, 3
EXIT_INTERRUPTED, EXIT_CLOSED = 130, 141  # as shells report SIGINT and SIGPIPE


def read_fd(fd: int) -> bytes:
    """Some bytes of `fd`, b"" at its end.  (A thread parked in sys.stdin.buffer would
    abort the interpreter at its exit.)"""
    while True:
        try:
            return os.read(fd, 65536)
        except BlockingIOError:  # another process made it non-blocking
            is_ready(fd, True, None)
        except OSError as error:
            log(f"stdin cannot be read: {error.strerror}")
            return b""


def write_fd(fd: int, data: bytes) -> None:
    """Write all of `data` to `fd`; raises OSError."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            is_ready(fd, False, None)


def open_descriptors() -> None:
    """Open standard descriptors that are closed, on the null device.

    Otherwise a socket would get their numbers.  Raises OSError if stdout was closed.
    """
    fd, was_closed = -1, False
    while fd <= 2:
        fd = os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
        was_closed = was_closed or fd == 1
    os.close(fd)
    if was_closed:
        raise OSError("stdout is closed")


def ignore_warnings() -> None:
    """Show no Python warnings, whatever PYTHONWARNINGS says: it is not meant for us.

    requests warns about versions of urllib3 that it was not tested with.
    """
    sys.warnoptions[:] = ["ignore"]  # read when `warnings` is imported, if it is
    if "warnings" in sys.modules:
        sys.modules["warnings"].simplefilter("ignore")


def _set_process() -> None:
    """Tune a process that only serves turns."""
    import gc
    import signal

    # Next to nothing here is cyclic garbage, but by default collections interrupt the
    # import of requests, which makes 24,000 objects, and the first stream: a tenth of
    # the time to a first event.
    gc.set_threshold(50000, 20, 20)
    if hasattr(sys, "set_int_max_str_digits"):
        sys.set_int_max_str_digits(4300)  # whatever the environment says
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # an ignored one might never arrive
    if hasattr(signal, "pthread_sigmask") and hasattr(signal, "sigwait"):
        signals = [signal.SIGTERM, signal.SIGALRM]  # for sigwait() alone
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)  # also in later threads


def _obey_sigterm(loop: PluginLoop) -> None:
    """Stop at the first SIGTERM; exit at the second one, or a second later.

    It runs in its own thread, since the main thread may be stuck in a write.
    """
    import signal

    if hasattr(signal, "sigwait"):  # nothing sends it on Windows
        signals = [signal.SIGTERM, signal.SIGALRM]  # a host may have set an alarm
        signal.sigwait(signals)
        signal.alarm(1)  # time for the turns to report their end
        sys.setswitchinterval(0.05)  # of a thousand, each would interrupt all others
        loop.stop()
        signal.sigwait(signals)
        os._exit(EXIT_OK)


def _watch_host(loop: PluginLoop, wire: int) -> None:
    """Notice that the host closes its end of `wire` while nothing is written."""
    import select

    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(wire, 0)
        events: list[tuple[int, int]] = []
        while not (events or loop.lost):  # until another program has its stdout back
            events = poll.poll(500)
        if any(not event & select.POLLNVAL for _, event in events):
            loop.lose(BrokenPipeError())  # POLLNVAL: macOS cannot poll a device


def _process_limits(overrides: JSON) -> JSON:
    """The settings of PROCESS_OPTIONS, or their defaults if the file hangs or is wrong:
    each turn reads it again and reports that."""
    scope = Scope()
    scope.arm("files", 1.0)
    try:
        values: JSON = scope.call(
            lambda: load_settings(overrides=overrides, names=PROCESS_OPTIONS).values
        )
    except ProviderError:
        return default_values()
    return values


def run_plugin(overrides: JSON, owns_process: bool = True) -> int:
    """Serve the host on stdin and stdout; return the exit code of the process.

    `overrides` are settings that win over file and environment.  Another program that
    runs this keeps its signals, and gets its stdout back.  Raises OSError if stdout was
    closed.
    """
    import select

    open_descriptors()  # another program may have closed some
    wire = os.dup(1)  # for protocol lines only; other output goes to stderr
    os.dup2(2, 1)
    if owns_process:
        _set_process()
    loop = PluginLoop(
        wait=lambda seconds: hasattr(select, "poll") and is_ready(0, True, seconds),
        read=lambda: read_fd(0),
        write=lambda data: write_fd(wire, data),
        run=MiniMaxProvider.from_config(**overrides).batches,
        limits=_process_limits(overrides),
    )
    try:
        if owns_process:
            spawn(_obey_sigterm, loop)
        spawn(_watch_host, loop, wire)
        loop.serve()
        if loop.lost is None:
            return EXIT_ERROR if loop.failed_alone else EXIT_OK
        if isinstance(loop.lost, (BrokenPipeError, ConnectionResetError)):
            return EXIT_OK
        log(f"stdout cannot be written: {loop.lost.strerror}")
        return EXIT_FATAL
    except ProviderError as error:
        log(error.message)
        return EXIT_FATAL
    finally:
        if not owns_process:
            loop.lose(OSError("the other program goes on"))
            loop.stop()
            os.dup2(wire, 1)
            os.close(wire)


# ---------------------------------------------------------------------------
# Command line
# ---------------------------------------------------------------------------

# --- output

# stdout gets the answer: a text, a table, JSON.  stderr is for the person who watches:
# progress, warnings, errors, figures.  Both are written as the wire is, so that a pipe
# that is slow, closed or non-blocking, or a full disk, has the same effect.

OK, PROBLEM, SKIPPED = "ok", "problem", "skipped"  # with WARNING, statuses of `check`


def out(text: str, fd: int = 1) -> None:
    """Write `text` to stdout or stderr, as UTF-8 whatever the locale.

    A failure of stderr is ignored: it must not cost the answer.  If nobody reads stdout
    any more, or the disk is full, raises SystemExit with the exit code.
    """
    try:
        write_fd(fd, text.encode("utf-8", "backslashreplace"))
    except OSError as error:
        if fd == 1 and isinstance(error, BrokenPipeError):
            raise SystemExit(EXIT_CLOSED) from None
        if fd == 1:
            out(f"error: stdout cannot be written: {error.strerror}\n", 2)
            raise SystemExit(EXIT_FATAL) from None


def out_json(value: Any) -> int:
    out(json.dumps(value, indent=2) + "\n")
    return EXIT_OK


def is_screen(fd: int) -> bool:
    """Whether `fd` is a terminal that understands escape sequences."""
    return os.isatty(fd) and os.environ.get("TERM", "dumb") != "dumb"


def paint(text: str, style: str, fd: int = 1) -> str:
    """`text` in a colour, if `fd` shows colours and NO_COLOR is not set."""
    colors = {"bold": 1, "heading": 1, "dim": 2, "code": 36, "fence": 36}
    colors.update({PROBLEM: 31, OK: 32, WARNING: 33})
    if style not in colors or not is_screen(fd) or os.environ.get("NO_COLOR"):
        return text
    return f"\x1b[{colors[style]}m{text}\x1b[0m"


def width() -> int:
    """Columns to fill: longer rows are hard to read."""
    import shutil

    return max(min(shutil.get_terminal_size().columns, 80), 20)


def note(head: str, text: str, style: str = WARNING, fd: int = 2) -> None:
    """Write a paragraph that begins with `head`, wrapped by words."""
    import textwrap

    room = max(width() - len(head), 20)
    rows = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False)
    out(paint(head, style, fd) + ("\n" + " " * len(head)).join(rows) + "\n", fd)


def visible(text: str) -> str:
    """A model's text for a terminal, with all that cannot be seen escaped."""
    # Controls, directions, zero-width characters, variation selectors, tags: they could
    # control a terminal, reverse text, or hide.
    unseen = (
        r"[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u180e\u200b-\u200f\u2028-\u202e"
        r"\u2060-\u206f\ufe00-\ufe0e\ufeff\ufff9-\ufffb\U00013430-\U0001343f"
        r"\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
    )
    return re.sub(unseen, lambda m: ascii(m.group())[1:-1], text.replace("\r\n", "\n"))


def print_error(error: JSON, running: str = "say") -> None:
    """Print what happened, one thing to do, and the command that tells more.

    `error` is the object of the contract, without keys; `running` is the command that
    failed, which does not tell more.
    """
    code, text = error["code"], error["message"]
    if not text.endswith((".", "?")):
        text += "."
    if code != "config":  # there the message names the setting
        text = f"{code}: {text}"
    note("error: ", f"{text} {error['hint']}", PROBLEM)
    checked = "auth permission insufficient_balance not_found network timeout "
    checked += "stream_cut protocol"
    more = {"quota_exhausted": "quota", "model_unavailable": "models --live"}
    arguments = "check" if code in checked.split() else more.get(code, running)
    command = f"{MiniMaxProvider.command} {arguments}"
    if arguments.split()[0] != running and command not in error["hint"]:
        out(f"  To find out more: {command}\n", 2)  # in one row, so it can be copied


# --- demo

# A tool loop for people who have no key yet.  The installer ends with it.


def serve_demo(listener: Any) -> None:
    """Answer two requests as MiniMax does.

    The first gets a tool call, the second a text.  As MiniMax does, it refuses a tool's
    result if the call did not come back unchanged.
    """
    call: list[JSON] = [
        {"type": "thinking", "thinking": "I call the tool.", "signature": "9f2c" * 16},
        {"type": "text", "text": "Let me look that up."},
        {"type": "tool_use", "id": "1", "name": "weather", "input": {"city": "Lisbon"}},
    ]
    answer: list[JSON] = [{"type": "text", "text": "It is 21 C and sunny in Lisbon."}]

    def send(kind: str, **fields: Any) -> None:
        event = dump_json({"type": kind, **fields})
        file.write(f"data: {event}\n\n".encode("ascii"))
        file.flush()
        time.sleep(0.05)  # so that a person sees it stream

    for blocks, reason in ((call, "tool_use"), (answer, "end_turn")):
        with listener.accept()[0] as connection, connection.makefile("rwb") as file:
            head = b"".join(iter(file.readline, b"\r\n")).lower()
            size = int(head.partition(b"content-length:")[2].split()[0])
            history = json.loads(file.read(size))["messages"]
            is_intact = blocks is call or history[1]["content"] == call
            file.write(b"HTTP/1.1 %d -\r\n\r\n" % (200 if is_intact else 400))
            send("message_start", message={"id": "demo", "model": "MiniMax-M3"})
            for index, block in enumerate(blocks):
                # Texts and thinking have a field of that name; a call comes whole.
                kind = block["type"]
                pieces = re.findall(".{1,12}", block.get(kind, ""))
                opened = {**block, kind: ""} if pieces else block
                send("content_block_start", index=index, content_block=opened)
                for piece in pieces:
                    delta = {"type": kind + "_delta", kind: piece}
                    send("content_block_delta", index=index, delta=delta)
                send("content_block_stop", index=index)
            send("message_delta", delta={"stop_reason": reason})
            send("message_stop")


def demo_turn(lines: Any, answers: Any, turn: JSON) -> Any:
    """Show a turn of the plugin at the other end of two queues; return its message."""
    lines.put(dump_json(turn).encode("ascii") + b"\n")
    event: JSON = {"type": ""}
    while event["type"] not in TERMINAL:
        for event in map(load_json, answers.get().decode("ascii").splitlines()):
            if event["type"] == BLOCK_START:
                opened = event["block"]
                out(f"{opened.get('name') or opened['type']:<9} > ")
            elif event["type"] == BLOCK_END:
                out("\n")
            out(event.get("text") or event.get("json") or "")
    if event["type"] == ERROR:
        raise ProviderError(**event["error"])
    return event["message"]


def _demo(options: Any, _: MiniMaxProvider) -> int:
    """Run two turns against a built-in server.  Raises ProviderError if one fails.

    They go through the whole plugin, with two queues in place of stdin and stdout.
    """
    import socket
    from queue import Queue

    try:
        listener = socket.create_server(("127.0.0.1", 0))
    except OSError as error:
        text = f"The demo cannot listen on 127.0.0.1: {error.strerror}"
        raise ProviderError("config", text, "The other commands work.") from None
    spawn(serve_demo, listener)
    url = "http://127.0.0.1:{1}".format(*listener.getsockname())
    provider = MiniMaxProvider(api_key="sk-api-demo", base_url=url, max_retries=0)
    lines: Any = Queue()
    answers: Any = Queue()
    wire = (lines.get, answers.put, provider.batches, default_values())
    spawn(PluginLoop(lambda seconds: False, *wire).serve)
    out("No key and no network: a server on loopback speaks MiniMax's stream.\n\n")
    asked: Any = {
        "user": {"type": "text", "text": "What is the weather in Lisbon?"},
        "tool": {"type": "tool_result", "tool_use_id": "1", "content": "21 C, sunny"},
    }
    messages: list[JSON] = []
    for who, block in asked.items():
        out(f"{who:<9} > {block.get('text') or block['content']}\n")
        messages.append({"role": "user", "content": [block]})
        turn = {"id": who, "messages": messages, "tools": [{"name": "weather"}]}
        messages.append(demo_turn(lines, answers, turn))
    lines.put(b"")
    listener.close()
    out("\nIt works: 2 turns; thinking and the tool call came back unchanged.\n")
    return EXIT_OK


# --- say: how a turn looks


class Answer:
    """How a text looks: as it is, or with marks of light Markdown turned into colours.

    `feed(text)` returns what to print for a piece of the block, and `close()` what is
    left to print at its end.  Every style but a fence ends with its row, so a lone `**`
    does little harm.
    """

    # The end of a piece that waits for the next piece: it may be half a mark or a word.
    half = r"(?m)(?:^[^\S\n]*[-+#]*)?[*`]*\Z"
    tokens = (
        r"(?m)(?P<fence>^[^\S\n]*```)|(?P<heading>^#{1,6} )|(?P<list>^[^\S\n]*[-*+] )"
        r"|(?P<bold>\*\*)|(?P<code>`)|(?P<row>\n)|(?P<text>[^\n*`]+|\*)"
    )
    held = ""  # what waits
    column = 0  # where the next character goes; here 1 means any but the first
    style = ""  # the kind of token that began it

    def __init__(self, is_raw: bool) -> None:
        self.is_raw = is_raw

    def feed(self, text: str) -> str:
        text = self.held + text
        # Searching the whole text for an end takes quadratic time.
        self.held = re.findall(self.half, text[-99:])[0]
        return self.look(text[: len(text) - len(self.held)])

    def close(self) -> str:
        text = self.look(self.held)
        return text + "\n" if self.column else text

    def look(self, text: str) -> str:
        before = "x" if self.column else "\n"  # so that ^ matches where rows begin
        if text:
            self.column = 0 if text.endswith("\n") else 1
        if self.is_raw:
            return text
        return "".join(
            map(self.token, re.compile(self.tokens).finditer(before + text, 1))
        )

    def token(self, match: Any) -> str:
        """What to show for a token: for most marks nothing, but the style changes."""
        kind, text, style = match.lastgroup, match.group(), self.style
        if kind == "fence":
            self.style = "" if style == "fence" else "fence"
            return paint(text, "fence")
        if kind == "text" or style == "fence":
            return paint(text, style)
        if kind == "list":
            return re.sub("[-*+]", "\u2022", text)
        if kind == "row" or kind == style:
            self.style = ""
            return text if kind == "row" else ""
        follower = match.string[match.end() : match.end() + 1]
        if style or (kind == "bold" and not follower.strip()):  # a power: 2 ** 3
            return "" if style == "heading" else paint(text, style)
        self.style = kind
        return ""


class Thinking(Answer):
    """How thinking looks: wrapped by words, with a bar on every row, then a blank row.

    Chinese and Japanese may be broken anywhere; their characters take two columns.
    """

    half = r"[^\s\u2e80-\uffef]{0,30}\Z"
    words = r"\n|[^\S\n]+|[\u2e80-\uffef]|[^\s\u2e80-\uffef]{1,30}"

    def look(self, text: str) -> str:
        rows, columns = "", width()
        for word in re.findall(self.words, text):
            size = sum(2 if c >= "\u2e80" else 1 for c in word)
            if word == "\n" or (self.column and self.column + size >= columns):
                rows += "\n" if self.column else "|\n"
                self.column, word = 0, word.strip()
            if word:
                rows += word if self.column else "| " + word
                self.column = (self.column or 2) + size
        return paint(rows, "dim") if rows else ""

    def close(self) -> str:
        return super().close() + "\n"


class Screen:
    """A turn as a person reads it: the answer on stdout, the rest on stderr.

    A terminal also shows thinking and tool calls, with control characters escaped.  A
    pipe or a file gets the text as it is, and nothing else.
    """

    def __init__(self, options: Any) -> None:
        self.options, self.at_terminal = options, os.isatty(1)
        self.is_raw = options.raw or paint("", "bold") == ""  # which shows no colours
        # How deltas of a type look; those without a look are not shown.
        self.looks = {TEXT_DELTA: Answer}
        if self.at_terminal and not options.hide_thinking:
            self.looks[THINKING_DELTA] = Thinking
        self.block: Any = None  # the look of what is shown now
        self.began, self.first = time.monotonic(), 0.0  # first: when content came
        self.counter = ""  # the row of stderr that says how long we wait

    def show(self, event: JSON) -> None:
        """Show an event, or print its JSON."""
        kind = event["type"]
        if self.options.json:
            self.erase_counter()
            out(dump_json(event) + "\n")
            return
        if kind in (BLOCK_END, WARNING, RETRY, *TERMINAL):
            self.erase_counter()
            if self.at_terminal or kind != WARNING:  # which may come inside a text
                self.end_block()
        if kind in (TEXT_DELTA, THINKING_DELTA):
            self.write(kind, event["text"])
        elif kind == BLOCK_END and event["block"]["type"] == "tool_use":
            call = event["block"]
            text = event.get("input_json") or dump_json(call.get("input"))
            text = f"tool call: {call.get('name') or '(no name)'} {text}\n"
            out(visible(text), 1 if self.at_terminal else 2)
        elif kind == WARNING:
            note("warning: ", event["text"])
        elif kind == RETRY:
            text = "{error[code]}: {error[message]}; again in {delay:g} s "
            text += "(attempt {attempt} of {max_attempts})"
            note("retry: ", text.format(**event))
        elif kind == ERROR:
            print_error(event["error"])
        elif kind == TURN_END:
            self.conclude(event)

    def write(self, kind: str, text: str) -> None:
        """Show a piece of a block."""
        self.first = self.first or time.monotonic()
        look = self.looks.get(kind)
        if look is None:
            return self.count_seconds()
        self.erase_counter()
        if type(self.block) is not look:
            self.end_block()
            self.block = look(self.is_raw)
        out(self.block.feed(visible(text) if self.at_terminal else text))

    def end_block(self) -> None:
        if self.block is not None:
            out(self.block.close())
        self.block = None

    def count_seconds(self) -> None:
        """Show on a terminal's stderr how long a person waits, unless text appears."""
        text = f"\rwaiting {time.monotonic() - self.began:.0f} s\x1b[K"
        if self.block is None and text != self.counter and is_screen(2):
            out(paint(text, "dim", 2), 2)
            self.counter = text

    def erase_counter(self) -> None:
        if self.counter:
            out("\r\x1b[K", 2)
        self.counter = ""

    def conclude(self, event: JSON) -> None:
        """Write a note if the answer is incomplete, and the figures.

        Without -v or -q, the figures appear only if stderr is a terminal.
        """
        reason = event["stop_reason"]
        if reason == CANCELLED:
            if self.at_terminal:
                out("\n")  # it has echoed ^C
            note("note: ", "cancelled")
            return  # the counts so far would mislead
        if reason == "max_tokens":
            note("note: ", "the answer was cut at max_tokens: raise --max-tokens")
        elif reason == "refusal":
            note("note: ", "the model refused to answer")
        if self.options.verbose or (os.isatty(2) and not self.options.quiet):
            model = printable(event["model"] or "unknown model", 60)
            text = f"{model}: {'; '.join(self.figures(event))}"
            out(paint(text, "dim", 2) + "\n", 2)

    def figures(self, event: JSON) -> Iterator[str]:
        """Tokens, cost and speed, as far as they are known."""
        usage, tokens = event["usage"] or {}, {}
        for name, field in zip(("in", "cached", "written to cache", "out"), CHARGES):
            count = usage.get(field)
            if type(count) is int and 0 < count < 10**12:  # else it is nonsense
                tokens[name] = count
        texts = [f"{count:,} {name}" for name, count in tokens.items()]
        yield ", ".join(texts) or "token count unknown"
        if "cost_usd" in event:
            yield f"${event['cost_usd']:.6f}"
        if self.first:
            yield f"first token {self.first - self.began:.1f} s"
            seconds = time.monotonic() - self.first
            if seconds > 0.5 and "out" in tokens:  # else it came at once
                yield f"{tokens['out'] / seconds:.0f} tokens/s"


# --- say: a turn, or a conversation


def turn_in_thread(provider: MiniMaxProvider, turn: JSON, cancel: Any) -> Any:
    """Run a turn; return the queue of its events.  Its last item is None.

    Python handles Ctrl-C in the main thread only, and a Ctrl-C just before a wait for
    the network would go unnoticed until data comes.
    """
    from queue import SimpleQueue

    events: Any = SimpleQueue()

    def run() -> None:
        try:
            for event in provider.turn(turn, cancel):
                events.put(event)
        finally:
            events.put(None)  # the turn is over, and its capture is written

    spawn(run)
    return events


def say_turn(provider: MiniMaxProvider, turn: JSON, options: Any) -> JSON:
    """Run and show a turn, add it to the history file, and return its last event.

    The first Ctrl-C cancels the turn and keeps its text in the conversation; the second
    one ends the command.
    """
    from queue import Empty

    cancel, screen = threading.Event(), Screen(options)
    events = turn_in_thread(provider, turn, cancel)
    end: JSON = {"type": ERROR}
    is_over, gone = False, None
    while True:
        try:
            try:
                event = events.get(timeout=0.25)
            except Empty:
                screen.count_seconds()
                continue
            if event is None:
                break
            if is_over:
                continue
            failed = event["type"] == RETRY and event["error"]["code"] == "network"
            if failed and not options.json:
                event = {**event, "type": ERROR}  # a person need not wait for a retry
                cancel.set()
            if event["type"] in TERMINAL:
                end, is_over = event, True
            if gone is None:
                screen.show(event)
        except KeyboardInterrupt:
            if cancel.is_set():
                raise
            cancel.set()
        except SystemExit as error:  # nobody reads stdout
            if not options.history:
                raise
            gone = error  # but the answer, which is paid for, belongs in the file
    if options.history and end.get("message"):
        save_history(options.history, [*turn["messages"], end["message"]])
    if gone is not None:
        raise gone
    return end


def _say(options: Any, provider: MiniMaxProvider) -> int:
    """Send what the person gives, and show the answers."""
    ranges = {"max_tokens": (1, 10**7), "temperature": (0, 2), "top_p": (0, 1)}
    for name, (low, high) in ranges.items():
        value = getattr(options, name)
        if value is not None and not low <= value <= high:
            option = "--" + name.replace("_", "-")
            options.parser.error(f"{option} must be from {low:,} to {high:,}")
    # Report what is wrong before a person types.
    provider.settings()
    import_requests()
    names = ("system", "max_tokens", "thinking", "effort", "temperature", "top_p")
    turn: JSON = {name: getattr(options, name) for name in names}
    turn["model"] = model_named(options.model)
    first = first_content(options)
    if not first and not options.chat:
        text = "nothing to send: give a TEXT, pipe one in, or use --chat"
        options.parser.error(text)
    messages = load_history(options.history) if options.history else []
    end: JSON = {"type": TURN_END}
    for content in prompts(first) if options.chat else [first]:
        turn["messages"] = [*messages, {"role": "user", "content": content}]
        end = say_turn(provider, turn, options)
        if end.get("message"):  # a failed turn is dropped from the conversation
            messages = [*turn["messages"], end["message"]]
    if end.get("stop_reason") == CANCELLED and not options.chat:
        return EXIT_INTERRUPTED
    return EXIT_ERROR if end["type"] == ERROR else EXIT_OK


def first_content(options: Any) -> Any:
    """What the command line and stdin say: a text, or blocks with images."""
    texts = [" ".join(word for word in options.text if word != "-")]
    if not options.chat and ("-" in options.text or not os.isatty(0)):
        if not is_ready(0, True, 1.0):  # within a second
            out("reading stdin first (use </dev/null to skip it)\n", 2)
        data = b"".join(iter(lambda: read_fd(0), b""))
        texts.append(data.decode("utf-8", "replace").strip("\r\n"))
    text = "\n\n".join(text for text in texts if text.strip())
    images: list[JSON] = []
    for name in options.image or []:
        if re.match(r"(?i)https?://|data:", name):
            images.append({"type": "image", "url": name})
            continue
        try:
            images.append({"type": "image", "source": read_image_file(name)})
        except ValueError as error:
            reason = f"--image {printable(name, 200)}: {error}"
            hint = "Name another file, or a URL that begins with https://."
            raise ProviderError("config", reason, hint) from None
    return [*images, {"type": "text", "text": text}] if images else text


def model_named(name: str | None) -> str | None:
    """The id to send for `name`.  Raises ProviderError for a probable typo.

    An id that begins with MiniMax-, or resembles none, is sent as it is: servers know
    more models than this file does.
    """
    short = {"m3": "MiniMax-M3", "flash": "MiniMax-M3.1-Flash"}
    if not name or name.lower() in short:
        return short.get((name or "").lower())
    if canonical_model(name) in MODELS or re.match("MiniMax-|.*/", name):
        return name
    longer = [id for id in MODELS if fold(name) in fold(id)]
    near = min(longer, key=len, default="") or nearest(name, MODELS, 0.75)
    if not near:
        return name
    text = f'there is no model {printable(name, 60)}; did you mean "{near}"?'
    raise ProviderError("config", text, f"Use --model {near}.")


def load_history(path: str) -> list[JSON]:
    """The messages of a file that holds {"messages": [...]}, which is made if missing.

    Raises ProviderError if it cannot be read or written: better before tokens are spent
    than after.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        data, _ = read_file(path, 256 * MIB)
        if not data.strip():
            return []
        talk = parsed(data.decode("utf-8", "replace"))
        messages = talk.get("messages") if isinstance(talk, dict) else None
        if isinstance(messages, list):
            return messages
        reason = "it holds no conversation"
    except (OSError, ValueError) as error:
        reason = str(getattr(error, "strerror", error))
    text = f"--history {printable(path, 200)}: {reason}"
    raise ProviderError("config", text, "Name another file, or a new one.")


def save_history(path: str, messages: list[JSON]) -> None:
    """Write a conversation, in one step, to a file that only its owner can read.

    A disk that is full must not end the conversation.
    """
    from tempfile import mkstemp

    path, fresh = os.path.realpath(path), ""
    try:
        fd, fresh = mkstemp(dir=os.path.dirname(path), prefix=os.path.basename(path))
        with open(fd, "w", encoding="ascii") as file:
            json.dump({"messages": messages}, file, indent=1)
        os.replace(fresh, path)
    except OSError as error:
        if fresh:
            os.unlink(fresh)
        text = f"{printable(path, 200)} was not saved: {error.strerror}"
        note("warning: ", text)


def prompts(first: Any) -> Iterator[Any]:
    """Yield `first`, then what the person types, until they leave or stdin ends.

    Commands are answered here and cost nothing.
    """
    prepare_stdin()
    if os.isatty(0):
        out("/help lists the commands, /quit leaves.\n", 2)
    if first:
        yield first
    while True:
        try:
            text = read_text()
        except EOFError:
            if os.isatty(0):
                out("\n", 2)
            return
        except KeyboardInterrupt:
            if not os.isatty(0):
                raise
            out("\n", 2)
            continue
        # A block is never a command, and keeps its indentation.
        is_block = "\n" in text
        text = text.strip("\n").rstrip() if is_block else text.strip()
        command = "" if is_block else text
        if command in ("exit", "quit", "/exit", "/quit"):
            return
        if command == "/help":
            out("/help             show this list\n", 2)
            out("/quit, Ctrl-D     leave; so do /exit, exit and quit\n", 2)
            out("Ctrl-C            stop an answer, or clear the line\n", 2)
            out('"""               begin a text of several lines, or end it\n', 2)
        elif re.match(r"/\w+(\s|$)", command):
            word = command.split()[0]
            near = nearest(word, ("/help", "/quit", "/exit")) or "/help"
            text = f"there is no command {printable(command, 60)}"
            out(f'error: {text}; did you mean "{near}"?\n', 2)
        elif text:
            yield text


def read_text() -> str:
    """What the person types next: a line, or a block, which holds a line break.

    A block is pasted, or stands in triple quotes.  Raises EOFError at the end of stdin.
    """
    text = read_line("> ")
    if text.startswith('"""'):
        text = "\n" + text[3:]
        try:
            while not text.rstrip(" ").endswith('"""'):
                text += "\n" + read_line(". ")
        except EOFError:
            return text
        text = text.rstrip(" ")[:-3]
    return text


def read_line(prompt: str) -> str:
    """A line, which can be edited at a terminal, or a pasted block."""
    try:
        if os.isatty(0) and os.isatty(1):
            return input(prompt)
        if os.isatty(0):  # on stdout it would be part of the answer
            out(prompt, 2)
        return input()
    except (OSError, RuntimeError) as error:  # RuntimeError: closed at the start
        log(f"stdin cannot be read: {getattr(error, 'strerror', 'it is closed')}")
        raise EOFError from None


def prepare_stdin() -> None:
    """Let `input()` accept every letter, and a pasted block as one text.

    Without GNU readline, each pasted line is a turn of its own.
    """
    if hasattr(sys.stdin, "reconfigure"):
        sys.stdin.reconfigure(encoding="utf-8", errors="replace")
    try:
        import readline
    except ImportError:
        return
    settings = ["input-meta on", "output-meta on", "convert-meta off"]
    if is_screen(1):
        settings.append("enable-bracketed-paste on")
    for setting in settings:
        readline.parse_and_bind("set " + setting)


# --- models and quota


def show_row(head: str, text: str, style: str) -> None:
    """A row of a table of two columns; a narrow terminal gets one above the other."""
    if width() < 60:
        out(paint(head.rstrip(), style) + "\n")
        head = "  "
    note(head, text, style, 1)


def listed_models(provider: MiniMaxProvider, values: JSON) -> list[str]:
    """The ids that the endpoint lists for the key."""
    answer = provider.get(base_url_of(values) + MODELS_PATH + "?limit=100", values)
    rows = answer.get("data")
    rows = rows if isinstance(rows, list) else []
    ids = [row["id"] for row in rows if isinstance(row, dict) and "id" in row]
    return [printable(str(id), 100) for id in ids]


def _models(options: Any, provider: MiniMaxProvider) -> int:
    """Print the models with limits and prices; with --live, which ones are served."""
    listed = listed_models(provider, provider.settings()) if options.live else []
    others = [name for name in listed if name not in MODELS]
    models = manifest()["models"]
    table: list[Any] = []
    for row in models:
        name = row["id"]
        mark = row["status"] = MODELS[name].status
        if options.live:
            row["listed"] = name in listed
            mark = "listed" if row["listed"] else "not listed"
        sizes = f"{row['context_window']:,} {row['max_output_tokens']:>7,}"
        table.append((name, sizes, row["prices"], mark))
        row["prices_above"] = None
        if name in PRICES_ABOVE:
            threshold, prices = PRICES_ABOVE[name]
            row["prices_above"] = {"input_tokens": threshold, **prices}
            table.append((f"  above {threshold:,} in", "", prices, ""))
    if options.json:
        more = {"others": others} if options.live else {}
        return out_json({"models": models, **more})
    text = "model                    context  output  input output   read  write  "
    text += "live" if options.live else "status"
    out(paint(text, "bold") + "\n")
    for name, sizes, prices, mark in table:
        costs = ("-" if usd is None else f"{usd:.3f}" for usd in prices.values())
        text = "{:<22}{:>18}{:>7}{:>7}{:>7}{:>7}  {}".format(name, sizes, *costs, mark)
        out(text.rstrip() + "\n")
    for name in others:
        out(f"{name:<69} listed\n")
    text = "Prices are USD per million tokens; read and write are of the cache, and "
    text += "thinking is output. Context counts input and output together."
    out("\n")
    note("", text, "", 1)
    return EXIT_OK


def read_quota(provider: MiniMaxProvider, values: JSON) -> list[JSON]:
    """The windows of a plan.  A pay-as-you-go key has none, so nobody is asked."""
    from urllib.parse import urljoin

    if key_kind(values["api_key"]).name == PAYG_KEY:
        return []
    answer = provider.get(urljoin(base_url_of(values), QUOTA_PATH), values)
    data = answer.get("data")  # some servers put the rows there
    rows = (data if isinstance(data, dict) else answer).get("model_remains")
    rows = rows if isinstance(rows, list) else []
    return [w for row in rows if isinstance(row, dict) for w in quota_windows(row)]


def quota_windows(row: JSON) -> list[JSON]:
    """The windows of one row of the answer.

    Each is {model, window, percent_left, unlimited, included, resets_at (epoch
    seconds)}, with None for what is unknown.  What the answer counts is not documented,
    so people see the percentage only.
    """

    def number(key: str) -> float | None:
        """The number in a field, which may be a string, or None."""
        match = re.match(r"\d{1,13}(\.\d+)?$", str(row.get(key)), re.ASCII)
        return float(match.group()) if match else None

    ends = {"interval": "end_time", "weekly": "weekly_end_time"}
    fields = ("status", "remaining_percent", "total_count")
    # All of nothing, without a limit, in both windows: the model is not in the plan.
    facts = [number(f"current_{kind}_{field}") for kind in ends for field in fields]
    is_included = facts != [3, 100, 0] * 2
    windows: list[JSON] = []
    for kind, end in ends.items():
        field, moment = f"current_{kind}_remaining_percent", number(end)
        window = {
            "model": printable(str(row.get("model_name") or "all models"), 60),
            "window": "week" if kind == "weekly" else "5 hours",
            "percent_left": number(field) if is_included else None,
            "unlimited": is_included and number(f"current_{kind}_status") == 3,
            "included": is_included,
            "resets_at": moment / 1000 if moment else None,
        }
        if field in row:
            windows.append(window)
    return windows


def quota_text(window: JSON) -> tuple[str, str]:
    """The status of a window, how much of it is left, and when it resets."""
    left, moment = window["percent_left"], window["resets_at"]
    if not window["included"]:
        return OK, "not in your plan"
    status, text = OK, "unknown"
    if window["unlimited"]:
        text = "unlimited"
    elif left is not None:
        text = f"{left:g} % left"
        if left < 10:
            status = WARNING if left else PROBLEM
    if moment:
        text += time.strftime(", resets %Y-%m-%d %H:%M", time.localtime(moment))
        minutes = (moment - time.time()) / 60
        if minutes > 0:
            span = f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.0f} h"
            text += f" (in {span})"
    return status, text


def _quota(options: Any, provider: MiniMaxProvider) -> int:
    """Print what is left of a plan, with one row for each window."""
    values = provider.settings()
    key = key_kind(values["api_key"])
    windows = read_quota(provider, values)
    if options.json:
        return out_json({"key": key.name, "quota": windows})
    for window in windows:
        status, text = quota_text(window)
        show_row(f"{window['model']:<20} {window['window']:<8} ", text, status)
    if not windows:
        text = f"This key has no plan quota; your {key.name} spends {key.wallet}."
        note("", text, "", 1)
    return EXIT_OK


# --- check: all that can be found out without spending tokens

# A result is {"check", "status", "text", "remedy"}.  Settings also have "value" and
# "origin".  If the other region accepts the key, "settings" is {"region": name}, which
# install.sh stores.  No result contains the key: SECRETS masks texts that quote it.


class Checkup:
    """The checks: each adds results, and may leave something for the next one.

    A ProviderError that a check raises becomes a problem with its message and hint.
    """

    def __init__(self, provider: MiniMaxProvider) -> None:
        self.provider, self.settings = provider, provider.load()
        self.values, self.origins = self.settings.values, self.settings.origins
        self.base = base_url_of(self.values)
        self.host = host_of(self.base)
        self.key_kind = key_kind(self.values["api_key"])
        self.results: list[JSON] = []
        self.failed: set[str] = set()  # checks and settings that cannot be relied on
        self.listed: list[str] = []  # ids that the endpoint lists

    def add(
        self, status: str, name: str, text: str, hint: str = "", **more: Any
    ) -> None:
        row = {"check": name, "status": status, "text": text, "remedy": hint, **more}
        self.results.append(SECRETS.value(row))
        if status in (PROBLEM, SKIPPED):
            self.failed.add(name)

    def fail(self, name: str, error: ProviderError) -> None:
        self.add(PROBLEM, name, error.message, error.to_dict()["hint"], code=error.code)

    def run(self, is_offline: bool) -> None:
        """Do the checks in order."""
        self.step("requests", "", self.libraries)
        self.step("config", "", self.config)
        self.step("settings", "config", self.each_setting)
        if not is_offline:
            self.step("network", "requests config region base_url", self.network)
            self.step("key", "network api_key", self.key)
            self.step("plan", "key", self.plan)
        self.step("model used", "config model", self.model)

    def step(self, name: str, needs: str, check: Callable[[], object]) -> None:
        """Do a check, or skip it if one that it needs has failed."""
        missing = [need for need in needs.split() if need in self.failed]
        if missing:
            return self.add(SKIPPED, name, "needs " + ", ".join(missing))
        try:
            check()
        except ProviderError as error:
            self.fail(name, error)
        except Exception as error:  # the last resort
            text = f"{type(error).__name__}: {printable(str(error), 200)}"
            self.fail(name, ProviderError("internal", text))

    def remedy(self, name: str, value: str) -> str:
        """How to change a setting to `value`, in the place that sets it now."""
        origin = self.origins.get(name, self.settings.path)
        if origin == self.settings.path:
            return f'Set "{name}" to "{value}" in {origin}'
        return f"Set {origin} to {value} and restart the process"

    def libraries(self) -> None:
        import_requests()
        text = f"plugin {__version__}, Python {sys.version.split()[0]}"
        for name, version in library_versions().items():
            text += f", {name} {version}"
        text += f", interpreter {sys.executable}, file {os.path.abspath(__file__)}"
        self.add(OK, "versions", text)

    def config(self) -> None:
        path, modes = self.settings.path, self.settings.modes
        for name, error in self.settings.problems:
            self.fail(name or "config", error)
        if "config" not in self.failed:
            self.add(OK, "config", path if path in modes else f"{path} not found")
        file = self.origins.get("api_key", "")
        if os.name == "posix" and modes.get(file, 0) & 0o077:
            hint = f"Run chmod 600 {file}"
            self.add(WARNING, "config", f"others can read the key in {file}", hint)
        for name in unknown_settings(self.settings.file):
            text = f"unknown setting: {name}"
            self.add(WARNING, "config", text, f"Correct or remove it in {path}.")

    def each_setting(self) -> None:
        """Add a result for each setting that matters or is set, and one for the others.

        Where a setting comes from is half of what support asks.
        """
        defaults: JSON = {}
        for name, value in self.values.items():
            origin = self.origins.get(name, "default")
            if name in self.failed:
                continue
            if origin == self.settings.path:
                origin = "config file"
            elif self.settings.file.get(name) and name in self.origins:
                origin += ", which wins over the config file"
            if name == "api_key" and not value:
                self.fail(name, no_key(self.settings))
            elif name == "api_key":  # never a character of it
                text = f"{self.key_kind.name}, {len(value)} characters ({origin})"
                self.add(OK, name, text, origin=origin)
            elif name in self.origins or name in ("region", "model"):
                text = f"{json.dumps(value)} ({origin})"
                self.add(OK, name, text, value=value, origin=origin)
            else:
                defaults[name] = value
        self.add(OK, "defaults", key_values(defaults), values=defaults)

    def network(self) -> None:
        """Ask without the key: any HTTP answer shows that the network works, and a
        failure tells DNS, TCP and TLS apart."""
        began = time.monotonic()
        try:
            self.provider.get(self.base + MODELS_PATH, {**self.values, "api_key": ""})
        except ProviderError as error:
            status = error.details.get("http_status")
            if status == 407 or (not status and error.code != "protocol"):
                raise
        seconds = time.monotonic() - began
        how = "certificate verified" if self.base.startswith("https") else "plain http"
        self.add(OK, "network", f"{self.host} answered after {seconds:.1f} s, {how}")
        proxy = "in use" if proxy_of(self.base) else "none"
        names = ", ".join(routes())
        self.add(OK, "proxy", f"{proxy} (set: {names})" if names else proxy)

    def key(self) -> None:
        """List the models with the key, or look for the region that accepts it."""
        try:
            self.listed = listed_models(self.provider, self.values)
        except ProviderError as error:
            if error.code == "not_found" and self.host not in HOSTS:
                hint = "Try say: some servers list no models. Or correct base_url."
                return self.add(WARNING, "key", error.message, hint)
            # The key goes to the other region only if it was meant for MiniMax.
            if error.code == "auth" and self.host in HOSTS:
                return self.other_region(error)
            raise
        text = f"accepted by {self.host}, models listed: {len(self.listed)}"
        self.add(OK, "key", text)

    def other_region(self, error: ProviderError) -> None:
        """Find out whether the other region accepts a key that this one refused."""
        region = next(name for name in REGIONS if name != HOSTS[self.host])
        try:
            values = {**self.values, "base_url": "", "region": region}
            listed_models(self.provider, values)
        except ProviderError as other:
            if other.code == "auth":
                error.message = f"Neither region accepts this key: {error.message}"
            error.hint = f"Copy the key again to {self.origins['api_key']}."
            raise error from None
        hint = self.remedy("region", region)
        if "base_url" in self.origins:
            hint += ", and remove base_url"
        text = f"{error.message}; it works with region {region}"
        self.add(PROBLEM, "key", text, hint + ".", settings={"region": region})

    def plan(self) -> None:
        """Check what is left of the quota, for keys that may have one."""
        windows: list[JSON] = []
        try:
            windows = read_quota(self.provider, self.values)
        except ProviderError as error:
            if self.key_kind.name == PLAN_KEY:
                text = f"the quota cannot be read: {error.message}"
                hint = "Look at the page of your plan on MiniMax's platform."
                return self.add(WARNING, "plan", text, hint)
        self.add(OK, "plan", "found" if windows else f"spends {self.key_kind.wallet}")
        for window in windows:
            status, text = quota_text(window)
            text = f"{window['model']}, {window['window']}: {text}"
            hint = "" if status == OK else f"Wait for the reset, or use a {PAYG_KEY}."
            self.add(status, "quota", text, hint)

    def model(self) -> None:
        """Check that the default model exists, and that the endpoint lists it."""
        name = canonical_model(self.values["model"])
        facts, is_listed = MODELS.get(name), name in self.listed
        status, text = WARNING, f"{name} is not in the plugin's table of models"
        if facts and facts.retired:
            status = WARNING if is_listed else PROBLEM
            text = f"{name} was retired on {facts.retired}"
        elif self.listed and not is_listed:
            status = WARNING if facts else PROBLEM
            text = f"{self.host} does not list {name} for this key"
        elif facts or is_listed:
            status, text = OK, f"{name}: {facts.status if facts else 'listed'}"
        hint = self.remedy("model", CURRENT_MODELS[0])
        hint += f" (current: {', '.join(CURRENT_MODELS)})."
        self.add(status, "model used", text, "" if status == OK else hint)

    @staticmethod
    def show(result: JSON) -> None:
        """Print a result and what to do, with `~` for the home directory."""
        home = r"(?<!\S)" + re.escape(os.path.expanduser("~/"))  # not inside a path
        texts = (visible(result[name]) for name in ("text", "remedy"))
        text, hint = (re.sub(home, "~/", text) for text in texts)
        head = f"{result['status']:<9}{result['check']:<13} "
        show_row(head, text, result["status"])
        if hint:
            indent = 2 if width() < 60 else len(head)
            note(" " * indent + "-> ", hint, "bold", 1)


def _check(options: Any, provider: MiniMaxProvider) -> int:
    """Print problems, then warnings, then a summary; with -v, everything."""
    checkup = Checkup(provider)
    if is_screen(2):
        out("checking ...\r", 2)
    checkup.run(options.offline)
    if is_screen(2):
        out("\x1b[K", 2)
    shown = (PROBLEM, WARNING, OK, SKIPPED)
    rows = {name: [r for r in checkup.results if r["status"] == name] for name in shown}
    problems, warnings = len(rows[PROBLEM]), len(rows[WARNING])
    code = EXIT_ERROR if problems else EXIT_OK
    if options.json:
        counts = {"ok": not problems, PROBLEM: problems, WARNING: warnings}
        out_json({**counts, "checks": checkup.results})
        return code
    for name in shown if options.verbose else (PROBLEM, WARNING):
        for result in rows[name]:
            checkup.show(result)
    if problems or warnings:
        more = "" if options.verbose else "; check -v shows everything"
        text = f"problems: {problems}, warnings: {warnings}{more}"
    elif options.offline:
        text = "All is well, as far as can be checked offline."
    else:
        model = canonical_model(checkup.values["model"])
        text = f"All is well: {checkup.host} accepts the key, and the model is {model}."
    note("", text, "", 1)
    return code


# --- replay


def _replay(options: Any, provider: MiniMaxProvider) -> int:
    """Print the events of a captured turn, and whether its outcome is the same."""

    def show(seconds: float, event: JSON) -> None:
        if options.json:
            out(dump_json(event if name is None else {"id": name, **event}) + "\n")
            return
        facts = {field: value for field, value in event.items() if field != "type"}
        text = printable(dump_json(facts), 50)
        out(f"{seconds:9.3f}  {event['type']:<14} {text}\n")

    try:
        recording = read_capture(options.file)
        name = id_of(recording.request)
        unlike = replay(recording, show)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        note("error: ", printable(f"{options.file}: {reason}"), PROBLEM)
        return EXIT_USAGE
    verdict = f"different: {unlike}" if unlike else "same result as the recording"
    out(verdict + "\n", 2 if options.json else 1)
    return EXIT_ERROR if unlike else EXIT_OK


# --- the commands and their options


def program_name() -> str:
    """How to start this program again: by its name alone, if that is on PATH."""
    path = sys.argv[0]
    folder, name = os.path.split(path)
    if folder and folder in os.environ.get("PATH", "").split(os.pathsep):
        return name
    if not re.match(r"[\w@%+=:,./~-]+$", path):
        path = "'" + path.replace("'", "'\\''") + "'"
    return f"python3 {path}" if name.endswith(".py") else path


def make_parser(command: str) -> Any:
    """Make the parser for `command`; "" stands for the program as a whole."""
    import argparse

    start = MiniMaxProvider.command
    name = re.split("[/ ]", start)[-1].strip("'")
    if command:
        _, options, text = COMMANDS[command]
        usage, examples = f"{name} {command} {options}".rstrip(), ""
    else:
        usage = f"{name} COMMAND [options]"
        rows = [f"\n  {word:<8} {row[2]}" for word, row in COMMANDS.items()]
        text = "Serve MiniMax models to a Plexum gateway, and try them at a terminal."
        text += "\n\ncommands:" + "".join(rows)
        start = f"python3 {name}" if start.startswith("python3 ") else name
        examples = f"""\
examples:
  {start} say "Say hello in Portuguese."
  git diff | {start} say --thinking "Review this."
  {start} say --chat --history talk.json
"""
    parser: Any = argparse.ArgumentParser(name, usage, text, examples)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.allow_abbrev = False

    def refuse(text: str) -> NoReturn:
        note("error: ", SECRETS.text(text), PROBLEM)  # it quotes arguments
        out(parser.format_usage(), 2)
        raise SystemExit(EXIT_USAGE)

    parser.error = refuse
    parser.print_help = lambda: out(parser.format_help())
    parser.set_defaults(parser=parser, topic=None, capture_dir=None)
    add_options(command, parser)
    return parser


def add_options(command: str, parser: Any) -> None:
    """Add the options of `command`; "" stands for the program as a whole."""
    from argparse import SUPPRESS

    add, on = parser.add_argument, {"action": "store_true"}
    if command == "":
        text = "print it and exit; also --manifest, --schema"
        add("--version", action="version", version=f"{NAME} {__version__}", help=text)
    if command in ("say", "check", "models", "quota", "replay"):
        add("--json", **on, help="print JSON, for scripts")
    if command == "say":
        add("text", nargs="*", help=SUPPRESS)  # which the usage shows
        add("-m", "--model", metavar="M", help="its id, or m3 or flash for short")
        add("--system", metavar="TEXT", help="the system prompt")
        add("--max-tokens", type=int, metavar="N", help="limit of output tokens")
        add("--thinking", **on, default=None, help="let the model think first")
        off = {"action": "store_false", "dest": "thinking"}
        add("--no-thinking", **off, help="turn thinking off, if the model allows it")
        add("--effort", choices=EFFORTS, metavar="E", help=", ".join(EFFORTS))
        add("--temperature", type=float, metavar="T", help="randomness, from 0 to 2")
        add("--top-p", type=float, metavar="P", help="share of likely words, up to 1")
        add("--image", action="append", metavar="FILE", help="a picture: file or URL")
        add("--chat", **on, help="hold a conversation; /quit leaves")
        add("--history", metavar="FILE", help="continue the conversation in FILE")
        add("--hide-thinking", **on, help="do not show thinking")
        add("--raw", **on, help="show Markdown as it is")
        add("-q", "--quiet", **on, help="do not show tokens, cost and speed")
        add("-v", "--verbose", **on, help="always show them, even with -q")
    if command == "check":
        add("--offline", **on, help="do not ask MiniMax")
        add("-v", "--verbose", **on, help="show everything")
    if command == "models":
        add("--live", **on, help="mark the models that the endpoint lists")
    if command == "replay":
        add("file", metavar="FILE", help="a file that --capture wrote")
    if command == "help":
        add("topic", nargs="?", choices=["settings", *COMMANDS], help=SUPPRESS)
    if command in ("", "say"):  # the others run no turn that could be recorded
        text = "record each turn in DIR"
        add("--capture", dest="capture_dir", metavar="DIR", help=text)
    text = "what is logged to stderr: " + ", ".join(LEVELS)
    add("--log-level", choices=LEVELS, metavar="L", help=text)


def _help(options: Any, provider: MiniMaxProvider) -> int:
    """Print the settings, or the help of a command or of the program."""
    if options.topic != "settings":
        make_parser(options.topic or "").print_help()
        return EXIT_OK
    out(f"settings, in {config_path()}:\n\n")
    for name, option in OPTIONS.items():
        origin = f"; {option.env} wins over it" if option.env else ""
        text = f"{option.help} ({json.dumps(option.default)}{origin})"
        show_row(f"  {name:<22}", text, "")
    return EXIT_OK


# The function that runs a command and returns its exit code, its usage and its help.
COMMANDS: dict[str, tuple[Callable[[Any, MiniMaxProvider], int], str, str]] = {
    "say": (_say, "[options] [TEXT ...] [-]", "ask a model; --chat for a conversation"),
    "check": (_check, "[--offline] [-v] [--json]", "find out whether the setup works"),
    "models": (_models, "[--live] [--json]", "list the models with limits and prices"),
    "quota": (_quota, "[--json]", "show what is left of a plan"),
    "replay": (_replay, "[--json] FILE", "run a captured turn again, and compare"),
    "demo": (_demo, "", "stream two turns from a built-in server, no key"),
    "help": (_help, "[settings | COMMAND]", "help settings: list the settings"),
}


def parse(arguments: list[str]) -> tuple[str, Any]:
    """The command, "" if there is none, and its options.

    A wrong command line raises SystemExit.
    """
    for word in arguments:  # a key in the wrong place must not be quoted
        key = re.search(_KEY_IN, word)
        if key:
            SECRETS.add(word[key.start() :])
    command = arguments[0] if arguments and arguments[0][:1] != "-" else ""
    parser = make_parser(command if command in COMMANDS else "")
    if command and command not in COMMANDS:
        near = nearest(command, COMMANDS)
        more = f'; did you mean "{near}"?' if near else ""
        parser.error(f"there is no command {printable(command, 60)}{more}")
    options, rest = parser.parse_known_args(arguments[1:] if command else arguments)
    if not command and set(rest) & set(COMMANDS):
        parser.error("the command comes first, then its options")
    for word in rest:
        if word.startswith("-") and word != "-":
            name = printable(word.partition("=")[0], 60)
            near = nearest(name, parser._option_string_actions, 0.8)
            more = f'did you mean "{near}"?' if near else "--help lists the options"
            parser.error(f"there is no option {name}; {more}")
        if command != "say":
            parser.error(f"unexpected argument {printable(word, 60)}")
        options.text.append(word)  # argparse takes TEXT from one place only
    return command, options


def run_command(arguments: list[str], owns_process: bool) -> int:
    """Do what the command line asks for; return the exit code."""
    first = arguments[0] if arguments else ""  # these need no argparse
    if first == "--version":
        out(f"{NAME} {__version__}\n")
        return EXIT_OK
    if first in ("--manifest", "--schema"):
        return out_json(manifest() if first == "--manifest" else schema())
    if not arguments and not os.isatty(0):
        return run_plugin({}, owns_process)
    command, options = parse(arguments)
    # Settings that win over all others.
    chosen = {"capture_dir": options.capture_dir, "log_level": options.log_level}
    overrides = {name: value for name, value in chosen.items() if value}
    if not command and not os.isatty(0):
        return run_plugin(overrides, owns_process)
    command = command or "help"
    with MiniMaxProvider.from_config(**overrides) as provider:
        try:
            return COMMANDS[command][0](options, provider)
        except ProviderError as error:
            print_error(SECRETS.value(error.to_dict()), command)
            return EXIT_ERROR


def main(argv: list[str] | None = None) -> int:
    """Run the command line `argv` and return the exit code.

    Without `argv` it takes the process's own and ends the process.  With it, another
    program owns the process: its signals, warnings and descriptors stay as they are.
    """
    owns_process = argv is None
    try:
        if owns_process:
            MiniMaxProvider.command = program_name()
            open_descriptors()
            ignore_warnings()
            sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)
        code = run_command(sys.argv[1:] if argv is None else list(argv), owns_process)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else EXIT_OK
    except KeyboardInterrupt:
        if is_screen(1):
            out("\x1b[0m")  # it may have come in the middle of a colour
        code = EXIT_INTERRUPTED
    except OSError as error:
        log(str(error))
        code = EXIT_ERROR if error.filename else EXIT_FATAL
    if owns_process:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()  # before 3.9 it holds argparse's errors
            except (AttributeError, OSError, ValueError):
                pass  # AttributeError: it was closed at the start
        # Threads may hang in system calls, so nothing waits for them.  Skipping the
        # interpreter's shutdown also saves a tenth of the time of --version.
        os._exit(code)
    return code


if __name__ == "__main__":
    sys.exit(main())
