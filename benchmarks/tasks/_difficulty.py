"""The difficulty of the built-in tasks: how each task uses familiar and unfamiliar words."""

from dataclasses import replace

from benchmarks.tasks._usage import Usage

_STORY = Usage(familiar=0.25, familiar_order=0.8, new=(0, 4), skew=1.0)
BOOLQ = COPA = MULTIRC = RTE = WSC = _STORY
CB = RECORD = SQUAD = WIC = replace(_STORY, familiar=0.35)
SST2 = Usage(familiar=0.2, new=(0, 12), skew=0.5)

# Short and long rows of the tasks whose long examples matter: no opinion in a long row occurs in a short one.
_LONG = Usage(familiar=0.0, new=(6, 10), skew=0.5, unlike=0.0)
BOOLQ_LONG = SQUAD_LONG = (_STORY, _LONG)
MULTIRC_LONG = (replace(_STORY, familiar=0.35), replace(_LONG, new=(6, 12)))
# The length that separates short from long rows of these tasks, in tokens of the nano models.
LONG_ABOVE = 78
