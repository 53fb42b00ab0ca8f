"""The difficulty of the built-in tasks: how each task uses familiar and unfamiliar words."""

from benchmarks.tasks._usage import Usage

_STORY = Usage(familiar=0.35, familiar_order=0.8, new=(0, 4), skew=1.0)
BOOLQ = CB = MULTIRC = RECORD = RTE = SQUAD = WIC = _STORY
SST2 = Usage(familiar=0.2, new=(0, 4), skew=1.0)
WSC = Usage(familiar=0.3, familiar_order=0.8, new=(0, 4), skew=1.0)

# Short and long rows of the tasks whose long examples differ. Long rows ask questions of the second form, and
# their unfamiliar words do not occur in short rows.
_SHORT, _LONG = _STORY, Usage(familiar=0.5, familiar_order=1.0, second_form=1.0, new=(8, 10), skew=1.0)
BOOLQ_LONG = MULTIRC_LONG = SQUAD_LONG = (_SHORT, _LONG)
