"""The Hugging Face hub: names with a revision, downloads that resume, and errors in one sentence.

A repository is asked for its newest commit once. What is in the local cache is then loaded without a request,
so the runs of a suite use one commit, until `python -m benchmarks fetch` asks again. Nothing here imports
huggingface_hub at import.
"""
