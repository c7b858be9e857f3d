"""Tables as entries: every cell is kept or named, and only the delimiter is guessed."""

import csv
import io

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from parley.operators.kb_tables import BadTable, Columns, Entries, entries_of_rows, read_csv

CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=12)


BY_NAME = Columns()


def read(text: str, columns: Columns = BY_NAME, is_tsv: bool = False) -> Entries:
    return entries_of_rows(read_csv(text, is_tsv), columns, "faq")


def pairs(text: str, columns: Columns = BY_NAME, is_tsv: bool = False) -> list[tuple[str, str]]:
    return [(entry["title"], entry["text"]) for entry in read(text, columns, is_tsv).entries]


@pytest.mark.row("RC-01")
@given(
    st.lists(st.tuples(CELLS.filter(str.strip), CELLS, CELLS), max_size=5),
    st.sampled_from(",;\t|"),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    st.sampled_from(["\r\n", "\n"]),
)
@example([('The sign says "Open, come in", in red.', "", ";")], ",", csv.QUOTE_MINIMAL, "\n")
@example([('"', '""', '"a"')], "\t", csv.QUOTE_MINIMAL, "\n")
def test_no_cell_is_lost(rows: list[tuple[str, ...]], delimiter: str, quoting: int, end: str) -> None:
    written = io.StringIO()
    writer = csv.writer(written, delimiter=delimiter, quoting=quoting, lineterminator=end)  # type: ignore[arg-type]
    writer.writerows([("question", "answer", "note"), *rows])

    found = read_csv(written.getvalue())

    assert [tuple(row.cells) for row in found[1:]] == rows


@pytest.mark.row("RC-01")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('question,answer\nSign?,"It says ""Open, come in"", in red."\n', 'It says "Open, come in", in red.'),
        ('question,answer\nSign?,It says "Open" in red.\n', 'It says "Open" in red.'),
        ('question;answer\r\nSign?;"It says ""Open; come in"", in red."\r\n', 'It says "Open; come in", in red.'),
        ('question,answer\nSign?,"two\nlines, and ""more"""\n', 'two\nlines, and "more"'),
        ('question\tanswer\nSign?\tIt\'s 5" wide, "very".\n', 'It\'s 5" wide, "very".'),
        ('question\tanswer\nSign?\t"Open" it says\n', '"Open" it says'),
        ("question,answer\nSign?,a ; b | c ; d\n", "a ; b | c ; d"),
        ('question, answer\n"Sign?", "Open, come in"\n', "Open, come in"),
    ],
)
def test_quotes_are_read_as_rfc_4180_has_them(text: str, expected: str) -> None:
    assert pairs(text) == [("Sign?", expected)]


@pytest.mark.row("RC-01")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('question,answer\na,b\nSign?,It says "Open, come in", in red.\n', "line 3: has 4 cells, the header 2; write"),
        ("question,answer\na,b,c\n", "line 2: has 3 cells, the header 2"),
        ("question,answer,tag\na,b,c\n\nd,e\n", "line 4: has 2 cells, the header 3; a cell is missing"),
        ('question,answer\na,b\n"c,d\ne,f\n', "line 3: a quote is opened here and never closed"),
        ('question,answer\n"a\nb",c\n"d" e,f\n', "line 4: text stands behind a closing quote"),
        ('question;answer\n"He said \\"hi\\"; ok";b\n', "line 2: text stands behind a closing quote"),
        ("sep=;\nquestion;answer\na\n", "line 3: has 1 cell, the header 2"),
        ("question,answer\n", "has a header and no rows below it"),
        ("\n \n", "contains no rows"),
    ],
)
def test_a_row_that_does_not_fit_is_a_fault_with_its_line(text: str, message: str) -> None:
    with pytest.raises(BadTable) as fault:
        read(text)

    assert str(fault.value).startswith(message)


@pytest.mark.row("RC-01")
def test_rows_without_an_answer_are_named() -> None:
    found = read("question,answer,tag\nWhere?,,a\nBilling,,\nWhen?,Now.,b\n")

    assert [entry["text"] for entry in found.entries] == ["Now."]
    assert found.left_out == ["line 2: has no answer (Where?)", "line 3: has no answer (Billing)"]


@pytest.mark.row("RC-02")
@pytest.mark.parametrize("first", ["sep=;\r\n", '"sep=;"\n', "SEP=;\n", ""])
def test_the_line_that_names_the_delimiter_is_no_row(first: str) -> None:
    assert pairs(f"{first}Frage;Antwort\r\nWo?;Hier, dort\r\n") == [("Wo?", "Hier, dort")]


@pytest.mark.row("RC-02")
@pytest.mark.parametrize(
    "header",
    [
        *("Question,Answer", "QUESTION,ANSWER", "q,a", "query,response", "title,text", "Article title,Article body"),
        *("Frage,Antwort", "Pregunta,Respuesta", "Question,Réponse", "Domanda,Risposta", "Pergunta,Resposta"),
        *("Vraag,Antwoord", "Fråga,Svar", "Spørsmål,Svar", "Kysymys,Vastaus", "Pytanie,Odpowiedź", "Otázka,Odpověď"),
        *("Kérdés,Válasz", "Întrebare,Răspuns", "intrebare,raspuns", "Soru,Cevap", "Вопрос,Ответ", "Питання,Відповідь"),
        *("Ερώτηση,Απάντηση", "问题,答案", "質問,回答", "질문,답변", "السؤال,الجواب", "שאלה,תשובה", "प्रश्न,उत्तर"),
        *("คำถาม,คำตอบ", "Câu hỏi,Câu trả lời", "Pertanyaan,Jawaban", "Customer Question,Agent Answer"),
        *("prompt,completion", "FAQ question,FAQ answer"),
        *("faq_question,faq_answer", "questionText,answerText", "Question (EN),Answer (EN)", " question , answer "),
    ],
)  # fmt: skip
def test_columns_are_known_by_many_names(header: str) -> None:
    assert pairs(f"{header}\nWhere is it?,Over there.\n") == [("Where is it?", "Over there.")]


@pytest.mark.row("RC-02")
@pytest.mark.parametrize(
    "text",
    [
        "Question 1,Question 2,Answer\nWhen?,At what time?,At 9.\n",
        "question,alternative_questions,answer\nWhen?,At what time?,At 9.\n",
        "question,answer\nWhen?,At 9.\nAt what time?,At 9.\n",
        "Question\tAnswer\tSuggestedQuestions\tQnaId\nWhen?\tAt 9.\t[]\t7\nAt what time?\tAt 9.\t[]\t7\n",
    ],
)
def test_several_questions_may_have_one_answer(text: str) -> None:
    assert pairs(text) == [("When? / At what time?", "At 9.")]


@pytest.mark.row("RC-02")
def test_further_columns_are_kept_whatever_they_are_called() -> None:
    (entry,) = read("Id,question,answer,Title,text,lang,lang,,empty\n7,Q,A,T,X,en,de,y,\n").entries

    assert entry == {
        **{"id": "faq-7", "title": "Q", "text": "A", "Title (column)": "T", "text (column)": "X"},
        **{"lang": "en", "lang 7": "de", "column 8": "y"},
    }


@pytest.mark.row("RC-02")
def test_names_that_tell_nothing_are_a_fault_with_a_way_out() -> None:
    text = "Bike,Price\nCity,25\nCargo,40\n"
    with pytest.raises(BadTable) as fault:
        read(text)

    assert str(fault.value) == (
        'line 1: the header names no column for the answer; it has "Bike", "Price". '
        "Name the columns: --question NAME --answer NAME (by number, if there is no header: --question 1 --answer 2), "
        "or take each row as one text: --table"
    )
    assert pairs(text, Columns(("Bike",), ("Price",))) == [("City", "25"), ("Cargo", "40")]
    assert pairs(text, Columns(("bike",), ("PRICE",))) == [("City", "25"), ("Cargo", "40")]
    assert pairs(text, Columns((), ("Price",))) == [("", "25"), ("", "40")]
    assert pairs(text, Columns(as_rows=True)) == [
        ("City", "Bike: City. Price: 25."),
        ("Cargo", "Bike: Cargo. Price: 40."),
    ]


@pytest.mark.row("RC-02")
@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (Columns(("Car",), ("Price",)), 'line 1: the header has no columns "Car" and "Price"; it has "Bike", "Price"'),
        (Columns(("1",), ("3",)), "there is no column 3; there are 2"),
        (Columns(("Bike",)), "no column for the answer is named; add --answer NAME"),
    ],
)
def test_named_columns_must_be_there(columns: Columns, message: str) -> None:
    with pytest.raises(BadTable) as fault:
        read("Bike,Price\nCity,25\n", columns)

    assert str(fault.value).startswith(message)


@pytest.mark.row("RC-02")
def test_a_header_may_stand_below_a_title_or_be_missing() -> None:
    below = read("Our questions,,\n\nQuestion,Answer,Topic\nWhere?,Here.,place\n")
    missing = read("Where is it?,Here.\nWhen?,Now.\n")

    assert [entry["text"] for entry in below.entries] == ["Here."]
    assert below.notes == ["line 1: stands above the header and is not read (Our questions)"]
    assert [entry["title"] for entry in missing.entries] == ["Where is it?", "When?"]
    assert missing.notes == ["line 1: no header; the first column is read as the question"]


@pytest.mark.row("RC-02")
def test_columns_without_a_header_are_named_by_number() -> None:
    found = read("parking,7,Where can I park?,Behind the shop.\nhours,8,When?,At 9.\n", Columns(("3",), ("4",)))

    assert [(entry["title"], entry["text"]) for entry in found.entries] == [
        ("Where can I park?", "Behind the shop."),
        ("When?", "At 9."),
    ]
    assert found.entries[0]["column 1"] == "parking"
    assert found.notes == ["line 1: read as a row like the others, since the columns are named by number"]


@pytest.mark.row("RC-03")
def test_drafts_are_left_out_and_told() -> None:
    found = read("Article title,Article body,Status\nA,One,published\nB,Two,Draft\n")

    assert [entry["text"] for entry in found.entries] == ["One"]
    assert found.notes == ['line 3: "status" says that it is not published: it is left out']


@pytest.mark.row("RC-04")
def test_markup_in_cells_is_taken_out() -> None:
    assert pairs("question,answer\nA &amp; B?,<p>One&nbsp;<b>two</b></p>\n") == [("A & B?", "One two")]
