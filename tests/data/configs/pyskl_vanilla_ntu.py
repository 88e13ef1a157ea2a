# ruff: noqa: C408
"""ST-GCN as published, on NTU bodies: every setting of the network is the codebase's own."""

model = dict(
    type="RecognizerGCN",
    backbone=dict(
        type="STGCN", tcn_dropout=0.5, graph_cfg=dict(layout="nturgb+d", mode="stgcn_spatial")
    ),
    cls_head=dict(type="GCNHead", num_classes=60, in_channels=256),
)
pipeline = [
    dict(type="PreNormalize3D"),
    dict(type="GenSkeFeat", dataset="nturgb+d", feats=["j"]),
    dict(type="PadTo", length=300, mode="zero"),
    dict(type="PoseDecode"),
    dict(type="FormatGCNInput"),
]
data = dict(val=dict(type="PoseDataset", ann_file="bodies.pkl", pipeline=pipeline))
data["test"] = data["val"]
