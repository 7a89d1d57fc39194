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
# The same without pretraining.
RECOT_SCRATCH = {
    "baseline": 0.631,
    "noisy": 0.452,
    "both": 0.566,
    "net_noisy": 0.655,
    "ensemble": 0.654,
    "cot": 0.686,
    "cot_net_noisy": 0.690,
    "recot_1_1_1": 0.692,
    "recot_1_1_09": 0.693,
    "recot_1_05_09": 0.694,
    "recot": 0.697,
}

# EmoCo (Sun et al. 2021), Tables I to III: F1 in % of every AU and their mean, of what is trained
# here. "resnet50" and "alexnet" are supervised, AlexNet's row being taken by the paper from GFT's.
EMOCO_F1: dict[str, dict[str, str]] = {
    "gft": {
        "alexnet": "44.0 46.0 2.0 73.0 72.0 82.0 5.0 19.0 43.0 42.0 42.8",
        "resnet50": "23.5 37.8 3.5 79.1 70.1 82.1 20.9 11.7 49.1 40.3 41.8",
        "moco": "21.7 38.1 10.2 74.7 79.1 80.9 25.9 30.5 49.3 45.2 45.6",
        "moco_finetuned": "45.3 48.2 20.3 80.7 78.8 78.1 22.6 46.0 53.9 50.3 52.4",
        "emoco": "51.8 42.9 22.9 79.8 77.0 85.2 23.4 42.5 55.4 49.6 53.0",
        "emoco_finetuned": "65.9 55.9 40.7 83.1 75.1 81.4 21.3 48.5 58.0 56.5 58.6",
    },
    "disfa": {
        "moco": "13.8 16.4 43.8 53.1 37.1 74.2 75.5 43.7 44.7",
        "moco_finetuned": "31.1 27.7 59.8 40.3 35.0 70.1 84.6 60.8 51.2",
        "emoco": "34.3 31.9 63.9 52.5 44.0 77.0 78.3 44.2 53.3",
        "emoco_finetuned": "42.7 41.0 66.3 45.1 50.9 75.5 88.9 58.6 58.6",
    },
    "bp4d": {
        "moco": "41.9 28.7 40.8 75.6 70.8 82.7 85.8 62.4 31 54.2 31.3 37.6 53.6",
        "moco_finetuned": "40.8 28.9 41 72.2 71 81.4 84.4 62 35.7 54.8 37.1 39.8 54.1",
        "emoco": "45.4 30.5 55.5 76.1 75.7 84.4 87.6 66.6 39.6 59.1 41.3 49.8 59.3",
        "emoco_finetuned": "50.2 44.7 53.9 74.8 76.6 83.7 87.9 61.7 47.6 59.8 46.9 54.6 61.9",
    },
}
# The same, of what nobody trained here.
EMOCO_QUOTED: dict[str, dict[str, str]] = {
    "gft": {
        "Fab-Net": "44.4 42.3 9.4 60.6 68.7 70.4 8.7 1.7 5.5 20.8 33.3",
        "Fab-Net, finetuned": "33.3 52.6 12.4 80.2 75.6 82.7 16.6 37.1 46.1 46.6 48.3",
        "TAE": "46.3 48.8 13.4 76.7 74.8 81.8 19.9 42.3 50.6 50.0 50.5",
        "TAE, finetuned": "30.5 46.4 20.0 77.7 79.9 83.0 18.9 44.5 47.9 47.5 49.6",
        "Temporal Ranking": "19.5 36.1 5.4 63.0 69.8 68.2 11.2 21.6 39.5 36.0 37.0",
        "Temporal Ranking, finetuned": "58.8 56.8 33.2 72.5 76.2 80.8 19.9 46.8 55.2 47.3 54.7",
    },
    "disfa": {
        "DRML": "17.3 17.7 37.4 29.0 10.7 37.7 38.5 20.1 26.7",
        "EAC": "41.5 26.4 66.4 50.7 80.5 89.3 88.9 15.6 48.5",
        "JAA": "43.7 46.2 56.0 41.4 44.7 69.6 88.3 58.4 56.0",
        "DSIN": "42.4 39.0 68.4 28.6 46.8 70.8 90.4 42.2 53.6",
        "SRERL": "45.7 47.8 59.6 47.1 45.6 73.5 84.3 43.6 55.9",
        "Fab-Net": "15.5 16.2 43.2 50.4 23.2 69.6 72.4 42.4 41.6",
        "Fab-Net, finetuned": "20.8 20.3 54.1 46.9 45.5 71.2 82.7 51.7 49.1",
        "TAE": "21.4 19.6 64.5 46.8 44.0 73.2 85.1 55.3 51.5",
        "TAE, finetuned": "25.7 20.5 51.8 42.1 37.1 68.9 86.2 48.4 47.6",
        "Temporal Ranking": "10.8 20.7 43.3 37.6 12.2 68.7 62.9 46.2 37.8",
        "Temporal Ranking, finetuned": "31.6 27.5 61.1 53.4 35.8 70.3 84.2 59.4 52.9",
    },
    "bp4d": {
        "DRML": "55.7 54.5 58.8 56.6 61.0 53.6 60.8 57.0 56.2 50.0 53.9 53.9 56.0",
        "EAC": "39.0 35.2 48.6 76.1 72.9 81.9 86.2 58.8 37.5 59.1 35.9 35.8 55.9",
        "JAA": "47.2 44.0 54.9 77.5 74.6 84.0 86.9 61.9 43.6 60.3 42.7 41.9 60.0",
        "DSIN": "51.7 40.4 56.6 76.1 73.5 79.9 85.4 62.7 37.3 62.9 38.8 41.6 58.9",
        "SRERL": "46.9 45.3 55.6 77.1 78.4 83.5 87.6 63.9 52.2 63.9 47.1 53.3 62.1",
        "Fab-Net": "43.3 35.7 41.6 72.9 63.0 75.9 83.5 57.7 26.5 48.2 33.6 42.4 52.0",
        "Fab-Net, finetuned": "45.8 36.2 47.6 76.1 73.3 81.3 85.6 60.6 34.1 58.2 39.7 41.7 56.7",
        "TAE": "47.0 45.9 50.9 74.7 72.0 82.4 85.6 62.3 48.1 62.3 45.9 46.3 60.3",
        "TAE, finetuned": "47.4 38 48.5 74.5 71.1 82.8 85.6 64 41.7 61.8 43.2 40.7 58.3",
        "Temporal Ranking": "35.2 25.5 30.2 71.3 69.6 81.3 83.3 59.1 30.3 56.1 27.0 33.4 50.2",
        "Temporal Ranking, finetuned": (
            "48.4 47 50.8 74.7 75.2 84.4 85.6 57.5 36.7 61.6 44.2 43.8 59.1"
        ),
    },
}
# EmoCo, Table IV: mean F1 on GFT of the linear probe, and finetuned.
EMOCO_ABLATION: dict[str, tuple[float, float]] = {
    "emoco": (0.530, 0.586),
    "one_queue": (0.486, 0.577),
    "l2": (0.475, 0.573),
    "contrast": (0.462, 0.533),
    "emotion": (0.476, 0.523),
}

# ABAW3 (Jiang et al. 2022), Table 1: what each row adds, by the paper's names of the columns, and
# mean F1 on Aff-Wild2's validation set. The paper does not say what "sa" is.
ABAW3_LADDER: dict[str, float] = {
    "r100": 0.390,
    "glint": 0.534,
    "bal": 0.549,
    "mll": 0.570,
    "ca": 0.614,
    "sa": 0.662,
    "ls": 0.673,
    "b+m": 0.690,
    "fpn": 0.709,
    "bs256": 0.712,
    "ssh": 0.715,
    "data": 0.721,
}
# ABAW3, Fig. 3: F1 of each AU of the ensemble, and their mean.
ABAW3_ENSEMBLE = 0.731
ABAW3_ENSEMBLE_AU: dict[str, float] = {
    "AU01": 0.757,
    "AU02": 0.735,
    "AU04": 0.754,
    "AU06": 0.769,
    "AU07": 0.814,
    "AU10": 0.825,
    "AU12": 0.839,
    "AU15": 0.632,
    "AU23": 0.611,
    "AU24": 0.584,
    "AU25": 0.783,
    "AU26": 0.669,
}
