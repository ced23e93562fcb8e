"""A hub of models on the loopback: as much of its protocol as making a repository and committing to it takes."""

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import yaml

LARGE = ".safetensors"  # what .gitattributes of the hub sends to large-file storage
MODEL_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


@dataclass
class Repository:
    """Files by name, and the subject of each commit."""

    private: bool
    files: dict[str, bytes] = field(default_factory=lambda: {".gitattributes": b"*.safetensors filter=lfs\n"})
    commits: list[str] = field(default_factory=list)


class FakeHub(ThreadingHTTPServer):
    """The server as a context manager; repositories by name, all of the owner `us`."""

    daemon_threads = True

    def __init__(self, token: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.token = token
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.repositories: dict[str, Repository] = {}
        self.large: dict[str, bytes] = {}

    def __enter__(self) -> "FakeHub":
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: FakeHub

    def log_message(self, *_: Any) -> None:
        """Quiet."""

    def _reply(self, status: int, body: Any, **headers: str) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def _refuse(self, status: int, message: str, **headers: str) -> None:
        self._reply(status, {"error": message}, **{"X_Error_Message": message, **headers})

    def _known(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {self.server.token}"

    def do_GET(self) -> None:
        name = self.path.removeprefix("/api/models/")
        found = self.server.repositories.get(name)
        if not self._known() and (found is None or found.private):
            return self._refuse(401, "Invalid username or password.")
        if found is None:
            return self._refuse(404, "Repository not found", X_Error_Code="RepoNotFound")
        files = [{"rfilename": file} for file in found.files]
        return self._reply(200, {"id": name, "private": found.private, "sha": "0" * 40, "siblings": files})

    def do_PUT(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        oid = self.path.rpartition("/")[2]
        if hashlib.sha256(data).hexdigest() != oid:
            return self._refuse(400, "other content than its hash says")
        self.server.large[oid] = data
        return self._reply(200, {})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self._known():
            return self._refuse(401, "Invalid username or password.")
        if self.path == "/api/validate-yaml":
            base = yaml.safe_load(json.loads(body)["content"].split("---\n")[1]).get("base_model")
            wrong = base is not None and not MODEL_ID.fullmatch(base)
            message = '"base_model" with value "' + str(base) + '" is not valid'
            return self._reply(400 if wrong else 200, {"errors": [{"message": message}] if wrong else []})
        if self.path == "/api/repos/create":
            return self._create(json.loads(body))
        if self.path.endswith("/preupload/main"):
            files = [file["path"] for file in json.loads(body)["files"]]
            modes = {path: "lfs" if path.endswith(LARGE) else "regular" for path in files}
            return self._reply(
                200, {"files": [{"path": p, "uploadMode": m, "shouldIgnore": False} for p, m in modes.items()]}
            )
        if self.path.endswith("/objects/batch"):
            objects = json.loads(body)["objects"]
            actions = [
                {**each, "actions": {"upload": {"href": f"{self.server.url}/large/{each['oid']}"}}} for each in objects
            ]
            return self._reply(200, {"objects": actions})
        found = re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/main", self.path)
        return self._commit(found[1], body) if found else self._refuse(404, f"no such path: {self.path}")

    def _create(self, wanted: dict[str, Any]) -> None:
        owner = wanted["organization"] or "us"
        if owner != "us":
            return self._refuse(403, f'You don\'t have the rights to create a model under the namespace "{owner}"')
        name = f"{owner}/{wanted['name']}"
        if name in self.server.repositories:
            return self._refuse(409, "You already created this model repo")
        self.server.repositories[name] = Repository(private=wanted["visibility"] == "private")
        return self._reply(200, {"url": f"{self.server.url}/{name}"})

    def _commit(self, name: str, body: bytes) -> None:
        repository = self.server.repositories[name]
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "header":
                repository.commits.append(value["summary"])
            elif line["key"] == "file":
                repository.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                repository.files[value["path"]] = self.server.large[value["oid"]]
            elif line["key"] == "deletedFile":
                del repository.files[value["path"]]
        self._reply(200, {"commitUrl": f"{self.server.url}/{name}/commit/{'1' * 40}", "commitOid": "1" * 40})
