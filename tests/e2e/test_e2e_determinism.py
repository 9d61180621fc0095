"""Trials one after another and side by side give the same records, tables and figures, byte for byte."""

from e2e_command import assert_same, left_behind, run


def test_one_job_and_two_jobs_agree(whole, tmp_path):
    run(["run", "drill", "--jobs", "1", "--root", "runs"], tmp_path)
    assert_same(left_behind(tmp_path / "runs"), whole.left)
