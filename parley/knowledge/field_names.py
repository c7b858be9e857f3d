"""The names of fields: under which names other tools, and people, keep a question, a title or an answer.

One table for the entries of JSON files and the columns of tables; a new name is one more in a line. Names are compared
without case, accents and punctuation: `questionText`, `question_text` and `Question text` are one name.
"""

# ruff: noqa: RUF001 - letters of many scripts

import functools
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

QUESTIONS = """
question, questions, q, query, queries, utterance, utterances, pattern, patterns, faq question, user says
training phrases, sample utterances, front
frage, fragen, pregunta, preguntas, question posée, domanda, domande, pergunta, perguntas, vraag, vragen
fråga, frågor, spørsmål, spørgsmål, spurning, kysymys, kysymykset, pytanie, pytania, otázka, otázky, kérdés, kérdések
întrebare, întrebări, soru, sorular, вопрос, вопросы, питання, запитання, въпрос, въпроси, ερώτηση, ερωτήσεις
pitanje, pitanja, vprašanje, vprašanja, küsimus, jautājums, klausimas, pyetje, galdera, cwestiwn
问题, 問題, 问, 問, 提问, 質問, 質問文, 問い, 질문, 문의, سؤال, السؤال, الأسئلة, שאלה, پرسش, سوال
प्रश्न, सवाल, প্রশ্ন, கேள்வி, คำถาม, câu hỏi, pertanyaan, soalan, tanong, swali
"""
"""Questions. Several of one entry are all kept."""

ANSWERS = """
answer, answers, a, response, responses, reply, replies, accepted answer, suggested answer, faq answer, bot response
bot says, completion, assistant, solution, resolution, back
antwort, antworten, lösung, respuesta, respuestas, solución, réponse, réponses, risposta, risposte, soluzione
resposta, respostas, solução, antwoord, antwoorden, oplossing, svar, svör, vastaus, vastaukset, odpowiedź, odpowiedzi
odpověď, odpovědi, odpoveď, odpovede, válasz, válaszok, răspuns, răspunsuri, cevap, cevaplar, yanıt, ответ, ответы
відповідь, отговор, απάντηση, απαντήσεις, odgovor, odgovori, vastus, atbilde, atsakymas, përgjigje, erantzuna, ateb
答案, 回答, 答, 答复, 答覆, 解答, 回答文, 答え, 답변, 답, 대답, 응답, جواب, الجواب, إجابة, الإجابة, תשובה, پاسخ
उत्तर, जवाब, উত্তর, பதில், คำตอบ, câu trả lời, trả lời, jawaban, jawapan, sagot, jibu
"""
"""Answers. Of several the first in this order is used, so English stands first."""

TITLES = """
title, titles, heading, headline, subject, html title, article title, page title, display name, name, term, topic
issue, problem, short description, instruction, prompt, input, user, intent, tag, summary
titel, überschrift, thema, betreff, título, tema, asunto, titre, sujet, titolo, oggetto, assunto, onderwerp
rubrik, ämne, tittel, emne, otsikko, tytuł, temat, název, téma, cím, titlu, başlık, konu, заголовок, название, тема
назва, заглавие, τίτλος, θέμα, naslov, 标题, 標題, 主题, タイトル, 件名, 見出し, 제목, عنوان, العنوان, כותרת, शीर्षक
หัวข้อ, tiêu đề, judul, tajuk
"""
"""Titles. Of several the first in this order is used."""

TEXTS = """
text, content, contents, body, page content, post body, article body, description text, passage, chunk, document, html
markdown, rendered, plain text, rich text, output, speech, snippet, definition, meaning, cooked
inhalt, contenido, texto, contenu, texte, testo, contenuto, conteúdo, tekst, inhoud, innehåll, indhold, innhold
sisältö, teksti, treść, obsah, szöveg, tartalom, conținut, metin, içerik, текст, содержание, зміст, κείμενο
内容, 內容, 正文, 文本, 本文, テキスト, 내용, 본문, نص, النص, المحتوى, תוכן, متن, सामग्री, เนื้อหา, nội dung
"""
"""Bodies. Of several the first in this order is used."""

WEAK_TEXTS = """
description, details, detail, explanation, context, summary, abstract, message, messages, value, translation
beschreibung, erklärung, descripción, explicación, descriptif, descrizione, spiegazione, descrição, beschrijving
beskrivning, beskrivelse, kuvaus, opis, popis, leírás, descriere, açıklama, описание, опис, περιγραφή
描述, 说明, 說明, 説明, 설명, وصف, תיאור, توضیح, विवरण, คำอธิบาย, mô tả, deskripsi
"""
"""Texts only of an entry that has nothing better."""

_SIDE_WORDS = frozenset(
    """
    id ids nr no num number count type kind date time url uri link slug lang language locale category status state
    suggested related follow plausible front back source
    score author email created updated length image file format key code hash votes
    rating tags
    nummer datum sprache kategorie quelle fecha idioma categoria fuente langue categorie
    """.split()  # noqa: SIM905 - a column of fifty quoted names is harder to read
)
"""Words that make a longer name another field: a `Question ID` is no question."""


# perf: saves 10 µs (an entry with two fields beside its text)
@functools.lru_cache(maxsize=4096)
def fold(name: str) -> str:
    """Return a name for comparison: its words in small letters without accents, joined by single spaces."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[^\W\d])(?=\d)", " ", name)
    bare = re.sub(r"[\u0300-\u036f]", "", unicodedata.normalize("NFKD", parted.casefold()))
    return " ".join(re.sub(r"[\W_]+", " ", bare).split())


def ranks_of(table: str) -> dict[str, int]:
    """Return the folded names of a table, each with its position."""
    return {fold(name): rank for rank, name in enumerate(re.split(r"[,\n]", table)) if fold(name)}


_QUESTIONS, _ANSWERS, _TITLES, _TEXTS, _WEAK = map(ranks_of, (QUESTIONS, ANSWERS, TITLES, TEXTS, WEAK_TEXTS))


@dataclass(frozen=True)
class Fields:
    """Positions of the fields that make an entry: its titles (there may be several questions), and its texts.

    `is_answer` tells that the text is an answer, `is_weak` that it may as well describe something else.
    """

    titles: tuple[int, ...] = ()
    texts: tuple[int, ...] = ()
    is_answer: bool = False
    is_weak: bool = False


@functools.lru_cache(maxsize=4096)
def fields_of(names: tuple[str, ...]) -> Fields:
    """Return which of these fields hold the title and the text of an entry; none where the names tell nothing.

    A question goes with an answer, a title with a text; names that are in the tables as a whole win over longer ones
    that hold such a word (`Customer question`, `Answer 2`).
    """
    folded = [fold(name) for name in names]
    questions, answers = best_of(folded, _QUESTIONS), best_of(folded, _ANSWERS)
    titles, texts, weak = best_of(folded, _TITLES), best_of(folded, _TEXTS), best_of(folded, _WEAK, parts=False)
    # A summary is a title beside a description, and a text where it stands alone.
    titles = tuple(at for at in titles if at not in weak)
    if questions and answers:
        # Beside the column that is called so, alternatives are often called "Question 2" or "Other questions".
        return Fields(tuple(sorted({*questions, *holding(folded, _QUESTIONS)})), answers, is_answer=True)
    if texts:
        return Fields(titles or questions, texts)
    if answers:
        return Fields(titles or questions, answers, is_answer=True)
    return Fields(titles or questions, weak, is_weak=bool(weak))


def best_of(folded: Sequence[str], ranks: dict[str, int], *, parts: bool = True) -> tuple[int, ...]:
    """Return the position of the first name of a table, or else the positions of the names that hold such a word."""
    known = [at for at, name in enumerate(folded) if name in ranks]
    if known:
        first = min(ranks[folded[at]] for at in known)
        return tuple(at for at in known if ranks[folded[at]] == first)
    return holding(folded, ranks) if parts else ()


def holding(folded: Sequence[str], ranks: dict[str, int]) -> tuple[int, ...]:
    """Return the positions of names of several words that hold a name of the table, one letter alone not counted."""
    return tuple(
        at
        for at, name in enumerate(folded)
        if len(words := name.split()) > 1
        and _SIDE_WORDS.isdisjoint(words)
        and any(len(word) > 1 and word in ranks for word in words)
    )
