"""The page, which Streamlit runs anew at each click; arguments: a pipeline, and the teacher to show beside it."""

from __future__ import annotations

import sys

import streamlit as st

from spacy_prokd.demo.reading import (
    DIFFERENT,
    Reading,
    choose_colours,
    example_text,
    find_differences,
    highlight,
    keep,
    read,
    tabulate,
)

MOST_CHARACTERS = 100_000
# where a line ends within an entity, both parts look like one, and its label is not cut
STYLE = """<style>
.entity { -webkit-box-decoration-break: clone; box-decoration-break: clone }
.entity span { white-space: nowrap }
</style>"""


def main(pipeline: str, teacher: str | None = None) -> None:
    """Show the page."""
    names = {"score": pipeline} if teacher is None else {"student": pipeline, "teacher": teacher}
    st.set_page_config("spacy-prokd", layout="centered" if teacher is None else "wide")
    st.title("Named entities")
    with st.form("text", border=False):
        text = st.text_area("Text", example_text(pipeline), height=180, max_chars=MOST_CHARACTERS)
        st.form_submit_button("Find entities", type="primary")
    threshold = st.slider("Threshold: entities with a lower score are left out", 0.0, 1.0, 0.0, 0.01)
    if not text.strip():
        st.info("There is no text.")
        return
    readings = {role: read(name, text) for role, name in names.items()}
    show_entities(names, readings, threshold)
    show_words(readings)


def show_entities(names: dict[str, str], readings: dict[str, Reading], threshold: float) -> None:
    """The text with its entities, of two pipelines side by side, and their scores."""
    found = {role: keep(reading.entities, threshold) for role, reading in readings.items()}
    colours, differences = choose_colours(names.values()), find_differences(found)
    for role, column in zip(names, st.columns(len(names))):
        with column:
            if len(names) > 1:
                st.subheader(role.capitalize())
            st.caption(f"`{names[role]}`")
            st.html(STYLE + highlight(readings[role].text, found[role], colours, differences))
    if differences:
        st.caption(f"{DIFFERENT} marks entities that only one of them finds.")
    if rows := tabulate(found):
        score = st.column_config.ProgressColumn(width="small", format="%.2f", min_value=0, max_value=1)
        st.dataframe(rows, hide_index=True, column_config=dict.fromkeys(names, score))
    else:
        st.info("No entity was found." if threshold == 0.0 else "No entity has such a score.")


def show_words(readings: dict[str, Reading]) -> None:
    """The prototype nearest to each word, of a pipeline that has any."""
    for role, reading in readings.items():
        if reading.words is not None:
            title = "Nearest prototypes" if len(readings) == 1 else f"Nearest prototypes of the {role}"
            with st.expander(title):
                st.caption("Prototypes are the class means from which the last epoch of training made its labels.")
                distance = st.column_config.NumberColumn(format="%.2f")
                st.dataframe(
                    [word._asdict() for word in reading.words], hide_index=True, column_config={"distance": distance}
                )


if __name__ == "__main__":  # as Streamlit runs it
    main(*sys.argv[1:])
