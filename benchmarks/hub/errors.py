"""Errors of the hub and of its client, each in one sentence that says what to do."""

import difflib
import errno
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from benchmarks.errors import UserError, first_line
from benchmarks.hub import cache
from benchmarks.hub.names import Repo

LOGIN = "log in with `hf auth login` or set HF_TOKEN"


@contextmanager
def in_one_sentence(repo: Repo, known: Iterable[str] = ()) -> Iterator[None]:
    """Turn every error about a repository into a `UserError`.

    Args:
        repo: the repository that is looked up, downloaded, or read.
        known: names of repositories, to suggest the closest one if there is no such repository.
    """
    try:
        yield
    except UserError:
        raise
    # The errors of the client share no base class. Damaged files can raise any exception.
    except Exception as error:
        raise UserError(sentence(error, repo, known)) from error


def sentence(error: BaseException, repo: Repo, known: Iterable[str] = ()) -> str:
    """Return what went wrong with a repository and what to do about it, in one line.

    The client hides the reason behind other errors, so the causes of the error count, too.
    """
    chain = [*_chain(error)]
    for describe in (_disk, _access, _offline, _connection, _answer):
        for link in chain:
            if (text := describe(link, repo, known)) is not None:
                return text
    return f"{repo.described} cannot be read from the hub: {first_line(error):.200}"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _kinds(error: BaseException) -> set[str]:
    # The HTTP client is httpx or httpx2, depending on the version of huggingface_hub.
    return {base.__name__ for base in type(error).__mro__}


def _page(repo: Repo) -> str:
    from huggingface_hub import constants

    return f"{constants.ENDPOINT}/{'datasets/' if repo.kind == 'dataset' else ''}{repo.name}"


def _local(repo: Repo) -> str:
    if repo.kind == "dataset":
        return "use --data builtin or --data DIR"
    return "use a built-in model or a local folder"


def _disk(error: BaseException, repo: Repo, known: Iterable[str]) -> str | None:
    full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
    if not full and "Not enough disk space" not in str(error):
        return None
    needed = getattr(error, "needed", None)
    size = "" if needed is None else f" (it needs {needed / 10**6:,.1f} MB more)"
    return (
        f"{repo.described}: the disk of {getattr(error, 'filename', None) or cache.folder()} is full{size}: "
        "free some space, or set HF_HOME to a folder on a larger disk, and run the same command again"
    )


def _access(error: BaseException, repo: Repo, known: Iterable[str]) -> str | None:
    from huggingface_hub import get_token
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    kind, token = repo.described.removesuffix(f" {repo}"), get_token() is not None
    if isinstance(error, GatedRepoError):
        if token:
            return (
                f"{repo.described} is gated, and your token has no access to it: request access at "
                f"{_page(repo)} with the token's account (a fine-grained token also needs the permission to "
                "read gated repositories)"
            )
        return f"{repo.described} is gated: request access at {_page(repo)}, then {LOGIN}"
    if isinstance(error, RevisionNotFoundError):
        return (
            f"{kind} {repo.name} has no revision {repo.revision or 'main'!r}: use a branch, a tag, or a "
            f"commit of {_page(repo)}"
        )
    if isinstance(error, RepositoryNotFoundError):
        names = {*known, *cache.repositories(repo.kind)} - {repo.name}
        closest = difflib.get_close_matches(repo.name, names, n=1, cutoff=0.7)
        hint = f"did you mean {closest[0]!r}?" if closest else "check the spelling of owner/name"
        private = "ask its owner for access with your token's account" if token else LOGIN
        return f"there is no {kind} {repo.name} at {_page(repo)}: {hint} (if it is private, {private})"
    if _status(error) == 401:
        return f"{repo.described}: the hub rejects your token: {LOGIN} with a valid token"
    if _status(error) == 403:
        return f"{repo.described}: your token has no permission to read {_page(repo)}: use another token"
    return None


def _offline(error: BaseException, repo: Repo, known: Iterable[str]) -> str | None:
    from huggingface_hub import constants

    if not (constants.is_offline_mode() and _kinds(error) & {"OfflineModeIsEnabled", "EntryNotFoundError"}):
        return None
    return (
        f"{repo.described} is not in the cache {cache.folder()}, and HF_HUB_OFFLINE is set: unset it, "
        f"download with `python -m benchmarks fetch` where there is a network, or {_local(repo)}"
    )


def _connection(error: BaseException, repo: Repo, known: Iterable[str]) -> str | None:
    from huggingface_hub import constants

    kinds = _kinds(error)
    again = "run the same command again; the download continues where it stopped"
    if kinds & {"ConnectError", "ConnectTimeout", "ProxyError", "UnsupportedProtocol", "InvalidURL"}:
        where = constants.ENDPOINT + (" (HF_ENDPOINT)" if os.environ.get("HF_ENDPOINT") else "")
        return f"{repo.described}: cannot connect to {where}: check the network, or {_local(repo)}"
    if "TimeoutException" in kinds:
        seconds = constants.HF_HUB_DOWNLOAD_TIMEOUT
        return (
            f"{repo.described}: {constants.ENDPOINT} sent nothing for {seconds} seconds: {again}, or set "
            "HF_HUB_DOWNLOAD_TIMEOUT to more seconds"
        )
    if kinds & {"NetworkError", "RemoteProtocolError"} or "Consistency check failed" in str(error):
        return f"{repo.described}: {constants.ENDPOINT} ended the connection: {again}"
    if "Damaged" in kinds:
        return f"{repo.described}: {error}; the file was removed: run the same command again"
    return None


def _answer(error: BaseException, repo: Repo, known: Iterable[str]) -> str | None:
    from huggingface_hub import constants

    status = _status(error)
    if status == 429 or (status is not None and status >= 500):
        remedy = f"wait a few minutes, or {LOGIN}" if status == 429 else "try again later"
        return f"{repo.described}: {constants.ENDPOINT} answers with HTTP status {status}: {remedy}"
    # Pages that are not a hub's have no such headers and are not JSON.
    foreign = status is not None or _kinds(error) & {"FileMetadataError", "JSONDecodeError"}
    if foreign and os.environ.get("HF_ENDPOINT"):
        return (
            f"{repo.described}: {constants.ENDPOINT} does not answer like a hub: correct or unset HF_ENDPOINT"
        )
    return None


def _status(error: BaseException) -> int | None:
    """Return the HTTP status of an error of the hub's client; None for any other error."""
    if "HTTPError" not in _kinds(error) or getattr(error, "response", None) is None:
        return None
    found = re.search(r"\d+", str(error.response.status_code))
    return int(found.group()) if found else None
