"""The prompts: the only place that knows their text.

Layout "rap" is the prompt the published adapters were trained on (RAP, CVPR 2025, reference implementation), for models
that see. Layout "pocket" is for a text-only model: the scene in words (Socratic models, Zeng et al. 2022).
"""

from __future__ import annotations

from collections.abc import Sequence

from rapbot.inference.job import Card, Job, Scene, Task
from rapbot.inference.seams import Prompt
from rapbot.inference.statements import statements
from rapbot.inference.surroundings import other_things
from rapbot.inference.wording import mark, place, with_article

RAP = "rap"
POCKET = "pocket"

_INFO_LIMIT = 500
"""Characters of a card's info that are shown to the model."""

_POCKET_CAPTION = (
    ("system", "You write one short, true caption of a photo. Use only the facts. Keep names in < >."),
    ("user", "In the photo: <Milo>, a cat, on the left; a couch.\nCaption:"),
    ("assistant", "<Milo> the cat is on the left, next to a couch."),
    ("user", "In the photo: <Anna>, a person, in the middle; <Rex>, a dog, on the right.\nCaption:"),
    ("assistant", "<Anna> is in the middle with <Rex> the dog on the right."),
    ("user", "In the photo: a bicycle; a bench.\nCaption:"),
    ("assistant", "A bicycle next to a bench."),
)
_POCKET_QUESTION = (
    ("system", "Answer the question in one short sentence. Use only the facts. Keep names in < >."),
    (
        "user",
        "Facts: <Milo> is a grey cat. <Milo> loves tuna. <Milo> sleeps in the kitchen.\nQuestion: What does he eat?",
    ),
    ("assistant", "<Milo> loves tuna."),
    ("user", "Facts: <mug> is a blue mug with a chip. <mug> was a present from Tom.\nQuestion: Who gave me the mug?"),
    ("assistant", "<mug> was a present from Tom."),
)

_ASKING = (
    ("system", "Ask a question that the sentence answers."),
    ("user", "Milo loves tuna."),
    ("assistant", "What does Milo eat?"),
    ("user", "The red car was a present from Tom."),
    ("assistant", "Who gave me the red car?"),
    ("user", "Eva sings in a choir on Fridays."),
    ("assistant", "When does Eva sing?"),
    ("user", "The vase has a crack."),
    ("assistant", "What is wrong with the vase?"),
)
_CHOICE = (
    ("system", "Answer with a few words from the text."),
    ("user", "Milo: A grey cat from Rome. He loves tuna and fears dogs.\nWhat does Milo eat?"),
    ("assistant", "Tuna"),
    ("user", "red_car: An old car with broken lights. It was a present from Tom in 2012.\nWho gave it to me?"),
    ("assistant", "Tom"),
    ("user", "Eva: My aunt, a doctor. She sings in a choir on Fridays.\nWhen does Eva sing?"),
    ("assistant", "On Fridays"),
    ("user", "Milo: A grey cat from Rome. He loves tuna and fears dogs.\nWhat is Milo afraid of?"),
    ("assistant", "Dogs"),
    ("user", "jacket: A green jacket with a torn pocket. It is made of cotton, size M.\nWhat is the jacket made of?"),
    ("assistant", "Cotton"),
    ("user", "Tom: A pilot, 40 years old. He is not married.\nIs Tom married?"),
    ("assistant", "No"),
)


def select_cards(job: Job, scene: Scene | None, k: int) -> tuple[Card, ...]:
    """The concepts that go into the prompt: named in the text first, then sightings by distance, at most `k`.

    The reference implementation does not cap the named ones, so a long list of names overflows its context.
    """
    by_id = {card.concept_id: card for card in job.concepts.cards}
    nearest = sorted(scene.sightings, key=lambda sighting: sighting.distance) if scene else []
    wanted = dict.fromkeys([*job.mentioned, *(sighting.concept_id for sighting in nearest)])
    return tuple(by_id[number] for number in wanted if number in by_id)[:k]


def build_prompt(layout: str, job: Job, scene: Scene | None, cards_in_prompt: Sequence[Card]) -> Prompt:
    """The prompt of one job. "rap" marks pictures with <image>: the photo, then one avatar a card."""
    if layout == RAP:
        return _rap(job, cards_in_prompt)
    if layout == POCKET:
        return _pocket(job, scene, cards_in_prompt)
    raise ValueError(f"unknown prompt layout {layout!r}")


def build_choice_prompt(name: str, told: str, question: str) -> Prompt:
    """The question of a multiple choice for a text-only model; the options are scored as its answer."""
    message = f"{name}: {told or '?'}\n{' '.join(question.split())}"
    return Prompt((*_CHOICE, ("user", message)), max_new_tokens=12)


def build_asking_prompt(statement: str) -> Prompt:
    """The statement, to which a question is scored as the answer: a small model asks better than it answers."""
    return Prompt((*_ASKING, ("user", statement.replace("<", "").replace(">", ""))), max_new_tokens=24)


def _rap(job: Job, cards: Sequence[Card]) -> Prompt:
    listing = "".join(
        f"{number}.<image>\n Name: {mark(card.name)}, Info: {card.info}\n" for number, card in enumerate(cards, 1)
    )
    photo = "<image>\n" if job.photo is not None else ""
    text = f"{photo}[{listing}]{_rap_request(job, cards)}" if cards else f"{photo}{_rap_request(job, cards)}"
    return Prompt(messages=(("user", text),), max_new_tokens=_longest(job.task), stop=())


def _rap_request(job: Job, cards: Sequence[Card]) -> str:
    name = mark(cards[0].name) if cards else ""
    requests = {
        Task.CAPTION: "Give a caption of the image.",
        Task.DESCRIBE: "Describe the image in detail.",
        Task.RECOGNISE: f"Is {name} in this image? Answer with a single word or phrase.",
        Task.LOCATE: f"Give {name}'s bounding box in the image.",
        Task.FIND: "Which of these are in the image? Give their names.",
    }
    return requests.get(job.task, job.text)


def _pocket(job: Job, scene: Scene | None, cards: Sequence[Card]) -> Prompt:
    if job.task in (Task.CAPTION, Task.DESCRIBE):
        message = f"In the photo: {scene_in_words(scene, cards)}.\nCaption:"
        return Prompt((*_POCKET_CAPTION, ("user", message)), max_new_tokens=_longest(job.task))
    parts = [f"Facts: {facts_in_words(cards)}"]
    if scene is not None:
        parts.append(f"In the photo: {scene_in_words(scene, cards)}.")
    parts += [f"Earlier: {turn.question} {turn.answer}" for turn in job.history[-1:]]
    parts.append(f"Question: {' '.join(job.text.split())}")
    return Prompt((*_POCKET_QUESTION, ("user", "\n".join(parts))), max_new_tokens=_longest(job.task))


def scene_in_words(scene: Scene | None, cards: Sequence[Card]) -> str:
    """ "<Lala>, a dog, on the left; a couch"."""
    if scene is None:
        return "nothing known"
    by_id = {card.concept_id: card for card in cards}
    said = []
    for sighting in scene.sightings:
        card = by_id.get(sighting.concept_id)
        kind = f", {with_article(card.category)}" if card and card.category else ""
        said.append(f"{mark(sighting.name)}{kind}, {place(sighting.box)}")
    said += [with_article(thing.word) for thing in other_things(scene, cards)]
    return "; ".join(said) or "nothing known"


def facts_in_words(cards: Sequence[Card]) -> str:
    """What the cards say, each sentence about its concept by name."""
    told = [" ".join(statements(card))[:_INFO_LIMIT] for card in cards]
    return " ".join(told) or "nothing is known."


def _longest(task: Task) -> int:
    """Tokens of the longest useful answer."""
    return {Task.CAPTION: 32, Task.DESCRIBE: 96, Task.RECOGNISE: 8, Task.LOCATE: 24}.get(task, 40)
