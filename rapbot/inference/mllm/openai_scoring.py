"""How likely each option is as an answer, from what servers tell of likelihoods.

vLLM tells the log-probability of every token of a prompt: an option is put there as the assistant's turn, and its own
tokens are summed. Other servers (llama.cpp, SGLang, OpenAI's) tell only the likeliest tokens of an answer: there the
options get letters, and the letter is the answer. Where nothing is told, the letter that the model writes counts.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from string import ascii_uppercase
from typing import Any

LETTERS = ascii_uppercase[:20]
"""As many options as there are likeliest tokens told (20 is the most that most servers allow)."""
NOT_CHOSEN = -100.0
"""Score of an option where only the choice is known; the chosen one has 0."""
_FILLERS = "#?0%&=+§"
_LETTER = re.compile(r"^[\s(\[*\"'`]*([A-Za-z])(?:[\s)\].:,*\"'`]|$)")

Row = list[tuple[int, float]]
"""(token id, log-probability given the tokens before it) of a whole prompt."""


def filler(options: Sequence[str]) -> str:
    """An answer that begins and ends unlike every option: what they share with it is not theirs."""
    edges = {option.strip()[:1] for option in options} | {option.strip()[-1:] for option in options}
    return next((letter for letter in _FILLERS if letter not in edges), "@")


def prompt_row(told: Any) -> Row | None:
    """vLLM's `prompt_logprobs`: for each token a table {id: {logprob, rank}} of it and the likeliest one.

    None where the server tells nothing. Raises ValueError, TypeError, AttributeError, LookupError on nonsense.
    """
    if told is None:
        return None
    row: Row = [(-1, 0.0)]  # before the first token there is nothing
    for table in told[1:]:
        # Where the prompt's token is not the likeliest itself, it is the other one.
        name, entry = max(table.items(), key=lambda item: item[1]["rank"])
        row.append((int(name), float(entry["logprob"])))
    return row


def own_log_likelihoods(rows: Sequence[Row], filled: Row) -> list[float]:
    """Summed log-probability of what is each option's own in its prompt, the end of its turn included.

    `filled` is the prompt with `filler`: tokens that all begin with are the question, those that all end with close
    the turn. Of these the first is the end of the answer, without which short options would always win.
    """
    everything = [[token for token, _ in row] for row in (*rows, filled)]
    start = _shared(everything)
    end = min(_shared([tokens[::-1] for tokens in everything]), min(map(len, everything)) - start)
    return [sum(chance for _, chance in row[start : len(row) - end + min(end, 1)]) for row in rows]


def _shared(lists: Sequence[Sequence[int]]) -> int:
    """How many tokens all lists begin with."""
    return next(
        (at for at, tokens in enumerate(zip(*lists, strict=False)) if len(set(tokens)) > 1), min(map(len, lists))
    )


def choice_request(options: Sequence[str]) -> str:
    """What is asked where options get letters."""
    listing = "\n".join(
        f"{letter}. {' '.join(option.split())}" for letter, option in zip(LETTERS, options, strict=False)
    )
    return f"\nOptions:\n{listing}\nAnswer with the letter of the best option only."


def letter_scores(likeliest: Sequence[tuple[str, float]], count: int) -> list[float] | None:
    """Log-probability of each of the first `count` letters, from the likeliest first tokens of the answer.

    A letter that is not among them is less likely than all of them. None when no letter is.
    """
    chances = dict.fromkeys(LETTERS[:count], 0.0)
    for token, chance in likeliest:
        found = _LETTER.match(token)
        if found and found.group(1).upper() in chances:
            chances[found.group(1).upper()] += math.exp(min(0.0, chance))
    if not any(chances.values()):
        return None
    least = min(chance for _, chance in likeliest) - 1.0
    return [math.log(chance) if chance > 0 else max(least, NOT_CHOSEN) for chance in chances.values()]


def written_choice(text: str, options: Sequence[str]) -> list[float] | None:
    """Scores where only the answer is known: an option in its own words, or a letter. None when it is neither."""
    said, found = text.strip().rstrip(".").casefold(), _LETTER.match(text)
    number = next((n for n, option in enumerate(options) if said == option.strip().rstrip(".").casefold()), -1)
    if number < 0 and found:
        number = LETTERS[: len(options)].find(found.group(1).upper())
    return [0.0 if n == number else NOT_CHOSEN for n in range(len(options))] if number >= 0 else None
