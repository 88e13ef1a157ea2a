# ruff: noqa: C408
default_scope = "mmaction"
default_hooks = dict(timer=dict(type="IterTimerHook"), checkpoint=dict(type="CheckpointHook"))
log_level = "INFO"
load_from = None
