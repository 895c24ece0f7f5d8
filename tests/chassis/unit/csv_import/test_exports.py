"""CSV that goes out."""

from __future__ import annotations

import csv

import pytest

from acme_service.chassis.csv_import import Reject, csv_of
from acme_service.chassis.csv_import.exports import csv_of_rejects


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1"])
def test_a_cell_that_a_spreadsheet_would_run_gets_an_apostrophe(cell: str) -> None:
    assert [[f"'{cell}", "1"]] == list(csv.reader([csv_of([[cell, 1]])])) or f"'{cell}" in csv_of([[cell, 1]])


def test_other_cells_stay_and_quotes_are_doubled() -> None:
    assert 'a=b,"say ""x""","1,2"\r\n' == csv_of([["a=b", 'say "x"', "1,2"]])


def test_rejects_have_line_reasons_and_text() -> None:
    rejects = [Reject(7, "=cmd()|x,a@b", ("email is wrong", "name is empty"))]

    assert '7,email is wrong; name is empty,"\'=cmd()|x,a@b"\r\n' == csv_of_rejects(rejects)
