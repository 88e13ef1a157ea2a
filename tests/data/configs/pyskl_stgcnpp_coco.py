# ruff: noqa: C408, RUF005, UP031
"""ST-GCN++ on two-dimensional COCO bodies, bones, as PYSKL writes such configs."""

clip = 100
feature = "b"

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
    test_cfg=dict(average_clips="prob"),
)

dataset_type = "PoseDataset"
data_root = "data/bodies/"
ann_file = data_root + "poses_%d.pkl" % 60


def log_name(kind):
    return kind + "_log"


head = [dict(type="PreNormalize2D"), dict(type="GenSkeFeat", dataset="coco", feats=[feature])]
tail = [
    dict(type="PoseDecode"),
    dict(type="FormatGCNInput", num_person=2),
    dict(type="Collect", keys=["keypoint", "label"], meta_keys=[]),
    dict(type="ToTensor", keys=["keypoint"]),
]
train_pipeline = head + [dict(type="UniformSample", clip_len=clip)] + tail
val_pipeline = [*head, dict(type="UniformSample", clip_len=clip, num_clips=1), *tail]
test_pipeline = [*head, dict(type="UniformSample", clip_len=clip, num_clips=10), *tail]
data = dict(
    videos_per_gpu=8 * 2,
    workers_per_gpu=2,
    test_dataloader=dict(videos_per_gpu=1),
    train=dict(
        type="RepeatDataset",
        times=5,
        dataset=dict(
            type=dataset_type, ann_file=ann_file, pipeline=train_pipeline, split="xsub_train"
        ),
    ),
    val=dict(type=dataset_type, ann_file=ann_file, pipeline=val_pipeline, split="xsub_val"),
    test=dict(type=dataset_type, ann_file=ann_file, pipeline=test_pipeline, split="xsub_val"),
)
optimizer = dict(type="SGD", lr=0.1 / 2, momentum=0.9, weight_decay=5e-4, nesterov=True)
work_dir = f"./work_dirs/stgcnpp_coco/{feature}"
log_config = dict(interval=100, hooks=[dict(type=log_name("text"))])
