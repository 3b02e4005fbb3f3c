import json
import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from conftest import scored_doc
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from spacy.vocab import Vocab

from spacy_prokd.errors import ProKDError
from spacy_prokd.mistakes import keep_gold
from spacy_prokd.reporting import write_report
from spacy_prokd.reporting.charts import Series, line_chart
from spacy_prokd.reporting.sentences import MOST_TEXTS
from spacy_prokd.reporting.words import SIDE, Group, place_names

ROLES = ("teacher", "student")
KINDS = {"metrics": "json", "logs": "jsonl", "configs": "cfg", "tagged": "spacy"}
CONFIG = """
[paths]
encoder = "assets/encoder"
[nlp]
lang = "xx"
[components]
[components.prokd_ner]
factory = "prokd_ner"
encoder = ${{paths.encoder}}
[components.prokd_ner.objective]
@misc = "spacy-prokd.{role}.v1"
beta = 0.8125
[training]
seed = 17
[training.logger]
@loggers = "spacy-prokd.Logger.v1"
"""


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path)


def make_run(folder):
    """The arguments of `write_report` for a small run whose files are in a folder."""
    for role, f in zip(ROLES, (0.612, 0.654)):
        metrics = {
            "ents_p": f,
            "ents_r": f,
            "ents_f": f,
            "token_f": None,
            "ents_per_type": {"PER": {"p": f, "r": f, "f": f, "support": 31}},
            "calibration": {"ece": 0.0625, "bins": [{"score": 0.4, "right": 0.3, "entities": 10}]},
            "labels_only_in_data": [],
            "encoder": "<b>small</b>",
            "versions": {"spacy": "3.8.18"},
        }
        (folder / f"{role}.json").write_text(json.dumps(metrics))
        losses = [{"prokd_ner": 2.0, f"prokd_ner.{role}_part": 1.0}, {"prokd_ner": None, f"prokd_ner.{role}_part": 0.5}]
        lines = [{"step": i, "epoch": 0, "scores": {"ents_f": 0.5}, "losses": loss} for i, loss in enumerate(losses)]
        (folder / f"{role}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        (folder / f"{role}.cfg").write_text(CONFIG.format(role=role.title()))
    files = {kind: {role: folder / f"{role}.{end}" for role in ROLES} for kind, end in KINDS.items()}
    languages = {"source_lang": "en", "target_lang": "de"}
    more = {"prototypes": folder / "prototypes.spacy", "word_map": folder / "words.json"}
    return {"output": folder / "report" / "index.html", **more, **languages, **files}


def save_tagged(path, texts):
    """Write texts as a pipeline tagged them: words, gold tags (or None), found tags and scores of each."""
    vocab, docs = Vocab(), DocBin()
    for words, gold, found, scores in texts:
        doc = scored_doc(vocab, words.split(), found.split(), scores)
        docs.add(keep_gold(Example(doc, Doc(vocab, words=words.split(), ents=gold and gold.split()))))
    docs.to_disk(path)


TEACHER = [("Anna <i> Bonn", "B-PER O B-LOC", "B-PER O O", [0.91]), ("Ein Tag", "O O", "O O", [])]
STUDENT = [("Anna <i> Bonn", "B-PER O B-LOC", "B-LOC O B-LOC", [0.62, 0.87]), ("Ein Tag", "O O", "O O", [])]


@pytest.fixture
def full_run(run):
    return fill(run)


def fill(run):
    """Give a run tagged texts and a map of words."""
    for role, texts in zip(ROLES, (TEACHER, STUDENT)):
        save_tagged(run["tagged"][role], texts)
    words = [
        {"language": 0, "tag": "B-PER", "x": 0.0, "y": 0.5, "text": "<u>Anna"},
        {"language": 1, "tag": "I-PER", "x": 1.0, "y": 0.25, "text": "Weber"},
        {"language": 1, "tag": "O", "x": 0.5, "y": 1.0, "text": "lacht"},
    ]
    prototypes = [{"language": i, "tag": "B-PER", "x": 0.5, "y": 0.5} for i in (0, 1)]
    content = {"files": ["en dev", "de test"], "words": words, "prototypes": prototypes, "aligned": ["B-PER"]}
    run["word_map"].write_text(json.dumps(content))
    return run


def cells(page, role):
    """The confusion table of a pipeline: a list of texts for each row."""
    table = re.search(rf"<caption>{role}: rows.*?</table>", page, flags=re.DOTALL)[0]
    rows = re.findall(r"<tr>(.*?)</tr>", table, flags=re.DOTALL)
    return [[re.sub("<.*?>", "", cell) for cell in re.findall(r"<t[hd].*?</t[hd]>", row)] for row in rows]


def texts_of(page, heading):
    """The texts with entities under a heading, as their lines."""
    section = page[page.index(heading) :]
    return [re.findall(r"<dd.*?</dd>", each) for each in re.findall(r"<dl>.*?</dl>", section, flags=re.DOTALL)]


def test_the_page_has_scores_curves_and_settings(run):
    page = write_report(**run).read_text(encoding="utf8")
    assert "61.2" in page and "65.4" in page and "(31)" in page
    titles = re.findall(r"<figcaption>(.*?)</figcaption>", page)
    assert titles[:2] == ["Share of entities that are right, over their score", "Entity F1 on source dev"]
    assert {"Loss of the teacher: prokd_ner.teacher_part", "Loss of the student: prokd_ner.student_part"} < set(titles)
    assert "spacy-prokd.Student.v1" in page and "0.8125" in page and "assets/encoder" in page and "3.8.18" in page
    assert "spacy-prokd.Logger.v1" not in page


def test_the_page_says_if_entities_are_few(run):
    assert "31 entities: one of them is 3.2 points." in write_report(**run).read_text(encoding="utf8")
    path = run["metrics"]["student"]
    path.write_text(path.read_text().replace('"support": 31', '"support": 310'))
    assert "one of them is" not in write_report(**run).read_text(encoding="utf8")


def test_a_training_with_one_evaluation_has_no_losses_to_draw(run):
    log = run["logs"]["student"]
    log.write_text(log.read_text().partition("\n")[0])
    page = write_report(**run).read_text(encoding="utf8")
    assert "Loss of the teacher: prokd_ner.teacher_part" in page and "Loss of the student" not in page
    assert "The student was evaluated once" in page and "The teacher was evaluated once" not in page


@pytest.mark.parametrize("encoder", ["/home/ada/my-encoder", "encoders//home/ada/my-encoder"])
def test_a_folder_of_this_machine_is_shown_by_its_name(run, encoder):
    for path in run["configs"].values():
        path.write_text(path.read_text().replace("assets/encoder", encoder))
    page = write_report(**run).read_text(encoding="utf8")
    assert "<td>my-encoder</td>" in page and "ada" not in page


def test_scores_of_the_source_are_called_that(run):
    assert "labels to score on" not in write_report(**run).read_text(encoding="utf8")
    for path in run["metrics"].values():
        path.write_text(json.dumps({**json.loads(path.read_text()), "data": "en dev"}))
    page = write_report(**run).read_text(encoding="utf8")
    assert "No text in de has labels to score on" in page and "<dt>student, entity F1 in en</dt>" in page


def test_each_section_is_reached_from_the_top(full_run):
    page = write_report(**full_run).read_text(encoding="utf8")
    sections = re.findall(r'<section aria-labelledby="(\w+)">', page)
    assert re.findall(r'<a href="#(\w+)">', page) == sections and "mistakes" in sections


def test_of_several_languages_each_has_its_f1(run):
    for path in run["metrics"].values():
        metrics = json.loads(path.read_text())
        parts = {"de test": {"ents_f": 0.512, "entities": 12}, "nl test": {"ents_f": 0.437, "entities": 9}}
        path.write_text(json.dumps({**metrics, "parts": parts}))
    page = write_report(**{**run, "target_lang": "de+nl"}).read_text(encoding="utf8")
    assert "Named entities from en to de and nl</h1>" in page
    assert re.search(r"nl test <span class=\"muted\">\(9\)</span></th><td>\s*<span.*?43\.7", page)
    assert "parts" not in page


def test_the_page_says_what_a_score_is_worth_where_there_are_scores(run):
    page = write_report(**run).read_text(encoding="utf8")
    assert "6.2 points for the teacher, 6.2 points for the student." in " ".join(page.split())
    for path in run["metrics"].values():
        path.write_text(json.dumps({**json.loads(path.read_text()), "calibration": None}))
    page = write_report(**run).read_text(encoding="utf8")
    assert "What a score is worth" not in page and "calibration" not in page


def test_confusions_of_both(full_run):
    page = write_report(**full_run).read_text(encoding="utf8")
    assert cells(page, "teacher") == [
        ["", "LOC", "PER", "missed"],
        ["LOC", "·", "·", "1"],
        ["PER", "·", "1", "·"],
        ["spurious", "·", "·", ""],
    ]
    assert cells(page, "student")[1:] == [["LOC", "1", "·", "·"], ["PER", "1", "·", "·"], ["spurious", "·", "·", ""]]


def test_entities_with_other_borders_stand_beside_the_right_ones(full_run):
    save_tagged(full_run["tagged"]["student"], [("Anna <i> Bonn", "B-PER O B-LOC", "B-PER I-PER B-LOC", [0.5, 0.5])])
    save_tagged(full_run["tagged"]["teacher"], [("Anna <i> Bonn", "B-PER O B-LOC", "B-PER O B-LOC", [0.5, 0.5])])
    page = write_report(**full_run).read_text(encoding="utf8")
    assert cells(page, "student")[1:3] == [["LOC", "1", "·", "·"], ["PER", "·", "0 +1", "·"]]


def test_the_worst_texts_show_labels_and_what_was_found(full_run):
    page = write_report(**full_run).read_text(encoding="utf8")
    (lines,) = texts_of(page[: page.index("disagree</h3>")], "Where the student was worst")
    marks = [re.findall(r'class="entity (.*?)">(.*?)<small>(.*?)</small>', line) for line in lines]
    assert marks == [
        [("type-1 wrong", "Anna", "PER"), ("type-0", "Bonn", "LOC")],
        [("type-0 wrong", "Anna", "LOC 0.62"), ("type-0", "Bonn", "LOC 0.87")],
    ]


def test_disagreements_show_labels_and_both(full_run):
    page = write_report(**full_run).read_text(encoding="utf8")
    assert "Of 1 entities found by the teacher alone, 1 are right. Of 2 entities found by the student alone" in page
    (lines,) = texts_of(page, "Where teacher and student disagree")
    assert [re.findall(r"<small>(.*?)</small>", line) for line in lines] == [
        ["PER", "LOC"],
        ["PER 0.91"],
        ["LOC 0.62", "LOC 0.87"],
    ]


def test_prototypes_stand_beside_the_teacher(full_run):
    page = write_report(**full_run).read_text(encoding="utf8")
    assert "teacher and prototypes" not in page
    said = [("Anna <i> Bonn", "B-PER O B-LOC", "B-PER O B-MISC", [0.99, 0.75]), ("Ein Tag", "O O", "O O", [])]
    save_tagged(full_run["prototypes"], said)  # a type that nobody else says
    page = write_report(**full_run).read_text(encoding="utf8")
    (lines,) = texts_of(page, "Where teacher and prototypes disagree")
    assert [re.findall(r"<small>(.*?)</small>", line) for line in lines] == [
        ["PER", "LOC"],
        ["PER 0.91"],
        ["PER 0.99", "MISC 0.75"],
    ]
    assert "Of 1 entities found by the prototypes alone, 0 are right." in page
    DocBin().to_disk(full_run["prototypes"])
    assert "teacher and prototypes" not in write_report(**full_run).read_text(encoding="utf8")


def test_disagreements_are_of_the_targets_text_where_the_source_was_scored(full_run):
    for path in full_run["metrics"].values():
        path.write_text(json.dumps({**json.loads(path.read_text()), "data": "en dev"}))
    scored = {"teacher": TEACHER, "student": STUDENT, "prototypes": TEACHER}
    plain = {"teacher": ("B-PER O O", [0.9]), "student": ("B-PER O B-LOC", [0.8, 0.7]), "prototypes": ("O O O", [])}
    for role, path in {**full_run["tagged"], "prototypes": full_run["prototypes"]}.items():
        save_tagged(path, [*scored[role], ("Otto in Ulm", None, *plain[role])])
    page = write_report(**full_run).read_text(encoding="utf8")
    text = " ".join(page.split())
    assert "entity of each type in en dev was found" in text
    assert cells(page, "student")[1:3] == [["LOC", "1", "·", "·"], ["PER", "1", "·", "·"]], "of what was scored"
    worst, disagreements = page[page.index("was worst in en</h3>") :].split("Where teacher and student disagree")
    assert len(texts_of(worst, "")) == 1 and 'lang="en"' in worst and "Otto" not in worst
    assert text.count("1 texts in de of those trained on. They have no labels: nobody knows which of the two is") == 2
    assert "0 entities were found by the teacher alone. 1 entities were found by the student alone." in text
    assert "alone, " not in text
    of_two, of_prototypes = disagreements.split("Where teacher and prototypes disagree")
    ((teacher, student),) = texts_of(of_two, "")
    marks = re.findall(r'class="entity (.*?)">(.*?)<small>(.*?)</small>', student)
    assert marks == [("type-1", "Otto", "PER 0.80"), ("type-0 wrong", "Ulm", "LOC 0.70")]
    assert 'lang="de"' in student and " wrong" not in teacher
    assert len(texts_of(of_prototypes, "")) == 1 and "Otto" in of_prototypes


def test_where_there_is_no_error_the_page_says_so(full_run):
    for path in [*full_run["tagged"].values(), full_run["prototypes"]]:
        save_tagged(path, [("Anna <i> Bonn", "B-PER O O", "B-PER O O", [0.9])])
    page = write_report(**full_run).read_text(encoding="utf8")
    assert "Where the student was worst</h3>\n<p>Nowhere: it made no error in de.</p>" in page
    assert page.count("Nowhere: they find the same entities in all 1 texts.</p>") == 2


def test_words_with_another_preferred_tag_stand_with_a_place_of_them(full_run):
    texts = [("Ganz <i> Bonn lacht", "O O B-LOC O"), ("Bonn siegt", "B-ORG O"), ("Bonn ruht", "B-LOC O")]
    for role, tags in zip(ROLES, (["B-LOC"] * 3, ["O", "B-ORG", "B-ORG"])):
        found = [(f"{'O ' * (words.split().index('Bonn'))}{tag} O", tag) for (words, _gold), tag in zip(texts, tags)]
        save_tagged(
            full_run["tagged"][role],
            [(*text, tags, [0.5] * (tag != "O")) for text, (tags, tag) in zip(texts, found)],
        )
    page = write_report(**full_run).read_text(encoding="utf8")
    table = re.search(r'<table class="preferences">.*?</table>', page, flags=re.DOTALL)[0]
    row = [re.sub("<small.*?>|</small>", "", cell) for cell in re.findall(r"<td.*?>(.*?)</td>", table)]
    assert row == ["3", "B-LOC 67%", "B-LOC 100%", "B-ORG 67%", "Ganz &lt;i&gt; <b>Bonn</b> lacht"]
    assert "The labels’ tag is the teacher’s for 1 and the student’s for 0 of 1." in page
    save_tagged(full_run["tagged"]["student"], [(*text, text[1], [0.5]) for text in texts])
    assert '<table class="preferences">' not in write_report(**full_run).read_text(encoding="utf8")


def test_long_texts_are_shown_from_a_little_before_the_first_error(full_run):
    words, gold = " ".join(f"w{i}." for i in range(500)), "O " * 300 + "B-LOC " + "O " * 199
    for role in ROLES:
        save_tagged(full_run["tagged"][role], [(words, gold, "O " * 500, [])])
    page = write_report(**full_run).read_text(encoding="utf8")
    ((line, _found),) = texts_of(page, "Where the student was worst")
    assert "… w285. w286." in line and "w364. …" in line and "w365." not in line
    assert '">w300.<small>LOC' in line


def test_the_page_shows_no_more_texts_than_people_read(full_run):
    for role, found in zip(ROLES, ("B-LOC O", "B-PER O")):
        tagged = [(f"Anna{i} lacht", "O B-LOC", found, [0.5]) for i in range(100)]
        save_tagged(full_run["tagged"][role], tagged)
    page = write_report(**full_run).read_text(encoding="utf8")
    assert page.count("<dl>") == 2 * MOST_TEXTS


def test_words_are_marks_with_their_text(full_run):
    page = write_report(**full_run).read_text(encoding="utf8")
    (drawing,) = re.findall(r'<figure class="map">\s*(<svg.*?</svg>)', page, flags=re.DOTALL)
    groups = [each for each in ElementTree.fromstring(drawing) if each.tag == "g"]
    assert [(group.get("class"), group[0].tag, group[0][0].text) for group in groups] == [
        ("type-1", "circle", "<u>Anna: B-PER"),
        ("type-1 inside", "path", "Weber: I-PER"),
        ("outside", "path", "lacht: O"),
        ("type-1 prototype", "circle", "all words: B-PER"),
        ("type-1 prototype", "path", "all words: B-PER"),
    ]
    assert "en dev and de test" in page and "In 1 of the 1 classes" in page


def test_names_of_prototypes_lie_beside_their_marks_and_apart():
    """Nine in one place, and one that has no room at the right."""
    tags = ["O", *(f"{prefix}-{label}" for prefix in "BI" for label in ("LOC", "MISC", "ORG", "PER"))]
    groups = [Group(1, tag, "", [(200, 200, "")]) for tag in tags] + [Group(1, "B-MATERIAL", "", [(SIDE, 60, "")])]
    names = place_names([*groups, Group(0, "O", "", [(0, 0, "")])])
    assert list(names) == [*tags, "B-MATERIAL"]
    assert names["O"][:3] == (208, 204, "start") and names["B-LOC"][:3] == (192, 204, "end")
    assert names["B-MATERIAL"][:3] == (SIDE - 8, 64, "end")
    assert {name.x for tag, name in names.items() if tag in tags} == {192, 208}
    for anchor in ("start", "end"):
        heights = sorted(name.y for tag, name in names.items() if tag in tags and name.anchor == anchor)
        assert all(below - above >= 14 for above, below in pairwise(heights))
        assert len(heights) >= 4 and max(abs(height - 204) for height in heights) < 60


def test_where_there_is_no_room_names_stay_beside_their_marks():
    names = place_names([Group(1, f"B-{number}", "", [(200, 200, "")]) for number in range(99)])
    assert len(names) == 99 and names["B-98"][:3] == (208, 204, "start")


def test_a_map_that_was_left_out_says_why(full_run):
    full_run["word_map"].write_text(json.dumps({"left_out": "openTSNE is <not> installed"}))
    page = write_report(**full_run).read_text(encoding="utf8")
    assert "Not drawn: openTSNE is &lt;not&gt; installed" in page and '<figure class="map">' not in page


def test_files_of_older_workflows_give_a_page_without_these_parts(run):
    page = write_report(**run).read_text(encoding="utf8")
    assert "Pseudo-labels of each epoch" not in page
    assert "<dl>" not in page and 'id="mistakes"' not in page and 'id="words"' not in page
    assert "#mistakes" not in page and "#words" not in page


def test_tagged_texts_must_be_those_of_one_run(full_run):
    save_tagged(full_run["tagged"]["teacher"], STUDENT[:1])
    with pytest.raises(ProKDError, match=r"teacher.spacy and .*student.spacy are of different texts.*evaluate --force"):
        write_report(**full_run)
    DocBin(docs=[Doc(Vocab(), words=["Anna"], ents=["B-PER"])]).to_disk(full_run["tagged"]["teacher"])
    with pytest.raises(ProKDError, match=r"teacher.spacy has no labels.*evaluate --force"):
        write_report(**full_run)


def test_the_page_needs_nothing_from_outside(full_run):
    page = write_report(**full_run).read_text(encoding="utf8")
    assert not re.search(r"<script(?!>)|<link|<img|@import|url\((?!#)|(?:src|href)=\"(?!#)", page)
    assert len(page) < 200_000


def test_text_of_a_run_is_escaped(full_run):
    for role in ROLES:
        save_tagged(full_run["tagged"][role], [("Anna <i> <s>", "B-<b>X O O", "O B-<b>X I-<b>X", [0.5])])
    page = write_report(**full_run).read_text(encoding="utf8")
    assert not re.search("<(b|i|s|u)>", page)
    assert "&lt;b&gt;small" in page and "&lt;b&gt;X 0.50" in page and "&lt;i&gt; &lt;s&gt;<small>" in page
    assert "&lt;u&gt;Anna" in page


def test_relabelled_words_are_no_loss(run):
    log = run["logs"]["student"]
    line = {"step": 2, "epoch": 1, "scores": {"ents_f": 0.5}, "losses": {"prokd_ner.relabelled": 0.1}}
    log.write_text(log.read_text() + json.dumps(line) + "\n")
    page = write_report(**run).read_text(encoding="utf8")
    assert "Share of words whose pseudo-label is not the teacher’s" in page and "relabelled" not in page


def test_pseudo_labels_are_drawn_over_epochs(run):
    log = run["logs"]["student"]
    facts = [
        {"dev_f": 0.7, "relabelled": 0.1, "sureness": 0.8, "invalid": 0.02, "words.A<b>B": 1.5, "words.PER": 0.75}
    ] * 2
    facts += [
        {"dev_f": 0.8, "relabelled": 0.05, "sureness": 0.9, "invalid": 0.0, "words.A<b>B": 1.25, "words.PER": None}
    ]
    for step, (epoch, of_epoch) in enumerate(zip((1, 1, 2), facts)):
        losses = {"prokd_ner.relabelled": 0.1, **{f"prokd_ner.pseudo_labels.{k}": v for k, v in of_epoch.items()}}
        line = {"step": 2 + step, "epoch": epoch, "scores": {"ents_f": 0.5}, "losses": losses}
        log.write_text(log.read_text() + json.dumps(line) + "\n")
    page = write_report(**run).read_text(encoding="utf8")
    section = page[page.index("Pseudo-labels of each epoch</h3>") : page.index('id="run"')]
    titles = re.findall(r"<figcaption>(.*?)</figcaption>", section)
    assert titles == [
        "Entity F1 of the prototypes alone on source dev",
        "Share of words whose pseudo-label is not the teacher’s",
        "Mean probability of the pseudo-labels",
        "Share of entity words with an I- tag that continues no entity",
        "Words of each type, divided by those that the teacher finds",
    ]
    assert page.count("whose pseudo-label is not the teacher’s</figcaption>") == 1, "not over steps too"
    charts = re.findall(r"<svg.*?</svg>", section, flags=re.DOTALL)
    ticks = [re.findall(r"<text[^>]*>([^<]*)</text>", chart) for chart in charts]
    assert all({"2", "3", "epoch"} <= set(each) and "2.5" not in each for each in ticks)
    assert {"A&lt;b&gt;B", "PER"} <= set(ticks[-1]) and "A<b>B" not in page
    assert all(f"stroke: var(--type-{i})" in charts[-1] and f"--type-{i}: hsl(" in page for i in (0, 1))


@pytest.mark.parametrize("label", ["_PER", "$x_$", "A$B$"])
def test_a_legend_names_labels_as_they_are(label):
    lines = [Series(label, [1, 2], [0.1, 0.2], "type-0"), Series("LOC", [1, 2], [0.2, 0.3], "type-1")]
    assert f">{label}</text>" in line_chart("Words", lines)


def test_charts_are_named_follow_the_theme_and_share_no_ids(run):
    page = write_report(**run).read_text(encoding="utf8")
    charts = re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)
    assert len(charts) == 6
    for chart in charts:
        ElementTree.fromstring(chart)
        assert 'role="img"' in chart and "aria-label" in chart and "var(--ink)" in chart
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids))


def test_the_same_run_gives_the_same_page(full_run):
    assert write_report(**full_run).read_bytes() == write_report(**full_run).read_bytes()


@pytest.mark.parametrize(
    ("file", "command"),
    [
        ("student.json", "project run evaluate"),
        ("teacher.jsonl", "project run teacher"),
        ("student.cfg", "project run student"),
    ],
)
def test_a_missing_input_names_the_command_that_makes_it(run, tmp_path, file, command):
    (tmp_path / file).unlink()
    with pytest.raises(ProKDError, match=f"{file} is missing.*{command}"):
        write_report(**run)
    assert not run["output"].exists()


@pytest.mark.parametrize("content", ['{"step": 1}\n', '{"step": 1, "scores"\n', "[]\n"])
def test_a_damaged_log_names_file_and_line(run, content):
    log = run["logs"]["student"]
    log.write_text(log.read_text() + content)
    with pytest.raises(ProKDError, match=r"student.jsonl, line 3.*project run student"):
        write_report(**run)


def test_an_empty_log_is_an_error(run):
    run["logs"]["student"].write_text("")
    with pytest.raises(ProKDError, match=r"student.jsonl is empty"):
        write_report(**run)


def test_metrics_without_entity_scores_are_an_error(run):
    run["metrics"]["teacher"].write_text('{"token_acc": 1.0}')
    with pytest.raises(ProKDError, match="no entity scores"):
        write_report(**run)
