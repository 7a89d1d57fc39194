"""Small raw data sets, written in the formats of their owners; the labels come back as written."""

import csv
from pathlib import Path

import cv2
import numpy as np

EMOTIONET = (1, 2, 4, 5, 6, 9, 10, 12, 15, 17, 18, 20, 24, 25, 26, 28, 43, *range(51, 57))
EMOTIONET_AUTOMATIC = (1, 2, 4, 5, 6, 9, 12, 17, 20, 25, 26, 43)
AFFWILD2 = (1, 2, 4, 6, 7, 10, 12, 15, 23, 24, 25, 26)
BP4D = (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24)
DISFA = (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26)
GFT = (1, 2, 4, 6, 10, 12, 14, 15, 23, 24)


def write_image(path: Path, seed: int, size: int = 24) -> None:
    """A JPEG of smooth noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    image = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
    path.write_bytes(cv2.imencode(".jpg", image)[1].tobytes())


def emotionet(raw: Path, rows: int = 12, sheet: str = "csv") -> tuple[np.ndarray, np.ndarray]:
    """Manual and automatic labels as written, codes int [rows, 23] and [rows, 60]."""
    rng = np.random.default_rng(0)
    header = ["URL", "URL orig", *(f"'AU {n}'" for n in range(1, 61))]
    manual = np.full((rows, 60), 999)
    manual[:, np.array(EMOTIONET) - 1] = rng.choice([0, 1, 999], (rows, 23))
    lines = []
    for i in range(rows):
        folder = f"N_{i // 4 + 1:010d}"
        name = f"{folder}_{i:05d}.jpg"
        write_image(raw / "images" / folder / name, i)
        url = f"http://host/EmotioNet/{folder}/{name}"
        lines.append([f"'{url}'" if i % 2 else url, "http://original", *manual[i].tolist()])
    path = raw / f"EmotioNet_FACS_aws_2020_24600.{sheet}"
    if sheet == "csv":
        with open(path, "w", newline="") as file:
            csv.writer(file).writerows([header, *lines])
    else:
        import openpyxl

        book = openpyxl.Workbook()
        book.active.append(["notes only"])
        labels = book.create_sheet("labels")
        for line in [header, *lines]:
            labels.append(line)
        book.save(path)
    automatic = np.full((rows, 60), 999)
    automatic[:, np.array(EMOTIONET_AUTOMATIC) - 1] = rng.choice([0, 1, 999], (rows, 12))
    folder = raw / "emotioNet_challenge_files_server_challenge_1.2_aws"
    folder.mkdir(parents=True)
    with open(folder / "dataFile_0001.txt", "w") as file:
        for i in range(rows):
            name = f"N_0000001001/N_0000001001_{i:05d}.jpg"
            write_image(raw / "images" / name, 100 + i)
            codes = "\t".join(map(str, automatic[i]))
            file.write(f"http://host/{name}\thttp://original\t{codes}\n")
    return manual[:, np.array(EMOTIONET) - 1], automatic


def affwild2(raw: Path, frames: int = 7) -> dict[str, np.ndarray]:
    """Labels of each video as written, int [frames, 12]; the third frame has no image."""
    rng = np.random.default_rng(1)
    header = ",".join(f"AU{n}" for n in AFFWILD2)
    written = {}
    for split, videos in (("Train_Set", ("v1", "v1_left")), ("Validation_Set", ("v2",))):
        folder = raw / "annotations" / "AU_Detection_Challenge" / split
        folder.mkdir(parents=True)
        for video in videos:
            labels = rng.choice([0, 1, -1], (frames, 12))
            lines = [",".join(map(str, row)) for row in labels.tolist()]
            (folder / f"{video}.txt").write_text("\r\n".join([header, *lines]) + "\r\n")
            for frame in range(1, frames + 1):
                if frame != 3:
                    write_image(
                        raw / "cropped_aligned" / video / f"{frame:05d}.jpg", rng.integers(999)
                    )
            written[video] = labels
    return written


def affectnet(raw: Path, rows: int = 11, points: np.ndarray | None = None) -> list[int]:
    """The expression codes of training.csv as written; validation.csv has the first three again."""
    header = (
        "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,"
        "expression,valence,arousal"
    )
    points = np.linspace(2, 20, 136).reshape(68, 2) if points is None else points
    landmarks = ";".join(f"{v:.2f}" for v in points.reshape(-1))
    codes = [i % 11 for i in range(rows)]
    for name, folder, chosen in (("training", "1", codes), ("validation", "2", codes[:3])):
        lines = [header]
        for i, code in enumerate(chosen):
            image = f"{folder}/bild_ü{i}.jpg"
            write_image(raw / "Manually_Annotated_Images" / image, i + 50 * int(folder))
            lines.append(f"{image},1,2,20,21,{landmarks},{code},0.1,-2")
        (raw / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return codes


def bp4d(raw: Path, frames: int = 5) -> dict[str, np.ndarray]:
    """Labels of each sequence as written, int [frames, 100] with the frame number first."""
    rng = np.random.default_rng(2)
    written = {}
    (raw / "AUCoding" / "AU_OCC").mkdir(parents=True)
    for name, digits in (("F001_T1", 4), ("M009_T2", 3)):
        subject, task = name.split("_")
        table = np.full((frames, 100), 9)
        table[:, 0] = np.arange(7, 7 + frames)
        table[:, BP4D] = rng.choice([0, 1, 9], (frames, 12))
        lines = [",".join(map(str, row)) for row in [list(range(100)), *table.tolist()]]
        (raw / "AUCoding" / "AU_OCC" / f"{name}.csv").write_text("\n".join(lines) + "\n")
        for frame in table[:, 0]:
            image = raw / "Sequences_2D+3D" / subject / task / f"{frame:0{digits}d}.jpg"
            write_image(image, int(rng.integers(999)))
        written[name] = table
    return written


def disfa(raw: Path, frames: int = 6) -> dict[str, np.ndarray]:
    """Intensities of each subject as written, int [frames, 12]; frame k of a video is 10 k grey."""
    rng = np.random.default_rng(3)
    written = {}
    (raw / "Videos_LeftCamera").mkdir(parents=True)
    for subject, end in (("SN001", "comp"), ("SN002", "Comp")):
        levels = rng.integers(0, 6, (frames, 12))
        folder = raw / "ActionUnit_Labels" / subject
        folder.mkdir(parents=True)
        for column, number in enumerate(DISFA):
            lines = [f"{frame + 1},{levels[frame, column]}\n" for frame in range(frames)]
            (folder / f"{subject}_au{number}.txt").write_text("".join(lines))
        video(raw / "Videos_LeftCamera" / f"LeftVideo{subject}_{end}.avi", frames)
        written[subject] = levels
    return written


def video(path: Path, frames: int) -> None:
    """An MJPG video whose frame k, from 0, is evenly 10 (k + 1) grey."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 20, (32, 32))
    for frame in range(frames):
        writer.write(np.full((32, 32, 3), 10 * (frame + 1), np.uint8))
    writer.release()


def gft(path: Path, rows: int = 8) -> np.ndarray:
    """Labels as written, int [rows, 10]; half the rows are train."""
    labels = np.random.default_rng(4).choice([0, 1, -1], (rows, 10))
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["frame_file", "person", "split", *(f"au_{n}" for n in GFT)])
        for i in range(rows):
            write_image(path.parent / f"pic/{i}.jpg", i)
            split = "train" if i < rows // 2 else "test"
            out.writerow([f"pic/{i}.jpg", f"S{i // 2}", split, *labels[i].tolist()])
    return labels
