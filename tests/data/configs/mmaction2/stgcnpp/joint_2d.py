# ruff: noqa: C408
_base_ = "../_base_/default_runtime.py"

model = dict(
    type="RecognizerGCN",
    backbone=dict(
        type="STGCN",
        gcn_adaptive="init",
        gcn_with_res=True,
        tcn_type="mstcn",
        graph_cfg=dict(layout="coco", mode="spatial"),
    ),
    cls_head=dict(type="GCNHead", num_classes=60, in_channels=256),
)
ann_file = "data/skeleton/bodies_2d.pkl"
test_pipeline = [
    dict(type="PreNormalize2D"),
    dict(type="GenSkeFeat", dataset="coco", feats=["j"]),
    dict(type="UniformSampleFrames", clip_len=100, num_clips=10, test_mode=True),
    dict(type="PoseDecode"),
    dict(type="FormatGCNInput", num_person=2),
    dict(type="PackActionInputs"),
]
test_dataloader = dict(
    batch_size=1,
    dataset=dict(type="PoseDataset", ann_file=ann_file, pipeline=test_pipeline, test_mode=True),
)
test_cfg = dict(type="TestLoop")
