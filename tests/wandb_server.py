"""A local stand-in for the Weights & Biases server: it keeps runs as the installed client uploads them."""

import gzip
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HISTORY, SUMMARY = "wandb-history.jsonl", "wandb-summary.json"


@dataclass
class ServerRun:
    """A run on the server.

    Attributes:
        config: the run's configuration.
        files: lines of its files; a line is overwritten if a client uploads to its offset again.
        exit_code: None until a client has finished the run.
    """

    config: dict[str, Any] = field(default_factory=dict)
    files: dict[str, list[str]] = field(default_factory=dict)
    exit_code: int | None = None

    @property
    def history(self) -> list[dict[str, Any]]:
        """The rows in the order of the server, with their step as "_step"."""
        return [json.loads(line) for line in self.files.get(HISTORY, [])]

    @property
    def summary(self) -> dict[str, Any]:
        """The summary."""
        return json.loads(self.files.get(SUMMARY, ["{}"])[-1])


class Server(ThreadingHTTPServer):
    """The server. The client asks it for runs by GraphQL, and appends to their files.

    Attributes:
        runs: runs by id.
        changed: notified after every request.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.runs: dict[str, ServerRun] = {}
        self.changed = threading.Condition()

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Print nothing: a client may be killed in the middle of a request."""

    def answer(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        """Return the data that answer a GraphQL query; empty for what a run can do without."""
        operation = re.search(r"(?:query|mutation)\s+(\w+)", query)[1]
        name = variables.get("name")
        if operation == "Viewer":
            return {"viewer": {"id": "1", "entity": "team", "username": "user", "flags": "{}"}}
        if operation == "UpsertBucket":
            run = self.runs.setdefault(name, ServerRun())
            if variables.get("config"):
                run.config = json.loads(variables["config"])
            return {"upsertBucket": {"bucket": self._bucket(name), "inserted": True}}
        if operation == "RunResumeStatus":
            return {"model": {"id": "1", "name": "addax", "bucket": self._bucket(name)}}
        if operation == "CreateRunFiles":
            files = [{"name": file, "uploadUrl": f"{self.url}/upload"} for file in variables["files"]]
            return {"createRunFiles": {"runID": variables["run"], "uploadHeaders": [], "files": files}}
        return {}

    def _bucket(self, name: str) -> dict[str, Any] | None:
        run = self.runs.get(name)
        if run is None:
            return None
        history = run.files.get(HISTORY, [])
        return {
            "id": name,
            "name": name,
            "displayName": name,
            "historyLineCount": len(history),
            "eventsLineCount": 0,
            "logLineCount": 0,
            "historyTail": json.dumps(history[-1:]),
            "eventsTail": "[]",
            "summaryMetrics": json.dumps(run.summary),
            "config": json.dumps(run.config),
            "wandbConfig": json.dumps({"t": 1}),
            "project": {"id": "1", "name": "addax", "entity": {"id": "1", "name": "team"}},
        }

    def append(self, name: str, update: dict[str, Any]) -> None:
        """Write lines at their offsets in the files of a run."""
        run = self.runs[name]
        for file, part in update.get("files", {}).items():
            lines, offset = run.files.setdefault(file, []), part["offset"]
            assert offset <= len(lines), f"a gap in {file} of {name}"
            lines[offset : offset + len(part["content"])] = part["content"]
        if update.get("complete"):
            run.exit_code = update["exitcode"]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        answer = {}
        with self.server.changed:
            if self.path.endswith("/graphql"):
                request = json.loads(body)
                answer = {"data": self.server.answer(request["query"], request.get("variables") or {})}
            elif self.path.endswith("/file_stream"):
                self.server.append(self.path.split("/")[-2], json.loads(body))
            self.server.changed.notify_all()
        self._send(answer)

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._send({})

    do_GET = do_PUT

    def _send(self, answer: dict[str, Any]) -> None:
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextmanager
def serving() -> Iterator[Server]:
    """Run a server until the end of the block."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
