"""Everything that becomes HTML. What people and models wrote is always escaped: it is text, never markup."""

from __future__ import annotations

import html
from collections.abc import Sequence
from datetime import UTC, datetime

from adapters.web.tabs import Entry
from rapbot.commands import LOCAL, offered
from rapbot.concepts.concept import Avatar, Concept, Role
from rapbot.messages import Action

_LABELS = {
    Action.WHY: "Why?",
    Action.WRONG: "Wrong?",
    Action.EDIT: "Edit",
    Action.UNDO: "Undo",
    Action.ALLOW_FACE: "They agree",
}
_EXAMPLES = {
    "remember": "/remember Lala A white and gray dog. She loves cheese.",
    "ask": "/ask what does Lala eat?",
    "find": "/find Lala",
    "edit": "/edit Lala She loves fish.",
    "addphoto": "/addphoto Lala",
    "forget": "/forget Lala",
    "show": "/show Lala",
}
_PAW = (
    '<svg viewBox="0 0 64 64" aria-hidden="true"><ellipse cx="32" cy="42" rx="14" ry="12"/>'
    '<ellipse cx="13" cy="30" rx="6" ry="8"/><ellipse cx="51" cy="30" rx="6" ry="8"/>'
    '<ellipse cx="24" cy="16" rx="6" ry="9"/><ellipse cx="40" cy="16" rx="6" ry="9"/></svg>'
)


def plain(text: str) -> str:
    return html.escape(text, quote=True)


def _button(do: str, label: str, name: object = "", *, style: str = "", confirm: str = "", title: str = "") -> str:
    sure = f' data-confirm="{plain(confirm)}"' if confirm else ""
    hint = f' title="{plain(title)}" aria-label="{plain(title)}"' if title else ""
    return (
        f'<button type="button" class="act {style}" data-do="{do}" data-id="{plain(str(name))}"{sure}{hint}>'
        f"{plain(label)}</button>"
    )


# -- the conversation ---------------------------------------------------------------------------------------


def conversation(entries: Sequence[Entry]) -> str:
    bubbles = "".join(_bubble(entry) for entry in entries) if entries else _welcome()
    return f'<div class="log" role="log" aria-live="polite" aria-label="Conversation">{bubbles}</div>'


def _bubble(entry: Entry) -> str:
    who = "You" if entry.mine else "rapbot"
    kind = "me" if entry.mine else "bot failed" if entry.failed else "bot"
    parts = [f'<span class="who">{who}</span>']
    what = "Your photo" if entry.mine else "The photo with what I found"
    parts += [f'<img class="shot" src="/pictures/{token}" alt="{what}">' for token in entry.pictures]
    parts += [f'<p class="file">Photo {plain(name)}</p>' for name in entry.files]
    if entry.text:
        parts.append(f'<p class="words" dir="auto">{plain(entry.text)}</p>')
    if entry.status:
        parts.append(f'<p class="status" role="status"><i></i><i></i><i></i>{plain(entry.status)}</p>')
    if entry.actions:
        parts.append(f'<div class="acts">{"".join(_action(action, entry) for action in entry.actions)}</div>')
    return f'<article class="msg {kind}">{"".join(parts)}</article>'


def _action(action: Action, entry: Entry) -> str:
    name = entry.concept_id if action in (Action.EDIT, Action.ALLOW_FACE) else entry.answer_id
    if name is None and action is not Action.UNDO:
        return ""
    return _button(f"do_{action.value}", _LABELS[action], "" if name is None else name)


def _welcome() -> str:
    steps = "".join(
        f"<li><b>{title}</b><span>{text}</span></li>"
        for title, text in (
            ("Teach", f"Drop a photo here and write <code>{_EXAMPLES['remember']}</code>"),
            ("Caption", "Drop any photo. I describe it with the names you taught me."),
            ("Ask", "“What does Lala eat?” “Is Lala in this photo?” Photos are optional."),
        )
    )
    return (
        f'<section class="welcome">{_PAW}<h2>Teach me something of yours</h2>'
        f"<p>Your dog, your mug, your sister: one photo and one sentence are enough.</p><ol>{steps}</ol>"
        "<p class='quiet'>Everything stays on this machine. Photos you ask about are never stored.</p></section>"
    )


def chips() -> str:
    """The slash commands as a row of buttons; page.js fills the box with the example and filters while one types."""
    buttons = []
    for command in offered(LOCAL):
        example = _EXAMPLES.get(command.name, f"/{command.name}")
        buttons.append(
            f'<button type="button" class="chip" data-fill="{plain(example)}" data-name="/{command.name}" '
            f'title="{plain(command.help)}"><b>/{command.name}</b><span>{plain(command.help)}</span></button>'
        )
    return f'<div class="chips" role="group" aria-label="Commands">{"".join(buttons)}</div>'


def header() -> str:
    return (
        f'<header class="top"><h1>{_PAW}rapbot</h1><p>knows what is yours</p>'
        '<nav aria-label="Parts of the page">'
        '<button type="button" data-view="chat" aria-pressed="true">Chat</button>'
        '<button type="button" data-view="known" aria-pressed="false">What I know</button></nav></header>'
    )


# -- what was taught ----------------------------------------------------------------------------------------


def ago(then: datetime, now: datetime | None = None) -> str:
    """ "just now", "5 minutes ago", "yesterday", "3 days ago", then the date."""
    seconds = ((now or datetime.now(UTC)) - then).total_seconds()
    if seconds < 60:
        return "just now"
    for unit, length, below in (("minute", 60, 3600), ("hour", 3600, 86400)):
        if seconds < below:
            count = int(seconds // length)
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    days = int(seconds // 86400)
    if days < 31:
        return "yesterday" if days == 1 else f"{days} days ago"
    return f"{then:%d %B %Y}".lstrip("0")


def shown_avatars(concept: Concept) -> list[Avatar]:
    """The pictures of a concept, without those that say what it is *not*."""
    return [avatar for avatar in concept.avatars if avatar.role is Role.AVATAR]


def known(concepts: Sequence[Concept]) -> str:
    if not concepts:
        return (
            f'<section class="nothing">{_PAW}'
            "<p>Nothing yet. Teach me something: drop a photo into the chat and write</p>"
            f"<p><code>{_EXAMPLES['remember']}</code></p><p>or use the form below.</p></section>"
        )
    return f'<div class="tiles" role="list" aria-label="What I know">{"".join(_tile(c) for c in concepts)}</div>'


def _tile(concept: Concept) -> str:
    avatars = shown_avatars(concept)
    picture = _avatar(avatars[0].id, concept.name) if avatars else '<span class="blank"></span>'
    count = f"{len(avatars)} photo{'s' if len(avatars) != 1 else ''}"
    return (
        f'<div role="listitem"><button type="button" class="tile" data-do="open_card" data-id="{concept.id}">{picture}'
        f'<b dir="auto">{plain(concept.name)}</b><span class="kind" dir="auto">{plain(concept.category)}</span>'
        f'<span class="info" dir="auto">{plain(concept.info)}</span>'
        f'<span class="quiet">{count} · {_dated(concept)}</span></button></div>'
    )


def _dated(concept: Concept) -> str:
    changed = (concept.updated_at - concept.created_at).total_seconds() >= 1
    return f"edited {ago(concept.updated_at)}" if changed else f"taught {ago(concept.created_at)}"


def _avatar(avatar_id: int, name: str) -> str:
    return f'<img src="/avatars/{avatar_id}" alt="{plain(name)}" loading="lazy">'


def card(concept: Concept, recognised: bool | None = None) -> str:
    """The head of an open card: all photos, when it was taught, and the way back.

    `recognised`: whether this person is recognised by their face; None for a thing.
    """
    avatars = shown_avatars(concept)
    name = plain(concept.name)
    pictures = "".join(_framed(avatar, concept.name, only=len(avatars) == 1) for avatar in avatars)
    not_it = len(concept.avatars) - len(avatars)
    corrections = f" · {not_it} correction{'s' if not_it != 1 else ''}" if not_it else ""
    sure = f"Really forget {concept.name}?"
    forget = _button("forget", f"Forget {concept.name}", concept.id, style="danger", confirm=sure)
    face = "" if recognised is None else _face(concept, recognised)
    return (
        f'<div class="card-head">{_button("close_card", "← All", style="back")}<h3 dir="auto">{name}</h3>{forget}</div>'
        f'<p class="quiet">Taught {ago(concept.created_at)} · edited {ago(concept.updated_at)}{corrections}</p>'
        f'<div class="photos" aria-label="Photos of {name}">{pictures}</div>{face}'
    )


def _face(concept: Concept, recognised: bool) -> str:
    """Whether this person is recognised, and the button that changes it."""
    if recognised:
        says = "Recognised by their face, as they agreed."
        button = _button("face_off", "Stop recognising", concept.id, confirm="Delete the face key?")
    else:
        says = "Not recognised in photos before they agree (for a child the parents)."
        button = _button("do_face", _LABELS[Action.ALLOW_FACE], concept.id)
    return f'<div class="consent"><p class="quiet">{says}</p>{button}</div>'


def _framed(avatar: Avatar, name: str, *, only: bool) -> str:
    """One photo of an open card; the only one cannot be deleted, forgetting can."""
    drop = _button("drop_photo", "×", avatar.id, style="drop", confirm="Delete?", title="Delete this photo")
    picture = _avatar(avatar.id, f"Photo of {name}")
    return f"<figure>{picture}{'' if only else drop}<figcaption>{ago(avatar.created_at)}</figcaption></figure>"


def notice(text: str, *, failed: bool = False) -> str:
    return f'<p class="notice{" failed" if failed else ""}" role="status" dir="auto">{plain(text)}</p>' if text else ""


def numbered(token: str | None) -> str:
    """The photo of the answer that is being corrected, with the numbers of its regions."""
    if token is None:
        return ""
    return f'<img class="shot" src="/pictures/{token}" alt="The photo; the parts that I compared are numbered">'
