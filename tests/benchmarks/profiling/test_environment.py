"""Tests of the provenance fields of a row."""

import torch

from benchmarks.profiling.environment import provenance_fields


def test_provenance_names_versions_hardware_and_commit():
    fields = provenance_fields()
    assert fields["versions"]["torch"] == torch.__version__
    assert fields["versions"]["addax"]
    assert fields["threads"] == torch.get_num_threads()
    assert "cores" in fields["hardware"] or torch.cuda.is_available()
    assert fields["git_commit"] is None or len(fields["git_commit"]) == 40


def test_without_git_the_commit_is_null(monkeypatch):
    provenance_fields.cache_clear()
    monkeypatch.setenv("PATH", "")
    fields = provenance_fields()
    provenance_fields.cache_clear()
    assert (fields["git_commit"], fields["git_dirty"]) == (None, None)
