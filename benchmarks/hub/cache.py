"""The local cache of the hub: what it holds, found without a request."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.hub.names import COMMIT, Repo


def folder() -> Path:
    """Return the cache of huggingface_hub: $HF_HUB_CACHE, or $HF_HOME/hub."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def folder_of(repo: Repo) -> Path:
    """Return the folder of a repository in the cache."""
    from huggingface_hub.file_download import repo_folder_name

    return folder() / repo_folder_name(repo_id=repo.name, repo_type=repo.kind)


def commit_of(repo: Repo) -> str | None:
    """Return the commit for which the cache holds files of a revision; None if it holds none."""
    base, revision = folder_of(repo), repo.revision or "main"
    ref = base / "refs" / revision
    commit = ref.read_text().strip() if ref.is_file() else revision
    return commit if COMMIT.fullmatch(commit) and (base / "snapshots" / commit).is_dir() else None


def snapshot(repo: Repo, patterns: Sequence[str]) -> Path | None:
    """Return the folder with a revision's files; None if one that matches the patterns is missing.

    Args:
        repo: the repository. A branch or a tag stands for the commit that was downloaded last.
        patterns: patterns of files at the top level.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    commit = commit_of(repo)
    if commit is None:
        return None
    try:
        return Path(
            snapshot_download(
                repo.name, repo_type=repo.kind, revision=commit, local_files_only=True,
                allow_patterns=[*patterns], ignore_patterns=["*/*"],
            )
        )  # fmt: skip
    except LocalEntryNotFoundError:
        return None


def repositories(kind: str) -> list[str]:
    """Return the names of the repositories of a kind that have a folder in the cache."""
    prefix = f"{kind}s--"
    return [found.name.removeprefix(prefix).replace("--", "/") for found in folder().glob(f"{prefix}*")]
