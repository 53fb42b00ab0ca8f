"""A server on this machine that speaks the hub's protocol, for clients whose HF_ENDPOINT is its address.

It serves the requests with which huggingface_hub and datasets read repositories: information, file lists,
files with their headers, redirects of large files, and ranges. It offers no Xet storage. It can gate or hide
a repository, cut a connection after some bytes, and stop sending.
"""

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import PurePosixPath
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

# Files with these suffixes are in the hub's storage for large files.
LARGE = (".safetensors", ".bin", ".parquet")
TOKEN = "hf_of_the_tests"


@dataclass
class Repository:
    """A repository of the server.

    Attributes:
        commits: the files of each commit.
        refs: the commit of each branch and tag.
        gated: only listed accounts may read it, but everyone may see it.
        private: only listed accounts may see it.
        members: tokens of the listed accounts.
    """

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    gated: bool = False
    private: bool = False
    members: set[str] = field(default_factory=set)


class Request(NamedTuple):
    """A request that the server received."""

    method: str
    path: str
    range: str | None
    status: int


class Answer(Exception):
    """An error that the server answers with."""

    def __init__(self, status: int, code: str | None, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


class HubServer(ThreadingHTTPServer):
    """The server; `add` fills it, and its attributes cause faults.

    Attributes:
        repositories: by kind ("model" or "dataset") and name.
        requests: every request, in order.
        cut: name of a file -> bytes after which its connections end; each counts once per entry of the list.
        stalls: names of files, and "api", whose answers never come.
        status: answer every request with this HTTP status and with `message`; None for none.
        tokens_at_the_storage: tokens that clients sent to the storage, which is another host.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.blobs: dict[str, bytes] = {}
        self.requests: list[Request] = []
        self.cut: dict[str, list[int]] = {}
        self.stalls: set[str] = set()
        self.status: int | None = None
        self.message = "the server fails"
        self.tokens_at_the_storage: set[str] = set()
        self.stopped = threading.Event()

    @property
    def url(self) -> str:
        """The address for HF_ENDPOINT."""
        return f"http://127.0.0.1:{self.server_port}"

    def add(self, kind: str, name: str, files: Mapping[str, bytes], ref: str = "main") -> str:
        """Add a commit with the given files, let a branch or tag name it, and return it."""
        repo = self.repositories.setdefault((kind, name), Repository())
        content = {path: hashlib.sha256(data).hexdigest() for path, data in sorted(files.items())}
        commit = hashlib.sha1(f"{kind} {name} {len(repo.commits)} {content}".encode()).hexdigest()
        repo.commits[commit], repo.refs[ref] = dict(files), commit
        self.blobs |= {hashlib.sha256(data).hexdigest(): data for data in files.values()}
        return commit

    def paths(self, method: str = "GET") -> list[str]:
        """Return the paths of all requests with a method."""
        return [request.path for request in self.requests if request.method == method]

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore clients that close their connections."""


@contextmanager
def running() -> Iterator[HubServer]:
    """Run an empty server until the end of the context."""
    with HubServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.stopped.set()
            server.shutdown()
            thread.join()


class Handler(BaseHTTPRequestHandler):
    """Answers requests; see `HubServer`."""

    protocol_version = "HTTP/1.1"
    server: HubServer

    def log_message(self, *args: object) -> None:
        """Print nothing."""

    def do_HEAD(self) -> None:
        self._handle()

    def do_GET(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def _handle(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.form = parse_qs(self.rfile.read(length).decode())
        url = urlsplit(self.path)
        self.query = parse_qs(url.query)
        parts = [unquote(part) for part in url.path.strip("/").split("/")]
        try:
            if self.server.status is not None:
                raise Answer(self.server.status, None, self.server.message)
            if parts[0] == "api" and "api" in self.server.stalls:
                self.server.stopped.wait()
                return
            if parts[0] == "storage":
                self._stored(parts[1], parts[2])
            elif parts[0] == "api" and parts[1] in ("models", "datasets"):
                self._api(parts[1][:-1], "/".join(parts[2:4]), parts[4:])
            elif "resolve" in parts:
                at = parts.index("resolve")
                kind = "dataset" if parts[0] == "datasets" else "model"
                self._file(kind, "/".join(parts[at - 2 : at]), parts[at + 1], "/".join(parts[at + 2 :]))
            else:
                raise Answer(404, None, "no such page")
        except Answer as answer:
            headers = {"X-Error-Message": str(answer)}
            if answer.code is not None:
                headers["X-Error-Code"] = answer.code
            if (commit := getattr(answer, "commit", None)) is not None:
                headers["X-Repo-Commit"] = commit
            self._send(answer.status, json.dumps({"error": str(answer)}).encode(), headers)

    def _repo(self, kind: str, name: str, files: bool) -> Repository:
        """Return a repository that the client may see, or, with `files`, read."""
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None
        repo = self.server.repositories.get((kind, name))
        missing = Answer(401 if token is None else 404, "RepoNotFound", "Repository not found")
        if repo is None or (repo.private and token not in repo.members):
            raise missing
        if files and repo.gated and token not in repo.members:
            raise Answer(
                401 if token is None else 403, "GatedRepo", f"Access to {kind} {name} is restricted."
            )
        return repo

    def _commit(self, repo: Repository, revision: str) -> str:
        commit = repo.refs.get(revision, revision)
        if commit not in repo.commits:
            raise Answer(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commit

    def _api(self, kind: str, name: str, rest: list[str]) -> None:
        what = rest[0] if rest else "revision"
        repo = self._repo(kind, name, files=what != "revision")
        commit = self._commit(repo, rest[1] if len(rest) > 1 else "main")
        files = repo.commits[commit]
        if what == "revision":
            # With "blobs", the hub lists sizes and hashes, too.
            full = "blobs" in self.query
            found = {
                "_id": "0" * 24, "id": name, "sha": commit, "private": repo.private,
                "gated": "manual" if repo.gated else False, "disabled": False, "tags": [], "downloads": 0,
                "likes": 0, "siblings": [self._sibling(path, files[path], full) for path in sorted(files)],
            }  # fmt: skip
        elif what == "tree":
            found = self._tree(files, "/".join(rest[2:]), self.query.get("recursive") == ["true"])
        elif what == "paths-info":
            wanted = self.form.get("paths", [])
            found = [entry for entry in self._tree(files, "", True) if entry["path"] in wanted]
        else:
            raise Answer(404, None, "no such page")
        self._send(200, json.dumps(found).encode(), {"Content-Type": "application/json"})

    @staticmethod
    def _sibling(path: str, data: bytes, full: bool) -> dict:
        if not full:
            return {"rfilename": path}
        found = {"rfilename": path, "size": len(data), "blobId": _git_hash(data)}
        if path.endswith(LARGE):
            digest = hashlib.sha256(data).hexdigest()
            found["lfs"] = {"sha256": digest, "size": len(data), "pointerSize": 134}
        return found

    @staticmethod
    def _tree(files: Mapping[str, bytes], folder: str, recursive: bool) -> list[dict]:
        prefix = f"{folder}/" if folder else ""
        below = sorted(path for path in files if path.startswith(prefix))
        if not below:
            raise Answer(404, "EntryNotFound", f"{folder} does not exist")
        parents = {str(p) for path in below for p in PurePosixPath(path).parents if str(p) != "."}
        found = [
            {"type": "directory", "oid": hashlib.sha1(p.encode()).hexdigest(), "size": 0, "path": p}
            for p in sorted(parents)
            if p.startswith(prefix)
        ]
        for path in below:
            data = files[path]
            entry = {"type": "file", "oid": _git_hash(data), "size": len(data), "path": path}
            if path.endswith(LARGE):
                entry["lfs"] = {
                    "oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134,
                }  # fmt: skip
            found.append(entry)
        depth = prefix.count("/")
        return [entry for entry in found if recursive or entry["path"].count("/") == depth]

    def _file(self, kind: str, name: str, revision: str, path: str) -> None:
        repo = self._repo(kind, name, files=True)
        commit = self._commit(repo, revision)
        if path not in repo.commits[commit]:
            answer = Answer(404, "EntryNotFound", "Entry not found")
            answer.commit = commit
            raise answer
        data = repo.commits[commit][path]
        headers = {"X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if not path.endswith(LARGE):
            self._content(path, data, headers | {"ETag": f'"{_git_hash(data)}"'})
            return
        digest = hashlib.sha256(data).hexdigest()
        headers |= {"X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(len(data)), "ETag": f'"{digest}"'}
        # Another host, as on the hub, so the client does not send its token there.
        where = f"http://localhost:{self.server.server_port}/storage/{digest}/{path.rpartition('/')[2]}"
        self._send(302, b"", headers | {"Location": where})

    def _stored(self, digest: str, name: str) -> None:
        if token := self.headers.get("Authorization"):
            self.server.tokens_at_the_storage.add(token)
        self._content(name, self.server.blobs[digest], {"ETag": f'"{digest}"'})

    def _content(self, path: str, data: bytes, headers: Mapping[str, str]) -> None:
        first, asked, size = 0, self.headers.get("Range"), len(data)
        if asked is not None:
            first = int(asked.removeprefix("bytes=").split("-")[0])
            headers = {**headers, "Content-Range": f"bytes {first}-{size - 1}/{size}"}
        name = path.rpartition("/")[2]
        sent = data[first:]
        if name in self.server.stalls and self.command == "GET":
            self._send(206 if first else 200, sent, headers, only=len(sent) // 2)
            self.server.stopped.wait()
        elif self.server.cut.get(name) and self.command == "GET":
            self._send(206 if first else 200, sent, headers, only=self.server.cut[name].pop(0))
            self.close_connection = True
        else:
            self._send(206 if asked else 200, sent, headers)

    def _send(self, status: int, body: bytes, headers: Mapping[str, str], only: int | None = None) -> None:
        """Send an answer; with `only`, announce the whole body and send that many bytes of it."""
        self.server.requests.append(Request(self.command, self.path, self.headers.get("Range"), status))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:only])
            self.wfile.flush()


def _git_hash(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
