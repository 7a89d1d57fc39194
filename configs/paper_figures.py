"""Figures of the papers' tables, as data: what the reports print beside ours."""

# Magdeburg (Werner et al. 2020), Table 1 and Fig. 2: name, network, what it learns, its teacher,
# depth in the tree, final score (0 where none is printed).
MAGDEBURG_TREE = (
    ("T0", "ownnet3", "opt", "", 0, 0.7531),
    ("T0_ownnet8", "ownnet8", "pseudo", "T0", 1, 0.7647),
    ("T0_efficientnet", "efficientnet_b0", "pseudo", "T0_ownnet8", 2, 0.7661),
    ("T1", "ownnet8", "opt", "", 0, 0.7637),
    ("B1", "mobilenet_v3_large", "pseudo", "T1", 1, 0.7680),
    ("A1", "efficientnet_b0", "pseudo", "T1", 1, 0.7699),
    ("A1_efficientnet", "efficientnet_b0", "pseudo", "A1", 2, 0.7694),
    ("A1_mobilenet", "mobilenet_v3_large", "pseudo", "A1", 2, 0.7671),
    ("A1_ownnet8", "ownnet8", "pseudo", "A1", 2, 0.7666),
    ("mobilenet_opt", "mobilenet_v3_large", "opt", "", 0, 0.7518),
    ("T2", "mobilenet_v3_large", "both", "", 0, 0.7603),
    ("T2_mobilenet", "mobilenet_v3_large", "pseudo", "T2", 1, 0.7623),
    # Two EfficientNet-B0 rows stand under T.2; that this one is of the row above is our reading.
    ("T2_efficientnet", "efficientnet_b0", "pseudo", "T2_mobilenet", 2, 0.7666),
    ("B2", "efficientnet_b0", "pseudo", "T2", 1, 0.7674),
    ("A2", "ownnet8", "pseudo", "T2", 1, 0.7706),
    ("A2_shared", "ownnet8", "shared", "T2", 1, 0.7634),
    ("efficientnet_opt", "efficientnet_b0", "opt", "", 0, 0.7602),
    ("T3", "efficientnet_b0", "both", "", 0, 0.7609),
    ("A3", "ownnet8", "pseudo", "T3", 1, 0.7684),
    ("B3", "mobilenet_v3_large", "pseudo", "T3", 1, 0.7680),
    ("ownnet8_noisy", "ownnet8", "noisy", "", 0, 0.0),  # Fig. 2's OwnNet8-Baseline
)

# The same, Table 1: fusions, their members, final score.
MAGDEBURG_FUSIONS = (
    ("A", ("A1", "A2", "A3"), 0.7767),
    ("B", ("B1", "B2", "B3"), 0.7754),
    ("A_and_B", ("A1", "A2", "A3", "B1", "B2", "B3"), 0.7800),
)

# TAL (Wang et al. 2020), Table 1: the final score of each step of the two ladders.
TAL_EXPRESSION = (0.8030, 0.8174, 0.8223, 0.8259, 0.8361, 0.8454)
TAL_POSE = (0.6168, 0.6245, 0.6350, 0.6396)
# TAL, Table 3, on the 12 AUs of the 2018 challenge.
TAL_ABLATION = {
    "base": 0.8080,
    "no_multi_view": 0.8019,
    "no_co_regularization": 0.7885,
    "no_balancing": 0.8019,
}

# ReCoT (Li et al. 2023), Tables 1 to 3: F1 in % of every AU and their mean.
RECOT_F1: dict[str, dict[str, str]] = {
    "emotionet": {
        "baseline": "60.2 45.4 72.8 51.5 81.4 65.4 91.2 53.0 46.7 95.0 61.7 66.6 65.9",
        "mlct": "57.8 44.8 73.7 50.1 82.8 58.1 91.8 44.8 37.1 95.1 61.6 63.4 63.4",
        "mt": "55.5 46.3 71.7 48.6 81.6 61.7 91.0 46.7 43.5 94.7 60.2 63.9 63.7",
        "cot_2018": "58.3 48.4 70.0 50.4 83.1 64.4 91.7 49.9 47.1 95.0 60.0 66.9 65.5",
        "mlcr": "61.4 49.3 75.9 54.1 83.5 68.3 92.0 50.8 53.5 95.2 65.1 68.1 68.1",
        "mixup": "40.9 29.3 65.1 39.0 77.6 54.9 90.8 32.8 41.9 93.4 46.1 52.3 55.3",
        "bs_soft": "49.0 36.4 67.8 45.6 78.9 54.5 90.6 37.8 46.0 93.4 50.2 59.9 59.2",
        "bs_hard": "48.0 36.5 67.9 45.9 79.1 55.5 90.6 37.7 49.6 93.4 50.3 59.0 59.5",
        "kd": "59.4 45.0 74.0 52.8 82.1 66.1 91.7 50.8 53.2 95.1 59.6 68.2 66.5",
        "nr": "61.7 49.5 73.0 53.1 81.3 65.0 91.3 51.9 54.3 94.8 61.0 66.2 66.9",
        "recot": "64.2 52.0 77.8 55.6 83.9 70.5 92.5 58.7 57.3 95.9 65.8 72.9 70.6",
    },
    "bp4d": {
        "baseline": "49.3 43.6 57.2 77.6 78.4 83.0 85.7 60.2 49.5 61.6 47.0 47.0 61.6",
        "mlcr": "45.5 40.0 48.6 76.4 77.0 81.6 85.7 62.8 39.2 61.8 41.0 51.8 59.3",
        "mt": "50.2 42.5 57.9 77.1 79.5 83.9 86.7 60.6 51.3 62.2 47.9 47.0 62.2",
        "bs_soft": "51.2 42.5 55.7 76.5 78.8 83.4 87.0 59.1 48.8 62.5 45.7 49.4 61.7",
        "bs_hard": "52.1 43.6 55.3 77.7 78.8 83.9 86.5 59.3 50.5 62.8 45.8 49.2 62.1",
        "mixup": "54.6 43.7 57.1 79.5 79.3 84.6 87.7 62.8 53.2 63.6 46.3 39.5 62.6",
        "nr": "50.1 44.1 56.0 77.4 78.9 83.5 86.6 59.1 50.0 62.3 49.7 53.7 62.6",
        "kd": "52.2 44.7 59.7 78.3 79.8 84.4 86.8 61.0 50.6 62.1 48.4 51.2 63.3",
        "recot": "51.5 47.8 58.9 79.2 80.2 84.9 88.4 61.6 53.3 64.6 51.8 55.4 64.8",
    },
    "disfa": {
        "baseline": "45.5 36.0 68.0 40.1 40.8 74.2 94.2 61.0 57.6",
        "mlcr": "42.7 31.8 65.6 47.5 49.9 77.0 93.7 65.2 59.2",
        "mt": "48.4 40.0 66.3 43.9 43.7 74.6 93.8 63.2 59.3",
        "bs_soft": "42.9 41.7 67.2 41.1 48.1 74.3 94.2 58.9 58.5",
        "bs_hard": "40.4 37.7 68.4 42.0 45.9 74.6 94.0 61.2 58.0",
        "mixup": "48.7 40.6 64.9 45.3 45.8 77.4 93.4 57.6 59.2",
        "nr": "43.2 35.2 67.9 45.8 48.3 75.1 94.5 62.2 59.0",
        "kd": "48.0 38.5 69.1 45.3 50.3 76.0 94.6 59.4 60.1",
        "recot": "51.3 36.2 66.8 50.1 52.4 78.8 95.3 69.7 62.6",
    },
}
# ReCoT, Table 4: mean F1 on EmotioNet, with pretraining.
RECOT_ABLATION = {
    "noisy": 0.456,
    "both": 0.592,
    "ensemble": 0.668,
    "net_noisy": 0.669,
    "cot": 0.695,
    "cot_net_noisy": 0.698,
    "recot_1_1_1": 0.701,
    "recot_1_1_09": 0.701,
    "recot_1_05_09": 0.703,
}
