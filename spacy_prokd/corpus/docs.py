"""Records of any format to spaCy Docs that carry words, spaces and entities, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.util import filter_spans

from ..errors import ProKDError
from ..labels import TagError, detect_scheme, to_iob2
from ..wording import counted
from .contents import Contents, Record, Text, Words, is_annotated
from .offsets import OtherOffsets
from .report import MAX_EXAMPLES, SplitReport

LabelMap = Mapping[str, str | None]


class DocMaker:
    """Makes the Docs of one file and counts what it meets.

    nlp (Language): Whose tokenizer splits texts and whose vocabulary the Docs use.
    path (Path): The file, for errors.
    contents (Contents): What is in it.
    label_map (LabelMap): Labels to rename, or to drop (None). Others stay as they are.
    drop_annotation (bool): Leave out all entity annotation, without looking at it.
    report (SplitReport): Where it counts.

    Its attribute `labels` (set[str]) has those that it met, as the file has them.
    """

    def __init__(
        self,
        nlp: Language,
        path: Path,
        contents: Contents,
        *,
        label_map: LabelMap,
        drop_annotation: bool,
        report: SplitReport,
    ) -> None:
        self.nlp = nlp
        self.path = path
        self.records = contents.records
        self.label_map = label_map
        self.report = report
        self.labels: set[str] = set()
        self.scheme: str | None = None
        self._misaligned = OtherOffsets()
        self._repeated: list[str] = []
        report.warnings += contents.warnings
        n_annotated = 0 if drop_annotation else sum(map(is_annotated, self.records))
        report.annotated = n_annotated > 0
        if report.annotated:
            tagged = [record.tags for record in self.records if isinstance(record, Words) and record.tags is not None]
            self.scheme = report.scheme = detect_scheme(tagged) if tagged else None
            if self.scheme == "IO" and not any("O" in tags for tags in tagged):
                report.warnings.append("every word has a label, none the tag O: see that the tags are its last column.")
            if n_annotated < len(self.records):
                # Prodigy leaves `spans` out where there is none.
                n_bare = len(self.records) - n_annotated
                report.warnings.append(
                    f"{n_bare} of {len(self.records)} texts have no annotation: taken to hold no entity."
                )

    def make(self, record: Record) -> Doc:
        """Make one Doc and count it.

        record (Record): One of the file's records.
        RETURNS (Doc): With entity annotation on every word, or on none if the file has none or it is dropped.
        RAISES (ProKDError): If a tag is unknown or the text is too long for the pipeline.
        """
        doc = self._make_from_words(record) if isinstance(record, Words) else self._make_from_text(record)
        self.report.docs += 1
        self.report.words += len(doc)
        for span in doc.ents:
            self.report.entities[span.label_] = self.report.entities.get(span.label_, 0) + 1
        return doc

    def describe_offsets(self) -> str:
        """Say in which other way most spans would fit that do not, after all records; nothing where there is none."""
        return self._misaligned.describe(sum(self.report.entities.values()))

    def warn_of_repeated(self) -> list[str]:
        """Tell of spans that a text has twice, after all records."""
        if not self._repeated:
            return []
        n_repeated = counted(len(self._repeated), "span")
        return [f"has {n_repeated} once more in the same text (first {self._repeated[0]}): they count once."]

    def _make_from_words(self, record: Words) -> Doc:
        tags = None
        if self.report.annotated:
            tags = self._convert_tags(record) if record.tags is not None else ["O"] * len(record.words)
        # Without spaces the Doc says that it does not know them, and spaCy then keeps these words when it
        # evaluates; guessed spaces would have the text split anew, into words that carry no soft label.
        return Doc(self.nlp.vocab, words=record.words, spaces=record.spaces, ents=tags)

    def _convert_tags(self, record: Words) -> list[str]:
        try:
            tags, n_repaired = to_iob2(record.tags or [], self.scheme or "IOB2")
        except TagError as error:
            word = record.words[error.index]
            raise ProKDError(f"{self.path}:{record.lines[error.index]}: {word!r} has the {error}") from None
        self.report.repaired += n_repaired
        return [self._map_tag(tag) for tag in tags]

    def _map_tag(self, tag: str) -> str:
        prefix, _, label = tag.partition("-")
        mapped = self._map_label(label) if label else None
        return f"{prefix}-{mapped}" if mapped else "O"

    def _map_label(self, label: str) -> str | None:
        self.labels.add(label)
        return self.label_map.get(label, label)

    def _make_from_text(self, record: Text) -> Doc:
        where = f"{self.path}:{record.line}"
        if len(record.text) > self.nlp.max_length:
            raise ProKDError(
                f"{where}: a text of {len(record.text):,} characters, more than the {self.nlp.max_length:,} "
                f"that the pipeline takes. Split it, for example into paragraphs."
            )
        made = self.nlp.make_doc(record.text)
        # Some tokenizers leave tags and user data behind (Japanese does).
        doc = Doc(self.nlp.vocab, words=[word.text for word in made], spaces=[bool(word.whitespace_) for word in made])
        if self.report.annotated:
            spans = self._find_spans(doc, record.spans or [], record.line)
            doc.set_ents(self._keep_apart(spans, record.line), default="outside")
        return doc

    def _find_spans(self, doc: Doc, offsets: Iterable[tuple[int, int, str]], line: int) -> list[Span]:
        spans = []
        text = doc.text
        for start, end, label in offsets:
            mapped = self._map_label(label)
            if mapped is None:
                continue
            marked = text[start:end] if 0 <= start < end <= len(text) else ""
            # Who marks a word with the mouse often takes the space beside it.
            first, last = end - len(marked.lstrip()), start + len(marked.rstrip())
            if marked.strip() and (span := doc.char_span(first, last, label=mapped)):
                spans.append(span)
                continue
            if not marked.strip():
                reason = f"goes from {start} to {end}; the text has {len(text)}"
            else:
                starts, ends = {word.idx for word in doc}, {word.idx + len(word) for word in doc}
                cut = [verb for verb, fits in (("starts", first in starts), ("ends", last in ends)) if not fits]
                reason = f"{' and '.join(cut)} within a word"
            self.report.misaligned += 1
            self._misaligned.add(doc, start, end)
            self._add_example(line, marked, label, reason)
        return spans

    def _keep_apart(self, spans: Iterable[Span], line: int) -> list[Span]:
        """Each span once, and the longer of those that share words; of the same length, the first."""
        found: dict[Span, None] = {}  # in their order
        for span in spans:
            if span in found:
                self._repeated.append(self._describe(line, span.text, span.label_))
            found[span] = None
        kept = filter_spans(found)
        chosen = set(kept)
        for span in (span for span in found if span not in chosen):
            self.report.overlapping += 1
            self._add_example(line, span.text, span.label_, _describe_overlap(span, kept))
        return kept

    def _add_example(self, line: int, text: str, label: str, reason: str) -> None:
        if len(self.report.examples) < MAX_EXAMPLES:
            self.report.examples.append(f"{self._describe(line, text, label)} {reason}")

    def _describe(self, line: int, text: str, label: str) -> str:
        return f"{self.report.file}:{line}: {text!r} ({label})"


def _describe_overlap(span: Span, kept: Iterable[Span]) -> str:
    """Why a span is left out."""
    other = max((each for each in kept if each.start < span.end and span.start < each.end), key=len)
    if (other.start, other.end) == (span.start, span.end):
        return f"has another label before: {other.label_}"
    return f"shares a word with {'a longer span' if len(other) > len(span) else 'an earlier one of the same length'}"
