"""Tests of the options of the study of memory prediction."""

from benchmarks.cli import main


def test_an_unknown_model_is_one_clear_line_with_the_nearest_name(capsys):
    assert main(["study", "memory-validation", "--models", "opt 2 x 46"]) == 2
    message = capsys.readouterr().err
    assert "opt 2 x 46" in message
    assert "did you mean 'opt 2 x 64'" in message
