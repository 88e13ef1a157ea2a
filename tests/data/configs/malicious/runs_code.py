# ruff: noqa: C408, PLC3002, PLW1510, PTH123, PTH208, SIM115
import os
import subprocess as sp

os.system("touch OWNED")
__import__("os").system("touch OWNED")
sp.run(["touch", "OWNED"])
eval("open('OWNED', 'w')")
open("OWNED", "w").write("x")


class Trap:
    open("OWNED", "w")


[open("OWNED", "w") for _ in range(3)]
clip_len = (lambda: open("OWNED", "w"))()
name = f"{open('OWNED', 'w')}"
model = dict(
    type="RecognizerGCN",
    backbone=dict(type="STGCN", graph_cfg=dict(layout="coco", mode="spatial")),
    cls_head=dict(type="GCNHead", num_classes=len(os.listdir("/"))),
    pretrained=().__class__.__bases__[0].__subclasses__(),
)
