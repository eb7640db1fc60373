"""A registry in memory that has the referrers API, by the OCI distribution specification 1.1: what Debian's lacks."""

from __future__ import annotations

import json
import re
import threading
from typing import Any

from taskengine.registry import mediatype
from taskengine.registry.digest import digest_of
from tests.registry.fake import Asked, Fake, Say

_PATH = re.compile(r"/v2/(?P<name>.+?)/(?P<kind>blobs/uploads|blobs|manifests|referrers|tags)/(?P<place>[^/]*)")


class MemoryRegistry:
    """`page` is how many referrers an answer holds; `filters` whether the registry filters them itself."""

    def __init__(self, *, page: int = 100, filters: bool = True) -> None:
        self.page, self.filters = page, filters
        self.blobs: dict[tuple[str, str], bytes] = {}
        self.manifests: dict[tuple[str, str], tuple[str, bytes]] = {}
        self.tags: dict[tuple[str, str], str] = {}
        self._lock = threading.Lock()
        self.fake = Fake(self._answer)
        self.name = self.fake.name

    def close(self) -> None:
        self.fake.close()

    def _answer(self, asked: Asked) -> Say:
        if asked.path == "/v2/":
            return Say()
        match = _PATH.fullmatch(asked.path)
        if match is None:
            return Say.error(404, "NAME_UNKNOWN")
        method = {
            "blobs/uploads": self._upload,
            "blobs": self._blob,
            "manifests": self._manifest,
            "referrers": self._referrers,
            "tags": self._tags,
        }[match["kind"]]
        with self._lock:
            return method(asked, match["name"], match["place"])

    def _upload(self, asked: Asked, name: str, place: str) -> Say:
        if asked.method == "POST":
            return Say(status=202, headers={"Location": f"/v2/{name}/blobs/uploads/one"})
        digest = asked.query["digest"][0]
        if digest_of(asked.body) != digest:
            return Say.error(400, "DIGEST_INVALID")
        self.blobs[name, digest] = asked.body
        return Say(status=201, headers={"Location": f"/v2/{name}/blobs/{digest}"})

    def _blob(self, asked: Asked, name: str, place: str) -> Say:
        found = self.blobs.get((name, place))
        return Say(body=found) if found is not None else Say.error(404, "BLOB_UNKNOWN")

    def _manifest(self, asked: Asked, name: str, place: str) -> Say:
        if asked.method == "PUT":
            return self._put(asked, name, place)
        digest = self.tags.get((name, place), place)
        if (name, digest) not in self.manifests:
            return Say.error(404, "MANIFEST_UNKNOWN")
        if asked.method == "DELETE":
            del self.manifests[name, digest]
            self.tags = {key: value for key, value in self.tags.items() if value != digest}
            return Say(status=202)
        kind, raw = self.manifests[name, digest]
        return Say(body=raw, headers={"Content-Type": kind, "Docker-Content-Digest": digest})

    def _put(self, asked: Asked, name: str, place: str) -> Say:
        document = json.loads(asked.body)
        digest = digest_of(asked.body)
        parts = [document["config"], *document["layers"]] if "layers" in document else []
        if any((name, part["digest"]) not in self.blobs for part in parts):
            return Say.error(400, "MANIFEST_BLOB_UNKNOWN")
        self.manifests[name, digest] = (asked.headers["Content-Type"], asked.body)
        if not place.startswith("sha256:"):
            self.tags[name, place] = digest
        headers = {"Docker-Content-Digest": digest, "Location": f"/v2/{name}/manifests/{digest}"}
        if "subject" in document:
            headers["OCI-Subject"] = document["subject"]["digest"]
        return Say(status=201, headers=headers)

    def _referrers(self, asked: Asked, name: str, place: str) -> Say:
        listed = [
            self._described(digest, kind, raw)
            for (repository, digest), (kind, raw) in self.manifests.items()
            if repository == name and json.loads(raw).get("subject", {}).get("digest") == place
        ]
        headers = {"Content-Type": mediatype.OCI_INDEX}
        wanted = asked.query.get("artifactType")
        if wanted and self.filters:
            listed = [one for one in listed if one["artifactType"] in wanted]
            headers["OCI-Filters-Applied"] = "artifactType"
        start = int(asked.query.get("start", ["0"])[0])
        if start + self.page < len(listed):
            headers["Link"] = f'<{asked.path}?start={start + self.page}>; rel="next"'
        document = {
            "schemaVersion": 2, "mediaType": mediatype.OCI_INDEX, "manifests": listed[start : start + self.page],
        }  # fmt: skip
        return Say(body=json.dumps(document).encode(), headers=headers)

    def _described(self, digest: str, kind: str, raw: bytes) -> dict[str, Any]:
        document = json.loads(raw)
        described = {
            "mediaType": kind,
            "digest": digest,
            "size": len(raw),
            "artifactType": document.get("artifactType") or document["config"]["mediaType"],
        }
        if document.get("annotations"):
            described["annotations"] = document["annotations"]
        return described

    def _tags(self, asked: Asked, name: str, place: str) -> Say:
        return Say.json({"name": name, "tags": sorted(tag for repository, tag in self.tags if repository == name)})
