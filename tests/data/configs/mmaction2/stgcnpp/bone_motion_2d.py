# ruff: noqa: C408, RUF005
_base_ = ["joint_2d.py"]

model = dict(cls_head=dict(num_classes=120, average_clips="score"))
ann_file = {{_base_.ann_file}}
test_pipeline = [_base_.test_pipeline[0]] + [
    dict(type="GenSkeFeat", dataset="coco", feats=["bm"]),
    dict(type="UniformSampleFrames", clip_len=64, num_clips=10, test_mode=True),
    dict(type="PoseDecode"),
    dict(type="FormatGCNInput", num_person=2),
    dict(type="PackActionInputs"),
]
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
default_hooks = dict(timer=dict(_delete_=True, type="OwnTimer"))
