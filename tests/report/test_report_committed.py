"""Files made again against committed ones."""

import pytest

from repro.report.committed import FREETYPE, compare, drawn_alike, section

FILES = (
    "paper_tables/table1.md",
    "paper_tables/table1_passk.csv",
    "figures/table1_curves.png",
    "figures/table1_curves.csv",
)


@pytest.fixture
def folders(tmp_path):
    out, repository = tmp_path / "out", tmp_path / "repository"
    for folder in (out, repository):
        for name in FILES:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"one\ntwo\n")
    (repository / "figures" / ".hidden").write_bytes(b"x")
    return out, repository


def checks(folders, experiments=("table1",), pictures=True):
    out, repository = folders
    made = [path for path in out.rglob("*") if path.is_file()]
    return {check.file: check for check in compare(made, out, repository, experiments, pictures)}


def test_equal_files_are_the_same(folders):
    found = checks(folders)
    assert set(found) == set(FILES) and {check.status for check in found.values()} == {"same"}
    assert all(check.good for check in found.values())


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("text", [b"one\nthree\n", b"one\n", b"one\ntwo\nmore\n", b"one\r\ntwo\n", b""])
def test_every_byte_counts(folders, name, text):
    (folders[1] / name).write_bytes(text)
    found = checks(folders)
    assert [file for file, check in found.items() if not check.good] == [name] and found[name].status == "differs"


def test_the_first_line_that_differs_is_named(folders):
    (folders[1] / FILES[0]).write_bytes(b"one\nthree\n")
    assert checks(folders)[FILES[0]].detail == "from line 2"


def test_pictures_are_left_out_where_others_would_be_drawn(folders):
    for name in FILES:
        (folders[1] / name).write_bytes(b"other")
    found = checks(folders, pictures=False)
    assert {name: check.status for name, check in found.items()} == {
        name: "not compared" if name.endswith(".png") else "differs" for name in FILES
    }
    assert found["figures/table1_curves.png"].good


def test_a_file_on_one_side_only_fails(folders):
    (folders[1] / FILES[0]).unlink()
    (folders[0] / FILES[1]).unlink()
    found = checks(folders)
    assert (found[FILES[0]].status, found[FILES[1]].status) == ("missing", "left over")
    assert not found[FILES[0]].good and not found[FILES[1]].good


def test_files_of_other_experiments_are_not_looked_at(folders):
    for name in ("table1-tuning_accuracy.csv", "table10_curves.csv", "table2_curves.csv"):
        (folders[1] / "figures" / name).write_bytes(b"x")
    assert set(checks(folders)) == set(FILES)
    assert "figures/table2_curves.csv" in checks(folders, ("table1", "table2"))


def test_whatever_no_record_makes_is_left_over(folders):
    strange = ("figures/.hidden", "figures/deep/er.csv", "figures/table1@smoke_x.csv", "paper_tables/notes")
    for name in strange[1:]:
        path = folders[1] / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    (folders[1] / "figures" / "link").symlink_to("nowhere")
    found = checks(folders, experiments=None)
    bad = {name for name, check in found.items() if check.status == "left over"}
    assert bad == {*strange, "figures/link"} and set(found) == bad | set(FILES)


def test_a_folder_or_a_dead_link_in_the_place_of_a_file_is_no_file(folders):
    for name in FILES[:2]:
        (folders[1] / name).unlink()
    (folders[1] / FILES[0]).mkdir()
    (folders[1] / FILES[1]).symlink_to("nowhere")
    found = checks(folders)
    assert [found[name].status for name in FILES[:2]] == ["missing", "missing"]


def test_pictures_need_the_pinned_drawing(tmp_path):
    import matplotlib
    from matplotlib import ft2font

    assert not drawn_alike(tmp_path), "no pins, no comparison"
    pins = tmp_path / "constraints" / "cpu.txt"
    pins.parent.mkdir()
    pins.write_text("numpy==1\nmatplotlib==0.0.1\n")
    assert not drawn_alike(tmp_path)
    pins.write_text(f"numpy==1\nmatplotlib=={matplotlib.__version__}\n")
    assert drawn_alike(tmp_path) == (ft2font.__freetype_version__ == FREETYPE)


def test_a_section_ends_where_the_next_begins():
    text = "# t\n\n## A\n\na\n### deeper\nb\n\n## Claims\nc\n\n## D\nd\n"
    assert section(text, "Claims") == "c\n" and section(text, "A") == "\na\n### deeper\nb\n"
    assert section(text, "D") == "d\n" and section(text, "None") == ""
