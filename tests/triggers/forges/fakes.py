"""Stand-ins for forges on loopback, which keep to the API that each of them documents: paths, logins, forms, statuses.

Must not know the code under test.
"""

from __future__ import annotations

import base64
import itertools
import json
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "tok-0123456789abcdefghij"
COMMIT = "a" * 40
Data = dict[str, Any]
Result = tuple[int, Any]


class Fake:
    """A forge with one repository, `octo/web`. `hooks` are what it keeps by number, `statuses` what it was told of
    commits, in order. `broken` answers instead, as often as it says."""

    declared = ""
    repository = "/octo/web.git"

    def __init__(self) -> None:
        self.hooks: dict[str, Data] = {}
        self.statuses: list[tuple[str, Data]] = []
        self.requests: list[tuple[str, str]] = []
        self.broken: list[tuple[int, Data, dict[str, str]]] = []
        self._numbers = itertools.count(101)
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer._handle(self)

            do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 - the standard library's names

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.root = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def url(self) -> str:
        return self.root + self.repository

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handle(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        path = request.path.partition("?")[0]
        with self._lock:
            self.requests.append((request.command, path))
            headers: dict[str, str] = {}
            if self.broken:
                status, data, headers = self.broken.pop(0)
            elif request.headers.get("Authorization") != self.login():
                status, data = 401, self.error("Bad credentials")
            else:
                status, data = self._route(request.command, request.path, json.loads(body) if body else {})
        answer = b"" if data is None else json.dumps(data).encode()
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(answer)))
        request.end_headers()
        request.wfile.write(answer)

    def _route(self, method: str, path: str, data: Data) -> Result:
        for pattern, handlers in self.routes().items():
            if found := re.fullmatch(pattern, path.partition("?")[0]):
                return handlers[method](data, *found.groups()) if method in handlers else (405, self.error("method"))
        return 404, self.error("Not Found")

    def new(self) -> str:
        return str(next(self._numbers))

    def login(self) -> str:
        return f"Bearer {TOKEN}"

    def error(self, words: str) -> Data:
        return {"message": words}

    def routes(self) -> dict[str, dict[str, Callable[..., Result]]]:
        raise NotImplementedError

    # what the tests ask of any of them

    def deliveries(self) -> list[tuple[str, str, list[str]]]:
        """Of each webhook: its address, its secret and its events, sorted."""
        raise NotImplementedError

    def told(self) -> list[str]:
        """The states that commits were told, in order."""
        return [str(data["state"]) for _, data in self.statuses]

    def link(self) -> str:
        """The last status's."""
        return str(self.statuses[-1][1]["target_url"])


class GitHubFake(Fake):
    declared = "Github"
    base = "/api/v3"
    states = frozenset({"error", "failure", "pending", "success"})

    def routes(self) -> dict[str, dict[str, Callable[..., Result]]]:
        repo = f"{self.base}/repos/octo/web"
        return {
            f"{repo}/hooks": {"GET": lambda _: (200, list(self.hooks.values())), "POST": self._make},
            rf"{repo}/hooks/(\d+)": {"PATCH": self._change, "DELETE": self._remove},
            rf"{repo}/statuses/([0-9a-f]+)": {"POST": self._status},
        }

    def _make(self, data: Data) -> Result:
        if any(one["config"]["url"] == data["config"]["url"] for one in self.hooks.values()):
            return 422, {"message": "Validation Failed", "errors": [{"message": "Hook already exists"}]}
        if data["name"] != "web" or not data["events"] or not data["config"]["secret"]:
            return 422, self.error("Validation Failed")
        number = self.new()
        self.hooks[number] = {"id": int(number), **data}
        return 201, self.hooks[number]

    def _change(self, data: Data, number: str) -> Result:
        if number not in self.hooks:
            return 404, self.error("Not Found")
        self.hooks[number] |= data
        return 200, self.hooks[number]

    def _remove(self, _: Data, number: str) -> Result:
        return (204, None) if self.hooks.pop(number, None) else (404, self.error("Not Found"))

    def _status(self, data: Data, commit: str) -> Result:
        if data["state"] not in self.states or len(data["description"]) > 140 or not data["context"]:
            return 422, self.error("Validation Failed")
        self.statuses.append((commit, data))
        return 201, {"id": 1, **data}

    def deliveries(self) -> list[tuple[str, str, list[str]]]:
        return [(h["config"]["url"], h["config"]["secret"], sorted(h["events"])) for h in self.hooks.values()]


class GiteaFake(GitHubFake):
    declared = "Gitea"
    base = "/api/v1"

    def login(self) -> str:
        return f"token {TOKEN}"

    def _make(self, data: Data) -> Result:  # Gitea keeps as many of one address as it is given
        if data["type"] != "gitea" or data["config"]["content_type"] != "json":
            return 422, self.error("invalid hook type")
        number = self.new()
        self.hooks[number] = {"id": int(number), **data}
        return 201, self.hooks[number]


class GitLabFake(Fake):
    declared = "GitLab"
    states = frozenset({"pending", "running", "success", "failed", "canceled"})

    def routes(self) -> dict[str, dict[str, Callable[..., Result]]]:
        project = "/api/v4/projects/octo%2Fweb"
        return {
            f"{project}/hooks": {
                "GET": lambda _: (200, [self._shown(h) for h in self.hooks.values()]),
                "POST": self._make,
            },
            rf"{project}/hooks/(\d+)": {"PUT": self._change, "DELETE": self._remove},
            rf"{project}/statuses/([0-9a-f]+)": {"POST": self._status},
        }

    def _shown(self, hook: Data) -> Data:
        return {name: value for name, value in hook.items() if name != "token"}

    def _make(self, data: Data) -> Result:
        number = self.new()
        self.hooks[number] = {"id": int(number), **data}
        return 201, self._shown(self.hooks[number])

    def _change(self, data: Data, number: str) -> Result:
        if number not in self.hooks:
            return 404, self.error("404 Not found")
        self.hooks[number] |= data
        return 200, self._shown(self.hooks[number])

    def _remove(self, _: Data, number: str) -> Result:
        return (204, None) if self.hooks.pop(number, None) else (404, self.error("404 Not found"))

    def _status(self, data: Data, commit: str) -> Result:
        before = [one["state"] for sha, one in self.statuses if sha == commit]
        if before and before[-1] == data["state"]:
            return 400, {"message": f"Cannot transition status via :enqueue from :{before[-1]}"}
        if data["state"] not in self.states:
            return 400, self.error("state does not have a valid value")
        self.statuses.append((commit, data))
        return 201, {"id": 1, **data}

    def deliveries(self) -> list[tuple[str, str, list[str]]]:
        kinds = ("push_events", "tag_push_events", "merge_requests_events")
        return [(h["url"], h["token"], sorted(kind for kind in kinds if h[kind])) for h in self.hooks.values()]


class BitbucketFake(Fake):
    """Cloud."""

    states = frozenset({"INPROGRESS", "SUCCESSFUL", "FAILED", "STOPPED"})

    def routes(self) -> dict[str, dict[str, Callable[..., Result]]]:
        repo = "/2.0/repositories/octo/web"
        return {
            f"{repo}/hooks": {"GET": lambda _: (200, {"values": list(self.hooks.values())}), "POST": self._make},
            rf"{repo}/hooks/(%7B\d+%7D)": {"PUT": self._change, "DELETE": self._remove},
            rf"{repo}/commit/([0-9a-f]+)/statuses/build": {"POST": self._status},
        }

    def error(self, words: str) -> Data:
        return {"type": "error", "error": {"message": words}}

    def _make(self, data: Data) -> Result:
        number = self.new()
        self.hooks[f"%7B{number}%7D"] = {"uuid": f"{{{number}}}", **data}
        return 201, {name: value for name, value in self.hooks[f"%7B{number}%7D"].items() if name != "secret"}

    def _change(self, data: Data, number: str) -> Result:
        if number not in self.hooks:
            return 404, self.error("not found")
        self.hooks[number] |= data
        return 200, self.hooks[number]

    def _remove(self, _: Data, number: str) -> Result:
        return (204, None) if self.hooks.pop(number, None) else (404, self.error("not found"))

    def _status(self, data: Data, commit: str) -> Result:
        if data["state"] not in self.states or len(data["key"]) > 40 or not data["url"].startswith("http"):
            return 400, self.error("bad request")
        self.statuses.append((commit, data))
        return 201, data

    def link(self) -> str:
        return str(self.statuses[-1][1]["url"])

    def deliveries(self) -> list[tuple[str, str, list[str]]]:
        return [(h["url"], h["secret"], sorted(h["events"])) for h in self.hooks.values()]


class BitbucketServerFake(BitbucketFake):
    """Data Center. An `old` one has no builds of a repository, but those of a commit."""

    declared = "Bitbucket"
    repository = "/scm/octo/web.git"
    states = frozenset({"INPROGRESS", "SUCCESSFUL", "FAILED", "CANCELLED", "UNKNOWN"})
    old = False

    def routes(self) -> dict[str, dict[str, Callable[..., Result]]]:
        repo = "/rest/api/1.0/projects/octo/repos/web"
        routes: dict[str, dict[str, Callable[..., Result]]] = {
            f"{repo}/webhooks": {"GET": lambda _: (200, {"values": list(self.hooks.values())}), "POST": self._make},
            rf"{repo}/webhooks/(\d+)": {"PUT": self._change, "DELETE": self._remove},
            r"/rest/build-status/1.0/commits/([0-9a-f]+)": {"POST": self._status},
        }
        if not self.old:
            routes[rf"{repo}/commits/([0-9a-f]+)/builds"] = {"POST": self._status}
        return routes

    def error(self, words: str) -> Data:
        return {"errors": [{"message": words}]}

    def _make(self, data: Data) -> Result:
        number = self.new()
        self.hooks[number] = {"id": int(number), **data}
        return 201, self.hooks[number]

    def _status(self, data: Data, commit: str) -> Result:
        return 204 if (done := super()._status(data, commit))[0] == 201 else done[0], None

    def deliveries(self) -> list[tuple[str, str, list[str]]]:
        return [(h["url"], h["configuration"]["secret"], sorted(h["events"])) for h in self.hooks.values()]


class AzureFake(Fake):
    declared = "AzureDevOps"
    repository = "/org/octo/_git/web"
    project, number = "6ce954b1-ce1f-45d1-b94d-e6bf2464ba2c", "278d5cd2-584d-4b63-824a-2ba458937249"

    def login(self) -> str:
        return "Basic " + base64.b64encode(f":{TOKEN}".encode()).decode()

    def routes(self) -> dict[str, dict[str, Callable[..., Result]]]:
        git = "/org/octo/_apis/git/repositories/web"
        return {
            "/org/_apis/hooks/subscriptions": {
                "GET": lambda _: (200, {"value": [self._shown(h) for h in self.hooks.values()]}), "POST": self._make,
            },
            r"/org/_apis/hooks/subscriptions/(\d+)": {"PUT": self._change, "DELETE": self._remove},
            git: {"GET": lambda _: (200, {"id": self.number, "project": {"id": self.project}})},
            rf"{git}/commits/([0-9a-f]+)/statuses": {"POST": self._status},
        }  # fmt: skip

    def _shown(self, hook: Data) -> Data:
        return hook | {"consumerInputs": hook["consumerInputs"] | {"basicAuthPassword": "********"}}

    def _make(self, data: Data) -> Result:
        inputs = data["publisherInputs"]
        if (inputs["projectId"], inputs["repository"]) != (self.project, self.number):
            return 400, self.error("the project is not known")
        number = self.new()
        self.hooks[number] = {"id": number, **data}
        return 200, self._shown(self.hooks[number])

    def _change(self, data: Data, number: str) -> Result:
        if number not in self.hooks:
            return 404, self.error("no such subscription")
        self.hooks[number] = data
        return 200, self._shown(data)

    def _remove(self, _: Data, number: str) -> Result:
        return (204, None) if self.hooks.pop(number, None) else (404, self.error("no such subscription"))

    def _status(self, data: Data, commit: str) -> Result:
        if data["state"] not in ("pending", "succeeded", "failed", "error", "notApplicable"):
            return 400, self.error("bad state")
        self.statuses.append((commit, data))
        return 201, data

    def link(self) -> str:
        return str(self.statuses[-1][1]["targetUrl"])

    def deliveries(self) -> list[tuple[str, str, list[str]]]:
        inputs = [(h["consumerInputs"], h["eventType"]) for h in self.hooks.values()]
        found = sorted({(one["url"], one["basicAuthPassword"]) for one, _ in inputs})
        return [(*one, sorted(kind for inp, kind in inputs if inp["url"] == one[0])) for one in found]


FAKES: dict[str, type[Fake]] = {
    "github": GitHubFake, "gitlab": GitLabFake, "gitea": GiteaFake, "bitbucket": BitbucketFake,
    "bitbucketserver": BitbucketServerFake, "azuredevops": AzureFake,
}  # fmt: skip
