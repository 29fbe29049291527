"""Miniature trees of the published layouts, among their contents the rows that the publishers' own files hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import soundfile

from tests.training.trees import write_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path


def clips(folder: Path, names: Iterable[str], seconds: float = 0.01, rate: int = 8_000) -> None:
    """Write a recording of each name, weak noise."""
    samples = np.random.default_rng(0).normal(0, 0.01, round(seconds * rate))
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / name, samples, rate)


def lines(path: Path, rows: Iterable[str | Sequence[object]], separator: str = "\t") -> None:
    """Write lines, or rows of cells."""
    path.parent.mkdir(parents=True, exist_ok=True)
    texts = [row if isinstance(row, str) else separator.join(map(str, row)) for row in rows]
    path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")


# A published row of weak.csv, an id that begins with "-", one with "_", and a short clip.
DCASE_WEAK = (
    ("YKK227gPpRn4_30.000_40.000.wav", "Alarm_bell_ringing,Speech"),
    ("Y-4ZFguO-v8M_50.000_60.000.wav", "Dog"),
    ("Y0eNfQDAbn_Y_20.000_30.000.wav", "Speech,Cat"),
    ("Yab_cd-efg_h_0.000_4.000.wav", "Frying"),
)


def dcase2018(root: Path) -> Path:
    """Make the tree of DCASE 2018 task 4, of which one unlabelled video is gone."""
    metadata, audio = root / "metadata", root / "audio"
    lines(metadata / "train" / "weak.csv", [("filename", "event_labels"), *DCASE_WEAK])
    unlabelled = ["YaaaaaaaaaaA_0.000_10.000.wav", "YaaaaaaaaaaB_0.000_10.000.wav"]
    lines(metadata / "train" / "unlabel_in_domain.csv", ["filename", *unlabelled])
    lines(metadata / "train" / "unlabel_out_of_domain.csv", ["filename", "YaaaaaaaaaaC_0.000_10.000.wav"])
    header = ("filename", "onset", "offset", "event_label")
    strong = [
        ("Y00pbt6aJV8Y_350.000_360.000.wav", "0.000", "9.971", "Vacuum_cleaner"),
        ("Y00pbt6aJV8Y_350.000_360.000.wav", "1.000", "2.000", "Speech"),
        ("Y00pbt6aJV8Y_350.000_360.000.wav", "3.000", "4.000", "Speech"),
    ]
    removed = "Y0a8RB5eOGJ4_30.000_40.000.wav"
    lines(metadata / "test" / "test.csv", [header, *strong, (removed, "0.000", "1.000", "Dog")])
    lines(metadata / "test" / "files_to_remove.csv", ["filename", removed])
    # An event of no label comes in both published forms: empty cells, and cells that are not there.
    empty = ["YeeeeeeeeeeE_0.000_10.000.wav\t\t\t", "YffffffffffF_0.000_10.000.wav"]
    lines(metadata / "eval" / "eval.csv", [header, ("YddddddddddD_0.000_10.000.wav", "0.5", "1", "Dishes"), *empty])
    clips(audio / "train" / "weak", [name for name, _ in DCASE_WEAK], seconds=10, rate=100)
    clips(audio / "train" / "unlabel_in_domain", unlabelled[:1], seconds=10, rate=100)
    clips(audio / "train" / "unlabel_out_of_domain", ["YaaaaaaaaaaC_0.000_10.000.wav"], seconds=10, rate=100)
    clips(audio / "test", [strong[0][0], removed], seconds=10, rate=100)
    names = [f"Y{letter * 10}{letter.upper()}_0.000_10.000.wav" for letter in "def"]
    clips(audio / "eval", names, seconds=10, rate=100)
    return root


def fsdd(root: Path) -> Path:
    """Make the tree of FSDD with one speaker; recordings are empty files but for one."""
    (root / "recordings").mkdir(parents=True)
    for digit in range(10):
        for take in range(50):
            (root / "recordings" / f"{digit}_jackson_{take}.wav").touch()
    clips(root / "recordings", ["7_jackson_32.wav"])
    return root


def speech_commands(root: Path) -> Path:
    """Make the flat tree of Speech Commands."""
    names = ["right/bb05582b_nohash_3.wav", "right/bb05582b_nohash_1.wav", "zero/0a7c2a8d_nohash_0.wav"]
    clips(root, [*names, "_background_noise_/white_noise.wav"])
    lines(root / "testing_list.txt", ["right/bb05582b_nohash_3.wav", "right/bb05582b_nohash_1.wav"])
    lines(root / "validation_list.txt", ["yes/0132a06d_nohash_2.wav"])
    return root


IEMOCAP_LINES = (
    "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]",
    "",
    "[6.2901 - 8.2357]\tSes01F_impro01_F000\tneu\t[2.5000, 2.5000, 2.5000]",
    "C-E2:\tNeutral;\t()",
    "[10.0100 - 11.3925]\tSes01F_impro01_M001\texc\t[2.5000, 2.5000, 2.5000]",
    "[14.8872 - 18.0175]\tSes01F_impro01_F002\thap\t[2.0000, 2.5000, 2.5000]",
    "[19.2900 - 20.7875]\tSes01F_impro01_M00X\txxx\t[2.5000, 3.0000, 3.0000]".replace("M00X", "MXX3"),
)


def iemocap(root: Path) -> Path:
    """Make one dialogue of two sessions of the release, with the files that are none of them."""
    for number in (1, 2):
        session = root / "IEMOCAP_full_release" / f"Session{number}"
        text = [line.replace("Ses01", f"Ses0{number}") for line in IEMOCAP_LINES]
        evaluation = session / "dialog" / "EmoEvaluation"
        lines(evaluation / f"Ses0{number}F_impro01.txt", text)
        (evaluation / f"._Ses0{number}F_impro01.txt").write_bytes(b"\x00\x05\x16\x07\xff\n[Mac OS X\n")
        lines(evaluation / "Categorical" / f"Ses0{number}F_impro01_e1_cat.txt", ["[not an utterance]"])
        names = [line.split("\t")[1] for line in text if line.startswith("[")]
        folder = session / "sentences" / "wav" / f"Ses0{number}F_impro01"
        clips(folder, [f"{name}.wav" for name in names], seconds=4, rate=100)
        clips(session / "dialog" / "wav", [f"Ses0{number}F_impro01.wav"])
    return root


OPENMIC_KEYS = ("000046_3840", "000135_483840", "000385_249600")


def openmic2018(root: Path, partitions: tuple[str, str] = ("split01_train.csv", "split01_test.csv")) -> Path:
    """Make a tree of three clips; of the last one only cymbals are observed, as published."""
    relevance, observed = np.full((3, 20), 0.5), np.zeros((3, 20), bool)
    for row, column, score in ((0, 3, 0.17105), (0, 12, 0.5), (1, 19, 1.0), (2, 5, 0.15055)):
        relevance[row, column], observed[row, column] = score, True
    embeddings = np.random.default_rng(0).integers(0, 256, (3, 10, 128))
    root.mkdir(parents=True, exist_ok=True)
    keys = np.array(OPENMIC_KEYS, dtype=object)
    np.savez(root / "openmic-2018.npz", X=embeddings, Y_true=relevance, Y_mask=observed, sample_key=keys)
    rows: list[dict[str, object]] = [
        {"sample_key": key, "instrument": name, "relevance": score, "num_responses": 3}
        for key, name, score in (
            (OPENMIC_KEYS[0], "piano", 0.5),
            (OPENMIC_KEYS[2], "cymbals", 0.15055),
            (OPENMIC_KEYS[0], "cello", 0.17105),
            (OPENMIC_KEYS[1], "voice", 1.0),
        )
    ]
    write_table(root / "openmic-2018-aggregated-labels.csv", rows)
    artists = [{"sample_key": key, "artist_id": i // 2} for i, key in enumerate(OPENMIC_KEYS)]
    write_table(root / "openmic-2018-metadata.csv", artists)
    lines(root / "partitions" / partitions[0], OPENMIC_KEYS[:2])
    lines(root / "partitions" / partitions[1], OPENMIC_KEYS[2:])
    clips(root / "audio", [f"{key[:3]}/{key}.ogg" for key in OPENMIC_KEYS], seconds=10)
    return root


SONYC_FINE = (
    *("1-1_small-sounding-engine", "1-2_medium-sounding-engine", "1-3_large-sounding-engine"),
    *("1-X_engine-of-uncertain-size", "2-1_rock-drill", "2-2_jackhammer", "2-3_hoe-ram", "2-4_pile-driver"),
    *("2-X_other-unknown-impact-machinery", "3-1_non-machinery-impact", "4-1_chainsaw"),
    *("4-2_small-medium-rotating-saw", "4-3_large-rotating-saw", "4-X_other-unknown-powered-saw", "5-1_car-horn"),
    *("5-2_car-alarm", "5-3_siren", "5-4_reverse-beeper", "5-X_other-unknown-alert-signal", "6-1_stationary-music"),
    *("6-2_mobile-music", "6-3_ice-cream-truck", "6-X_music-from-uncertain-source"),
    *("7-1_person-or-small-group-talking", "7-2_person-or-small-group-shouting", "7-3_large-crowd"),
    *("7-4_amplified-speech", "7-X_other-unknown-human-voice", "8-1_dog-barking-whining"),
)


def sonyc_row(split: str, name: str, annotator: int, **marks: int) -> dict[str, object]:
    """Return a row of annotations.csv; marks by group and number, such as ``g1_X=1``, others are ``rest``."""
    rest = marks.pop("rest", 0)
    row: dict[str, object] = {"split": split, "sensor_id": 7, "audio_filename": name, "annotator_id": annotator}
    # As published the columns "X" of the file do not stand where the taxonomy has them.
    for column in sorted(SONYC_FINE, key=lambda column: column[2] != "X"):
        row[f"{column}_presence"] = marks.get(f"g{column[0]}_{column[2]}", rest)
        row[f"{column[:3]}_{column[4:]}_proximity"] = "near"
    return row | {"1_engine_presence": 0}


def sonyc_ust(root: Path) -> Path:
    """Make a tree with a clip for each rule about annotators."""
    rows = [
        # One volunteer marks what the other was not asked about.
        sonyc_row("train", "cancelled.wav", 11, g5_3=1, rest=0),
        sonyc_row("train", "cancelled.wav", 12, g5_3=-1, g8_1=-1),
        # What the team says of a training clip does not count.
        sonyc_row("train", "crowd.wav", 3, g3_1=1, g1_X=1, g1_2=1),
        sonyc_row("train", "crowd.wav", 0, g8_1=1),
        sonyc_row("train", "nobody.wav", 5, g8_1=-1),
        sonyc_row("train", "team.wav", -1, g8_1=1),
        sonyc_row("validate", "agreed.wav", 4, g6_1=1),
        sonyc_row("validate", "agreed.wav", -2, g6_2=1),
        sonyc_row("validate", "agreed.wav", 0, g6_3=1),
        sonyc_row("validate", "only_team.wav", -2, g6_2=1),
        sonyc_row("test", "later.wav", 0, g8_1=1),
        sonyc_row("test", "gone.wav", 0, g8_1=1),
    ]
    write_table(root / "annotations.csv", rows)
    clips(
        root / "audio-0", ["cancelled.wav", "crowd.wav", "nobody.wav", "team.wav", "agreed.wav"], seconds=10, rate=100
    )
    clips(root / "audio-18", ["only_team.wav", "later.wav"], seconds=10, rate=100)
    return root


GROWLING = "000Animal_Domestic animals_ pets_Cat_Growling"
HISS = "001Animal_Domestic animals_ pets_Cat_Hiss"
MOUSE = "029Animal_Wild animals_Rodents_ rats_ mice_Mouse___3Samples"
IMITATIONS = (
    (f"{GROWLING}-4808870065078272.wav", "True", "12.0"),
    (f"{MOUSE.removesuffix('___3Samples')}-4808870065078273.wav", "True", "13.0"),
    (f"{HISS}-4808870065078274.wav", "False", "12.0"),
)
SHARED = "277515__gezortenplotz__cat-growl-edit.wav"


def vocal_imitation(root: Path) -> Path:
    """Make the tree of v1.1: a recording in two classes, and an imitation that was not included."""
    header = ["filename", "classname", *(f"category_d{i}" for i in range(1, 7)), "is_reference", "multi_labeled"]
    path = ("Animal", '"Domestic animals, pets"', "Cat", "Growling", "", "")
    rows = [
        ("146968__zabuhailo__catgrowls.wav", GROWLING, *path, "FALSE", "FALSE"),
        (SHARED, GROWLING, *path, "FALSE", "TRUE"),
        ("368011__trngle__meow-8.wav", GROWLING, *path, "TRUE", "FALSE"),
        (SHARED, HISS, *path, "FALSE", "TRUE"),
        (f"{HISS}_reference.wav", HISS, *path, "TRUE", "FALSE"),
        (f"{MOUSE}_reference.wav", MOUSE, *path, "TRUE", "FALSE"),
    ]
    lines(root / "original_recordings_classes.txt", [header, *rows])
    lines(root / "duplicates.csv", ["Filename,Category", f"{SHARED},{GROWLING}", f"{SHARED},{HISS}"])
    recordings = root / "original_recordings"
    clips(recordings / "reference", [f"{name}_reference.wav" for name in (GROWLING, HISS, MOUSE)])
    others = [f"{GROWLING}/146968__zabuhailo__catgrowls.wav", f"{GROWLING}/{SHARED}", f"{HISS}/{SHARED}"]
    clips(recordings / "non_reference", others)
    _imitations(root, root / "vocal_imitations")
    return root


def first_vocal_imitation(root: Path) -> Path:
    """Make the tree of v1.0, which has references only."""
    header = ["category_id", *(f"category_d{i}" for i in range(1, 7)), "reference_filename"]
    names = [f"{name}_reference.wav" for name in (GROWLING, HISS, MOUSE)]
    rows = [(int(name[:3]), "Animal", "", "", "", "", "", name) for name in names]
    lines(root / "reference_audio_categories.txt", [header, *rows])
    credit = [{"filename": names[0], "user": "x", "user_url": "y", "file_url": "http://freesound.org/s/146968/"}]
    write_table(root / "reference_audio_credits.csv", credit)
    clips(root / "reference_recordings", names)
    _imitations(root, root)
    return root


def _imitations(root: Path, folder: Path) -> None:
    header = [
        "",
        "imitation_id",
        "imitation_filename",
        "category_id",
        "included",
        "draft",
        "training",
        "participant_id",
    ]
    rows = [
        (i, i, name, int(name[:3]), included, "False", "False", person)
        for i, (name, included, person) in enumerate(IMITATIONS)
    ]
    lines(root / "vocal_imitations.txt", [header, *rows])
    for name, included, _ in IMITATIONS:
        clips(folder / ("included" if included == "True" else "excluded"), [name])


AUDIOSET_SEGMENTS = (
    "# Segments csv created Sun Mar  5 10:54:31 2017",
    "# num_ytids=20371, num_segs=20371, num_unique_labels=527, num_positive_labels=51804",
    "# YTID, start_seconds, end_seconds, positive_labels",
    '-0RWZT-miFs, 420.000, 430.000, "/m/03v3yw,/m/0k4j"',
    'Y4gqARaEJE1, 0.000, 10.000, "/m/0k4j,/m/09x0r,/m/03v3yw"',
    '--4gqARaEJE, 30.000, 37.000, "/m/0bt9lr"',
    'gonegonegon, 0.000, 10.000, "/m/0bt9lr"',
)


def audioset(root: Path) -> Path:
    """Make a tree with the csv files and recordings named in both ways."""
    lines(root / "eval_segments.csv", AUDIOSET_SEGMENTS)
    training = 'mmmmmmmmmmm, 0.000, 10.000, "/m/09x0r"'
    lines(root / "balanced_train_segments.csv", [*AUDIOSET_SEGMENTS[:3], training])
    header = "index,mid,display_name"
    classes = ['0,/m/09x0r,"Speech"', '1,/m/0bt9lr,"Dog"', '2,/m/03v3yw,"Keys jangling"', '3,/m/0k4j,"Car"']
    lines(root / "class_labels_indices.csv", [header, *classes])
    names = ["-0RWZT-miFs.flac", "Y4gqARaEJE1.wav", "Y--4gqARaEJE_30.000_37.000.wav", "mmmmmmmmmmm.wav"]
    clips(root / "audio", names, seconds=10, rate=8_000)
    return root
