"""The store behaves as people expect of a memory: it keeps, corrects and takes back. Both kinds do."""

from __future__ import annotations

import numpy as np
import pytest

from rapbot.concepts.concept import ConceptLimits, Role
from rapbot.concepts.store import (
    AddAvatar,
    Change,
    ConceptStore,
    Edit,
    EraseOwner,
    Forget,
    Remember,
    RemoveAvatar,
    ReplaceKeys,
    Undo,
    Undone,
    UndoneKind,
)
from rapbot.concepts.visible import IndexRow
from rapbot.errors import ConceptError, Gone, NameTaken, NothingToUndo
from rapbot.messages import Box
from tests.concept_samples import ENCODER, avatar, everything, key, lala, taught
from tests.stores import Store, Stores
from tests.stores import store as store
from tests.stores import stores as stores

# What is taught is kept


async def test_what_was_remembered_is_read_back(store: ConceptStore) -> None:
    box = Box(0.1, 0.2, 0.6, 0.9)
    picture = avatar(7)
    picture = type(picture)(picture.jpeg, picture.key, picture.encoder, box)
    concept = await taught(store, Remember(" <Lala> ", "dog", " white   fur\r\n\n- loves\tcheese\n", picture))
    collection = await everything(store)
    assert collection.concepts == (concept,)
    assert (concept.name, concept.category, concept.info, concept.owner) == (
        "Lala",
        "dog",
        "white fur\n- loves cheese",
        "me",
    )
    assert [(a.role, a.box, a.encoder) for a in concept.avatars] == [(Role.AVATAR, box, ENCODER)]
    table = collection.keys
    assert table.rows == (IndexRow(concept.avatars[0].id, concept.id),)
    assert table.keys.dtype == np.float32
    assert table.keys.shape == (1, 16)
    np.testing.assert_allclose(table.keys[0], picture.key, atol=1e-6)
    assert await store.photo("me", concept.avatars[0].id) == picture.jpeg


async def test_it_is_still_there_after_a_restart(stores: Stores) -> None:
    async with stores.open() as store:
        await store.write("me", lala())
        before = await everything(store)
    async with stores.open() as store:
        after = await everything(store)
    assert after.concepts == before.concepts
    assert after.revision == before.revision


async def test_a_stranger_has_an_empty_collection(store: ConceptStore) -> None:
    collection = await everything(store, "nobody")
    assert (collection.concepts, len(collection.keys.rows)) == ((), 0)


async def test_keys_are_stored_with_length_one(store: ConceptStore) -> None:
    long = avatar(1)
    await store.write("me", Remember("Bo", "dog", "", type(long)(long.jpeg, long.key * 7, ENCODER, long.box)))
    keys = (await everything(store)).keys.keys
    assert np.linalg.norm(keys, axis=1) == pytest.approx([1.0])


@pytest.mark.parametrize("bad", [np.zeros(16), np.full(16, np.nan), np.ones((2, 8)), np.full(16, np.inf)])
async def test_what_is_no_direction_is_no_key_and_nothing_is_stored(store: ConceptStore, bad: np.ndarray) -> None:
    sample = avatar()
    with pytest.raises(ValueError, match="not a key"):
        await store.write(
            "me", Remember("Bo", "dog", "", type(sample)(b"x", bad.astype(np.float32), ENCODER, sample.box))
        )
    assert (await everything(store)).concepts == ()


async def test_reading_again_tells_only_whether_something_changed(store: ConceptStore) -> None:
    concept = await taught(store, lala())
    revision = (await everything(store)).revision
    assert await store.read("me", revision) is None
    await store.write("someone else", lala())
    assert await store.read("me", revision) is None
    await store.write("me", Edit(concept.id, info="new"))
    changed = await store.read("me", revision)
    assert changed is not None
    assert changed.revision > revision


async def test_revisions_grow_over_an_erasure_and_a_new_beginning(store: ConceptStore) -> None:
    seen = [(await everything(store)).revision]
    changes: list[Change] = [lala(), EraseOwner(), lala(), EraseOwner()]
    for change in changes:
        await store.write("me", change)
        seen.append((await everything(store)).revision)
    assert seen == sorted(set(seen))


# Names and limits


@pytest.mark.parametrize("again", ["Lala", "LALA", "lala", "<lala>", "Ｌａｌａ"])
async def test_a_name_is_unique_whatever_its_case(store: ConceptStore, again: str) -> None:
    await store.write("me", lala())
    with pytest.raises(NameTaken, match="Lala"):
        await store.write("me", lala(again))
    await store.write("someone else", lala(again))


async def test_a_concept_may_take_its_own_name_in_other_letters_but_not_anothers(store: ConceptStore) -> None:
    concept = await taught(store, lala())
    await store.write("me", lala("Bo", 1))
    changed = await store.write("me", Edit(concept.id, name="LALA"))
    assert changed.concept is not None
    assert changed.concept.name == "LALA"
    with pytest.raises(NameTaken, match="Bo"):
        await store.write("me", Edit(concept.id, name="bo"))


async def test_the_ninth_photo_is_refused_and_the_last_one_stays(store: ConceptStore) -> None:
    concept = await taught(store, lala())
    for seed in range(1, 8):
        await store.write("me", AddAvatar(concept.id, avatar(seed)))
    with pytest.raises(ConceptError, match="8 photos of Lala"):
        await store.write("me", AddAvatar(concept.id, avatar(9)))
    await store.write("me", AddAvatar(concept.id, avatar(10), Role.COUNTEREXAMPLE))
    ids = [a.id for a in (await everything(store)).concepts[0].avatars if a.role is Role.AVATAR]
    for avatar_id in ids[:-1]:
        await store.write("me", RemoveAvatar(avatar_id))
    with pytest.raises(ConceptError, match="only photo of Lala"):
        await store.write("me", RemoveAvatar(ids[-1]))
    assert len((await everything(store)).keys.rows) == 2


async def test_a_person_cannot_keep_more_concepts_than_the_limit(stores: Stores) -> None:
    async with stores.open(limits=ConceptLimits(concepts=2)) as store:
        await store.write("me", lala("A"))
        await store.write("me", lala("B"))
        with pytest.raises(ConceptError, match="already know 2 things"):
            await store.write("me", lala("C"))
        await store.write("someone else", lala("C"))
        assert len((await everything(store)).concepts) == 2


async def test_the_oldest_counterexamples_make_room(stores: Stores) -> None:
    async with stores.open(limits=ConceptLimits(counterexamples=3)) as store:
        concept = await taught(store, lala())
        added = [
            (await store.write("me", AddAvatar(concept.id, avatar(seed), Role.COUNTEREXAMPLE))).avatar_ids[0]
            for seed in range(1, 6)
        ]
        table = (await everything(store)).keys
        assert [row.avatar_id for row in table.rows if row.counterexample] == added[-3:]
        with pytest.raises(Gone):
            await store.photo("me", added[0])


@pytest.mark.parametrize(
    "change",
    [
        Remember("", "dog", "", avatar()),
        Remember("x" * 33, "dog", "", avatar()),
        Remember("Lala", "dog", "x" * 501, avatar()),
        Remember("Lala", "k" * 33, "", avatar()),
        Remember("a`b", "dog", "", avatar()),
    ],
)
async def test_what_breaks_a_rule_is_refused_and_leaves_no_owner_behind(store: Store, change: Change) -> None:
    with pytest.raises(ConceptError):
        await store.write("me", change)
    assert await store.fetch("SELECT count(*) FROM owners") == [(0,)]


# Whose it is


async def test_ids_of_other_people_are_as_good_as_no_ids(store: ConceptStore) -> None:
    concept = await taught(store, lala())
    avatar_id = concept.avatars[0].id
    changes: list[Change] = [
        Edit(concept.id, info="mine"),
        AddAvatar(concept.id, avatar(1)),
        RemoveAvatar(avatar_id),
        Forget(concept.id),
    ]
    for change in changes:
        with pytest.raises(Gone):
            await store.write("thief", change)
    with pytest.raises(Gone):
        await store.photo("thief", avatar_id)
    await store.write("thief", ReplaceKeys("other", ((avatar_id, key(5)),)))
    assert (await everything(store)).concepts == (concept,)
    assert (await everything(store)).keys.stale == ()


async def test_an_id_is_never_given_twice(store: ConceptStore) -> None:
    first = await taught(store, lala())
    await store.write("me", Forget(first.id))
    second = await taught(store, lala())
    assert second.id > first.id
    assert second.avatars[0].id > first.avatars[0].id


# Undo


async def test_undo_takes_back_remembering(store: ConceptStore) -> None:
    concept = await taught(store, lala())
    changed = await store.write("me", Undo())
    assert changed.undone == Undone(UndoneKind.REMEMBER, concept.id, "Lala")
    assert changed.concept is None
    assert (await everything(store)).concepts == ()
    with pytest.raises(NothingToUndo):
        await store.write("me", Undo())


async def test_undo_takes_back_an_edit_with_its_date(store: ConceptStore) -> None:
    before = await taught(store, lala())
    await store.write("me", Edit(before.id, name="Bo", category="cat", info="black"))
    changed = await store.write("me", Undo())
    assert changed.undone == Undone(UndoneKind.EDIT, before.id, "Bo")
    assert changed.concept == before


@pytest.mark.parametrize(
    ("role", "kind"),
    [(Role.AVATAR, UndoneKind.ADD_AVATAR), (Role.COUNTEREXAMPLE, UndoneKind.ADD_COUNTEREXAMPLE)],
)
async def test_undo_takes_back_a_picture(store: ConceptStore, role: Role, kind: UndoneKind) -> None:
    before = await taught(store, lala())
    added = (await store.write("me", AddAvatar(before.id, avatar(1), role))).avatar_ids[0]
    changed = await store.write("me", Undo())
    assert changed.undone == Undone(kind, before.id, "Lala")
    assert (await everything(store)).concepts == (before,)
    with pytest.raises(Gone):
        await store.photo("me", added)


async def test_undo_goes_one_step_back_and_only_ones_own(store: ConceptStore) -> None:
    mine = await taught(store, lala())
    await taught(store, lala("Bo"))
    await store.write("someone else", lala("Cy"))
    await store.write("me", Undo())
    with pytest.raises(NothingToUndo):
        await store.write("me", Undo())
    assert (await everything(store)).concepts == (mine,)
    assert len((await everything(store, "someone else")).concepts) == 1


async def test_forgetting_is_final(store: ConceptStore) -> None:
    kept = await taught(store, lala("Bo"))
    gone = await taught(store, lala())
    second = (await store.write("me", AddAvatar(kept.id, avatar(1)))).avatar_ids[0]
    final: list[Change] = [RemoveAvatar(second), Forget(gone.id), EraseOwner()]
    for change in final:
        await store.write("me", Edit(kept.id, info="changed"))
        await store.write("me", change)
        with pytest.raises(NothingToUndo):
            await store.write("me", Undo())


# Changing the encoder


async def test_keys_of_another_encoder_are_left_out_until_they_are_replaced(stores: Stores) -> None:
    async with stores.open("old") as store:
        concept = await taught(store, Remember("Lala", "dog", "", avatar(1, encoder="old")))
        await store.write("me", AddAvatar(concept.id, avatar(2, encoder="old"), Role.COUNTEREXAMPLE))
    async with stores.open("new") as store:
        table = (await everything(store)).keys
        assert (len(table.rows), len(table.stale)) == (0, 2)
        first, second = table.stale
        changed = await store.write("me", ReplaceKeys("new", ((first, key(8, 32)), (999, key(9, 32)))))
        assert changed.avatar_ids == (first,)
        table = (await everything(store)).keys
        assert (table.rows, table.stale, table.keys.shape) == ((IndexRow(first, concept.id),), (second,), (1, 32))
        np.testing.assert_allclose(table.keys[0], key(8, 32), atol=1e-6)


@pytest.mark.parametrize("same", ["backpack_dog", "Backpack Dog", "backpack-dog", "BACKPACK  DOG"])
async def test_names_that_texts_cannot_tell_apart_are_one_name(store: ConceptStore, same: str) -> None:
    await taught(store, lala("backpack dog"))
    with pytest.raises(NameTaken):
        await taught(store, lala(same, 2))
