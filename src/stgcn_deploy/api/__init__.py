"""The verbs.  The command line has the same names and the same defaults.

Nothing here imports a runtime before it is needed: `stgcn --help` and `import stgcn_deploy` stay quick
and work on a device that has only the run half.
"""

from stgcn_deploy.api.ascend import ascend_pack, ascend_run
from stgcn_deploy.api.bins import data_bins_score, data_bins_write
from stgcn_deploy.api.building import build
from stgcn_deploy.api.bundle import bench, predict, verify
from stgcn_deploy.api.checkpoint import export, inspect
from stgcn_deploy.api.comparison import compare
from stgcn_deploy.api.evaluation import evaluate
from stgcn_deploy.api.knowledge import doctor, layouts
from stgcn_deploy.api.live import live_check, live_run, live_settings
from stgcn_deploy.api.live_bench import bench_live
from stgcn_deploy.api.pose import pose_fetch
from stgcn_deploy.api.profiling import profile
from stgcn_deploy.api.quantization import quantize
from stgcn_deploy.api.recordings import data_convert, data_info, data_plot, data_synth
from stgcn_deploy.api.tuning import load, tune
from stgcn_deploy.runtime import Model

__all__ = [
    "Model",
    "ascend_pack",
    "ascend_run",
    "bench",
    "bench_live",
    "build",
    "compare",
    "data_bins_score",
    "data_bins_write",
    "data_convert",
    "data_info",
    "data_plot",
    "data_synth",
    "doctor",
    "evaluate",
    "export",
    "inspect",
    "layouts",
    "live_check",
    "live_run",
    "live_settings",
    "load",
    "pose_fetch",
    "predict",
    "profile",
    "tune",
    "quantize",
    "verify",
]
