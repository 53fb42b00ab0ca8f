"""Work for a worker: report its environment and its threads, and wait."""

import os
from multiprocessing.connection import Client


def report_to(address):
    """Send the environment and the number of torch's threads to a listener, and wait for its answer."""
    import torch

    with Client(address) as connection:
        connection.send((dict(os.environ), torch.get_num_threads()))
        connection.recv()
