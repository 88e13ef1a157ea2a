# ruff: noqa: C408, UP031
power = 10**10**10
shift = 1 << 10**9
digits = 1
digits = digits * 100000000000000000000000000000000000
digits = digits * digits
digits = digits * digits * digits * digits
many = [0] * 10**9
long = [0] * 1000000000
text = "a" * 1000000000
wide = "%999999999d" % 1
wider = f"{1:999999999}"
nested = [[[0] * 10000] * 10000] * 10000
ten = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
hundred = [*ten, *ten, *ten, *ten, *ten, *ten, *ten, *ten, *ten, *ten]
half = [*hundred, *hundred, *hundred, *hundred, *hundred]
half = half + half + half + half + half + half + half + half + half + half
full = half + half
over = full + ten
division = 1 / 0
model = dict(type="RecognizerGCN", backbone=dict(type="STGCN"))
