"""Cameras -> people -> windows -> batches -> events.  Never needs torch.

    source -> slot -> pose -> track -> ring -> window -> batch -> scores -> decision -> sinks

What decides anything is told the time and sleeps nowhere, so that it can be tested without waiting; the
threads around it stand in capture, workers and pipeline.
"""
