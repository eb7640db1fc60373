"""The messages of BuildKit's wire that we speak: the fields that we read or write, by BuildKit's own numbers.

Text that comes from strangers (paths, vertex names, error texts) is declared as bytes: a name that is no UTF-8 must not
break the stream. Only modules that are loaded for a build import this one.
"""

from __future__ import annotations

from .codec import Field, message

Timestamp = message("Timestamp", {1: Field("seconds", "number"), 2: Field("nanos", "number")})

# moby.buildkit.v1.Control: here we are the client

CacheOptionsEntry = message(
    "CacheOptionsEntry",
    {
        1: Field("Type", "text"),
        2: Field("Attrs", "text", is_map=True),
    },
)
CacheOptions = message(
    "CacheOptions",
    {
        4: Field("Exports", CacheOptionsEntry, is_list=True),
        5: Field("Imports", CacheOptionsEntry, is_list=True),
    },
)
SolveRequest = message(
    "SolveRequest",
    {
        1: Field("Ref", "text"),
        3: Field("Exporter", "text"),
        4: Field("ExporterAttrs", "text", is_map=True),
        5: Field("Session", "text"),
        6: Field("Frontend", "text"),
        7: Field("FrontendAttrs", "text", is_map=True),
        8: Field("Cache", CacheOptions),
        9: Field("Entitlements", "text", is_list=True),
    },
)
SolveResponse = message("SolveResponse", {1: Field("ExporterResponse", "text", is_map=True)})
StatusRequest = message("StatusRequest", {1: Field("Ref", "text")})
Vertex = message(
    "Vertex",
    {
        1: Field("digest", "text"),
        2: Field("inputs", "text", is_list=True),
        3: Field("name", "bytes"),
        4: Field("cached", "truth"),
        5: Field("started", Timestamp),
        6: Field("completed", Timestamp),
        7: Field("error", "bytes"),
    },
)
VertexStatus = message(
    "VertexStatus",
    {
        1: Field("ID", "bytes"),
        2: Field("vertex", "text"),
        3: Field("name", "bytes"),
        4: Field("current", "number"),
        5: Field("total", "number"),
        6: Field("timestamp", Timestamp),
        7: Field("started", Timestamp),
        8: Field("completed", Timestamp),
    },
)
VertexLog = message(
    "VertexLog",
    {
        1: Field("vertex", "text"),
        2: Field("timestamp", Timestamp),
        3: Field("stream", "number"),
        4: Field("msg", "bytes"),
    },
)
StatusResponse = message(
    "StatusResponse",
    {
        1: Field("vertexes", Vertex, is_list=True),
        2: Field("statuses", VertexStatus, is_list=True),
        3: Field("logs", VertexLog, is_list=True),
    },
)
ListWorkersRequest = message("ListWorkersRequest", {1: Field("filter", "text", is_list=True)})
Platform = message(
    "Platform",
    {
        1: Field("Architecture", "text"),
        2: Field("OS", "text"),
        3: Field("Variant", "text"),
    },
)
WorkerRecord = message(
    "WorkerRecord",
    {
        1: Field("ID", "text"),
        2: Field("Labels", "text", is_map=True),
        3: Field("platforms", Platform, is_list=True),
    },
)
ListWorkersResponse = message("ListWorkersResponse", {1: Field("record", WorkerRecord, is_list=True)})

# the session: here the engine is the client

BytesMessage = message("BytesMessage", {1: Field("data", "bytes")})
CredentialsRequest = message("CredentialsRequest", {1: Field("Host", "text")})
CredentialsResponse = message(
    "CredentialsResponse",
    {
        1: Field("Username", "text"),
        2: Field("Secret", "text"),
    },
)
GetSecretRequest = message("GetSecretRequest", {1: Field("ID", "text")})
GetSecretResponse = message("GetSecretResponse", {1: Field("data", "bytes")})
CheckAgentRequest = message("CheckAgentRequest", {1: Field("ID", "text")})
CheckAgentResponse = message("CheckAgentResponse", {})
HealthRequest = message("HealthRequest", {1: Field("service", "text")})
HealthResponse = message("HealthResponse", {1: Field("status", "number")})
Stat = message(
    "Stat",
    {
        1: Field("path", "bytes"),
        2: Field("mode", "number"),
        3: Field("uid", "number"),
        4: Field("gid", "number"),
        5: Field("size", "number"),
        6: Field("modTime", "number"),
        7: Field("linkname", "bytes"),
        8: Field("devmajor", "number"),
        9: Field("devminor", "number"),
        10: Field("xattrs", "bytes", is_map=True),
    },
)
Packet = message(
    "Packet",
    {
        1: Field("type", "number"),
        2: Field("stat", Stat),
        3: Field("ID", "number"),
        4: Field("data", "bytes"),
    },
)

# what travels with an error: google.rpc.Status; its details hold JSON, whatever their type says

ErrorDetail = message(
    "ErrorDetail",
    {
        1: Field("type_url", "text"),
        2: Field("value", "bytes"),
    },
)
ErrorStatus = message(
    "ErrorStatus",
    {
        1: Field("code", "number"),
        2: Field("message", "bytes"),
        3: Field("details", ErrorDetail, is_list=True),
    },
)
