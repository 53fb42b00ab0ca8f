"""Tests of the parser: a mistake in an option gives a one-line error that suggests the intended option."""

import argparse

import pytest

from benchmarks.cli.parser import Parser, nearest_option
from benchmarks.errors import UserError


@pytest.fixture
def parser():
    """Build a parser with a setting, a repeatable option, and an option with choices."""
    parser = Parser(prog="demo")
    parser.add_argument("--lr", default=argparse.SUPPRESS, help="learning rate (no default)")
    parser.add_argument("--fo-batch-size", default=argparse.SUPPRESS, help="K1, examples in a batch")
    parser.add_argument("--only", nargs="+", action="extend", default=[])
    parser.add_argument("--kind", choices=("fast", "slow"))
    return parser


@pytest.mark.parametrize(
    ("option", "meant"),
    [
        ("--learning-rate", "--lr"),
        ("--fo_batch_size", "--fo-batch-size"),
        ("--fo-batchsize", "--fo-batch-size"),
        ("--olny", "--only"),
    ],
)
def test_an_unknown_option_suggests_the_closest_one(parser, option, meant):
    with pytest.raises(UserError, match=f"unknown option {option}: did you mean {meant}\\?"):
        parser.parse_args([option, "1"])


def test_an_unknown_option_without_a_close_match_refers_to_help(parser):
    with pytest.raises(UserError, match="unknown option --zzz: see demo --help"):
        parser.parse_args(["--zzz"])


def test_options_cannot_be_abbreviated(parser):
    with pytest.raises(UserError, match="unknown option --fo"):
        parser.parse_args(["--fo", "3"])


def test_a_setting_given_twice_is_an_error_and_other_options_may_repeat(parser):
    with pytest.raises(UserError, match="--lr is given twice"):
        parser.parse_args(["--lr", "1", "--lr=2"])
    assert parser.parse_args(["--only", "a", "--only", "b"]).only == ["a", "b"]
    assert parser.parse_args(["--kind", "fast", "--kind", "slow"]).kind == "slow"


def test_a_wrong_choice_suggests_the_right_one(parser):
    with pytest.raises(UserError, match="unknown --kind 'fsat': did you mean 'fast'"):
        parser.parse_args(["--kind", "fsat"])


def test_an_option_is_suggested_by_words_of_its_help_text():
    helps = {"--lr": "learning rate", "--schedule": "of the learning rate", "--seed": "seed of the noise"}
    assert nearest_option("--learning-rate", helps) == "--lr"
    assert nearest_option("--noise", helps) == "--seed"
    assert nearest_option("--qqq", helps) is None
