"""What can go wrong between the program and Azure, and how a run with it has to end.

The types of faults are those of docs/simulator.md, the exit codes those of docs/exit-codes.md.
"""

import dataclasses
from typing import Any

Json = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a run may end. An error publishes nothing, whatever its code."""

    same: bool = False
    codes: frozenset[int] = frozenset()
    # Fetched in parts: other bytes, but the same rows and totals.
    equal: bool = False
    # Nothing shows that data are wrong: published with other bytes.
    other: bool = False
    # Rows that cannot be typed: published without them, code 8.
    quarantine: bool = False
    # Azure has nothing: done, and nothing published.
    empty: bool = False
    # The month moves on: each metric is as it was before or as it is after that.
    moved: bool = False

    def __or__(self, more: "Outcome") -> "Outcome":
        return Outcome(
            self.same or more.same,
            self.codes | more.codes,
            self.equal or more.equal,
            self.other or more.other,
            self.quarantine or more.quarantine,
            self.empty or more.empty,
            self.moved or more.moved,
        )

    def __str__(self) -> str:
        words = [name for name in ("same", "equal", "other", "quarantine", "empty", "moved") if getattr(self, name)]
        words += [f"error {code}" for code in sorted(self.codes)]
        return " or ".join(words)


SAME = Outcome(same=True)
EQUAL = Outcome(same=True, equal=True)
QUARANTINE = Outcome(quarantine=True)
OTHER = Outcome(other=True, same=True, quarantine=True)
EMPTY = Outcome(empty=True)
MOVED = Outcome(same=True, moved=True)


def fails(*codes: int) -> Outcome:
    return Outcome(codes=frozenset(codes))


FAILED, ACCESS, BUSY, DATA, AGED = (fails(code) for code in (1, 3, 4, 5, 9))

# The kinds of requests. Two of them are polls: those of a report on its way, and those that bring its manifest.
TOKEN, SUBMIT, PENDING, MANIFEST, BLOB = "token", "submit", "pending", "manifest", "blob"
POLLS = (PENDING, MANIFEST)
AZURE = (SUBMIT, *POLLS)
WITH_JSON = (TOKEN, MANIFEST)
WITH_BODY = (TOKEN, MANIFEST, BLOB)
ALL = (TOKEN, *AZURE, BLOB)

# About how long the bodies are; of the blobs, the shortest.
BODY_BYTES = {TOKEN: 436, SUBMIT: 0, PENDING: 0, MANIFEST: 1038, BLOB: 80587}


@dataclasses.dataclass(frozen=True)
class Fault:
    """A fault, and how a run ends that it hits: by the kind of the request."""

    name: str
    action: Json
    expected: dict[str, Outcome]
    settings: dict[str, int | None] = dataclasses.field(default_factory=dict)
    # What happens to the requests right after that one.
    more: tuple[Json, ...] = ()
    # Hits every request of the kind, not one.
    forever: bool = False
    # Is played at every request of its kinds, not only at one of each.
    everywhere: bool = False


def each(kinds: tuple[str, ...] | str, outcome: Outcome) -> dict[str, Outcome]:
    return dict.fromkeys((kinds,) if isinstance(kinds, str) else kinds, outcome)


def label(action: Json) -> str:
    """A short name of an action."""
    values = [f"{name}={value if len(str(value)) < 50 else str(value)[:50] + '..'}" for name, value in action.items()]
    return " ".join(values).removeprefix("type=")


def fault(action: Json, expected: dict[str, Outcome], settings: Json | None = None, **more: Any) -> Fault:
    return Fault(label(action), action, expected, settings or {}, **more)


def reply(status: int, expected: dict[str, Outcome], **fields: Any) -> Fault:
    settings = fields.pop("settings", None)
    return fault({"type": "reply", "status": status, **fields}, expected, settings)


def table() -> list[Fault]:
    """All faults."""
    basic = [*connections(), *bodies(), *slowness(), *statuses(), *expiry(), *ranges(), *reports()]
    return [
        *(dataclasses.replace(one, everywhere=True) for one in basic),
        *vague_statuses(),
        *waits(),
        *redirects(),
        *addresses(),
        *manifests(),
        *json_bodies(),
        *packing(),
        *flips(),
        *forever(),
    ]


def connections() -> list[Fault]:
    """Whatever happens to one connection or one answer is mended by the next try."""
    actions: list[Json] = [
        {"type": "refuse", "milliseconds": 50},
        {"type": "refuse", "milliseconds": 150},
        {"type": "close"},
        {"type": "close", "effect": True},
        {"type": "reset"},
        {"type": "reset", "effect": True},
        {"type": "two_lengths"},
        {"type": "length_and_chunked"},
        {"type": "headers", "count": 5, "bytes": 1000},
        {"type": "headers", "count": 300, "bytes": 10},
        {"type": "headers", "count": 1, "bytes": 1_000_000},
        {"type": "close_after"},
        {"type": "html"},
        {"type": "html", "status": 503},
        {"type": "html", "status": 502, "effect": True},
        {"type": "surplus", "bytes": 10},
        {"type": "surplus", "bytes": 100_000},
        {"type": "close_delimited"},
        {"type": "chunked", "ends_well": True},
    ]
    return [fault(action, each(ALL, SAME)) for action in actions]


def bodies() -> list[Fault]:
    """Bodies that end early, where the framing shows it and where only the contents do."""
    found = []
    for kind in WITH_BODY:
        size = BODY_BYTES[kind]
        for count in (0, 1, size // 2, size - 1):
            found += [
                fault({"type": "reset", "after_bytes": count}, each(kind, SAME)),
                fault({"type": "truncate", "bytes": count}, each(kind, SAME)),
                fault({"type": "chunked", "bytes": count}, each(kind, SAME)),
            ]
        # A shorter blob is not what the manifest says. Nobody says whether a broken JSON text is asked for again.
        outcome = SAME if kind == BLOB else SAME | FAILED
        for count in (0, size // 2, size - 1):
            found += [
                fault({"type": "close_delimited", "bytes": count}, each(kind, outcome)),
                fault({"type": "chunked", "bytes": count, "ends_well": True}, each(kind, outcome)),
                fault({"type": "body", "bytes": count}, each(kind, outcome)),
            ]
    for kind in (SUBMIT, PENDING):
        found.append(fault({"type": "reset", "after_bytes": 0}, each(kind, SAME)))
    found.append(fault({"type": "surplus", "bytes": 10, "declared": True}, each(BLOB, SAME | DATA | FAILED)))
    found.append(fault({"type": "surplus", "bytes": 10, "declared": True}, each(WITH_JSON, SAME | FAILED)))
    return found


def slowness() -> list[Fault]:
    actions: list[Json] = [
        {"type": "stall", "milliseconds": 300},
        {"type": "stall", "milliseconds": 300, "effect": True},
        {"type": "stall", "milliseconds": 300, "after_bytes": 0},
        {"type": "stall", "milliseconds": 300, "after_bytes": 100},
    ]
    found = [fault(action, each(ALL, SAME)) for action in actions]
    # A blob would take minutes.
    found.append(fault({"type": "drip", "milliseconds": 1}, each((TOKEN, *AZURE), SAME)))
    return found


def statuses() -> list[Fault]:
    """A status that passes is tried again; one that says what is wrong ends the run."""
    found = []
    for status in (429, 500, 502, 503, 504, 408):
        found.append(reply(status, each(ALL, SAME)))
        found.append(reply(status, each(ALL, SAME), effect=True))
    found.append(reply(401, {TOKEN: ACCESS, **each(AZURE, SAME), BLOB: SAME | ACCESS}))
    found.append(reply(403, {TOKEN: ACCESS, **each(AZURE, ACCESS), BLOB: SAME | ACCESS}))
    # A report, link or blob that is gone is replaced.
    gone = {TOKEN: fails(1, 3), SUBMIT: fails(1, 3), **each(POLLS, SAME), BLOB: SAME}
    found += [reply(404, gone), reply(410, gone)]
    found.append(reply(412, {TOKEN: fails(1, 3), **each(AZURE, FAILED), BLOB: SAME}))
    found.append(reply(416, {TOKEN: fails(1, 3), **each(AZURE, FAILED), BLOB: SAME | FAILED}))
    for status in (400, 406, 409):
        found.append(reply(status, {TOKEN: fails(1, 3), **each((*AZURE, BLOB), FAILED)}))
    return found


def vague_statuses() -> list[Fault]:
    """Statuses of which nobody says what they mean: no crash, and no success without data."""
    found = []
    for status in (411, 413, 414, 415, 418, 422, 451):
        found.append(reply(status, {TOKEN: fails(1, 3), **each((*AZURE, BLOB), FAILED)}))
    vague = SAME | FAILED | BUSY
    for status in (201, 203, 204, 205, 206, 226, 299, 304, 305, 431, 501, 505, 507, 511, 520, 599):
        found.append(reply(status, {TOKEN: vague | ACCESS, **each((*AZURE, BLOB), vague | DATA)}))
    for status in (200, 202):
        found.append(reply(status, {TOKEN: vague | ACCESS, **each((*AZURE, BLOB), vague | DATA)}))
    return found


RETRY_HEADERS = [
    "Retry-After",
    "x-ms-ratelimit-microsoft.costmanagement-entity-retry-after",
    "x-ms-ratelimit-microsoft.costmanagement-tenant-retry-after",
    "x-ms-ratelimit-microsoft.costmanagement-qpu-retry-after",
    "x-ms-ratelimit-microsoft.costmanagement-client-retry-after",
    "x-ms-ratelimit-microsoft.costmanagement-clienttype-retry-after",
]

ENTITY, TENANT = RETRY_HEADERS[1], RETRY_HEADERS[2]


def waits() -> list[Fault]:
    """What a 429 or 503 may ask for. Short waits are kept, long ones end the run, nonsense is no wait."""
    found = []
    for header in RETRY_HEADERS:
        for kind in (SUBMIT, MANIFEST):
            found.append(reply(429, each(kind, SAME), headers={header: "1"}))
            found.append(reply(429, each(kind, BUSY), headers={header: "3600"}))
            found.append(reply(429, each(kind, SAME), headers={header: "soon"}))
    nonsense = ["0", "-1", "soon", "", "1.5", "1e0", "0x1", "+1", " 1 ", "1,1", "\u0661", "NaN", "inf"]
    nonsense += ["Sat, 01 Jan 2000 00:00:00 GMT", "{soon}", "Sat, 99 Foo 2026 00:00:00 GMT", "x" * 10_000]
    for value in nonsense:
        for status in (429, 503):
            found.append(reply(status, each(SUBMIT, SAME), headers={"Retry-After": value}))
        found.append(reply(429, each((TOKEN, PENDING, BLOB), SAME), headers={"Retry-After": value}))
    # Either nonsense or longer than a run may wait.
    long = {
        "1000000000": BUSY,
        "99999999999999999999": SAME | BUSY,
        "18446744073709551615": SAME | BUSY,
        "18446744073709551616": SAME | BUSY,
        "9" * 5000: SAME | BUSY,
        "3.5e9": SAME | BUSY,
        "Wed, 21 Oct 2093 07:28:00 GMT": BUSY,
        "Fri, 31 Dec 9999 23:59:59 GMT": BUSY,
        "Fri, 31 Dec 99999 23:59:59 GMT": SAME | BUSY,
    }
    for value, outcome in long.items():
        for status in (429, 503):
            found.append(reply(status, each(SUBMIT, outcome), headers={"Retry-After": value}))
        found.append(reply(429, each((TOKEN, MANIFEST, BLOB), outcome), headers={"Retry-After": value}))
    together: list[tuple[Json, Outcome]] = [
        ({"Retry-After": ["0", "1"]}, SAME),
        ({"Retry-After": ["1", "soon"]}, SAME),
        ({"Retry-After": ["0", "3600"]}, SAME | BUSY),
        ({ENTITY: "1", TENANT: "0"}, SAME),
        ({ENTITY: "0", TENANT: "3600"}, BUSY),
        ({ENTITY: "3600", TENANT: "0"}, BUSY),
        ({"Retry-After": "0", ENTITY: "3600"}, BUSY),
        ({"Retry-After": "3600", ENTITY: "0"}, BUSY),
        ({ENTITY: "soon", TENANT: "-1", "Retry-After": "1"}, SAME),
        ({header: "1" for header in RETRY_HEADERS}, SAME),
        ({header: "1000000000" for header in RETRY_HEADERS}, BUSY),
    ]
    for headers, outcome in together:
        found.append(reply(429, each((SUBMIT, PENDING), outcome), headers=headers))
        found.append(reply(503, each(MANIFEST, outcome), headers=headers))
    return found


def redirects() -> list[Fault]:
    """Redirects are refused, wherever they lead. Those on a poll are kept off the network too."""
    targets = ["http://{trap}/", "//{trap}/", "https://evil.example/", "file:///etc/passwd", "", "{origin}{path}"]
    found = []
    for status in (300, 301, 302, 303, 307, 308):
        for target in targets if status in (302, 307) else targets[:1]:
            expected = {TOKEN: fails(1, 3, 4), **each((*AZURE, BLOB), fails(1, 4))}
            found.append(reply(status, expected, headers={"Location": target}))
    return found


def expiry() -> list[Fault]:
    return [
        fault({"type": "expire_tokens"}, each(AZURE, SAME)),
        fault({"type": "expire_links"}, each((MANIFEST, BLOB), SAME)),
        fault({"type": "etag"}, each(BLOB, SAME)),
        fault({"type": "md5"}, each(BLOB, SAME)),
        fault({"type": "advance"}, each(ALL, MOVED)),
    ]


def ranges() -> list[Fault]:
    """A blob breaks off, and something is wrong with what should go on from there."""
    broken = {"type": "truncate", "bytes": 40_000}
    actions: list[Json] = [
        {"type": "ignore_range"},
        {"type": "wrong_range"},
        {"type": "wrong_range", "by": -1},
        {"type": "wrong_range", "by": 10_000},
        {"type": "wrong_range", "by": -40_000},
        {"type": "refuse_range"},
        {"type": "etag"},
        {"type": "expire_links"},
        {"type": "truncate", "bytes": 10_000},
        {"type": "reply", "status": 404},
        {"type": "reply", "status": 412},
        {"type": "reply", "status": 200, "body": "other"},
        {"type": "reply", "status": 206, "body": "other"},
        {"type": "gzip"},
        {"type": "surplus", "bytes": 10},
        {"type": "surplus", "bytes": 10, "declared": True},
    ]
    found = []
    for action in actions:
        name = f"cut, then {label(action)}"
        outcome = SAME | FAILED | DATA if action.get("body") or action.get("declared") else SAME
        found.append(Fault(name, broken, each(BLOB, outcome), more=(action,)))
    return found


def reports() -> list[Fault]:
    """Reports that fail, stay away or are others than asked for."""
    found = [fault({"type": "never_ready"}, each(MANIFEST, SAME))]
    for code in ("ServerTimeout", "GatewayTimeout", "InternalServerError", "ReportNotReady", "", "x" * 1000):
        found.append(fault({"type": "failed_report", "code": code}, each((SUBMIT, *POLLS), EQUAL)))
    message = "bad \u001b[31m request \r\n http://x/?sig=abc"
    found.append(fault({"type": "failed_report", "message": message}, each(MANIFEST, EQUAL)))
    found.append(fault({"type": "no_data_found"}, each(SUBMIT, DATA)))
    found.append(fault({"type": "complete_at_once"}, each(SUBMIT, SAME)))
    found.append(fault({"type": "swap"}, each(POLLS, SAME | FAILED | DATA)))
    # Running goes on, failure is asked for anew, and nobody knows what the others are.
    for value in ("Queued", "InProgress", "Running"):
        found.append(fault({"type": "status", "value": value}, each(MANIFEST, SAME)))
    for value in ("Failed", "TimedOut"):
        found.append(fault({"type": "status", "value": value}, each(MANIFEST, EQUAL)))
    vague = EQUAL | FAILED
    for value in ("Succeeded", "completed", "Complete", "Canceled", "NoDataFound", "Exploded", "", None, "\u001b[31m"):
        outcome = vague | DATA | EMPTY if value == "NoDataFound" else vague
        found.append(fault({"type": "status", "value": value}, each(MANIFEST, outcome)))
    return found


# Addresses that a report may have to be fetched from. Those of the trap are heard if they are believed.
HOSTILE = [
    "",
    " ",
    "http://{trap}{path}",
    "//{trap}{path}",
    "https://{trap}{path}",
    "http://{host}@{trap}{path}",
    "{origin}@{trap}{path}",
    "{origin}%2f@{trap}{path}",
    "{origin}\\@{trap}{path}",
    "{origin}#@{trap}{path}",
    "{origin}?@{trap}{path}",
    "http:\\\\{trap}{path}",
    "http:{trap}{path}",
    "http:/{trap}{path}",
    "ht\ttp://{trap}{path}",
    "http://user:{password}@{trap}{path}",
    "http://user:{password}@{host}{path}",
    "{origin}.evil.example{path}",
    "http://evil.example{path}",
    "https://{host}{path}",
    "ftp://{host}{path}",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "data:text/csv,Date%2CCost",
    "http://[::1]:{trap_port}{path}",
    "http://[::1",
    "http://[::ffff:127.0.0.1]:{trap_port}{path}",
    "http://2130706433:{trap_port}{path}",
    "http://0x7f.1:{trap_port}{path}",
    "http://127.1:{trap_port}{path}",
    "http://0:{trap_port}{path}",
    "http://localhost:{trap_port}{path}",
    "http://\uff11\uff12\uff17.0.0.1:{trap_port}{path}",
    "http://127\u30020\u30020\u30021:{trap_port}{path}",
    "http://169.254.169.254/metadata/instance",
    "http://{host}:99999{path}",
    "{origin}/../../../etc/passwd",
    "{origin}/providers/%2e%2e/%2e%2e/{path}",
    "{origin}{path}#fragment",
    "{origin}{path}&sig=another",
    "/etc/passwd",
    "?x",
    "../x",
    "null",
    "\u001b[31mred",
    "{origin}{path}" + "a" * 20_000,
]

# The right address, written otherwise.
KIND = ["HTTP://{host}{path}", "{origin}{path}", "  {origin}{path}"]


def addresses() -> list[Fault]:
    """Addresses from outside: followed where they are those of the configuration, else refused."""
    found = [
        fault({"type": "no_location"}, {SUBMIT: SAME | FAILED, PENDING: SAME}),
        fault({"type": "relative_location"}, {SUBMIT: SAME | FAILED, PENDING: SAME}),
    ]
    # An address of Azure's own that has no report: that report is gone.
    refused = SAME | FAILED | ACCESS | AGED
    for text in HOSTILE:
        if text.isprintable() and text.isascii() and text.strip():
            found.append(fault({"type": "location", "text": text}, each((SUBMIT, PENDING), refused)))
        found.append(blob_link(text, refused | DATA))
    for text in KIND[:2]:
        found.append(fault({"type": "location", "text": text}, each((SUBMIT, PENDING), SAME)))
    for text in KIND:
        found.append(blob_link(text, SAME if text in KIND[:2] else refused))
    return found


def blob_link(text: str, outcome: Outcome) -> Fault:
    text = text.replace("{origin}{path}", "{value}")
    action = {"type": "edit", "set": {"/manifest/blobs/0/blobLink": text}}
    return Fault(f"blobLink={text[:60]!r}", action, each(MANIFEST, outcome))


def manifests() -> list[Fault]:
    """Manifests that lie. What is asked for again and told the truth may end well."""
    lie = SAME | FAILED | DATA | AGED
    sets: list[tuple[str, Any]] = [
        *(("/manifest/blobCount", value) for value in (0, 1, 3, -1, 2.5, "2", None, 10**20)),
        *(("/manifest/byteCount", value) for value in (0, 1, -1, None, "x", 10**20, 161_846)),
        *(("/manifest/blobs/0/byteCount", value) for value in (0, 1, -1, None, "x", 1.5, 10**20, 80_586, 81_261)),
        *(("/manifest/blobs/1/byteCount", value) for value in (0, 10**15)),
        *(("/manifest/blobs/0/blobLink", value) for value in (None, 5, {}, ["x"])),
        *(("/manifest/blobs/0", value) for value in (None, {}, "x", 0)),
        *(("/manifest/blobs", value) for value in ([], None, {}, "x", [None])),
        *(("/manifest", value) for value in (None, {}, [], "x")),
        *(("/manifest/compressData", value) for value in (True, None, "x", 1)),
        *(("/manifest/dataFormat", value) for value in ("Parquet", "csv", None, 7)),
        *(("/manifest/manifestVersion", value) for value in ("1900-01-01", None, 7)),
        *(("/validTill", value) for value in ("2001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "soon", None, 7)),
        *(("/manifest/requestContext", value) for value in (None, {}, "x")),
        *(("/manifest/requestContext/requestScope", value) for value in ("providers/x", None)),
        *(("/manifest/requestContext/requestBody/metric", value) for value in METRICS),
        ("/manifest/requestContext/requestBody/timePeriod/start", "2025-04-01"),
        ("/manifest/requestContext/requestBody/timePeriod/end", "2025-05-30"),
        ("/manifest/requestContext/requestBody/timePeriod", None),
        ("/id", None),
        ("/name", "another"),
        ("/name", None),
        ("/status", 7),
        ("/status", ["Completed"]),
        ("/more", {"deep": [[[[1]]]]}),
    ]
    found = [fault({"type": "edit", "set": {pointer: value}}, each(MANIFEST, lie)) for pointer, value in sets]
    for pointer in ("/manifest", "/manifest/blobs", "/manifest/blobs/0", "/manifest/blobs/0/byteCount", "/validTill"):
        found.append(fault({"type": "edit", "remove": [pointer]}, each(MANIFEST, lie)))
    found.append(fault({"type": "edit", "remove": ["/manifest/blobs/0/blobLink"]}, each(MANIFEST, lie)))
    # The same blob twice, with and without the counts to match; and often.
    twice = {"from": "/manifest/blobs/0", "to": "/manifest/blobs/1"}
    again = {"from": "/manifest/blobs/0", "to": "/manifest/blobs/-"}
    found.append(fault({"type": "edit", "copy": [twice]}, each(MANIFEST, lie)))
    found.append(fault({"type": "edit", "copy": [again]}, each(MANIFEST, lie)))
    found.append(fault({"type": "edit", "copy": [again], "set": {"/manifest/blobCount": 3}}, each(MANIFEST, lie)))
    found.append(fault({"type": "edit", "copy": [{**again, "times": 20_000}]}, each(MANIFEST, lie)))
    link = {"from": "/manifest/blobs/0/blobLink", "to": "/manifest/blobs/1/blobLink"}
    found.append(fault({"type": "edit", "copy": [link]}, each(MANIFEST, lie)))
    for by in (1, 1000, 10**9):
        found.append(fault({"type": "overstate_bytes", "by": by}, each(MANIFEST, lie)))
    # What a token may say of itself.
    for pointer, values in TOKEN_LIES.items():
        for value in values:
            outcome = SAME if pointer == "/more" else SAME | FAILED | ACCESS
            found.append(fault({"type": "edit", "set": {pointer: value}}, each(TOKEN, outcome)))
    return found


# One of them is the right one.
METRICS = ("AmortizedCost", "ActualCost", "x", None)

TOKEN_LIES: dict[str, list[Any]] = {
    "/access_token": [None, "", "x", "a b", "a\r\nX-Evil: 1", "\u00fc", 7, "x" * 100_000],
    "/expires_in": [None, 0, 1, -1, 10**20, "3599", "soon", 1.5],
    "/token_type": [None, "", "bearer", "PoP", 7],
    "/more": ["x"],
}


def json_bodies() -> list[Fault]:
    """Answers that are no JSON, or more of it than anybody can use."""
    found = []
    broken: list[Json] = [
        {"raw": ""},
        {"raw": "{"},
        {"raw": "null"},
        {"raw": "[]"},
        {"raw": "{}"},
        {"raw": '"text"'},
        {"raw": "\u0000"},
        {"raw": "[", "repeat": 100_000},
        {"raw": '{"a":', "repeat": 100_000},
        {"raw": " ", "repeat": 30_000_000},
        {"raw": '{"access_token":"x","access_token":"y","status":"Completed","status":"Failed"}'},
        {"raw": "\ufeff", "keep": True},
        {"raw": " \r\n\t", "keep": True},
        {"raw": "x", "keep": True},
        {"raw": "{}", "keep": True},
    ]
    for fields in broken:
        harmless = fields.get("keep") and fields["raw"].isspace()
        outcome = SAME if harmless else EQUAL | FAILED | BUSY | ACCESS
        found.append(fault({"type": "body", **fields}, each(WITH_JSON, outcome)))
    for fields in ({"raw": ""}, {"raw": "x"}, {"raw": "x", "repeat": 200_000}, {"raw": "\ufeff", "keep": True}):
        found.append(fault({"type": "body", **fields}, each(BLOB, SAME | FAILED | DATA)))
    return found


def packing() -> list[Fault]:
    """Packed answers, announced or not, and packed blobs."""
    found = []
    variants = ("none", "whole", "cut", "bad_crc", "trailing", "two_members", "twice")
    for variant in variants:
        for encoding in (None, "gzip", "br", "identity", "deflate, gzip"):
            action: Json = {"type": "gzip", "variant": variant}
            if encoding is not None:
                action["encoding"] = encoding
            outcome = SAME | FAILED | BUSY | DATA
            found.append(fault(action, {**each(WITH_JSON, outcome | ACCESS), BLOB: outcome}))
    bomb: Json = {"type": "gzip", "variant": "bomb", "expanded_bytes": 2**27, "encoding": "gzip"}
    found.append(fault(bomb, each(WITH_BODY, SAME | FAILED | BUSY | DATA | ACCESS)))
    for flag in (True, False):
        for variant in ("none", *variants[1:], "bomb"):
            action = {"type": "compress", "variant": variant, "flag": flag}
            if variant == "bomb":
                action["expanded_bytes"] = 2**27
            found.append(fault(action, each((SUBMIT, MANIFEST), packed(variant, flag))))
    return found


def packed(variant: str, flag: bool) -> Outcome:
    """How a pull ends whose blobs are packed."""
    if variant in ("whole", "two_members") and flag:
        return SAME
    if variant == "none" and not flag:
        return SAME
    if variant == "bomb":
        # The zeros behind the last line are a row that cannot be typed.
        return QUARANTINE | FAILED | DATA
    return SAME | FAILED | DATA


def flips() -> list[Fault]:
    """A wrong bit, with and without something that shows it."""
    found = []
    for byte in (0, 1000, 40_000, 80_586):
        found.append(fault({"type": "flip", "byte": byte, "md5": True}, each(BLOB, SAME)))
        # Nothing shows it, unless the text is no valid row any more: then other bytes, quarantine, or an error.
        found.append(fault({"type": "flip", "byte": byte}, each(BLOB, OTHER | DATA | FAILED)))
    for byte in (0, 1, 20, 100, 300, 400):
        for md5 in (False, True):
            outcome = SAME | FAILED | ACCESS | DATA | AGED
            found.append(fault({"type": "flip", "byte": byte, "md5": md5}, each(WITH_JSON, outcome)))
    return found


def forever() -> list[Fault]:
    """Faults without end, each on one kind of request."""
    found = []
    lasting: list[Json] = [
        {"type": "close"},
        {"type": "reset"},
        {"type": "two_lengths"},
        {"type": "html"},
        *({"type": "reply", "status": status} for status in (408, 429, 500, 502, 503, 504)),
    ]
    routes = (TOKEN, SUBMIT, "poll", BLOB)
    for action in lasting:
        found += [endless(action, {route: BUSY}) for route in routes]
    found += [endless({"type": "close", "effect": True}, {route: BUSY}) for route in routes]
    found += [endless({"type": "truncate", "bytes": 10}, {route: BUSY | AGED}) for route in (TOKEN, BLOB)]
    found += [endless({"type": "truncate", "bytes": 0}, {BLOB: BUSY | AGED})]
    found += [endless({"type": "close_after"}, {route: SAME}) for route in routes]
    found += [endless({"type": "drip", "milliseconds": 1}, {route: SAME}) for route in routes[:3]]
    found += [endless({"type": "reply", "status": 401}, {route: ACCESS}) for route in routes[:3]]
    found += [endless({"type": "reply", "status": 403}, {route: ACCESS}) for route in routes[:3]]
    found += [endless({"type": "reply", "status": 403}, {BLOB: AGED | ACCESS})]
    found += [endless({"type": "reply", "status": 404}, {route: AGED}) for route in ("poll", BLOB)]
    found += [
        endless({"type": "never_ready"}, {"poll": BUSY}, {"report_seconds": 1}),
        endless({"type": "status", "value": "InProgress"}, {"poll": BUSY}, {"report_seconds": 1}),
        endless({"type": "status", "value": "Failed"}, {"poll": FAILED}),
        endless({"type": "failed_report"}, {"poll": FAILED}),
        endless({"type": "failed_report"}, {SUBMIT: FAILED}),
        endless({"type": "no_data_found"}, {SUBMIT: EMPTY}),
        endless({"type": "complete_at_once"}, {SUBMIT: SAME}),
        endless({"type": "expire_links"}, {"poll": AGED, BLOB: AGED}),
        endless({"type": "expire_tokens"}, {SUBMIT: ACCESS, "poll": ACCESS}),
        endless({"type": "etag"}, {BLOB: SAME}),
        endless({"type": "no_location"}, {SUBMIT: FAILED}),
        endless({"type": "no_location"}, {"poll": SAME}),
        endless({"type": "relative_location"}, {SUBMIT: SAME | FAILED}),
        endless({"type": "swap"}, {"poll": FAILED | DATA | AGED}),
        endless({"type": "overstate_bytes", "by": 1}, {"poll": FAILED | DATA | AGED}),
        endless({"type": "ignore_range"}, {BLOB: SAME}),
        endless({"type": "flip", "byte": 40_000, "md5": True}, {BLOB: FAILED | DATA | BUSY}),
        endless({"type": "compress", "variant": "whole"}, {SUBMIT: SAME}),
        endless({"type": "compress", "variant": "two_members"}, {SUBMIT: SAME}),
        endless({"type": "compress", "variant": "cut"}, {SUBMIT: FAILED | DATA}),
        endless({"type": "compress", "variant": "bad_crc"}, {SUBMIT: FAILED | DATA}),
    ]
    return found


def endless(action: Json, expected: dict[str, Outcome], settings: Json | None = None) -> Fault:
    """A fault that hits all requests of a route, which is named in place of the kind."""
    return Fault(label(action), action, expected, {"retry_attempts": 4, **(settings or {})}, forever=True)
