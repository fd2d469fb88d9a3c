"""``pindet predict``: what it reads, what it says of what it cannot read, and what it writes."""

import json
import os
import sys

import cv2
import numpy as np
import pytest
from pindet_serve.images import decode_image
from pycocotools.coco import COCO

from pindet.predict import fonts


def names(answers):
    return [os.path.basename(image) for image, _ in answers]  # noqa: PTH119 - a string of the answer


def test_a_line_for_each_image(picture, answers, tmp_path):
    path = picture(tmp_path / "bright.png", 255)
    picture(tmp_path / "dark.png", 30)
    found = answers(path, tmp_path / "dark.png")
    assert found[str(path), None] == {
        "image": str(path),
        "width": 64,
        "height": 48,
        "detections": [
            {"label": "人", "label_id": 1, "score": 0.8618, "box": {"x1": 0.0, "y1": 0.0, "x2": 32.0, "y2": 48.0}}
        ],
    }
    assert found[str(tmp_path / "dark.png"), None]["detections"] == []


def test_folders_are_searched_to_the_bottom(picture, answers, tmp_path):
    picture(tmp_path / "a b.JPG")
    picture(tmp_path / "deep" / "er" / "图 é.png")
    (tmp_path / "notes.txt").write_text("no picture, and not looked at")
    assert names(answers(tmp_path)) == ["a b.JPG", "图 é.png"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [("*.png", ["1.png", "2.png"]), ("**/*.png", ["1.png", "2.png", "3.png"]), ("[12].png", ["1.png", "2.png"])],
)
def test_globs_in_quotes(picture, answers, tmp_path, pattern, expected):
    for name in ("1.png", "2.png", "sub/3.png", "4.jpg"):
        picture(tmp_path / name)
    assert sorted(names(answers(tmp_path / pattern))) == expected


def test_a_name_that_looks_like_a_glob_is_a_name(picture, answers, tmp_path):
    picture(tmp_path / "a[1].png")
    picture(tmp_path / "a1.png")
    assert names(answers(tmp_path / "a[1].png")) == ["a[1].png"]


def test_what_is_named_twice_is_answered_once(picture, answers, tmp_path):
    path = picture(tmp_path / "x.png")
    assert len(answers(path, tmp_path, tmp_path / "*.png", tmp_path / "." / "x.png")) == 1


def test_every_frame_of_a_video(video, answers, tmp_path):
    path = video(tmp_path / "belt 带.avi", [255, 0, 255, 0, 255])
    found = answers(path)
    assert [len(found[str(path), i]["detections"]) for i in range(5)] == [1, 0, 1, 0, 1]
    assert [frame for _, frame in answers("--every", 2, path)] == [0, 2, 4]


def test_the_size_of_a_batch_changes_nothing(picture, answers, tmp_path):
    for i in range(7):
        picture(tmp_path / f"{i}.png", 255 - 30 * i, size=(40 + i, 90))
    alone = answers("--batch-size", 1, tmp_path)
    assert alone == answers("--batch-size", 3, tmp_path)
    assert {len(line["detections"]) for line in alone.values()} == {0, 1}


def test_threshold_and_number_of_detections(picture, answers, run, tmp_path):
    path = picture(tmp_path / "x.png", 255)
    assert answers("--score-threshold", 0.9, path)[str(path), None]["detections"] == []
    for arguments, message in [
        (("--score-threshold", 1.5), "score_threshold is 1.5; 0 to 1 is allowed"),
        (("--max-detections", 2), "max_detections is 2; 1 to 1 is allowed"),
        (("--batch-size", 0), "batch_size is 0"),
        (("--every", 0), "every is 0"),
        (("--format", "image"), "give one with --out"),
        (("--out", path), "is a file; --out takes a folder"),
        (("--bundle", tmp_path), "holds no bundle; run `make repro`"),
    ]:
        code, lines, said = run(*arguments, path)
        assert (code, lines) == (2, [])
        assert said.startswith("pindet predict: ")
        assert message in said
        assert said.count("\n") == 1


def test_what_cannot_be_read_is_named_and_counted(picture, run, tmp_path):
    picture(tmp_path / "good.png")
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "broken.avi").write_bytes(b"RIFF no video")
    (tmp_path / "folder").mkdir()
    (tmp_path / "dangling.png").symlink_to(tmp_path / "nowhere")
    code, lines, said = run(tmp_path, tmp_path / "missing.png", tmp_path / "*.bmp", tmp_path / "folder", "")
    assert (code, len(lines)) == (0, 1)
    for name, reason in [
        ("empty.jpg", "the image is empty"),
        ("text.png", "no image that can be read"),
        ("broken.avi", "no video that can be read"),
        ("missing.png", "does not exist"),
        ("dangling.png", "no such file"),
        ("*.bmp", "matches nothing"),
        ("folder", "holds no image and no video"),
    ]:
        assert [line for line in said.splitlines() if f"{name}: " in line and reason in line], name
    assert said.splitlines()[-1] == "1 images, 1 objects, 8 skipped"


def test_a_truncated_video_gives_the_frames_it_has(video, run, tmp_path):
    path = video(tmp_path / "x.avi", [255] * 20)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    code, lines, _ = run(path)
    assert code == 0
    assert 1 <= len(lines) < 20


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="nothing is unreadable to root")
def test_a_file_without_permission_is_skipped(picture, run, tmp_path):
    path = picture(tmp_path / "x.png")
    path.chmod(0)
    code, _, said = run(path)
    assert code == 1
    assert "permission denied" in said


@pytest.mark.parametrize("format", ["json", "coco", "image"])
def test_nothing_read_fails_and_writes_nothing(run, tmp_path, format):
    (tmp_path / "text.png").write_text("hello")
    code, lines, said = run(tmp_path, "--out", tmp_path / "out", "--format", format)
    assert (code, lines) == (1, [])
    assert "0 images, 0 objects, 1 skipped" in said
    assert not (tmp_path / "out").exists()


def test_json_into_a_folder(picture, run, tmp_path):
    picture(tmp_path / "in" / "x.png")
    code, lines, _ = run(tmp_path / "in", "--out", tmp_path / "out")
    assert (code, lines) == (0, [])
    (written,) = (tmp_path / "out").iterdir()
    assert written.name == "predictions.jsonl"
    assert json.loads(written.read_text("utf-8"))["detections"][0]["label"] == "人"


def test_coco_is_read_by_pycocotools(picture, video, run, tmp_path, capsys):
    picture(tmp_path / "in" / "a" / "x.png", 255)
    picture(tmp_path / "in" / "b" / "x.png", 0)
    video(tmp_path / "in" / "c.avi", [255, 255])
    assert run(tmp_path / "in", "--out", tmp_path / "out", "--format", "coco")[0] == 0
    path = tmp_path / "out" / "predictions.coco.json"
    truth = COCO(str(path))
    results = truth.loadRes(json.loads(path.read_text("utf-8"))["annotations"])
    assert [image["file_name"] for image in results.dataset["images"]] == ["a/x.png", "b/x.png", "c.avi#0", "c.avi#1"]
    assert [entry["image_id"] for entry in results.dataset["annotations"]] == [1, 3, 4]
    assert results.dataset["annotations"][0]["bbox"] == [0, 0, 32, 48]
    assert results.loadCats(results.dataset["annotations"][0]["category_id"])[0]["name"] == "人"
    capsys.readouterr()


def test_coco_on_standard_output(picture, run, tmp_path):
    _, lines, _ = run(picture(tmp_path / "x.png"), "--format", "coco")
    assert len(json.loads("".join(lines))["annotations"]) == 1


def test_pictures_keep_their_place_and_never_meet(picture, video, run, tmp_path):
    for name in ("a/x.png", "b/x.png", "b/x.jpg", "c d/人.webp"):
        picture(tmp_path / "in" / name, 200)
    video(tmp_path / "in" / "v.avi", [200, 200, 200])
    out = tmp_path / "out"
    assert run(tmp_path / "in", "--out", out, "--format", "image", "--every", 2)[0] == 0
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()) == [
        "a/x.png", "b/x.jpg", "b/x.png", "c d/人.webp", "v.avi/000000.jpg", "v.avi/000002.jpg",
    ]  # fmt: skip
    drawn = decode_image((out / "a" / "x.png").read_bytes())
    assert drawn.shape == (48, 64, 3)
    assert (drawn[40, 60] == 200).all()
    assert (drawn[40, 31] != 200).any()  # the right edge of the box


def test_files_of_one_name_from_two_folders(picture, run, tmp_path):
    first, second = picture(tmp_path / "a" / "x.png"), picture(tmp_path / "b" / "x.png")
    assert run(first, second, "--out", tmp_path / "out", "--format", "image")[0] == 0
    assert sorted(p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*.png")) == [
        "a/x.png",
        "b/x.png",
    ]


def test_another_kind_of_picture_becomes_a_jpeg(run, tmp_path):
    written, data = cv2.imencode(".gif", np.full((48, 64, 3), 200, np.uint8))
    assert written
    (tmp_path / "x.gif").write_bytes(data.tobytes())
    assert run(tmp_path / "x.gif", "--out", tmp_path / "out", "--format", "image")[0] == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["x.gif.jpg"]


def test_an_input_is_never_overwritten(picture, video, run, tmp_path):
    path = picture(tmp_path / "in" / "x.png")
    before = path.read_bytes()
    (tmp_path / "link").symlink_to(tmp_path / "in")
    video(tmp_path / "v" / "v.avi", [0])
    for arguments in [(path, "--out", path.parent), (path, "--out", tmp_path / "link")]:
        code, _, said = run(*arguments, "--format", "image")
        assert code == 2
        assert "is an input and would be overwritten" in said
    code, _, said = run(tmp_path / "v", "--out", tmp_path / "v", "--format", "image")
    assert code == 2
    assert path.read_bytes() == before


def test_two_pictures_that_would_meet_are_named(picture, run, tmp_path):
    written, data = cv2.imencode(".gif", np.full((48, 64, 3), 200, np.uint8))
    assert written
    (tmp_path / "x.gif").write_bytes(data.tobytes())
    picture(tmp_path / "x.gif.jpg")
    code, _, said = run(tmp_path, "--out", tmp_path / "out", "--format", "image")
    assert code == 2
    assert "would both be written to" in said


def test_pictures_of_an_earlier_run_are_no_input(picture, run, tmp_path):
    picture(tmp_path / "x.png")
    arguments = (tmp_path, "--out", tmp_path / "out", "--format", "image")
    said = [run(*arguments)[2].splitlines()[-1] for _ in range(2)]
    assert said == ["1 images, 1 objects, 0 skipped"] * 2


def test_names_that_no_font_can_draw_are_said_once(picture, run, tmp_path, monkeypatch):
    monkeypatch.setattr(fonts, "_machine_fonts", lambda _: ())
    for name in "ab":
        picture(tmp_path / "in" / f"{name}.png")
    arguments = (tmp_path / "in", "--out", tmp_path / "out")
    warned = [line for line in run(*arguments, "--format", "image")[2].splitlines() if "font" in line]
    assert len(warned) == 1
    assert "#1 for 人" in warned[0] and "install" in warned[0] and "fonts-noto-cjk" in warned[0]
    assert run(*arguments)[2] == "2 images, 2 objects, 0 skipped\n"


def test_nothing_is_said_where_a_font_has_all_letters(picture, run, tmp_path, monkeypatch):
    monkeypatch.setattr(fonts, "_draws", lambda *_: True)
    picture(tmp_path / "x.png")
    arguments = (tmp_path / "x.png", "--out", tmp_path / "out", "--format", "image")
    assert run(*arguments)[2] == "1 images, 1 objects, 0 skipped\n"


def test_a_failure_leaves_no_half_written_file(picture, run, tmp_path, monkeypatch):
    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("pindet.predict.writers.JsonWriter.write", fail)
    run(picture(tmp_path / "x.png"), "--out", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_bundle_that_does_not_prove_itself_is_refused(bundle, run, picture, tmp_path):
    from pindet_serve.manifest import list_files, read_manifest, write_manifest

    changed = tmp_path / "bundle"
    for path in bundle.rglob("*"):
        if path.is_file():
            (changed / path.relative_to(bundle)).parent.mkdir(parents=True, exist_ok=True)
            (changed / path.relative_to(bundle)).write_bytes(path.read_bytes())
    answers = changed / "golden" / "answers.json"
    answers.write_text(answers.read_text().replace("32.0", "40.0"))
    write_manifest(changed, type(read_manifest(bundle))(**vars(read_manifest(bundle)) | {"files": list_files(changed)}))
    code, lines, said = run("--bundle", changed, picture(tmp_path / "x.png"))
    assert (code, lines) == (2, [])
    assert "golden image 000.png, label 1: box off by 8" in said


def test_no_training_library_is_loaded(in_process, picture, tmp_path):
    script = (
        "import sys; from pathlib import Path; from pindet.predict.predict import predict;"
        "predict([sys.argv[2]], Path(sys.argv[1]), Path(sys.argv[3]), 'image');"
        "print(*{'torch', 'lightning', 'hydra', 'omegaconf', 'dvc', 'mlflow', 'pandas'} & sys.modules.keys())"
    )
    done = in_process(script, picture(tmp_path / "x.png"), tmp_path / "out")
    assert (done.returncode, done.stdout.strip()) == (0, "")


@pytest.mark.skipif(sys.platform != "linux", reason="names of other systems are Unicode")
def test_a_name_that_is_no_unicode(in_process, picture, tmp_path):
    script = (
        "import sys; from pathlib import Path; from pindet.predict.predict import predict;"
        "predict([sys.argv[2]], Path(sys.argv[1]))"
    )
    folder = tmp_path / "in"
    picture(folder / "x.png").rename(os.fsdecode(os.fsencode(folder) + b"/x\xff.png"))
    done = in_process(script, folder)
    assert done.returncode == 0
    assert json.loads(done.stdout)["image"].endswith("x\N{REPLACEMENT CHARACTER}.png")
