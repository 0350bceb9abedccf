"""Plan and apply: from files to the programme topic, and what is said on the way."""

from __future__ import annotations

from pathlib import Path

from services.console.programme_topic import definition_records
from shared.log.topics import PROGRAMME
from shared.wire.programme import Definition
from tests.integration.console.programme_files import write_programme
from tests.integration.console.stage import Stage

COUNTED = {"matching": 12, "mailable": 9, "left_out": {"no_consent": 3}, "unplaced": 0}


def test_a_plan_needs_no_home_and_writes_nothing(stage: Stage, tmp_path: Path) -> None:
    said = stage.said("plan", str(write_programme(tmp_path / "p")))
    assert "+ new" in said
    assert "4 new, none changed, none unchanged, none removed" in said
    assert "the segmenter is not running" in said
    assert not stage.home.exists()


def test_applying_writes_each_definition_as_a_version_and_as_the_newest(
    stage: Stage, tmp_path: Path
) -> None:
    stage.said("apply", str(write_programme(tmp_path / "p")), "--yes")
    written = {(stored.key or b"").decode(): it.data for stored, it in stage.records(PROGRAMME)}
    newest = {key for key in written if "@" not in key}
    assert newest == {
        "definition/campaign/forth", "definition/segment/members", "definition/template/letter",
        "definition/send/ask",
    }  # fmt: skip
    for key in newest:
        data = written[key]
        assert isinstance(data, Definition)
        assert written[f"{key}@{data.version}"] == data
        assert data.applied_by


def test_applying_again_has_nothing_to_do(stage: Stage, tmp_path: Path) -> None:
    folder = str(write_programme(tmp_path / "p"))
    stage.said("apply", folder, "--yes")
    before = [stored.offset for stored, _ in stage.records(PROGRAMME)]
    assert "Nothing to do" in stage.said("apply", folder)
    assert [stored.offset for stored, _ in stage.records(PROGRAMME)] == before


def test_a_change_keeps_the_old_version_and_a_removal_keeps_it_too(
    stage: Stage, tmp_path: Path
) -> None:
    folder = tmp_path / "p"
    stage.said("apply", str(write_programme(folder)), "--yes")
    changed = {"templates/letter/template.yaml": "subject: Good day\n", "sends/ask.yaml": None}
    write_programme(folder, changed)
    said = stage.said("apply", str(folder), "--yes")
    assert "subject: Hello -> Good day" in said
    assert "- removed" in said
    keys = [(stored.key or b"").decode() for stored, _ in stage.records(PROGRAMME)]
    assert sum(key.startswith("definition/template/letter@") for key in keys) == 2
    assert "definition/send/ask" not in keys
    assert sum(key.startswith("definition/send/ask@") for key in keys) == 1


def test_nothing_is_applied_unasked(stage: Stage, tmp_path: Path) -> None:
    folder = str(write_programme(tmp_path / "p"))
    assert "say --yes" in stage.refused("apply", folder)
    assert stage.records(PROGRAMME) == []


def test_everything_that_is_wrong_is_named_with_its_place(stage: Stage, tmp_path: Path) -> None:
    folder = write_programme(
        tmp_path / "p",
        {
            "segments/members.yaml": "where:\n  tga: member\n",
            "sends/ask.yaml": "segment: memebrs\nvariants:\n  - {name: only, template: letter}\n",
        },
    )
    said = stage.refused("plan", str(folder))
    assert f"{folder}/segments/members.yaml:2:3: `tga`: there is no such condition" in said
    assert 'did you mean "tag"?' in said
    assert f"{folder}/sends/ask.yaml:1:10" in said


def test_a_plan_counts_new_segments_when_the_segmenter_runs(stage: Stage, tmp_path: Path) -> None:
    segmenter = stage.service("segmenter", count=COUNTED)
    said = stage.said("plan", str(write_programme(tmp_path / "p")))
    assert "12 match, 9 mailable" in said
    [(path, question)] = segmenter.asked
    assert (path, question["rule"]) == ("count", {"op": "tag", "tag": "member"})


def test_a_plan_in_json_has_all_of_it(stage: Stage, tmp_path: Path) -> None:
    found = stage.json("plan", str(write_programme(tmp_path / "p")))
    assert {(each["kind"], each["action"]) for each in found["changes"]} == {
        (kind, "new") for kind in ("campaign", "segment", "template", "send")
    }


def test_a_definition_of_a_newer_release_is_not_passed_over(stage: Stage, tmp_path: Path) -> None:
    folder = str(write_programme(tmp_path / "p"))
    stage.said("apply", folder, "--yes")
    [ask] = [
        it.data for stored, it in stage.records(PROGRAMME) if stored.key == b"definition/send/ask"
    ]
    assert isinstance(ask, Definition)
    newer = ask.model_copy(update={"body": ask.body | {"telepathy": True}, "version": "f" * 12})
    stage.append(*definition_records(newer))
    assert "telepathy" in stage.refused("send", "status", "ask", code=80)
