"""What is kept beside concepts behaves alike in both databases: groups, refusals, accounts, visits, encoders."""

from __future__ import annotations

import time

import pytest

from rapbot.concepts.places import SharedConcept
from rapbot.concepts.sql_encodings import Place
from rapbot.concepts.sql_person import WHOSE
from rapbot.concepts.store import EraseOwner, Forget, Remember, ReplaceKeys, SetFaces
from rapbot.concepts.visits import Visit
from rapbot.errors import ConceptError, Gone
from rapbot.inbox import Arrived, Handling, handled
from tests.concept_samples import ENCODER, avatar, everything, key, lala, taught
from tests.stores import Store, Stores
from tests.stores import store as store
from tests.stores import stores as stores

GROUP, OTHER = "telegram:-1", "telegram:-2"


def face(seed: int) -> bytes:
    return key(seed, 8).tobytes()


async def test_a_share_is_seen_in_its_group_until_it_is_taken_back_or_forgotten(store: Store) -> None:
    places = store.places
    first, second = await taught(store, lala(), "ann"), await taught(store, lala("Bo"), "ann")
    shares = [SharedConcept(concept.id, "ann", "Ann") for concept in (first, second)]
    for share in (*shares, shares[0]):
        await places.share(GROUP, share)
    await places.share(OTHER, shares[0])
    assert await places.shares(GROUP) == tuple(shares)
    assert await places.shared_by("ann") == ((GROUP, shares[0]), (GROUP, shares[1]), (OTHER, shares[0]))
    with pytest.raises(Gone):
        await places.share(GROUP, SharedConcept(first.id, "ben", "Ben"))
    assert await places.unshare(GROUP, "ben") == ()
    assert await places.unshare(GROUP, "ann", first.id) == (first.id,)
    assert await places.shares(GROUP) == (shares[1],)
    assert await places.unshare(GROUP, "ann") == (second.id,)
    await store.write("ann", Forget(first.id))
    assert await places.shared_by("ann") == ()


async def test_what_is_kept_about_a_group_moves_with_it_and_ends_with_it(store: Store) -> None:
    places = store.places
    concept = await taught(store, lala(), "ann")
    for chat, name in ((GROUP, "old name"), (OTHER, "new name")):
        await places.share(chat, SharedConcept(concept.id, "ann", name))
        await places.set_photo_mode(chat, "addressed")
    await places.set_photo_mode(GROUP, "every")
    await places.refuse_face(GROUP, "ben", face(1))
    await places.refuse_face(OTHER, "carl", face(2))
    await places.move_chat(GROUP, OTHER)
    assert await places.known_chats("telegram") == (OTHER,)
    assert await places.known_chats("discord") == ()
    assert (await places.photo_mode(OTHER), await places.photo_mode(GROUP)) == ("every", None)
    assert [share.person_name for share in await places.shares(OTHER)] == ["old name"]
    assert set(await places.unwanted_faces(OTHER)) == {face(1), face(2)}
    await places.move_chat("telegram:-3", OTHER)  # nothing was kept about that one
    assert await places.photo_mode(OTHER) == "every"
    assert await places.withdraw_refusal(OTHER, "ben")  # refused before the group moved
    await places.close_chat(OTHER)
    assert (await places.known_chats("telegram"), await places.unwanted_faces(OTHER)) == ((), ())


async def test_a_refusal_holds_for_one_group_until_it_is_withdrawn(store: Store) -> None:
    places = store.places
    await places.refuse_face(GROUP, "ben", face(1))
    await places.refuse_face(GROUP, "ben", face(2), known=False)
    await places.refuse_face(OTHER, "ben", face(3), known=False)
    assert await places.unwanted_faces(GROUP) == (face(2),)
    assert {kept for _group, kept in await places.refused_faces("ben")} == {face(2), face(3)}
    assert await places.known_chats("telegram") == (GROUP,)
    assert await places.withdraw_refusal(GROUP, "ben")
    assert not await places.withdraw_refusal(GROUP, "ben")
    await taught(store, lala(), "ben")
    await store.write("ben", EraseOwner())
    assert await places.refused_faces("ben") == ()


async def test_accounts_are_linked_once_with_everything_and_parted_again(store: Store) -> None:
    places = store.places
    mine = await taught(store, lala("Lala"), "telegram:1")
    theirs = await taught(store, lala("Bo"), "discord:2")
    await places.offer_link("telegram:1", b"void", time.time() + 60)
    await places.offer_link("telegram:1", b"code", time.time() + 60)
    with pytest.raises(ConceptError, match="don't know that code"):
        await places.link("discord:2", b"void", time.time())
    assert await places.link("discord:2", b"code", time.time()) == "telegram:1"
    with pytest.raises(ConceptError, match="don't know that code"):
        await places.link("discord:2", b"code", time.time())
    assert await places.identities("discord:2") == await places.identities("telegram:1") == ("discord:2", "telegram:1")
    both = await everything(store, "discord:2")
    assert {card.concept_id for card in both.cards} == {mine.id, theirs.id}
    assert len(both.keys.rows) == 2
    assert await store.photo("telegram:1", theirs.avatars[0].id) == b"\xff\xd8\xff picture 0"
    assert await places.unlink("telegram:1")
    assert not await places.unlink("telegram:1")
    for person, concept in (("telegram:1", mine), ("discord:2", theirs)):
        assert [one.id for one in (await everything(store, person)).concepts] == [concept.id]


async def test_erasing_one_account_erases_all_that_are_linked(store: Store) -> None:
    await taught(store, lala("Lala"), "telegram:1")
    await store.places.offer_link("telegram:1", b"code", time.time() + 60)
    await store.places.link("discord:2", b"code", time.time())
    await store.write("discord:2", EraseOwner())
    assert await store.fetch("SELECT id FROM owners UNION SELECT id FROM identities") == []


async def test_everything_about_a_person_can_be_given_out(store: Store) -> None:
    concept = await taught(store, Remember("Lala", "dog", "white", avatar(1)), "ann")
    await taught(store, lala("Bo"), "ben")
    await store.write("ann", SetFaces(concept.id, ((concept.avatars[0].id, key(3, 8)),)))
    await store.places.share(GROUP, SharedConcept(concept.id, "ann", "Ann"))
    await store.places.refuse_face(GROUP, "ann", face(5))
    await store.visits.seen("ann", "de", 5.0)
    told = await store.places.about("ann")
    counts = {table: len(told[table]) for table in (*WHOSE, "face_refusals")}
    empty = {"identities", "link_codes", "journal"}
    assert counts == {table: int(table not in empty) for table in counts} | {"journal": counts["journal"]}
    assert (told["concepts"][0]["name"], told["owners"][0]["id"]) == ("Lala", "ann")
    assert told["keys"][0]["key"] == key(1).tobytes()
    assert told["photos"][0]["jpeg"] == b"\xff\xd8\xff picture 1"


async def test_the_bot_that_the_groups_know_is_remembered(store: Store) -> None:
    assert await store.places.served_by("telegram") is None
    assert await store.places.served_by("telegram", 7) == 7
    assert await store.places.served_by("telegram", 8_000_000_000) == 8_000_000_000
    assert await store.places.served_by("telegram") == 8_000_000_000


async def test_visits_are_noted_of_people_who_taught_something(store: Store) -> None:
    visits = store.visits
    assert await visits.seen("nobody", "en", 1.0) is None
    await taught(store, lala(), "ann")
    assert await visits.seen("ann", "de", 10.0) is None
    await visits.warned("ann", 15.0, told=True)
    assert await visits.seen("ann", "ru", 20.0) == Visit(("ann",), 10.0, "de", 15.0, True)
    await taught(store, lala(), "ben")
    assert await visits.last(50.0, 30.0) == (Visit(("ann",), 20.0, "ru"), Visit(("ben",), 30.0))
    assert await visits.last(20.0, 40.0) == ()
    await visits.clear()
    assert await store.fetch("SELECT * FROM visits") == []


async def test_a_change_of_encoder_is_counted_walked_through_and_finished(stores: Stores) -> None:
    async with stores.open("old") as store:
        for person in ("ann", "ben"):
            await taught(store, Remember("Lala", "dog", "", avatar(1, encoder="old")), person)
        assert not (await store.encodings.pending()).under_way
    async with stores.open() as store:
        store.serve_also("old")
        pending = await store.encodings.pending()
        assert (pending.total, pending.done, pending.others) == (2, 0, ("old",))
        stale = await store.encodings.stale(Place(), 1)
        assert [(one.owner, one.jpeg) for one in stale] == [("ann", b"\xff\xd8\xff picture 1")]
        await store.write("ann", ReplaceKeys(ENCODER, ((stale[0].place.avatar_id, key(5)),)))
        assert [one.owner for one in await store.encodings.stale(Place(), 9)] == ["ben"]
        assert await store.encodings.stale(stale[0].place, 9) == await store.encodings.stale(Place(), 9)
        assert not await store.encodings.finish()
        (last,) = await store.encodings.stale(Place(), 9)
        before = (await everything(store, "ann")).revision
        assert await store.encodings.finish([last.place.avatar_id])
        assert store.encoders == (ENCODER,)
        assert (await everything(store, "ann")).revision > before
        assert await store.fetch("SELECT name FROM encoders") == [(ENCODER,)]


async def test_a_message_that_changed_something_changes_nothing_twice(store: Store) -> None:
    update = Arrived(platform="telegram:9", key="1", question="1", person="5", update="{}", expires_at=1e12)
    assert await store.applied(update.work_digest) is None
    with handled(Handling(None, update)):  # type: ignore[arg-type]  # nobody asks the inbox
        concept = await taught(store, lala())
        done = await store.applied(update.work_digest)
        assert done is not None
        assert done.concept_id == concept.id
        await store.places.set_photo_mode(GROUP, "every")
    assert len(await store.fetch("SELECT * FROM applied")) == 1
