import csv
import io
import json
import re
import tracemalloc
import xml.etree.ElementTree as ET  # the files are our own
import zipfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from features.errors import InputError
from features.schema import DAY
from serving import exports
from serving.answers import Answer, AtRiskCustomer, ChurnAnswer, CltvAnswer, NextStageAnswer, Reason, Stage, to_json
from serving.exports import crm, files, formats, sheet, systems
from serving.exports.columns import OF_A_RUN, of_the_list
from serving.exports.people import neutral
from serving.exports.table import of_a_run
from serving.store import NoScoresError, RunGoneError, Store
from serving.tables import Run

DOCS = Path(__file__).resolve().parent.parent / "docs" / "crm.md"
RUN = Run(7, "shop", 10 * DAY, 11 * DAY, {"churn": 3, "cltv": 2}, "EUR", 2)
LINE = AtRiskCustomer(
    customer_id="007",
    stage="active",
    risk="high",
    churn_probability=0.25,
    churn_percentile=97,
    cltv_expected=-12.5,
    at_stake=1e-7,
    expected_loss=None,
    currency="EUR",
    reason_code="OVERDUE",
    reason='19 days, "usual" 6',
)
FORMULA = "=+-@＝＋－＠−\t\r\n\x00"
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NASTY = st.text(st.sampled_from("=+-@＝－−;,\t\r\n\"'| \x00\xa0\u200ba1é"), max_size=10) | TEXT
IDS = st.lists(NASTY, min_size=1, max_size=4, unique=True)


def line(**fields: object) -> AtRiskCustomer:
    return LINE.model_copy(update=fields)


def answer_of(customer_id: str, probability: float | None = 0.25, *, reason: str = "19 days") -> Answer:
    told = {"code": "OVERDUE", "text": reason, "value": 19.0, "usual": 6.0, "unit": "days"}
    grade = {"grade": "A", "model_version": 3}
    numbers = {
        "probability": probability,
        "percentile": 97,
        "risk": "high",
        "base": 0.1,
        "other_effects": 0.05,
        "reasons": [
            Reason(**told, effect=0.1, direction="raises"),
            Reason(**told | {"code": "SPEND"}, effect=-0.4, direction="lowers"),
        ],
    }
    given = numbers if probability is not None else {"ineligible_reason": "no purchase in 56 days"}
    following = {"stage": "active", "probabilities": {"lapsed": 0.4, "active": 0.6}}
    return Answer(
        customer_id=customer_id,
        journey="shop",
        cutoff="1970-01-11T00:00:00Z",
        scored_at="1970-01-12T00:00:00Z",
        stage=Stage(name="active", since="1970-01-05T12:00:00.250000Z"),
        churn=ChurnAnswer(eligible=probability is not None, horizon_days=28, **grade, **given),
        next_stage=NextStageAnswer(eligible=True, horizon_days=28, **grade, **following),
        cltv=CltvAnswer(
            eligible=True, horizon_days=56, expected=100.005, high=200.0, coverage=0.8, currency="EUR", **grade
        ),
        at_stake=150.0 if probability is not None else None,
        expected_loss=37.5 if probability is not None else None,
    )


@pytest.fixture
def store(tmp_path) -> Iterator[Store]:
    with closing(Store(f"sqlite:///{tmp_path}/scores.db", keep=1)) as store:
        yield store


def write_answers(store: Store, *answers: Answer) -> None:
    store.write_run("shop", 10 * DAY, 11 * DAY, {"churn": 3, "cltv": 2}, answers)


def csv_rows(body: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(body.decode("utf-8-sig"), newline="")))


_MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


def sheets(body: bytes) -> list[list[dict[str, tuple[str, str]]]]:
    """Each sheet's rows: column letter -> (type, text); `inlineStr` is text, `n` a number."""
    with zipfile.ZipFile(io.BytesIO(body)) as book:
        parts = sorted(name for name in book.namelist() if name.startswith("xl/worksheets/sheet"))
        trees = [ET.fromstring(book.read(part)) for part in parts]  # noqa: S314
    return [[dict(map(cell_of, row.iter(f"{_MAIN}c"))) for row in tree.iter(f"{_MAIN}row")] for tree in trees]


def cell_of(cell: ET.Element) -> tuple[str, tuple[str, str]]:
    assert cell.find(f"{_MAIN}f") is None, "a formula"
    parts = [part.text or "" for tag in ("v", "t") for part in cell.iter(_MAIN + tag)]
    text = re.sub(r"_x([0-9A-F]{4})_", lambda found: chr(int(found[1], 16)), "".join(parts))
    return cell.get("r", "").rstrip("0123456789"), (cell.get("t", "n"), text)


def customers_of(body: bytes) -> list[dict[str, tuple[str, str]]]:
    """The first sheet's rows by the names in its first line; what is unknown is absent."""
    head, *rows = sheets(body)[0]
    return [{head[letter][1]: cell for letter, cell in row.items()} for row in rows]


# What people get.


@given(NASTY)
@example("=1+1")
@example("x;=1+1")
@example('"=1+1')
@example("\t=1+1")
@example("a,\u200b ＝1")
def test_no_cell_of_a_neutral_text_begins_a_formula_whatever_separates_cells(text):
    for cell in re.split('[;,|"\t\r\n\v\f\x00\x1c-\x1e\x85\u2028\u2029]', neutral(text)):
        assert not cell.strip(" \xa0\u200b\u3000").startswith(tuple("=+-@＝＋－＠−"))
    assert not neutral(text).startswith(tuple(FORMULA))


@given(NASTY)
def test_neutralising_adds_apostrophes_and_nothing_else(text):
    assert neutral(text).replace("'", "") == text.replace("'", "")


@given(st.text(st.sampled_from("abc 019.;é/:\"'")))
def test_text_without_signs_stays_as_it_is(text):
    assert neutral(text) == text


def test_a_long_row_of_blanks_and_separators_is_neutralised_at_once():
    assert neutral("\t " * 50_000 + "=1").endswith("\t' =1")


@given(IDS, NASTY)
def test_the_csv_for_people_reads_back_as_the_neutral_texts(ids, reason):
    rows = csv_rows(exports.render([line(customer_id=one, reason=reason) for one in ids], "csv"))
    assert [row["customer_id"] for row in rows] == [neutral(one) for one in ids]
    assert {row["reason"] for row in rows} == {neutral(reason)}


def test_a_csv_for_people_begins_with_the_mark_by_which_spreadsheets_know_utf_8():
    assert exports.render([LINE], "csv").startswith(b"\xef\xbb\xbfcustomer_id,")


def test_numbers_stay_numbers_and_unknown_is_empty():
    (row,) = csv_rows(exports.render([LINE], "csv"))
    assert (row["cltv_expected"], row["at_stake"], row["expected_loss"]) == ("-12.5", "1e-07", "")
    assert row["churn_percentile"] == "97"


@settings(max_examples=40)
@given(IDS, NASTY)
@example(["=1+1", "007", "1e5", "<r><t>x</t></r>", "_x0041_", "a\x01b"], "'=1")
def test_a_sheet_holds_every_text_as_text_and_no_formula(ids, reason):
    rows = customers_of(exports.render([line(customer_id=one, reason=reason) for one in ids], "xlsx", RUN))
    assert [row["customer_id"] for row in rows] == [("inlineStr", one) for one in ids]
    assert {row["reason"] for row in rows} == {("inlineStr", reason)}


def test_a_sheet_holds_numbers_as_numbers_and_leaves_the_unknown_out():
    (row,) = customers_of(exports.render([LINE], "xlsx", RUN))
    assert row["churn_probability"] == ("n", "0.25")
    assert (row["cltv_expected"], row["churn_percentile"]) == (("n", "-12.5"), ("n", "97"))
    assert "expected_loss" not in row


def test_a_sheet_shows_percents_and_the_currency_and_keeps_its_head_in_sight():
    body = exports.render([LINE], "xlsx", RUN)
    with zipfile.ZipFile(io.BytesIO(body)) as book:
        styles, first = (book.read(f"xl/{part}.xml").decode() for part in ("styles", "worksheets/sheet1"))
    assert 'formatCode="0.0%"' in styles
    assert 'formatCode="[$EUR] #,##0.00"' in styles
    assert 'state="frozen"' in first
    assert "<cols>" in first


@pytest.mark.parametrize(("currency", "shown"), [("EUR", "[$EUR] #,##0.00"), ('"]&x', "#,##0.00"), (None, "#,##0.00")])
def test_a_currency_that_is_no_code_stays_out_of_the_number_format(currency, shown):
    run = Run(7, "shop", 0, 0, {}, currency, 1)
    money = next(column for column in OF_A_RUN if column.kind == "money")
    assert sheet.number_format(money, run) == shown


def test_the_second_sheet_tells_the_run_the_models_and_every_column():
    _, about = sheets(exports.render([LINE], "xlsx", RUN))
    told = {row["A"][1]: row["B"][1] for row in about}
    assert (told["journey"], told["run"], told["cutoff"]) == ("shop", "7", "1970-01-11T00:00:00Z")
    assert (told["model of churn"], told["customers in this file"]) == ("version 3", "1")
    assert set(AtRiskCustomer.model_fields) <= set(told)


def test_a_text_longer_than_a_cell_is_cut_where_one_can_see_it():
    (row,) = customers_of(exports.render([line(reason="x" * 40_000)], "xlsx"))
    assert row["reason"][1] == "x" * 32_766 + "…"


def test_the_same_run_makes_the_same_workbook():
    assert exports.render([LINE], "xlsx", RUN) == exports.render([LINE], "xlsx", RUN)


def test_more_customers_than_a_sheet_has_rows_are_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(sheet, "MOST_ROWS", 1)
    with pytest.raises(InputError, match=r"more than 1 customers[\s\S]*\.parquet"):
        exports.write([LINE, LINE], tmp_path / "list.xlsx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("column", [*of_the_list(), *OF_A_RUN], ids=lambda column: column.name)
def test_every_column_is_explained_in_a_sentence(column):
    assert re.fullmatch(r"[A-Z].{15,}\.", column.means), f"describe the field {column.name}"


# What systems get.


@given(IDS)
def test_every_id_reaches_a_system_exactly(ids):
    customers = [line(customer_id=one) for one in ids]

    def lines(name: str) -> list[dict]:
        return [json.loads(one) for one in exports.render(customers, name, RUN).decode().removesuffix("\n").split("\n")]

    assert [one["customer_id"] for one in lines("jsonl")] == ids
    for name, column in (("hubspot", "journeycast_customer_id"), ("salesforce", "Journeycast_Customer_Id__c")):
        assert [row[column] for row in csv_rows(exports.render(customers, name, RUN))] == ids
    profiles = [one for body in lines("klaviyo") for one in body["data"]["attributes"]["profiles"]["data"]]
    assert [one["attributes"]["external_id"] for one in profiles] == ids


@settings(max_examples=25)
@given(IDS)
def test_every_id_is_exact_in_parquet(ids):
    body = exports.render([line(customer_id=one) for one in ids], "parquet")
    assert pl.read_parquet(io.BytesIO(body))["customer_id"].to_list() == ids


def test_parquet_has_types_also_where_there_is_nobody():
    empty = pl.read_parquet(io.BytesIO(exports.render([], "parquet")))
    full = pl.read_parquet(io.BytesIO(exports.render([LINE], "parquet")))
    assert empty.schema == full.schema
    assert (empty.schema["churn_probability"], empty.schema["churn_percentile"]) == (pl.Float64, pl.Int64)


def test_hubspot_gets_bodies_of_a_hundred_contacts(tmp_path):
    customers = [line(customer_id=str(number)) for number in range(150)]
    exports.write(customers, tmp_path / "list.jsonl", "hubspot", RUN)
    bodies = [json.loads(one) for one in (tmp_path / "list.jsonl").read_text().splitlines()]
    assert [len(body["inputs"]) for body in bodies] == [100, 50]
    first = bodies[0]["inputs"][0]
    assert (first["idProperty"], first["id"]) == ("journeycast_customer_id", "0")
    assert first["properties"]["journeycast_expected_loss"] == ""
    assert first["properties"]["journeycast_cutoff"] == "864000000"  # milliseconds
    assert all(isinstance(value, str) for value in first["properties"].values())


def test_klaviyo_gets_bodies_within_its_limits(monkeypatch):
    monkeypatch.setattr(crm, "KLAVIYO_BYTES", 3_000)
    customers = [line(customer_id=str(number), reason="é" * number) for number in range(30)]
    lines = exports.render(customers, "klaviyo").splitlines()
    assert max(map(len, lines)) <= 3_000
    assert sum(len(json.loads(one)["data"]["attributes"]["profiles"]["data"]) for one in lines) == 30
    monkeypatch.setattr(crm, "KLAVIYO_AT_ONCE", 4)
    assert len(exports.render(customers, "klaviyo").splitlines()) == 8


def test_klaviyo_is_told_nothing_of_what_is_unknown():
    (body,) = exports.render([LINE], "klaviyo", RUN).splitlines()
    (profile,) = json.loads(body)["data"]["attributes"]["profiles"]["data"]
    told = profile["attributes"]["properties"]
    assert "journeycast_expected_loss" not in told
    assert (told["journeycast_churn_probability"], told["journeycast_cutoff"]) == (0.25, "1970-01-11T00:00:00.000Z")


def test_salesforce_ends_lines_with_lf_and_clears_what_is_unknown():
    body = exports.render([line(customer_id="a\r\nb")], "salesforce", RUN)
    head, row, nothing = body.replace(b"a\r\nb", b"ab").split(b"\n")
    assert b"\r" not in head + row
    assert nothing == b""
    (read,) = csv_rows(body)
    assert read["Journeycast_Expected_Loss__c"] == "#N/A"
    assert read["Journeycast_Scored_At__c"] == "1970-01-12T00:00:00.000Z"
    assert (read["Journeycast_At_Stake__c"], read["Journeycast_Churn_Probability__c"]) == ("0.00", "0.250000")


@pytest.mark.parametrize(
    ("system", "accepted"),
    [
        ("hubspot", r"[a-z][a-z0-9_]{0,99}"),
        ("salesforce", r"(?=.{1,43}$)[A-Za-z](?:_?[A-Za-z0-9])*__c"),
        ("klaviyo", r"[a-z][a-z0-9_]*"),
    ],
)
def test_a_system_accepts_the_names(system, accepted):
    names = [name for _, name, _ in crm.properties(system)]
    assert len(set(names)) == len(names) == len(crm.FIELDS)
    assert all(re.fullmatch(accepted, name) for name in names)


@pytest.mark.parametrize("system", ["hubspot", "salesforce", "klaviyo"])
def test_the_documentation_lists_every_property_with_its_type(system):
    section = re.split(r"^## ", DOCS.read_text(encoding="utf-8"), flags=re.MULTILINE)
    (words,) = [part for part in section if part.lower().startswith(system)]
    listed = re.findall(r"^\| `(\w+)` \| `(\w+)` \| ([^|]+?) \|", words, flags=re.MULTILINE)
    assert listed == crm.properties(system)


# Whole runs.


def test_a_run_as_json_lines_is_the_very_answers_that_are_stored(store, tmp_path):
    answers = [answer_of(one) for one in ("b", "é", "a\nb", "=1", "007")] + [answer_of("none", None)]
    write_answers(store, *answers)
    written = exports.write_run(store, "shop", tmp_path / "run.jsonl")
    lines = (tmp_path / "run.jsonl").read_bytes().splitlines()
    assert lines == [to_json(one) for one in sorted(answers, key=lambda one: one.customer_id)]
    assert (written.customers, written.files) == (6, (tmp_path / "run.jsonl",))


def test_a_run_in_parquet_has_columns_and_the_whole_answers(store, tmp_path):
    write_answers(store, answer_of("007"), answer_of("8", None))
    exports.write_run(store, "shop", tmp_path / "run.parquet")
    rows = pl.read_parquet(tmp_path / "run.parquet").to_dicts()
    assert rows[0]["customer_id"] == "007"
    assert (rows[0]["next_stage"], rows[0]["next_stage_probability"], rows[0]["cltv_low"]) == ("active", 0.6, None)
    assert (rows[0]["reason_code"], rows[0]["risk"], rows[0]["expected_loss"]) == ("OVERDUE", "high", 37.5)
    assert rows[0]["stage_since"] == datetime(1970, 1, 5, 12, 0, 0, 250_000, tzinfo=UTC)
    assert (rows[1]["churn_probability"], rows[1]["churn_ineligible_reason"]) == (None, "no purchase in 56 days")
    assert [json.loads(row["answer"])["customer_id"] for row in rows] == ["007", "8"]


@pytest.mark.parametrize(
    ("name", "format"), [("r.csv", None), ("r.csv", "hubspot"), ("r.csv", "salesforce"), ("r.xlsx", None)]
)
def test_a_run_can_be_a_table_of_any_kind(store, tmp_path, name, format):
    write_answers(store, answer_of("007"), answer_of("8", None))
    assert exports.write_run(store, "shop", tmp_path / name, format).customers == 2
    body = (tmp_path / name).read_bytes()
    found = customers_of(body)[0]["customer_id"][1] if name == "r.xlsx" else next(iter(csv_rows(body)[0].values()))
    assert found == "007"


def test_a_reading_begun_stays_on_its_run_and_says_so_when_it_is_deleted(store):
    write_answers(store, *(answer_of(str(number)) for number in range(5)))
    reading = store.answers("shop", at_once=2)
    assert [next(reading)[0] for _ in range(2)] == ["0", "1"]
    write_answers(store, answer_of("new"))  # the store keeps one run
    with pytest.raises(RunGoneError, match="no longer stored"):
        next(reading)
    assert [one for one, _ in store.answers("shop")] == ["new"]


@pytest.mark.parametrize("customers", [1, 2, 3, 4, 5])
def test_a_run_is_read_in_parts_without_a_gap(store, customers):
    write_answers(store, *(answer_of(str(number)) for number in range(customers)))
    assert [one for one, _ in store.answers("shop", at_once=2)] == [str(number) for number in range(customers)]


def test_a_journey_without_a_run_is_told_at_once(store, tmp_path):
    with pytest.raises(NoScoresError, match="no scores are stored"):
        exports.write_run(store, "shop", tmp_path / "run.jsonl")
    assert list(tmp_path.glob("run*")) == []


# Memory, files, names.


def documents(number: int, taken: list[int] | None = None) -> Iterator[tuple[str, bytes]]:
    stored = to_json(answer_of("1"))
    for at in range(number):
        if taken is not None:
            taken.append(at)
        yield str(at), stored.replace(b'"customer_id":"1"', b'"customer_id":"%d"' % at)


@pytest.mark.parametrize("form", [form for form in exports.FORMATS if form.pieces], ids=lambda form: form.name)
def test_lines_are_made_as_they_are_read(form, monkeypatch):
    monkeypatch.setattr(crm, "HUBSPOT_AT_ONCE", 1)
    monkeypatch.setattr(crm, "KLAVIYO_AT_ONCE", 1)
    taken: list[int] = []
    next(form.pieces(of_a_run(documents(1000, taken), RUN)))
    assert len(taken) <= 2


@pytest.mark.parametrize("suffix", [".parquet", ".xlsx"])
def test_the_memory_of_an_export_does_not_grow_with_the_run(suffix, tmp_path, monkeypatch):
    monkeypatch.setattr(systems, "ROWS_AT_ONCE", 100)
    form = exports.of_file(tmp_path / f"run{suffix}")

    def peak(number: int) -> int:
        tracemalloc.start()
        files.write_table(of_a_run(documents(number), RUN), tmp_path / f"run{suffix}", form)
        try:
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(100)  # what is imported and cached on first use
    assert peak(1_500) < 1.5 * peak(300)


def test_what_a_system_takes_in_one_file_no_more_goes_on_in_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "FORMATS", tuple(smaller(form) for form in exports.FORMATS))
    written = exports.write([line(customer_id=str(n)) for n in range(7)], tmp_path / "list.csv", "salesforce", RUN)
    assert [path.name for path in written.files] == ["list.csv", "list-2.csv", "list-3.csv"]
    bodies = [path.read_bytes() for path in written.files]
    assert len({body.partition(b"\n")[0] for body in bodies}) == 1
    ids = [row["Journeycast_Customer_Id__c"] for body in bodies for row in csv_rows(body)]
    assert ids == [str(n) for n in range(7)]
    assert max(map(len, bodies)) <= 900


def smaller(form: exports.Format) -> exports.Format:
    return replace(form, most_bytes=900) if form.name == "salesforce" else form


def test_a_record_larger_than_a_file_still_gets_one(tmp_path):
    form = replace(exports.named("salesforce"), most_bytes=10)
    written = files.write_table(of_a_run(documents(3), RUN), tmp_path / "list.csv", form)
    assert [len(csv_rows(path.read_bytes())) for path in written.files] == [1, 1, 1]


def test_nobody_on_the_list_makes_a_file_with_the_names_alone(tmp_path):
    assert exports.write([], tmp_path / "list.csv").customers == 0
    assert (tmp_path / "list.csv").read_text("utf-8-sig") == ",".join(AtRiskCustomer.model_fields) + "\n"


def test_an_export_that_fails_leaves_the_old_file_and_no_half_of_a_new_one(tmp_path):
    (tmp_path / "run.jsonl").write_text("old")

    def failing() -> Iterator[tuple[str, bytes]]:
        yield from documents(10)
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="disk is full"):
        files.write_table(of_a_run(failing(), RUN), tmp_path / "run.jsonl", exports.named("jsonl"))
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("run.jsonl", "old")]


@pytest.mark.parametrize(
    ("name", "format", "told"),
    [
        ("list.doc", None, r"ends in \.csv, \.xlsx, \.jsonl or \.parquet"),
        ("list", None, r"ends in \.csv, \.xlsx, \.jsonl or \.parquet"),
        ("list.xlsx", "hubspot", r"ends in \.csv or \.jsonl"),
        ("list.jsonl", "salesforce", r"ends in \.csv"),
        ("list.csv", "klaviyo", r"ends in \.jsonl"),
        ("list.csv", "parquet", r"ends in \.parquet"),
        ("list.csv", "marketo", r"'marketo'[\s\S]*csv, xlsx, jsonl, parquet, hubspot, salesforce, klaviyo"),
    ],
)
def test_a_form_that_does_not_exist_is_told_with_those_that_do(tmp_path, name, format, told):
    with pytest.raises(InputError, match=told):
        exports.write([LINE], tmp_path / name, format)


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("text/csv", "csv"),
        ("text/csv;q=0.9, application/json", "csv"),
        ("application/json, text/csv", None),
        ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx"),
        ("application/x-ndjson", "jsonl"),
        ("*/*", None),
        ("", None),
    ],
)
def test_accept_chooses_a_form(accept, form):
    assert exports.preferred(accept) == form


def test_every_form_has_a_type_for_http():
    assert set(exports.MEDIA_TYPES) == set(exports.NAMES)
    assert exports.MEDIA_TYPES["hubspot"] == "text/csv"
